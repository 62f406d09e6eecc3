"""What a run is told: which data, which model, how to train, where to put it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from fieldcast.core.kinds import fits, in_words
from fieldcast.data.archives import array_names
from fieldcast.data.formats import open_readings
from fieldcast.data.graph import (
    Graph,
    from_adjacency_csv,
    from_coordinates,
    from_correlation,
    from_edge_csv,
    from_npz,
    from_sparse_npz,
)
from fieldcast.data.plain import Unreadable, read_table
from fieldcast.data.readings import Readings
from fieldcast.data.splits import check_share
from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError, did_you_mean
from fieldcast.forecaster.adapters import Mode
from fieldcast.training import TrainingOptions

BASELINES = ("last_value", "window_mean", "historical_inertia", "daily_climatology", "weekly_climatology", "ridge_var")
MODES = ", ".join(get_args(Mode))
CONFIG = "config.yaml"
"""Where a run's folder says what the run is."""
TUNED = ("base", "base_name", "mode")
"""The settings of a run on another run."""
Made = TypeVar("Made")
_MADE = r"(nearest|correlation):(\d+)"


@dataclass(frozen=True)
class ReadingsOptions:
    """Where readings lie and how to read them.

    Args:
        data: File or folder with the readings.
        format: Layout of the file; left out, it is recognised.
        time_column: Name of the time column, where it is not the first.
        start: First timestamp, for files without a time column.
        frequency: Length of a step, such as 5min, 1h or 1D; left out, it is read from the time column.
        timezone: Timezone of wall-clock stamps, such as America/Los_Angeles; needed where clocks change.
        unordered: What to do with rows out of order.
        repeated: What to do with repeated timestamps.
        fill_gap: Gaps of at most so many rows become unobserved rows; longer ones end a segment.
        null_rule: Which numbers mean a missing reading.
        scored_cells: Which cells are scored.
    """

    data: str
    format: str | None = None
    time_column: str | None = None
    start: str | None = None
    frequency: str | None = None
    timezone: str | None = None
    unordered: Literal["refuse", "sort"] | None = None
    repeated: Literal["refuse", "first", "last", "mean"] | None = None
    fill_gap: int | None = None
    null_rule: str | None = None
    scored_cells: str | None = None

    def at_home(self) -> ReadingsOptions:
        """The same with ``data`` as an absolute path, which holds wherever a run is moved to."""
        return replace(self, data=str(Path(self.data).expanduser().absolute()))

    def open(self) -> Readings:
        """The readings."""
        given = {key: value for key, value in asdict(self).items() if key not in ("data", "format")}
        return open_readings(self.data, format=self.format, **given)


@dataclass(frozen=True)
class WindowOptions:
    """What to forecast from what.

    Args:
        channels: Channels to read; left out, the targets.
        targets: Channels to forecast; left out, what the dataset names, else its first channel.
        future: Channels that are known ahead, such as a holiday flag.
        lookback: Steps that the model reads.
        horizon: Steps that it forecasts.
        split: A split of the dataset by name, or a rule such as 'windows-first 7:1:2'.
        scaler: One scale for each channel, for all, for each node and channel, or none.
        stride: Every how many-th training window to use.
        train_share: Between which fractions of their time to use the training windows: 0.9 1 is the last tenth.
        purge: Windows to drop at the end of training and validation, so that no label row is shared.
        graph: A file with the graph of the sensors (from,to,cost CSV, adjacency CSV, NPZ), or nearest:8 for the eight
            nearest by coordinates, correlation:8 for the eight most alike in training rows, none for no graph; left
            out, the graph.npz beside the data.
    """

    channels: list[str] | None = None
    targets: list[str] | None = None
    future: list[str] = field(default_factory=list)
    lookback: int = 12
    horizon: int = 12
    split: str | None = None
    scaler: Literal["channel", "global", "node", "none"] = "channel"
    stride: int = 1
    train_share: tuple[float, float] = (0.0, 1.0)
    purge: int = 0
    graph: str | None = None

    def __post_init__(self) -> None:
        check_share(self.train_share)

    def windows(self, readings: Readings, graph: Graph | None = None, *, beside: str | Path | None = None) -> Windows:
        """The windows over readings, with the graph that the options name, else ``graph``, else that beside data."""
        if self.graph is None and graph is None and beside is not None:
            graph = find_graph(beside, readings)
        elif self.graph is not None:
            graph = choose_graph(self.graph, readings, lambda: self.over(readings))
        return self.over(readings, graph)

    def over(self, readings: Readings, graph: Graph | None = None) -> Windows:
        """The windows over readings with this graph, whichever the options name."""
        settings = {name: value for name, value in asdict(self).items() if name != "graph"}
        return Windows(readings, graph=graph, **settings)

    def at_home(self) -> WindowOptions:
        """The same with the path of the graph absolute, so that a run can be read again from anywhere."""
        named = self.graph is None or self.graph == "none" or is_rule(self.graph)
        return self if named else replace(self, graph=str(Path(str(self.graph)).expanduser().absolute()))


