"""Write the tables of an experiment.

python experiments/table.py experiments/results/NAME.jsonl [--readme README.md]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fieldcast.data.files import write_atomically
from fieldcast.errors import FieldcastError
from fieldcast.workflows.experiment import read_lines
from fieldcast.workflows.tables import as_markdown, summary_markdown

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lines", help="the JSON lines that run.py wrote")
    parser.add_argument(
        "--readme", help="a Markdown file whose table between <!-- scores --> and <!-- /scores --> is renewed"
    )
    arguments = parser.parse_args()
    try:
        path = Path(arguments.lines)
        lines = read_lines(path)
        write_atomically(path.with_suffix(".md"), as_markdown(path.stem, lines))
        if arguments.readme:
            readme = Path(arguments.readme)
            head, opening, rest = readme.read_text(encoding="utf-8").partition("<!-- scores -->")
            _, closing, tail = rest.partition("<!-- /scores -->")
            if not opening or not closing:
                raise FieldcastError(f"{readme} has no <!-- scores --> and <!-- /scores -->: add the two marks.")
            write_atomically(readme, f"{head}{opening}\n{summary_markdown(lines)}\n{closing}{tail}")
    except FieldcastError as error:
        sys.exit(f"table.py: {error}")
