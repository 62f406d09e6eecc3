"""Write the tables of an experiment from its lines.

python experiments/table.py experiments/NAME.yaml [--into README.md docs/scores.md]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fieldcast.data.files import write_atomically
from fieldcast.errors import FieldcastError
from fieldcast.workflows.experiment import lines_of
from fieldcast.workflows.experiment_file import read_experiment
from fieldcast.workflows.tables import as_markdown, summary_markdown

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", help="the YAML file; its lines lie in results/ beside it")
    parser.add_argument(
        "--into", nargs="+", default=(), metavar="FILE",
        help="Markdown files whose table between <!-- scores NAME --> and <!-- /scores NAME --> is renewed",
    )  # fmt: skip
    arguments = parser.parse_args()
    try:
        experiment = read_experiment(arguments.experiment)
        name = experiment.name
        path = Path(arguments.experiment).parent / "results" / f"{name}.jsonl"
        lines = lines_of(experiment, path) if path.is_file() else []
        if not lines:
            raise FieldcastError(f"{path} holds no run of {arguments.experiment}: run it with run.py.")
        write_atomically(path.with_suffix(".md"), as_markdown(experiment, lines))
        for each in arguments.into:
            page = Path(each)
            head, opening, rest = page.read_text(encoding="utf-8").partition(f"<!-- scores {name} -->")
            _, closing, tail = rest.partition(f"<!-- /scores {name} -->")
            if not opening or not closing:
                raise FieldcastError(f"{page} has no <!-- scores {name} --> and <!-- /scores {name} -->: add them.")
            write_atomically(page, f"{head}{opening}\n{summary_markdown(experiment, lines)}\n{closing}{tail}")
    except (FieldcastError, OSError) as error:
        sys.exit(f"table.py: {error}")