@dataclass(frozen=True)
class RunOptions:
    """A whole run: data, windows, backbone, training, seeds.

    ``hyper`` are the backbone's own settings, ``stages`` those of the stages beside it, by their names; ``baselines``
    are scored beside it on the same windows. With ``base``, the folder of a finished run that boards call
    ``base_name``, the stages are tuned on the forecasters of that run, seed by seed; ``mode`` says what of them trains,
    ``codes`` that its stages get new sensors.
    """

    readings: ReadingsOptions
    windows: WindowOptions
    backbone: str
    hyper: Mapping[str, Any]
    training: TrainingOptions
    seeds: tuple[int, ...] = (0,)
    baselines: tuple[str, ...] = BASELINES
    stages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    base: str | None = None
    base_name: str = ""
    mode: Mode = "joint"

    @property
    def name(self) -> str:
        """The model as boards call it: its backbone, or the base, and the stages beside it."""
        return " + ".join([self.base_name or self.backbone, *self.stages])

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise FieldcastError(f"the seeds are {list(self.seeds)}: give at least one, each once, none negative.")
        if max(self.seeds) >= 2**63:
            raise FieldcastError(f"the seed {max(self.seeds)} is too large: give one below 2^63.")
        if self.base is None and (self.base_name or self.mode != "joint"):
            raise FieldcastError(f"a run in mode '{self.mode}' is on another run: name that as its base.")
        if len(set(self.baselines)) < len(self.baselines):
            raise FieldcastError(f"the baselines are {', '.join(self.baselines)}: name each once.")

    def to_json(self) -> dict[str, Any]:
        """A flat table: what a configuration file holds."""
        beside = {"stages": {name: dict(told) for name, told in self.stages.items()}} if self.stages else {}
        beside |= {"base": self.base, "base_name": self.base_name, "mode": self.mode} if self.base is not None else {}
        return {
            **asdict(self.readings), **asdict(self.windows),
            "backbone": {"name": self.backbone, **self.hyper}, **self.training.to_json(),
            "seeds": list(self.seeds), "baselines": list(self.baselines), **beside,
        }  # fmt: skip

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> RunOptions:
        """Read what :meth:`to_json` wrote; an unknown key is refused."""
        rest = dict(table)
        backbone = rest.pop("backbone", None)
        if not isinstance(backbone, Mapping) or not isinstance(backbone.get("name"), str):
            raise FieldcastError(f"the backbone of a run is {backbone!r}: give its name and its settings.")
        if "data" not in rest:
            raise FieldcastError("a run has no 'data': name the file or folder with the readings.")
        model = dict(backbone)
        parts, known = [], ["seeds", "baselines", "backbone", "stages", *TUNED]
        for part in (ReadingsOptions, WindowOptions, TrainingOptions):
            names = [each.name for each in fields(part)]
            known += names
            parts.append(settings(part, {name: rest.pop(name) for name in names if name in rest}, "a run"))
        seeds, baselines = rest.pop("seeds", (0,)), rest.pop("baselines", BASELINES)
        for name, given, hint in (("seeds", seeds, list[int]), ("baselines", baselines, list[str])):
            if not fits(given, hint):
                raise FieldcastError(f"a run has {name} {given!r}: give a list.")
        seeds, baselines = tuple(seeds), tuple(baselines)
        stages = rest.pop("stages", {})
        base, base_name, mode = (
            rest.pop(name, default) for name, default in zip(TUNED, (None, "", "joint"), strict=True)
        )
        if not isinstance(stages, Mapping) or not all(isinstance(each or {}, Mapping) for each in stages.values()):
            raise FieldcastError(f"a run has stages {str(stages)[:60]!r}: give a table of names with their settings.")
        if not isinstance(base, str | None) or not isinstance(base_name, str) or mode not in get_args(Mode):
            raise FieldcastError(f"a run has base {base!r} and mode {mode!r}: give a folder and one of {MODES}.")
        stages = {str(name): dict(each or {}) for name, each in stages.items()}
        if rest:
            name = str(next(iter(rest)))
            raise FieldcastError(f"a run has no setting '{name}'{did_you_mean(name, known)}: remove it.")
        return cls(
            parts[0], parts[1], model.pop("name"), model, parts[2], seeds, baselines, stages, base, base_name, mode
        )


