"""Options from typed signatures, by names and never by import paths, with mistakes told in one sentence."""

from __future__ import annotations

import dataclasses
import json
import re
import typing
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from fieldcast.data.plain import Unreadable, read_plain
from fieldcast.errors import FieldcastError, did_you_mean

Made = TypeVar("Made")


class Options:
    """The options of one command.

    ``add`` takes the arguments of classes as flat options, ``add_group`` those of one class under a prefix. Dashes and
    underscores are the same; options that take lists take several words. A configuration file (``--config``) holds the
    same names; it is read as plain data, so that it can name things but never make Python import them.
    """

    def __init__(self, command: str, description: str):
        self._parser = ArgumentParser(
            prog=f"fieldcast {command}", description=description, exit_on_error=False, add_help=True
        )
        self._lists: set[str] = set()
        self._texts: set[str] = set()
        self._flags: set[str] = set()
        self._names: list[str] = []
        self._groups: list[str] = []

    def add(self, cls: type, skip: Iterable[str] = ()) -> None:
        self._note(cls, "", skip)
        self._parser.add_class_arguments(cls, skip=set(skip))

    def add_group(self, cls: type, prefix: str, skip: Iterable[str] = ()) -> None:
        self._note(cls, f"{prefix}.", skip)
        self._groups.append(prefix)
        if any(name.startswith(f"{prefix}.") for name in self._names):
            self._parser.add_class_arguments(cls, prefix, skip=set(skip))

    def option(self, name: str, kind: Any = str, default: Any = None, help: str = "", many: bool = False) -> None:
        """One more option, ``--name``."""
        self._names.append(name)
        if many:
            self._list(name, kind)
        self._parser.add_argument(f"--{name}", type=kind, default=default, help=help)

    def flag(self, name: str, help: str) -> None:
        """One more option without a value."""
        self._names.append(name)
        self._flags.add(name)
        self._parser.add_argument(f"--{name}", action="store_true", help=help)

    def plugin(self) -> None:
        """The option that the dispatcher reads before a command runs; here for its help."""
        self.option("plugin", str, None, "Python file of yours with a backbone or stage (on the command line only)")

    def position(self, name: str, help: str) -> None:
        """A word without a name in front."""
        self._parser.add_argument(name, type=str, help=help)

    def parse(self, argv: Sequence[str], config: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Flat values by name; those of ``config`` stand where the command line says nothing."""
        words = self._normalise(argv)
        if "--help" in words or "-h" in words:
            print(self.help())
            raise SystemExit(0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if config:
                    given = self._parser.parse_args(words, defaults=False, _skip_validation=True)
                    parsed = self._parser.parse_object(_nested({**self._checked(config), **_flat(given)}))
                else:
                    parsed = self._parser.parse_args(words)
        except ArgumentError as error:
            raise FieldcastError(self._sentence(error)) from None
        except OverflowError:
            raise FieldcastError("an option is a number too large for any setting: give a smaller one.") from None
        for name, value in _flat(parsed).items():
            if value is None and self._parser.get_default(name) is not None:
                raise FieldcastError(f"{_typed(name)} does not fit: it is empty.")
        return parsed.as_dict()

    def help(self) -> str:
        """The help text, with names as they are typed: dashes, and lists as words side by side."""
        text = self._parser.format_help()
        for name in self._lists:
            kind = r"(?:\[ITEM,\.\.\.\]|[A-Z_]+)"
            text = re.sub(
                rf"--{re.escape(name)} {kind}(?:,\s+--{re.escape(name)}\+ {kind})?", f"--{name} A B ...", text
            )
        for group in self._groups:  # that a whole group could be a file is jsonargparse's idea
            lines = rf"\[--{group} CONFIG\]\s*|^  --{group} CONFIG.*\n(?:    +.*\n)*"
            text = re.sub(lines, "", text, flags=re.MULTILINE)
        text = re.sub(r"default:\s+null", "no default", re.sub(r"\s+\|\s+null", "", text))
        text = re.sub(
            r"type:\s+([\w.\[\]',|\s]+?)(?=,\s+(?:default:|no\s+default)|\))", lambda kind: _in_words(kind[1]), text
        )
        return re.sub(r"--[a-z_.]+", lambda name: name[0].replace("_", "-"), text)

    def _note(self, cls: type, prefix: str, skip: Iterable[str]) -> None:
        hints = typing.get_type_hints(cls.__init__)
        for name, hint in hints.items():
            if name in ("return", *skip):
                continue
            self._names.append(prefix + name)
            if re.search(r"\b(list|tuple|Sequence)\[", str(hint)):
                self._list(prefix + name, hint)

    def _list(self, name: str, hint: Any) -> None:
        self._lists.add(name)
        if re.search(r"\bstr\b", str(hint)):
            self._texts.add(name)

    def _normalise(self, argv: Sequence[str]) -> list[str]:
        """Underscores for dashes in names, and one JSON word for the words of a list."""
        words: list[str] = []
        rest = list(argv)
        while rest:
            word = rest.pop(0)
            if not word.startswith("--") or word == "--":
                words.append(word)
                continue
            name, equals, value = word[2:].partition("=")
            name = name.replace("-", "_")
            if name not in self._names and name != "help":
                near = did_you_mean(f"--{name}".replace("_", "-"), [_typed(known) for known in self._names])
                raise FieldcastError(f"there is no option --{name.replace('_', '-')}{near}: see --help.")
            values = [value] if equals else []
            if name in self._lists:
                while not equals and rest and not rest[0].startswith("--"):
                    values.append(rest.pop(0))
                if not values:
                    raise FieldcastError(f"--{name.replace('_', '-')} needs at least one value.")
                parsed = [_plain(part) for part in values]
                if len(parsed) == 1 and isinstance(parsed[0], list):
                    parsed = parsed[0]
                elif name in self._texts:
                    parsed = values  # a sensor may be called 7
                words.append(f"--{name}={json.dumps(parsed)}")
            elif name in self._flags or name == "help":
                if equals:
                    raise FieldcastError(f"{_typed(name)} takes no value: write it alone.")
                words.append(f"--{name}")
            else:
                if not equals:
                    if not rest or rest[0].startswith("--"):
                        raise FieldcastError(f"--{name.replace('_', '-')} needs a value.")
                    values = [rest.pop(0)]
                words.append(f"--{name}={values[0]}")
        return words

    def _checked(self, config: Mapping[str, Any]) -> dict[str, Any]:
        flat: dict[str, Any] = {}
        for key, value in config.items():
            if isinstance(value, Mapping):
                flat |= {f"{key}.{inner}": part for inner, part in value.items()}
            else:
                flat[key] = value
        for name, value in flat.items():
            if name not in self._names:
                near = did_you_mean(name, self._names)
                raise FieldcastError(f"the configuration file has no setting '{name}'{near}: remove it.")
            if name in self._flags and not isinstance(value, bool):
                raise FieldcastError(f"{_typed(name)} does not fit: '{value}' is not true or false.")
        return flat

    def _sentence(self, error: Exception) -> str:
        """jsonargparse's message of many lines as one sentence: which option, what was given, what is expected."""
        text = " ".join(str(error).split())
        if match := re.search(r'(?:Key "([\w.]+)" is required|arguments are required: ([\w.]+))', text):
            name = match[1] or match[2]
            return f"{_typed(name) if name in self._names else name} is needed: see --help."
        if match := re.search(r'(?:Parser key|argument) "?-*([\w.]+)"?:? (.*)', text):
            return f"{_typed(match[1])} does not fit: {_mismatch(match[2])}."
        return f"{text[:200].rstrip('.')}."


def _in_words(kind: str) -> str:
    """A type of Python as help texts call it: ``Optional[Literal['refuse', 'sort']]`` is one of refuse, sort."""
    if choices := re.search(r"Literal\[(.*?)\]", " ".join(kind.split())):
        listed = choices[1].replace(chr(39), "")
        return f"whole number or {listed}" if re.search(r"\bint\b", kind) else f"one of {listed}"
    several = bool(re.search(r"list|tuple|Sequence", kind))
    words = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}
    plain = next((word for name, word in words.items() if re.search(rf"\b{name}\b", kind)), kind)
    return f"{plain}s" if several else plain


