"""SVR: a linear support vector regression for each step ahead, shared by all nodes."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Context
from fieldcast.core.spec import Spec
from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError


class SVR(Backbone):
    """y_{t+h, o} = w_{h,o} . vec(last T scaled target values of the node) + b_{h,o}, direct for each step and target.

    Each (h, o) minimises |w|^2 / 2 + C sum max(0, |y - w.u - b| - epsilon) by scikit-learn's LinearSVR, over
    ``samples`` pairs of training window and node drawn with ``sample_seed``, those with an observed target. Values that
    are not observed are 0, the training mean. C and epsilon are in scaled units.
    Shapes: history [B, T, N, O] -> h [B, N, H * O] -> y [B, H, N, O]; weight [H * O, T * O].
    Source: Li et al., ICLR 2018, arXiv:1707.01926 (SVR of the tables), in its direct form.
    """

    trainable = False
    unseen_nodes = True
    paper = "classical (SVR); Li et al., ICLR 2018, arXiv:1707.01926"

    weight: Tensor
    bias: Tensor

    def __init__(self, spec: Spec, C: float = 0.1, epsilon: float = 0.05, samples: int = 20_000, sample_seed: int = 0):
        super().__init__(spec)
        if C <= 0 or epsilon < 0 or samples < 1:
            raise FieldcastError(
                f"svr got C {C}, epsilon {epsilon}, samples {samples}: give C > 0, epsilon >= 0, samples >= 1."
            )
        self.width = spec.horizon * spec.targets
        self.penalty = C
        self.epsilon = epsilon
        self.samples = samples
        self.seed = sample_seed
        self.register_buffer("weight", torch.zeros(self.width, spec.lookback * spec.targets))  # [H * O, T * O]
        self.register_buffer("bias", torch.zeros(self.width))  # [H * O]

    def fit_closed_form(self, windows: Windows) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.svm import LinearSVR

        features, targets, observed = self._pairs(windows)
        for output in range(self.width):
            rows = observed[:, output]
            if not rows.any():
                continue
            model = LinearSVR(C=self.penalty, epsilon=self.epsilon, random_state=self.seed, max_iter=2000, dual="auto")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # the objective is flat long before its tolerance
                model.fit(features[rows], targets[rows, output])
            self.weight[output] = torch.from_numpy(model.coef_)
            self.bias[output] = float(np.ravel(model.intercept_)[0])

    def _pairs(self, windows: Windows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Drawn pairs of window and node: features [P, T * O], targets [P, H * O] scaled, observed [P, H * O]."""
        rng = np.random.default_rng(self.seed)
        starts = windows.starts("train")
        nodes = len(windows.form.nodes)
        each = max(1, min(nodes, self.samples // len(starts)))  # nodes a window
        count = min(len(starts), max(1, self.samples // each))
        chosen = np.sort(rng.choice(starts, size=count, replace=False))
        target = windows.form.target_index
        scaler = windows.form.scaler.channels(target)
        parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for first in range(0, count, 512):
            batch = windows.batch(chosen[first : first + 512])
            assert batch.y is not None and batch.y_observed is not None
            x = np.where(batch.observed[..., target], scaler.transform(batch.x[..., target]), 0.0)  # [B, T, N, O]
            y = np.where(batch.y_observed, scaler.transform(batch.y), 0.0)  # [B, H, N, O]
            node = np.argsort(rng.random((len(x), nodes)), axis=1)[:, :each]  # [B, each]
            window = np.arange(len(x))[:, None]
            flat = [
                array.transpose(0, 2, 1, 3)[window, node].reshape(len(x) * each, -1)
                for array in (x, y, batch.y_observed)
            ]
            parts.append((flat[0], flat[1], flat[2]))
        features, targets, observed = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return features.astype(np.float64), targets.astype(np.float64), observed

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        past = ctx.history.transpose(1, 2).flatten(2)  # [B, N, T * O]
        return torch.nn.functional.linear(past, self.weight, self.bias)  # [B, N, H * O]

    def head(self, h: Tensor) -> Tensor:
        return self.unflatten(h)  # [B, H, N, O]
