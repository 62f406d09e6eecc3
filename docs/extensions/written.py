"""Parts of pages that the code writes when the site is built: backbones, formats, commands, the API.

A page asks for one with a comment line, such as ``<!-- written: backbones -->``; the comment is replaced by Markdown
before the page is read. Nothing here knows a backbone, a format, a command or a public name: all are asked for.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.inspect import stringify_signature

from fieldcast.core.module import Recipe

_MARK = re.compile(r"^<!-- written: (\w+)(?: ([\w.]+))? -->$", re.MULTILINE)


def _recipe(recipe: Recipe) -> str:
    """The settings of a recipe in words, and whose they are."""
    said = [f"{name.replace('_', '-')} {value}" for name, value in recipe.training.items()]
    said += [f"backbone.{name.replace('_', '-')} {value}" for name, value in recipe.hyper.items()]
    return f"{', '.join(said)} ({recipe.source})"


def backbones() -> str:
    """A table of every backbone of fieldcast, then a section for each with its docstring and its options."""
    from fieldcast.core.backbone import Backbone
    from fieldcast.core.registry import BACKBONES
    from fieldcast.workflows.describing import describe_models

    table = ["| name | fitted | needs | unseen sensors | cost | parameters |", "|---|---|---|---|---|---:|"]
    sections = []
    for model in describe_models():
        name, cls = model["name"], BACKBONES.get(model["name"])
        assert issubclass(cls, Backbone)
        if not cls.__module__.startswith("fieldcast."):
            continue  # of another package that happens to be installed
        count = "-" if model["parameters"] is None else f"{model['parameters']:,}"
        fitted, needs, unseen, cost = (model[key] for key in ("fitted", "needs", "unseen sensors", "cost"))
        table.append(f"| [{name}](#{name}) | {fitted} | {needs} | {unseen} | {escaped(cost)} | {count} |")
        facts = [
            f"needs: {'nothing but readings' if needs == '-' else needs}",
            f"sensors that training never saw: {unseen}",
            f"channels known ahead: {'read' if cls.uses_future else 'not read'}",
            f"shortest look-back: {cls.min_lookback()}",
            f"cost grows with: {escaped(cost)}",
            f"parameters: {count if cls.trainable else 'none are trained'}",
            *(f"recipe `{recipe}`: {_recipe(found)}" for recipe, found in cls.recipes.items()),
        ]
        sections.append(
            f"({name})=\n## {name}\n\n{docstring(cls)}\n\n**Paper:** {linked(cls.paper)}\n\n"
            + "\n".join(f"- {fact}" for fact in facts) + f"\n\n{options(cls)}"
        )  # fmt: skip
    return "\n".join(table) + "\n\n" + "\n\n".join(sections)


def options(cls: type) -> str:
    """The constructor's options as a table: name, kind, default, as they are typed on the command line."""
    given = list(inspect.signature(cls.__init__).parameters.values())[2:]  # without self and spec
    if not given:
        return "It has no options."
    rows = [
        f"| `--backbone.{each.name.replace('_', '-')}` | `{kind(each).replace('|', 'or')}` | `{each.default}` |"
        for each in given
    ]
    return "\n".join(["| option | kind | default |", "|---|---|---|", *rows])


def kind(option: inspect.Parameter) -> str:
    """The annotation of an option as it is written."""
    return option.annotation if isinstance(option.annotation, str) else inspect.formatannotation(option.annotation)


def formats() -> str:
    """Every format, what it reads, and its own options."""
    from fieldcast.data.formats import known_formats

    rows = [
        f"| `{each.name}` | {escaped(each.description)} | {' '.join(f'`{name}`' for name in each.own_options) or '-'} |"
        for each in known_formats().values()
    ]
    return "\n".join(["| format | what it reads | options of its own |", "|---|---|---|", *rows])


def commands() -> str:
    """What every command says to ``--help``, and every word of a command that has words."""
    from fieldcast.cli.__main__ import COMMANDS

    parts = [block("fieldcast --help", said(["--help"]))]
    for name in COMMANDS:
        text = said([name, "--help"])
        words = re.findall(rf"fieldcast {name} (\w+) --help", text)
        parts.append(f"## fieldcast {name}\n\n" + block(f"fieldcast {name} --help", text))
        parts += [block(f"fieldcast {name} {word} --help", said([name, word, "--help"])) for word in words]
    return "\n\n".join(parts)


