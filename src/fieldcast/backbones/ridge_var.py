"""Ridge VAR: a linear vector autoregression over all nodes, solved in closed form."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from torch import Tensor

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Context
from fieldcast.core.spec import Spec
from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from fieldcast.nn.history import carry_forward

_RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
_LARGEST = 6000  # equations: a matrix of 300 MB, some seconds a solution
_ROUNDS = 50  # at most; each leaves of the error about the share of missing targets


class RidgeVar(Backbone):
    """z_t = b + sum_{k=1..p} A_k z_{t-k}, iterated H steps; z stacks the scaled targets of all nodes.

    Least squares with intercept over training rows whose p predecessors lie in the same segment: with Z the lagged
    rows, (Z'Z + lambda I) W = Z'Y, lambda = ``ridge`` * trace(Z'Z) / dim, in float64 by Cholesky; the intercept is not
    penalised. A lag that was not observed is the last reading before it (in the segment, the look-back), and a target
    that was not observed has no say: it is replaced by the fit's own value, over and over, whose limit leaves it out.
    Without ``ridge`` the best of 1e-4, 1e-3, ..., 10
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
        target, p = windows.form.target_index, self.order
        rows = len(series.values)
        size = self.intercept.numel()
        if p * size > _LARGEST:
            raise FieldcastError(
                f"ridge_var would solve {p * size} equations, {p} lags of {size} series, and takes at most {_LARGEST}: "
                "leave it out for a network of this size."
            )
        observed = series.observed[..., target].reshape(rows, -1)  # [rows, N * O]
        values = series.values[..., target].reshape(rows, -1).astype(np.float64)  # [rows, N * O]
        lags = _carried(values, observed, series.segment)
        ends = np.arange(p, rows)
        ends = ends[series.segment[ends] == series.segment[ends - p]]
        if len(ends) <= p:
            raise FieldcastError(f"ridge_var needs more than {p} training rows without a gap, not {len(ends)}.")
        equations = _Equations(lags, values, observed, ends, p)
        if self.ridge is not None:
            self._keep(equations.solve(self.ridge))
            return
        errors = []
        for ridge in _RIDGES:
            self._keep(equations.solve(ridge))
            errors.append(self._validation_error(windows))
        finite = np.where(np.isfinite(errors), errors, np.inf)
        self._keep(equations.solve(_RIDGES[int(np.argmin(finite))]))

    def _keep(self, solution: np.ndarray) -> None:
        """The first row belongs to the intercept."""
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
        seen = batch.observed[..., target]
        past = np.where(seen, scaler.channels(target).transform(batch.x[..., target]), 0.0)
        truth = scaler.channels(target).transform(batch.y)
        forecast = self.head(self._iterate(torch.from_numpy(past).float(), torch.from_numpy(seen)))
        error = np.abs(forecast.numpy() - truth)
        return float(error[batch.y_observed].mean()) if batch.y_observed.any() else 0.0

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        return self._iterate(ctx.history, ctx.history_observed)  # [B, N, H * O]

    def _iterate(self, history: Tensor, observed: Tensor) -> Tensor:
        """History and its mask [B, T, N, O] -> [B, N, H * O]: each step is fed back as the latest reading."""
        history = carry_forward(history, observed)  # [B, T, N, O]
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


class _Equations:
    """The normal equations of the lagged rows; a missing target is filled by the fit itself until nothing changes."""

    def __init__(self, lags: np.ndarray, values: np.ndarray, observed: np.ndarray, ends: np.ndarray, order: int):
        self.lags, self.values, self.observed, self.ends, self.order = lags, values, observed, ends, order
        size = order * lags.shape[1] + 1
        self.gram = np.zeros((size, size))
        for _, lagged in self._blocks():
            self.gram += lagged.T @ lagged

    def solve(self, ridge: float) -> np.ndarray:
        """(Z'Z + lambda I) W = Z'Y for W [1 + p * N * O, N * O], the intercept's row first."""
        matrix = self.gram.copy()
        slopes = np.arange(1, len(matrix))
        matrix[slopes, slopes] += ridge * np.trace(self.gram[1:, 1:]) / len(slopes)
        try:
            factor = cho_factor(matrix, lower=True)
        except LinAlgError:
            raise FieldcastError(
                "the equations of ridge_var are singular (a dead or copied sensor): raise its ridge."
            ) from None
        complete = bool(self.observed[self.ends].all())
        solution = np.zeros((len(matrix), self.values.shape[1]))
        for _ in range(1 if complete else _ROUNDS):
            right = np.zeros_like(solution)
            for rows, lagged in self._blocks():
                right += lagged.T @ np.where(self.observed[rows], self.values[rows], lagged @ solution)
            before, solution = solution, cho_solve(factor, right)
            if np.abs(solution - before).max() < 1e-8:
                break
        return solution

    def _blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows and their lags [block, 1 + p * N * O], latest lag first; blocks keep the lagged copy small."""
        for first in range(0, len(self.ends), 4096):
            rows = self.ends[first : first + 4096]
            past = (self.lags[rows - k] for k in range(1, self.order + 1))
            yield rows, np.concatenate([np.ones((len(rows), 1)), *past], axis=1)


def _carried(values: np.ndarray, observed: np.ndarray, segment: np.ndarray) -> np.ndarray:
    """The last observed value of each series up to each row of its segment, 0 where there is none: [rows, N * O]."""
    begins = np.flatnonzero(np.diff(segment, prepend=segment[0] - 1))
    begin = np.repeat(begins, np.diff(np.append(begins, len(segment))))[:, None]
    rows = np.arange(len(values))[:, None]
    last = np.maximum.accumulate(np.where(observed, rows, -1), axis=0)
    carried = np.take_along_axis(values, np.maximum(last, 0), axis=0)
    return np.where(last >= begin, carried, 0.0)
