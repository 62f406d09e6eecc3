"""Ridge VAR: a linear vector autoregression over all nodes, solved in closed form."""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from torch import Tensor

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Context
from fieldcast.core.spec import Spec
from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError


class RidgeVar(Backbone):
    """z_t = b + sum_{k=1..p} A_k z_{t-k}, iterated H steps; z stacks the scaled targets of all nodes.

    Least squares with intercept over training rows whose p predecessors lie in the same segment: with Z the lagged
    rows, (Z'Z + lambda I) W = Z'Y, lambda = ``ridge`` * trace(Z'Z) / dim, in float64 by Cholesky; the intercept is not
    penalised. Values that are not observed are 0, the training mean. Without a ridge large networks explode.
    Shapes: history [B, T, N, O] -> h [B, N, H * O] -> y [B, H, N, O]; coefficients [p, N * O, N * O].

    Raises FieldcastError when the normal equations are singular (``ridge=0`` on a dead sensor).
    """

    trainable = False
    per_node = {"coefficients": (1, 3), "intercept": (0,)}
    cost = "N^2"
    paper = "classical (VAR); Li et al., ICLR 2018, arXiv:1707.01926"

    coefficients: Tensor
    intercept: Tensor

    def __init__(self, spec: Spec, order: int = 3, ridge: float = 1e-4):
        super().__init__(spec)
        if order < 1 or ridge < 0:
            raise FieldcastError(f"ridge_var got order {order} and ridge {ridge}: give an order >= 1 and a ridge >= 0.")
        self.width = spec.horizon * spec.targets
        # A look-back shorter than the order leaves only so many lags.
        self.order = min(order, spec.lookback)
        self.ridge = ridge
        n, o = spec.nodes, spec.targets
        self.register_buffer("coefficients", torch.zeros(self.order, n, o, n, o))  # [p, N from, O, N to, O]
        self.register_buffer("intercept", torch.zeros(n, o))  # [N, O]

    def fit_closed_form(self, windows: Windows) -> None:
        series = windows.training_series()
        values = series.values[..., windows.form.target_index].astype(np.float64)
        rows, p = len(values), self.order
        flat = values.reshape(rows, -1)  # [rows, N * O]
        ends = np.arange(p, rows)
        ends = ends[series.segment[ends] == series.segment[ends - p]]
        if len(ends) <= p:
            raise FieldcastError(f"ridge_var needs more than {p} training rows without a gap, not {len(ends)}.")
        size = flat.shape[1]
        gram, right = np.zeros((p * size + 1, p * size + 1)), np.zeros((p * size + 1, size))
        for first in range(0, len(ends), 4096):  # blocks keep the lagged copy small
            block = ends[first : first + 4096]
            lagged = np.concatenate([np.ones((len(block), 1)), *(flat[block - k] for k in range(1, p + 1))], axis=1)
            gram += lagged.T @ lagged
            right += lagged.T @ flat[block]
        penalty = self.ridge * np.trace(gram[1:, 1:]) / (p * size)
        gram[np.arange(1, p * size + 1), np.arange(1, p * size + 1)] += penalty
        try:
            solution = cho_solve(cho_factor(gram, lower=True), right)
        except LinAlgError:
            raise FieldcastError("the equations of ridge_var are singular (a dead or copied sensor): raise its ridge.") from None
        self.intercept.copy_(torch.from_numpy(solution[0].reshape(self.intercept.shape)))
        self.coefficients.copy_(torch.from_numpy(solution[1:].reshape(self.coefficients.shape)))

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        history = ctx.history  # [B, T, N, O]
        size = history.shape[2] * history.shape[3]
        weight = self.coefficients.reshape(self.order * size, size)  # [p * N * O, N * O]
        past = history[:, -self.order :].flip(1).flatten(1)  # [B, p * N * O], latest first
        steps = []
        for _ in range(self.horizon):
            step = torch.addmm(self.intercept.flatten(), past, weight)  # [B, N * O]
            steps.append(step)
            past = torch.cat([step, past[:, :-size]], dim=1)  # [B, p * N * O]
        forecast = torch.stack(steps, dim=1).unflatten(2, history.shape[2:])  # [B, H, N, O]
        return forecast.transpose(1, 2).flatten(2)  # [B, N, H * O]

    def head(self, h: Tensor) -> Tensor:
        return self.unflatten(h)  # [B, H, N, O]