def _typed(name: str) -> str:
    """An option as people type it."""
    return f"--{name.replace('_', '-')}"


def _mismatch(detail: str) -> str:
    """What was given and what is expected."""
    given = re.search(r"(?:Got value|Given value): (.*?)(?= - Expected| Given |$)", f"{detail} ")
    value = _short(given[1].strip() if given else "the value")
    if choices := re.search(r"Literal\[(.*?)\]", detail):
        return f"'{value}' is none of {choices[1].replace(chr(39), '')}"
    if counted := re.search(r"Expected a tuple with (\d+) elements", detail):
        return f"'{value}' is not {counted[1]} values"
    expected = " ".join(re.findall(r"Expected an? (\S+ \S+)|Subtypes: (\[.*?\]) Errors", detail)[0]) if (
        re.search(r"Expected an? \S+ \S+|Subtypes: \[.*?\] Errors", detail)
    ) else detail  # fmt: skip
    kinds = {"list": "a list", "tuple": "a list", "int": "a whole number", "float": "a number", "bool": "true or false"}
    kinds["str"] = "text"
    found = [words for kind, words in kinds.items() if re.search(rf"\b{kind}\b", expected)]
    return f"'{value}' is not {found[0]}" if found else f"{detail[:160].strip(' .')}"


def _short(value: str) -> str:
    return value if len(value) <= 60 else f"{value[:60]} ..."