def api(module: str) -> str:
    """An entry for every public name of a module, classes first, but for those that the package itself has."""
    home, package = importlib.import_module(module), importlib.import_module(module.partition(".")[0])
    names = [name for name in home.__all__ if callable(getattr(home, name))]
    names = [name for name in names if home is package or name not in package.__all__]
    ordered = sorted(names, key=lambda name: (not inspect.isclass(getattr(home, name)), name.lower()))
    entries = []
    for name in ordered:
        if inspect.isclass(getattr(home, name)):
            entries.append(f".. autoclass:: {module}.{name}\n   :members:\n   :member-order: bysource\n")
        else:
            entries.append(f".. autofunction:: {module}.{name}\n")
    return "```{eval-rst}\n" + "\n".join(entries) + "```"


def said(words: list[str]) -> str:
    """What a command prints, on a terminal of 86 columns."""
    from fieldcast.cli.__main__ import main

    heard = io.StringIO()
    terminal = mock.patch.dict("os.environ", COLUMNS="86")
    with terminal, contextlib.redirect_stdout(heard), contextlib.suppress(SystemExit):
        main(words)
    if not heard.getvalue().strip():
        raise ExtensionError(f"fieldcast {' '.join(words)} says nothing: every command has a help.")
    return heard.getvalue().strip()


def block(command: str, text: str) -> str:
    """What a command answered, as a block."""
    return f"```text\n$ {command}\n{text}\n```"


def docstring(cls: type) -> str:
    """A docstring as Markdown: its code stays code, its formulas stay as they are written."""
    paragraphs = (inspect.getdoc(cls) or "").split("\n\n")
    return "\n\n".join("\n\n".join(linked(part) for part in _parts(paragraph)) for paragraph in paragraphs)


def _parts(paragraph: str) -> Iterator[str]:
    """A paragraph and the notes in it that begin with a word of their own: shapes, cost, source."""
    lines = " ".join(paragraph.split())
    yield from (part for part in re.split(r" (?=(?:Shapes|Source|Cost|Raises FieldcastError)\b)", lines) if part)


def linked(text: str) -> str:
    """Text with its arXiv numbers as links and all that Markdown would take for its own escaped."""
    pieces = re.split(r"(``.+?``|:\w+:`~?[^`]+`)", text)
    plain = [
        f"`{re.sub(r'^:[a-z]+:|[`~]', '', piece)}`" if at % 2 else escaped(piece) for at, piece in enumerate(pieces)
    ]
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", "".join(plain))


def escaped(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|$~^])", r"\\\1", text)


def _write(app: Sphinx, page: str, source: list[str]) -> None:
    def written(match: re.Match[str]) -> str:
        makers = {"backbones": backbones, "formats": formats, "commands": commands, "api": api}
        if match[1] not in makers:
            raise ExtensionError(f"the page {page} asks for '{match[1]}': there are {', '.join(makers)}.")
        return makers[match[1]](*([match[2]] if match[2] else []))

    source[0] = _MARK.sub(written, source[0])


def _always(app: Sphinx, env: Any, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    """Pages that the code writes change when the code does, whatever the age of their file."""
    return [page for page in env.found_docs if _MARK.search(Path(env.doc2path(page)).read_text(encoding="utf-8"))]


def _plain_formulas(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep |e| and x_ in docstrings from being taken for references."""
    for at, line in enumerate(lines):
        pieces = re.split(r"(``.+?``|:\w+:`[^`]+`)", line)
        pieces[::2] = [
            re.sub(r"(?<=\w)_(?=$|[\s.,;:)\]}/])", r"\\_", re.sub(r"(?<!\\)\|", r"\\|", each)) for each in pieces[::2]
        ]
        lines[at] = "".join(pieces)


def _no_link(app: Sphinx, env: Any, node: nodes.Element, text: nodes.TextElement) -> nodes.Node | None:
    """A name of fieldcast that exists and has no entry is plain text; one that does not exist is a mistake."""
    if node.get("refdomain") != "py" or not str(node.get("reftarget", "")).startswith("fieldcast."):
        return None
    try:
        pkgutil.resolve_name(node["reftarget"])
    except (ImportError, AttributeError, ValueError):
        return None
    return text


def _constructor(app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str, returns: str) -> Any:
    """The arguments of a class are those of its constructor, also where ``__new__`` takes whatever comes."""
    if what == "class" and (signature or "").startswith("(*args") and inspect.isfunction(obj.__init__):
        taken = inspect.signature(obj.__init__)
        own = [
            each
            for each in list(taken.parameters.values())[1:]
            if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        ]
        return stringify_signature(taken.replace(parameters=own), unqualified_typehints=True), returns
    return None


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", _write)
    app.connect("env-get-outdated", _always)
    app.connect("autodoc-process-signature", _constructor)
    app.connect("missing-reference", _no_link)
    app.connect("autodoc-process-docstring", _plain_formulas, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
