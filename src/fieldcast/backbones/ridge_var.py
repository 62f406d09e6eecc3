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

_RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


class RidgeVar(Backbone):
    """z_t = b + sum_{k=1..p} A_k z_{t-k}, iterated H steps; z stacks the scaled targets of all nodes.

    Least squares with intercept over training rows whose p predecessors lie in the same segment: with Z the lagged
    rows, (Z'Z + lambda I) W = Z'Y, lambda = ``ridge`` * trace(Z'Z) / dim, in float64 by Cholesky; the intercept is not
    penalised. Values that are not observed are 0, the training mean. Without ``ridge`` the best of 1e-4, 1e-3, ..., 10
    on validation is taken (masked MAE of the iterated forecasts): with too small a one large networks explode.
    Shapes: history [B, T, N, O] -> h [B, N, H * O] -> y [B, H, N, O]; coefficients [p, N * O, N * O].

    Raises FieldcastError when the normal equations are singular (``ridge=0`` on a dead sensor).
    """

    trainable = False
    per_node = {"coefficients": (1, 3), "intercept": (0,)}
    cost = "N^2"
    paper = "classical (VAR); Li et al., ICLR 2018, arXiv:1707.01926"

    coefficients: Tensor
    intercept: Tensor

    def __init__(self, spec: Spec, order: int = 3, ridge: float | None = None):
        super().__init__(spec)
        if order < 1 or (ridge is not None and ridge < 0):
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
        if self.ridge is not None:
            self._solve(gram, right, self.ridge)
            return
        losses = []
        for ridge in _RIDGES:
            self._solve(gram, right, ridge)
            losses.append(self._validation_error(windows))
        self._solve(gram, right, _RIDGES[int(np.nanargmin(losses))])

    def _solve(self, gram: np.ndarray, right: np.ndarray, ridge: float) -> None:
        """Solve (Z'Z + lambda I) W = Z'Y and keep W; the first row of Z'Z belongs to the intercept."""
        matrix = gram.copy()
        slopes = np.arange(1, len(gram))
        matrix[slopes, slopes] += ridge * np.trace(gram[1:, 1:]) / len(slopes)
        try:
            solution = cho_solve(cho_factor(matrix, lower=True), right)
        except LinAlgError:
            raise FieldcastError("the equations of ridge_var are singular (a dead or copied sensor): raise its ridge.") from None
        self.intercept.copy_(torch.from_numpy(solution[0].reshape(self.intercept.shape)))
        self.coefficients.copy_(torch.from_numpy(solution[1:].reshape(self.coefficients.shape)))

    @torch.no_grad()
    def _validation_error(self, windows: Windows) -> float:
        """Masked MAE in scaled units over at most 512 validation windows, evenly spread."""
        starts = windows.starts("validation")
        chosen = starts[np.unique(np.linspace(0, len(starts) - 1, min(512, len(starts))).astype(int))]
        batch = windows.batch(chosen)
        assert batch.y is not None and batch.y_observed is not None
        scaler, target = windows.form.scaler, windows.form.target_index
        past = np.where(batch.observed, scaler.transform(batch.x), 0.0)[..., target]
        truth = scaler.channels(target).transform(batch.y)
        error = np.abs(self.head(self._iterate(torch.from_numpy(past).float())).numpy() - truth)
        return float(error[batch.y_observed].mean()) if batch.y_observed.any() else 0.0

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        return self._iterate(ctx.history)  # [B, N, H * O]

    def _iterate(self, history: Tensor) -> Tensor:
        """[B, T, N, O] -> [B, N, H * O]: each step is fed back as the latest reading."""
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