def read_settings(path: Path) -> dict[str, Any]:
    """The settings that :func:`run` wrote, as plain data."""
    try:
        return read_table(path, "yaml")
    except Unreadable:
        raise FieldcastError(f"{path} is damaged: train the run again with another --out.") from None


def settings_of(folder: str | Path) -> RunOptions:
    """The settings of the run in a folder."""
    return RunOptions.from_json(read_settings(Path(folder) / CONFIG))


def settings(cls: type[Made], table: Mapping[str, Any], where: str) -> Made:
    """An options class from a table that somebody may have written: unknown names and wrong kinds are refused."""
    hints = get_type_hints(cls)
    given = dict(table)
    for name, value in given.items():
        if name not in hints:
            raise FieldcastError(f"{where} has no setting '{name}'{did_you_mean(name, hints)}: remove it.")
        if not fits(value, hints[name]):
            raise FieldcastError(f"{where} has {name} {str(value)[:60]!r}: {in_words(hints[name])}.")
        if get_origin(hints[name]) is tuple:
            given[name] = tuple(value)
    return cls(**given)


def is_rule(graph: str | None) -> bool:
    """Whether a choice of a graph is a rule that makes one of readings, such as nearest:8."""
    return graph is not None and re.fullmatch(_MADE, graph) is not None


def choose_graph(choice: str, readings: Readings, windows: Callable[[], Windows]) -> Graph | None:
    """The graph that an option names: a file, ``nearest:K``, ``correlation:K`` (over training rows) or ``none``.

    Edges of a from,to,cost list weigh 1 each, as is usual for road lists; other weights are a matter for Python.
    """
    if choice == "none":
        return None
    if match := re.fullmatch(_MADE, choice):
        kind, neighbours = match[1], int(match[2])
        if kind == "correlation":
            return from_correlation(windows(), neighbours=neighbours)
        if readings.coordinates is None:
            raise FieldcastError(f"{readings.meta.name} has no coordinates for '{choice}': give a file as the graph.")
        return from_coordinates(readings.coordinates, neighbours)
    path = Path(choice)
    if not path.is_file():
        raise FieldcastError(f"there is no graph '{choice}': give a file, nearest:8, correlation:8 or none.")
    if path.suffix == ".npz":
        sparse = "format" in array_names(path)
        return from_sparse_npz(path, len(readings.nodes)) if sparse else from_npz(path, len(readings.nodes))
    with open(path, encoding="utf-8-sig", errors="replace") as lines:  # what is no text is said when it is read
        first = lines.readline().lower().replace('"', "").split(",")[:2]
    edges = [cell.strip() for cell in first] in (["from", "to"], ["source", "target"])
    return from_edge_csv(path, readings.nodes, weights="binary") if edges else from_adjacency_csv(path, readings.nodes)


def find_graph(data: str | Path, readings: Readings) -> Graph | None:
    """The graph that lies beside readings in the common form (``graph.npz``), or None."""
    path = graph_folder(data) / "graph.npz"
    return Graph.from_npz(path, len(readings.nodes)) if path.is_file() else None


def graph_folder(data: str | Path) -> Path:
    """The folder in which the graph of readings lies: their own, or that of their file."""
    path = Path(data).expanduser().resolve()
    return path if path.is_dir() else path.parent
