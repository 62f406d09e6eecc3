"""ST-LoRA as a stage: a residual correction behind the head, low-rank maps inside it, or both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fieldcast.core.context import Context
from fieldcast.core.module import ParameterGroup, Recipe, require
from fieldcast.core.spec import Spec
from fieldcast.core.stage import AfterStage
from fieldcast.errors import FieldcastError
from fieldcast.methods.st_lora.layer import NodeAdaptiveLowRank, NodeMode
from fieldcast.nn.calendar import calendar_waves

_WAVES = 10
RANKS = (8, 4, 2, 1)
"""The ranks that "auto" tries, the largest first."""


class STLoRA(AfterStage):
    r"""Node-adaptive low-rank correction of a forecast: every sensor its own, from few numbers of its own.

    Residual (``injection="residual"``), node i, e_i its code, y^0_i what the backbone forecasts, x_i its look-back:

        u = [vec y^0_i | vec x_i | w] ; h^0 = S u + s, w the waves of the last step's time of day and week
        h^l = h^(l-1) + (alpha / r) B_l (e_i * (A_l dropout(a))) + c_l, a = leaky_relu(h^(l-1), 0.1), l = 1..``layers``
        z_i = mean over ``blocks`` of (G h^L + g) ; y_i = y^0_i + z_i, or y^0_i + y^0_i * tanh(z_i) (``fusion="gate"``)

    Predictor (``injection="predictor"``): each linear layer of the backbone's head becomes W u + b + DeltaW_i u, the
    same low-rank maps. ``both`` does both, with one table of codes. With ``tune_head`` each has besides a full change
    D u + d, the same for all nodes, D and d zero at the start.

    Trained together, both follow the adapted forecast's error. Trained ``apart``, the backbone follows the error of
    y^0 and the adapter that of y with y^0 held fixed; the loss is the sum of the two, its gradient clipped as one.

    It starts at zero: the adapted model equals the backbone, bit for bit, for G, g and (in the head) B are zero. Codes
    start at 1 + 0.1 N(0, 1), so that gradients tell nodes apart.

    Args:
        injection: Behind the head, inside it, or both.
        rank: Rank r of the maps and length of a code; auto takes the largest of 8, 4, 2, 1 that keeps to
            max_extra_ratio (8 beside a backbone that is not trained).
        max_extra_ratio: How many parameters auto may add, as a share of the backbone's.
        hidden: Width d of the correction.
        layers: Low-rank layers of a block.
        blocks: Blocks side by side.
        alpha: The maps are scaled by alpha / r.
        dropout: Dropout in front of each low-rank map.
        node_mode: What each node has of its own.
        share_codes: One code a node for all layers, or one for each.
        stem_input: What the correction reads, the forecast, the look-back or both.
        clock: Whether it reads besides three harmonics of the day and two of the week; the sources do not have them.
        fusion: Whether the correction is added, or says by what share the forecast is changed.
        base_weight: Whether each layer has a map W_l of all nodes beside its low-rank one.
        tune_head: Whether the layers of the head are besides tuned as a whole, for all nodes alike.
        apart: Whether, where both are trained, the backbone learns from its own forecast's error and the adapter from
            what is left, with no gradient from one to the other; behind the head only.
        train_codes: Whether codes are trained, or stay the random numbers that they start as.
        learning_rate: Step size for the adapter; left out, the run's.
        weight_decay: Weight decay for the adapter.

    Parameters of one block, H * O = K, T * O = P: (K + P + 10) d + d + L (2 r d + d) + N r + d K + K; 3,848 at N = 307,
    and without the clock 3,728.
    Shapes: y [B, H, M, O], h [B, M, D] -> y' [B, H, M, O]. Cost: nodes.
    Source: ST-LoRA, Ruan et al., arXiv:2404.07919, equations 2, 3 and 5.
    """

    recipes = {
        "default": Recipe("ours", {}, {}),
        "lite": Recipe("ours: less than one per cent of most backbones", {}, {"rank": "auto", "max_extra_ratio": 0.01}),
        "paper": Recipe(
            "ST-LoRA, arXiv:2404.07919, algorithm 1 and section 4.1, with equation 4's product as a gate",
            {
                "learning_rate": 1e-3, "weight_decay": 5e-4, "schedule": "step", "step_size": 10, "gamma": 0.1,
                "batch_size": 64, "max_epochs": 200, "patience": 10,
            },
            {
                "rank": 8, "dropout": 0.3, "stem_input": "pred", "clock": False, "fusion": "gate",
                "learning_rate": 1e-3, "weight_decay": 5e-4,
            },
        ),
    }  # fmt: skip

    def __init__(
        self, injection: Literal["residual", "predictor", "both"] = "residual", rank: int | Literal["auto"] = "auto",
        max_extra_ratio: float = 0.04, hidden: int = 12, layers: int = 4, blocks: int = 1, alpha: float = 16.0,
        dropout: float = 0.1, node_mode: NodeMode = "code", share_codes: bool = True,
        stem_input: Literal["pred", "hist", "both"] = "both", clock: bool = True,
        fusion: Literal["add", "gate"] = "add", base_weight: Literal["none", "shared"] = "none",
        tune_head: bool = False, apart: bool = False, train_codes: bool = True,
        learning_rate: float | None = 0.01, weight_decay: float = 0.0,
    ):  # fmt: skip
        super().__init__()
        for name, size in {"hidden": hidden, "layers": layers, "blocks": blocks}.items():
            require(name, size, 1)
        if rank != "auto":
            require("rank", rank, 1)
        require("dropout", dropout, 0, below=1)
        require("max_extra_ratio", max_extra_ratio, 0)
        require("alpha", alpha, 1e-6)
        require("weight_decay", weight_decay, 0)
        if learning_rate is not None:
            require("learning_rate", learning_rate, 1e-12)
        if apart and (injection != "residual" or tune_head):
            raise FieldcastError(
                "ST-LoRA can train apart only behind the head: leave apart out, or choose injection residual without "
                "tune_head."
            )
        self.injection, self.rank, self.max_extra_ratio = injection, rank, max_extra_ratio
        self.hidden, self.depth, self.width, self.alpha, self.p = hidden, layers, blocks, alpha, dropout
        self.node_mode: NodeMode = node_mode
        self.share_codes, self.stem_input, self.clock = share_codes, stem_input, clock
        self.fusion, self.base_weight = fusion, base_weight
        self.tune_head, self.apart, self.train_codes = tune_head, apart, train_codes
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self._before: dict[str, tuple[Tensor, Tensor | None]] = {}  # the head's weights, while this is merged

    def build(self, spec: Spec) -> Spec:
        if (self.injection != "residual" or self.tune_head) and not spec.predictor_layers:
            what = "tune the head" if self.injection == "residual" else f"inject '{self.injection}'"
            raise FieldcastError(f"ST-LoRA cannot {what}: this backbone's has no linear layer; choose residual.")
        rank = self._fitting_rank(spec) if isinstance(self.rank, str) else self.rank
        self.rank = self.hyper["rank"] = rank  # made again, over fewer or more nodes, it keeps its rank
        self._make(spec, rank)
        return spec

    def _fitting_rank(self, spec: Spec) -> int:
        """The largest rank within the budget; counted on tensors without memory, which draw nothing."""
        if not spec.parameters:
            return RANKS[0]
        extra = 0
        for rank in RANKS:
            with torch.device("meta"):
                self._make(spec, rank)
            extra = sum(each.numel() for each in self.parameters())
            if extra <= self.max_extra_ratio * spec.parameters:
                return rank
        raise FieldcastError(
            f"ST-LoRA of rank 1 adds {extra:,} parameters to the backbone's {spec.parameters:,}, more than "
            f"max_extra_ratio {self.max_extra_ratio} allows: give a rank, or a larger ratio."
        )

    def _make(self, spec: Spec, rank: int) -> None:
        self.horizon, self.targets, self.calendar_sizes = spec.horizon, spec.targets, spec.calendar_sizes
        inside = dict(spec.predictor_layers) if self.injection != "residual" else {}
        tuned = dict(spec.predictor_layers) if self.tune_head else {}
        behind = self.injection != "predictor"
        forecast, history = spec.horizon * spec.targets, spec.lookback * spec.targets
        read = {"pred": forecast, "hist": history, "both": forecast + history}[self.stem_input]
        read += _WAVES if self.clock else 0

        def layer(inputs: int, outputs: int) -> NodeAdaptiveLowRank:
            return NodeAdaptiveLowRank(inputs, outputs, spec.nodes, rank, self.alpha, self.p, self.node_mode)

        self.blocks = nn.ModuleList(
            _Block(read, self.hidden, forecast, [layer(self.hidden, self.hidden) for _ in range(self.depth)], self)
            for _ in range(self.width if behind else 0)
        )
        self.head_layers = nn.ModuleDict({_key(name): layer(*sizes) for name, sizes in inside.items()})
        self.head_changes = nn.ModuleDict({_key(name): _zeros(*sizes) for name, sizes in tuned.items()})
        tables = 1 if self.share_codes else len(inside) + self.depth * len(self.blocks)
        own = self.node_mode in ("code", "pool")
        start = 1 + 0.1 * torch.randn(tables, spec.nodes, rank) if own else torch.empty(0)
        self.lora_E = nn.Parameter(start, requires_grad=self.train_codes) if own else None  # [tables, N, r]

    def node_axes(self) -> dict[str, tuple[int, ...]]:
        axes = {} if self.lora_E is None else {"lora_E": (1,)}
        for prefix, module in self.named_modules():
            if isinstance(module, NodeAdaptiveLowRank):
                axes |= {f"{prefix}.{name}": dims for name, dims in module.node_axes().items()}
        return axes

    def groups(self) -> list[ParameterGroup]:
        trained = [each for each in self.parameters() if each.requires_grad]
        return [ParameterGroup(trained, self.learning_rate, self.weight_decay)]

    def injections(self) -> Mapping[str, Callable[[Tensor], Tensor]]:
        return {_name(key): _Inside(self, key) for key in self._places()}

    def _places(self) -> list[str]:
        """The layers of the head that it reaches into."""
        return list(dict.fromkeys([*self.head_layers, *self.head_changes]))

    # In the layers' own weights

    @torch.no_grad()
    def merge(self, head: Mapping[str, nn.Linear]) -> None:
        """W + DeltaW in the place of W; exact where all nodes share one matrix and nothing is added behind the head."""
        if self.merged:
            return
        if len(self.blocks) or self.lora_E is not None or any(each.node_axes() for each in self._layers()):
            raise FieldcastError(
                "this adapter cannot be merged: only injection 'predictor' with node_mode 'shared' is one matrix for "
                "all nodes; keep it beside the backbone."
            )
        for key in self._places():
            layer = head[_name(key)]
            self._before[key] = layer.weight.clone(), None if layer.bias is None else layer.bias.clone()
            if key in self.head_layers:
                layer.weight += self.head_layers[key].delta(None)  # type: ignore[operator]
            if key in self.head_changes:
                layer.weight += self.head_changes[key].weight  # type: ignore[operator]
                layer.bias += self.head_changes[key].bias  # type: ignore[operator]
        self.merged = True

    @torch.no_grad()
    def unmerge(self, head: Mapping[str, nn.Linear]) -> None:
        for key, (weight, bias) in self._before.items():
            head[_name(key)].weight.copy_(weight)
            if bias is not None:
                head[_name(key)].bias.copy_(bias)
        self._before, self.merged = {}, False

    def _layers(self) -> list[NodeAdaptiveLowRank]:
        return [module for module in self.modules() if isinstance(module, NodeAdaptiveLowRank)]

    # In a folder of its own

    @property
    def peft_type(self) -> str:
        """LORA where stock peft can load it: plain LoRA in the head and nothing else."""
        return (
            "LORA" if self.injection == "predictor" and self.node_mode == "shared" and not self.tune_head else "STLORA"
        )

    def peft_settings(self) -> dict[str, Any]:
        return {
            "r": self.rank, "lora_alpha": self.alpha, "lora_dropout": self.p, "bias": "none",
            "target_modules": [_name(key) for key in self.head_layers], "modules_to_save": None,
            "init_lora_weights": True, "fan_in_fan_out": False, "use_rslora": False,
        }  # fmt: skip

    def peft_names(self) -> dict[str, str]:
        names = {}
        for name in self.state_dict():
            place, _, rest = name.partition(".")
            if place == "head_layers":
                key, _, factor = rest.partition(".")
                names[name] = f"base_model.model.{_name(key)}.{factor}.weight"
            elif place == "head_changes":
                key, _, part = rest.partition(".")
                names[name] = f"base_model.model.{_name(key)}.change.{part}"
            else:
                last = name.rpartition(".")[2]
                names[name] = f"base_model.model.stlora.{name}" + (".weight" if last.startswith("lora_") else "")
        return names

    # The forecast

    def codes(self, place: int) -> Tensor | None:
        """The codes [N, r] of a layer, those of the head first; None where nodes have none."""
        return None if self.lora_E is None else self.lora_E[0 if self.share_codes else place]

    def forward(self, y: Tensor, h: Tensor, ctx: Context) -> Tensor:
        if not len(self.blocks):
            return y
        if self.apart and self.training and y.requires_grad:
            ctx.aside.append(y)
            y = y.detach()
        parts = [y] if self.stem_input == "pred" else [ctx.history] if self.stem_input == "hist" else [y, ctx.history]
        parts = [part.transpose(1, 2).flatten(2) for part in parts]  # [B, M, K] and [B, M, P]
        if self.clock:
            waves = calendar_waves(ctx.calendar[:, -1 - self.horizon], self.calendar_sizes).to(y.dtype)  # [B, 10]
            parts.append(waves.unsqueeze(1).expand(-1, y.shape[2], -1))  # [B, M, 10]
        u = torch.cat(parts, dim=-1)  # [B, M, K + P + 10]
        place, found = len(self.head_layers), []
        for block in self.blocks:
            codes = [self.codes(place + i) for i in range(self.depth)]  # [M, r] each
            found.append(block(u, codes))  # [B, M, H * O]
            place += self.depth
        z = found[0] if self.width == 1 else torch.stack(found).mean(dim=0)  # [B, M, H * O]
        z = z.unflatten(-1, (self.horizon, self.targets)).transpose(1, 2)  # [B, H, M, O]
        return y + (y * z.tanh() if self.fusion == "gate" else z)  # [B, H, M, O]


class _Inside:
    """What is added to one layer of the head: u [B, N, .., d_in] -> [B, N, .., d_out]."""

    def __init__(self, stage: STLoRA, name: str):
        self.stage, self.name = stage, name

    def __call__(self, u: Tensor) -> Tensor:
        said = u.new_zeros(())
        if self.name in self.stage.head_layers:
            place = list(self.stage.head_layers).index(self.name)
            said = self.stage.head_layers[self.name](u, self.stage.codes(place))  # [B, N, .., d_out]
        if self.name in self.stage.head_changes:
            said = said + self.stage.head_changes[self.name](u)  # [B, N, .., d_out]
        return said


def _key(name: str) -> str:
    """The name of a layer as ModuleDict takes it, without dots."""
    return name.replace(".", "-")


def _name(key: str) -> str:
    return key.replace("-", ".")


def _zeros(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class _Block(nn.Module):
    """Stem, low-rank layers with a residual, head: u [B, N, K + P] -> z [B, N, K]."""

    def __init__(
        self, inputs: int, hidden: int, outputs: int, layers: list[NodeAdaptiveLowRank], stage: STLoRA
    ):  # fmt: skip
        super().__init__()
        self.stem = nn.Linear(inputs, hidden)
        self.layers = nn.ModuleList(layers)
        self.biases = nn.Parameter(torch.zeros(len(layers), hidden))
        self.base = nn.ModuleList(nn.Linear(hidden, hidden, bias=False) for _ in layers if stage.base_weight != "none")
        self.head = nn.Linear(hidden, outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, u: Tensor, codes: list[Tensor | None]) -> Tensor:
        h = self.stem(u)  # [B, N, hidden]
        for i, layer in enumerate(self.layers):
            a = F.leaky_relu(h, 0.1)  # [B, N, hidden]
            h = h + layer(a, codes[i], self.biases[i])  # [B, N, hidden]
            if len(self.base):
                h = h + self.base[i](a)  # [B, N, hidden]
        return self.head(h)  # [B, N, K]
