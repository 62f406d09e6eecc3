"""Forecaster: scaler, stages and backbone, and the one sentence that they say together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Batch, Context, Progress
from fieldcast.core.module import gather_nodes
from fieldcast.core.registry import BACKBONES
from fieldcast.core.seeding import seeded
from fieldcast.core.spec import Spec
from fieldcast.core.stage import AfterStage, BeforeStage, BetweenStage, Stage
from fieldcast.data.form import Form
from fieldcast.data.graph import Graph
from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError, did_you_mean
from fieldcast.forecaster.construction import check_needs, construct, head_sizes


class Forecaster(nn.Module):
    """A backbone with its stages, in the units of the data.

    ``forward`` works in scaled units: x [B, T, N, C] -> y [B, H, M, O]. :meth:`prepare` scales and masks a batch on the
    way in, :meth:`unscale` brings a forecast back; scaling, masking and units never leave this class. ``inputs`` int64
    [N] are the nodes that are read, all M unless the model was compacted.
    """

    mean: Tensor
    scale: Tensor
    target_index: Tensor
    future_index: Tensor
    input_index: Tensor
    input_mask: Tensor

    def __init__(
        self,
        form: Form,
        backbone: type[Backbone],
        hyper: Mapping[str, Any] | None = None,
        stages: Sequence[Stage] = (),
        *,
        graph: Graph | None = None,
        inputs: np.ndarray | None = None,
    ):
        super().__init__()
        self.form = form
        self.graph = graph
        self.progress = Progress()
        spec = Spec.of(form, graph, inputs)
        self.inputs = spec.inputs
        # Another order counts too: x must then be gathered.
        self.compacted = not np.array_equal(spec.inputs, np.arange(len(form.nodes)))
        check_needs(backbone, spec)
        groups: dict[type[Stage], list[Stage]] = {BeforeStage: [], BetweenStage: [], AfterStage: []}
        for stage in stages:
            place = next((place for place in groups if isinstance(stage, place)), None)
            if place is None:
                raise FieldcastError(
                    f"{type(stage).__name__} is no stage: subclass BeforeStage, BetweenStage or AfterStage."
                )
            groups[place].append(stage)
        at_input = spec
        for stage in groups[BeforeStage]:
            at_input = stage.build(at_input)
        self.before = nn.ModuleList(groups[BeforeStage])
        self.backbone: Backbone = construct(backbone, "backbone", (at_input,), hyper or {})
        behind = at_input.with_(
            width=self.backbone.width, parameters=sum(each.numel() for each in self.backbone.parameters()),
            predictor_layers=head_sizes(self.backbone),
        )  # fmt: skip
        for stage in groups[BetweenStage]:
            behind = stage.build(behind)
        self.between = nn.ModuleList(groups[BetweenStage])
        self.after = nn.ModuleList()
        self._behind = behind
        if self.compacted and not any(stage.reads_out for stage in groups[BetweenStage]):  # type: ignore[attr-defined]
            raise FieldcastError("a model that forecasts sensors which it does not read needs a stage that reads out.")
        if (
            form.future
            and backbone.trainable
            and not (backbone.uses_future or any(stage.uses_future for stage in stages))
        ):
            raise FieldcastError(
                f"the backbone {backbone.__name__} does not read channels known ahead ({', '.join(form.future)}): "
                "leave 'future' out, or choose a backbone that does."
            )
        mean, scale = torch.from_numpy(form.scaler.mean.copy()), torch.from_numpy(form.scaler.scale.copy())
        # Derived from the form, so no part of the saved weights.
        self.register_buffer("mean", mean, persistent=False)  # [1 or M, C]
        self.register_buffer("scale", scale, persistent=False)  # [1 or M, C]
        self.register_buffer("target_index", torch.from_numpy(form.target_index), persistent=False)
        # None and not empty, because an exported program with an empty tensor cannot be written.
        future = torch.from_numpy(form.future_index) if form.future else None
        self.register_buffer("future_index", future, persistent=False)
        self.register_buffer("input_index", torch.from_numpy(self.inputs), persistent=False)
        mask = torch.zeros(len(form.nodes))
        mask[self.inputs] = 1
        self.register_buffer("input_mask", mask, persistent=False)  # [M]
        for stage in groups[AfterStage]:
            self.attach(stage)  # type: ignore[arg-type]

    @property
    def stages(self) -> list[Stage]:
        return [*self.before, *self.between, *self.after]  # type: ignore[list-item]

    def attach(self, stage: AfterStage, adapter: str | None = None) -> None:
        """Put one more stage behind the head; named, it is an adapter, which can be switched off and kept apart."""
        if adapter is not None and adapter in self.adapters:
            raise FieldcastError(f"there is already an adapter '{adapter}': give another name, or detach that one.")
        stage.adapter = adapter
        self.fit_behind(stage)
        self.after.append(stage.to(self.mean.device))
        for name in stage.injections():
            self.backbone.get_submodule(name).register_forward_hook(_Injection(stage, name))

    def fit_behind(self, stage: AfterStage) -> None:
        """Give a stage the sizes that it has behind this head, without putting it there."""
        stage.build(self._behind)

    def detach(self, adapter: str) -> AfterStage:
        """Take an adapter off and return it."""
        stage = self._adapter(adapter)
        if stage.merged:
            raise FieldcastError(
                f"the adapter '{adapter}' is merged into the weights: unmerge it before it is detached."
            )
        self.after = nn.ModuleList(each for each in self.after if each is not stage)
        for module in self.backbone.modules():
            for key, hook in list(module._forward_hooks.items()):
                if isinstance(hook, _Injection) and hook.stage is stage:
                    del module._forward_hooks[key]
        return stage

    @property
    def adapters(self) -> dict[str, AfterStage]:
        """The adapters by their names."""
        return {stage.adapter: stage for stage in self.after if stage.adapter is not None}  # type: ignore[misc, return-value]

    def _adapter(self, name: str) -> AfterStage:
        if name not in self.adapters:
            near = did_you_mean(name, self.adapters)
            raise FieldcastError(
                f"there is no adapter '{name}'{near}: loaded are {', '.join(self.adapters) or 'none'}."
            )
        return self.adapters[name]

    @contextmanager
    def adapted_by(self, *names: str) -> Iterator[Forecaster]:
        """Within, only these adapters act; without names none does, and the forecaster is its base."""
        chosen = [self._adapter(name) for name in names]
        if merged := [name for name, stage in self.adapters.items() if stage.merged and stage not in chosen]:
            raise FieldcastError(f"the adapter '{merged[0]}' is merged into the weights: unmerge it to switch it off.")
        before = [(stage, stage.enabled) for stage in self.adapters.values()]
        for stage, _ in before:
            stage.enabled = stage in chosen
        try:
            yield self
        finally:
            for stage, enabled in before:
                stage.enabled = enabled

    def merge(self, adapter: str) -> None:
        """Put an adapter that is one matrix for all nodes into the weights of the head, where it costs nothing."""
        if others := [name for name, stage in self.adapters.items() if stage.merged and name != adapter]:
            raise FieldcastError(f"the adapter '{others[0]}' is merged already: unmerge it first.")
        self._adapter(adapter).merge(self._head())

    def unmerge(self, adapter: str) -> None:
        """Bring back the very weights from before :meth:`merge`."""
        self._adapter(adapter).unmerge(self._head())

    def _head(self) -> dict[str, nn.Linear]:
        return {name: self.backbone.get_submodule(name) for name in self.backbone.predictor_layers}  # type: ignore[misc]

    def train(self, mode: bool = True) -> Forecaster:
        """Training mode, or eval mode; what is frozen stands still.

        A module that has parameters, none of which trains, stays in eval mode: neither its running statistics nor
        dropout may move what is not trained.
        """
        super().train(mode)
        if mode:
            for module in self.modules():
                parameters = list(module.parameters())
                if parameters and not any(parameter.requires_grad for parameter in parameters):
                    module.eval()
        return self

    # The sentence

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        """Gate the sensors, enhance the input, encode, read out, predict, adapt: [B, T, N, C] -> [B, H, M, O]."""
        x, ctx = self.gate(x, ctx)  # [B, T, N, C]
        read = ctx.at(self.input_index) if self.compacted else ctx
        for enhance in self.before:
            x = enhance(x, read)  # [B, T, N, C']
        h = self.backbone.encode(x, read)  # [B, N, D]
        for read_out in self.between:
            h = read_out(h, ctx)  # [B, M, D]
        y = self.backbone.head(h)  # [B, H, M, O]
        for adapt in self.after:
            if adapt.enabled:
                y = adapt(y, h, ctx)  # [B, H, M, O]
        return y

    def gate(self, x: Tensor, ctx: Context) -> tuple[Tensor, Context]:
        """Let every sensor gate act on x and on the context alike."""
        for stage in self.before:
            gate = stage.gate()  # type: ignore[operator]
            if gate is not None:
                outputs = gate if not self.compacted else self.input_mask.to(gate).index_put((self.input_index,), gate)
                x, ctx = x * gate[:, None], ctx.gated(gate, outputs)
        return x, ctx

    # Between real and scaled units

    def prepare(self, batch: Batch, *, teacher: bool = False) -> tuple[Tensor, Context]:
        """Scale and mask a batch: x [B, T, N, C] with 0 where unobserved, and its context.

        ``teacher`` hands the truth to a backbone that asks for it; for training alone.
        """
        scaled = torch.where(batch.observed, (batch.x - self.mean) / self.scale, 0.0)  # [B, T, M, C]
        observed = batch.observed
        history = scaled[..., self.target_index]  # [B, T, M, O]
        seen = observed[..., self.target_index]  # [B, T, M, O]
        if self.compacted:
            history, seen = history * self.input_mask[:, None], seen & (self.input_mask != 0)[:, None]
            scaled, observed = scaled[:, :, self.input_index], observed[:, :, self.input_index]
        future = None
        if batch.future is not None:
            mean, scale = self.mean[:, self.future_index], self.scale[:, self.future_index]
            future = torch.nan_to_num((batch.future - mean) / scale)  # [B, H, M, F]
        truth = told = None
        if teacher and self.backbone.uses_teacher and batch.y is not None and batch.y_observed is not None:
            told = batch.y_observed  # [B, H, M, O]
            truth = torch.where(told, self.rescale(batch.y), 0.0)  # [B, H, M, O]
        ctx = Context(observed, history, seen, batch.calendar, future, batch.window, truth, told, self.progress)
        return scaled, ctx

    def rescale(self, y: Tensor) -> Tensor:
        """Real units to scaled: y [B, H, M, O]."""
        return (y - self.mean[:, self.target_index]) / self.scale[:, self.target_index]

    def unscale(self, y: Tensor) -> Tensor:
        """Scaled units to real: y [B, H, M, O]."""
        return y * self.scale[:, self.target_index] + self.mean[:, self.target_index]

    @torch.no_grad()
    def forecast(self, batch: Batch) -> Tensor:
        """The forecast of a batch in real units, [B, H, M, O]; call in eval mode."""
        x, ctx = self.prepare(batch)
        return self.unscale(self(x, ctx).float())

    # Nodes

    def renode(
        self,
        index: Sequence[int] | np.ndarray,
        *,
        fill: str = "mean",
        names: Sequence[str] | None = None,
        keep_outputs: bool = False,
        coordinates: np.ndarray | None = None,
        graph: Graph | None = None,
    ) -> Forecaster:
        """The same model over other nodes: fewer (compaction), more (-1, named in ``names``), or in another order.

        Every tensor with a node axis is gathered and the graph is induced with its normaliser frozen; rows of new nodes
        are the mean over present ones, or zero with ``fill="zero"``. With ``keep_outputs`` only the nodes that are read
        change, and a read-out stage forecasts the others. ``coordinates`` and a ``graph`` over the new set take the
        place of those made from the present ones, in which new nodes have no place and no edges. This is the one way in
        which nodes change.
        """
        if fill not in ("mean", "zero"):
            raise FieldcastError(f"new nodes cannot be filled with '{fill}': choose mean or zero.")
        order = np.asarray(index)
        whole = order.ndim == 1 and len(order) > 0 and np.issubdtype(order.dtype, np.integer)
        present = order[order >= 0]
        if not whole or len(np.unique(present)) < len(present) or order.min() < -1 or order.max() >= len(self.inputs):
            raise FieldcastError(
                f"cannot choose these nodes of {len(self.inputs)}: give each position once, from 0 (-1 for a new node)."
            )
        if any(stage.merged for stage in self.after):
            raise FieldcastError("an adapter is merged into the weights of this forecaster: unmerge it first.")
        if self.backbone.needs_grid:
            raise FieldcastError("a grid model cannot change its nodes: train it again on the other grid.")
        if keep_outputs and (order < 0).any():
            raise FieldcastError("new nodes cannot be added while the forecast nodes are kept: leave keep_outputs out.")
        if self.compacted and not keep_outputs:
            raise FieldcastError("a compacted model forecasts more than it reads: renode it with keep_outputs=True.")
        everything = np.arange(len(self.form.nodes))
        outputs = everything if keep_outputs else order
        with seeded(0):  # what it draws is overwritten
            new = Forecaster(
                self.form if keep_outputs else self.form.renode(order, names, coordinates),
                type(self.backbone),
                self.backbone.hyper,
                [type(stage)(**stage.hyper) for stage in self.stages],
                graph=graph if graph is not None or self.graph is None else self.graph.renode(order),
                inputs=self.inputs[order] if keep_outputs else None,
            )
        state = self.state_dict()
        for prefix, axes, nodes in self._node_tensors(order, outputs):
            for name, dims in axes.items():
                if f"{prefix}{name}" in state:
                    state[f"{prefix}{name}"] = gather_nodes(state[f"{prefix}{name}"], dims, nodes, fill)
        new.load_state_dict(state)
        frozen = {name for name, parameter in self.named_parameters() if not parameter.requires_grad}
        for name, parameter in new.named_parameters():
            parameter.requires_grad_(name not in frozen)
        for stage, before in zip(new.after, self.after, strict=True):
            stage.adapter, stage.enabled = before.adapter, before.enabled
        new.progress = self.progress
        return new.to(self.mean.device).train(self.training)

    def _node_tensors(
        self, inputs: np.ndarray, outputs: np.ndarray
    ) -> list[tuple[str, dict[str, tuple[int, ...]], np.ndarray]]:
        """(prefix in the state, node axes by tensor name, which nodes) of every part."""
        parts = [("backbone.", self.backbone.node_axes(), inputs)]
        parts += [(f"before.{i}.", stage.node_axes(), inputs) for i, stage in enumerate(self.before)]  # type: ignore[operator]
        for i, stage in enumerate(self.between):
            parts.append((f"between.{i}.", stage.node_axes(), inputs))  # type: ignore[operator]
            parts.append((f"between.{i}.", dict(stage.per_output_node), outputs))  # type: ignore[arg-type]
        parts += [(f"after.{i}.", stage.node_axes(), outputs) for i, stage in enumerate(self.after)]  # type: ignore[operator]
        return parts


def create(
    backbone: str | type[Backbone],
    windows: Windows | Form,
    stages: Sequence[Stage] = (),
    *,
    graph: Graph | None = None,
    seed: int | None = None,
    **hyper: Any,
) -> Forecaster:
    """Make a forecaster for windows: a backbone by name or class, its hyper-parameters, and stages beside it.

    ``seed`` draws the weights from a generator of their own, so that equal seeds make equal models.
    """
    cls = BACKBONES.get(backbone) if isinstance(backbone, str) else backbone
    if not issubclass(cls, Backbone):
        raise FieldcastError(f"{cls.__name__} is no backbone: subclass fieldcast.Backbone.")
    form = windows.form if isinstance(windows, Windows) else windows
    edges = graph if graph is not None else (windows.graph if isinstance(windows, Windows) else None)
    if seed is None:
        return Forecaster(form, cls, hyper, stages, graph=edges)
    with seeded(seed):
        return Forecaster(form, cls, hyper, stages, graph=edges)


class _Injection:
    """What a stage adds to a layer of the head, as a hook that can be copied with its forecaster."""

    def __init__(self, stage: AfterStage, name: str):
        self.stage, self.name = stage, name

    def __call__(self, layer: nn.Module, given: tuple[Tensor], out: Tensor) -> Tensor:
        acts = self.stage.enabled and not self.stage.merged
        return out + self.stage.injections()[self.name](given[0]) if acts else out
