"""What is measured: a backbone over random readings of a given size, its inference and its training step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Batch
from fieldcast.core.registry import BACKBONES
from fieldcast.core.stage import Stage
from fieldcast.data.graph import from_coordinates
from fieldcast.data.loader import WindowLoader
from fieldcast.data.readings import Readings
from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import Forecaster, create
from fieldcast.training import TrainingOptions

_NEIGHBOURS = 8
_MISSING = 0.02


@dataclass(frozen=True)
class Size:
    """The size of a measurement.

    Args:
        nodes: Sensors N.
        lookback: Look-back T.
        horizon: Horizon H.
        channels: Input channels C; the first is the target.
        batch_size: Windows a step B.
    """

    nodes: int = 207
    lookback: int = 12
    horizon: int = 12
    channels: int = 1
    batch_size: int = 64

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 1:
                raise FieldcastError(f"{name} is {value}: give at least 1.")


def trained_backbones() -> list[str]:
    """Every backbone that is trained, by name."""
    return [name for name in BACKBONES.names() if getattr(BACKBONES.get(name), "trainable", False)]


def with_settings(text: str) -> tuple[str, dict[str, Any]]:
    """A backbone's name and settings, of ``name`` or ``name:setting=value,setting=value``."""
    name, colon, said = text.partition(":")
    settings: dict[str, Any] = {}
    for each in said.split(",") if colon else ():
        setting, given, value = each.partition("=")
        if not setting or not given or setting in settings:
            wrong = f"gives {setting} twice" if setting in settings else "gives no setting"
            raise FieldcastError(f"'{text}' {wrong}: write it as {name}:setting=value,setting=value.")
        settings[setting] = _plain(value)
    return name, settings


def _plain(word: str) -> Any:
    """A number, true, false, null, or else the word."""
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return {"true": True, "false": False, "null": None}.get(word.lower(), word)


def random_windows(size: Size, with_graph: bool = True, seed: int = 0, *, with_grid: bool = False) -> Windows:
    """Windows over random readings, 2 % of them missing, on random places joined to their 8 nearest.

    With a grid the nodes lie on the most square one that holds them.
    """
    rng = np.random.default_rng(seed)
    wanted = math.ceil((size.batch_size + 4) / 0.7)
    rows = wanted + size.lookback + size.horizon - 1
    values = rng.standard_normal((rows, size.nodes, size.channels), dtype=np.float32)
    values[rng.random(values.shape, dtype=np.float32) < _MISSING] = np.nan
    places = rng.uniform((34.0, -118.5), (34.5, -118.0), (size.nodes, 2))
    down = next(r for r in range(math.isqrt(size.nodes), 0, -1) if size.nodes % r == 0)
    readings = Readings.from_array(
        values, start="2024-01-01", frequency="5min", channels=[f"c{i}" for i in range(size.channels)],
        coordinates=places, grid=(down, size.nodes // down) if with_grid else None, copy=False,
    )  # fmt: skip
    graph = from_coordinates(places, _NEIGHBOURS) if with_graph and size.nodes > 1 else None
    return Windows(readings, size.lookback, size.horizon, channels=readings.channels, targets=["c0"], graph=graph)


class Subject:
    """A backbone, with stages or without, to be measured; ``infer`` and ``step`` are one call each, on the same batch.

    A step is zero_grad, forward, masked MAE in scaled units, backward, clipping and Adam, as training does it.
    ``name`` may give settings (:func:`with_settings`).
    """

    def __init__(
        self, name: str, size: Size, device: str = "cpu", windows: Windows | None = None, stages: Sequence[Stage] = ()
    ):
        self.name, self.size, self.device = name, size, device
        name, hyper = with_settings(name)
        cls = BACKBONES.get(name)
        assert issubclass(cls, Backbone)
        windows = windows or random_windows(size, with_graph=cls.needs_graph, with_grid=cls.needs_grid)
        self.forecaster: Forecaster = create(name, windows, stages, seed=0, **hyper).to(device)
        self._batch = Batch.of(next(iter(WindowLoader(windows, "train", size.batch_size))), device)
        self._task = TrainingOptions().task()
        self._optimizer: torch.optim.Optimizer | None = None

    def infer(self) -> None:
        self.forecaster.eval()
        self.forecaster.forecast(self._batch)

    def step(self, batch: Batch | None = None) -> None:
        """One training step, on another mini-batch if given."""
        model, batch = self.forecaster.train(), batch or self._batch
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if self._optimizer is None:
            self._optimizer = torch.optim.Adam(trained, 1e-3)
        assert batch.y is not None and batch.y_observed is not None
        self._optimizer.zero_grad()
        x, ctx = model.prepare(batch, teacher=True)
        loss = self._task.loss(model, x, ctx, model.rescale(batch.y), batch.y_observed)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 5.0)
        self._optimizer.step()

    def flops(self) -> int:
        """Floating-point operations of one inference, 2 for each multiply-add, by torch's counter.

        Counted are matrix products (sparse ones by their edges), convolutions, attention and the CPU's LSTM;
        element-wise operations are not.
        """
        return count_flops(self.infer)


def count_flops(work: Callable[[], Any]) -> int:
    """Floating-point operations of a call, as :meth:`Subject.flops` counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    own = {torch.ops.aten.mkldnn_rnn_layer: _lstm_flops, torch.ops.aten.mm: _product_flops}
    with FlopCounterMode(display=False, custom_mapping=own) as counter:
        work()
    return counter.get_total_flops()


def _product_flops(a: Tensor, b: Tensor, *_: Any, **__: Any) -> int:
    """a [N, M] times b [M, K]; torch's own rule would take a sparse a for a dense one."""
    return 2 * (a.numel() if a.layout == torch.strided else a._nnz()) * b.shape[1]


_product_flops._get_raw = True  # type: ignore[attr-defined]  # torch hands over tensors, not their shapes


def _lstm_flops(x: Any, from_input: Any, from_state: Any, *_: Any, **__: Any) -> int:
    """One layer over x [T, B, I]: four gates from input and state, weights [4 D, I] and [4 D, D]."""
    steps, batch = x[0], x[1]
    return 2 * steps * batch * (from_input[0] * from_input[1] + from_state[0] * from_state[1])
