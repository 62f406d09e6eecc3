"""The command ``fieldcast``: a bare dispatcher, so that help and mistakes answer at once."""

from __future__ import annotations

import importlib
import os
import re
import signal
import sys
from collections.abc import Sequence

from fieldcast.core.allocator import prepare_memory
from fieldcast.errors import FieldcastError, did_you_mean

COMMANDS = {
    "data": "describe readings: sensors, channels, span, gaps, missing cells, splits",
    "train": "train a backbone, score it beside simple baselines, save it",
    "adapt": "tune an adapter of a few kB on a finished run, kept apart from it",
    "evaluate": "score a saved run again, on its own data or on others of the same sensors",
    "predict": "forecast new readings from a saved run, to Parquet or CSV",
    "models": "list every backbone with its source and what it needs",
    "compare": "finished runs side by side: paired differences with intervals",
    "report": "write one self-contained HTML page about a run",
    "bench": "what backbones cost on this machine: speed, memory, scale; what commands cost to start",
    "demo": "train two backbones on a simulated city, compare them, write a report",
}
_PLUGGABLE = ("train", "adapt", "evaluate", "predict", "models", "bench")
"""Commands that open or name backbones: they take --plugin FILE."""

_USAGE = "fieldcast COMMAND [options]      fieldcast COMMAND --help"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 0 when it did, 2 with one sentence on stderr when what was given does not work."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0
    if arguments[0] == "--version":
        from fieldcast._version import __version__

        print(f"fieldcast {__version__}")
        return 0
    name, rest = arguments[0], arguments[1:]
    prepare_memory()
    try:
        if name not in COMMANDS:
            raise FieldcastError(f"there is no command '{name}'{did_you_mean(name, COMMANDS)}: see fieldcast --help.")
        if name in _PLUGGABLE and any(word.split("=")[0] == "--plugin" for word in rest):
            rest = _load_plugins(rest)
        command = importlib.import_module(f"fieldcast.cli.{name}")
        command.run(rest)
        sys.stdout.flush()
    except FieldcastError as error:
        process = os.environ.get("RANK", "0")  # of several, as torchrun starts them
        print(f"fieldcast{f' (process {process})' if process != '0' else ''}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("fieldcast: interrupted; training goes on with: fieldcast train --resume --out FOLDER", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Whoever read our output has enough; nothing may be written to it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"fieldcast: {FieldcastError(f'{where}{error.strerror or error}')}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not re.search(
            r"out of memory|allocate memory|not enough mem", str(error)
        ):
            raise
        print(
            "fieldcast: the memory of this machine does not suffice: choose a smaller backbone, mini-batch or data.",
            file=sys.stderr,
        )
        return 2
    return 0


def _load_plugins(argv: list[str]) -> list[str]:
    """Run the files that --plugin names, for which nothing but the command line is asked; return the other words."""
    from fieldcast.cli.parsing import take
    from fieldcast.workflows.plugins import load_plugin

    files, rest = take(argv, "plugin")
    for file in files:
        load_plugin(file)
    return rest


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:<{width}}  {what}" for name, what in COMMANDS.items())
    return f"fieldcast: forecasts for fields of sensors\n\nusage: {_USAGE}\n\ncommands:\n{lines}"


if __name__ == "__main__":
    sys.exit(main())