def read_config(path: str) -> dict[str, Any]:
    """A configuration file as plain data."""
    file = Path(path)
    if not file.is_file():
        raise FieldcastError(f"there is no configuration file {file}: check the path.")
    try:
        table = read_plain(file, "yaml")
    except Unreadable as error:
        raise FieldcastError(f"{file} is not valid YAML ({error}): mend it.") from None
    if not isinstance(table, dict) or not all(isinstance(key, str) for key in table):
        raise FieldcastError(f"{file} holds no settings: write lines such as 'max_epochs: 20'.")
    return table


def made(cls: type[Made], values: Mapping[str, Any]) -> Made:
    """An options class from the parsed values that bear its fields' names."""
    return cls(**{each.name: values[each.name] for each in dataclasses.fields(cls)})  # type: ignore[arg-type]


def take(argv: Sequence[str], name: str, many: bool = False) -> tuple[list[str], list[str]]:
    """Take every ``--name value`` (or ``--name=value``) out of a command line, before its options are known.

    With ``many`` the values are all words up to the next option. Returns the values and the other words.
    """
    found: list[str] = []
    rest: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == f"--{name}":
            mine: list[str] = []
            while words and not words[0].startswith("--") and (many or not mine):
                mine.append(words.pop(0))
            if not mine:
                raise FieldcastError(f"--{name} needs a value.")
            found += mine
        elif word.startswith(f"--{name}="):
            found.append(word.split("=", 1)[1])
        else:
            rest.append(word)
    return found, rest


def _plain(word: str) -> Any:
    """A number where the word is one, a JSON list where it is one, else the word itself."""
    try:
        value = json.loads(word)
    except json.JSONDecodeError:
        return word
    return value if isinstance(value, (int, float, list)) and not isinstance(value, bool) else word


def _flat(values: Namespace) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.as_dict().items():
        if isinstance(value, dict):
            flat |= {f"{key}.{inner}": part for inner, part in value.items()}
        else:
            flat[key] = value
    return flat


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        prefix, dot, inner = key.partition(".")
        if dot:
            nested.setdefault(prefix, {})[inner] = value
        else:
            nested[key] = value
    return nested
