"""fieldcast: forecasts for fields of sensors.

The whole way in Python::

    import fieldcast as fc

    readings = fc.open_readings("readings.csv")
    windows = fc.Windows(readings, lookback=12, horizon=12)
    forecaster = fc.create("stid", windows, seed=0)
    fc.fit(forecaster, windows, fc.TrainingOptions(max_epochs=20))
    print(fc.evaluate(forecaster, windows))
    fc.save(forecaster, "runs/mine")
    forecast = fc.predict(fc.load("runs/mine"), fc.open_readings("new.csv"))

Every name is imported when it is first used, so that ``import fieldcast`` costs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fieldcast._version import __version__
from fieldcast.errors import FieldcastError

if TYPE_CHECKING:
    from fieldcast.core.allocator import prepare_memory
    from fieldcast.core.backbone import Backbone
    from fieldcast.core.registry import register
    from fieldcast.data.formats import open_readings
    from fieldcast.data.graph import Graph
    from fieldcast.data.readings import Readings
    from fieldcast.data.windows import Windows
    from fieldcast.forecaster import Forecaster, create, export, load, predict, save
    from fieldcast.training import TrainingOptions
    from fieldcast.training.fitting import fit
    from fieldcast.workflows.scoring import evaluate

_WHERE = {
    "Backbone": "fieldcast.core.backbone",
    "Forecaster": "fieldcast.forecaster",
    "Graph": "fieldcast.data.graph",
    "Readings": "fieldcast.data.readings",
    "TrainingOptions": "fieldcast.training",
    "Windows": "fieldcast.data.windows",
    "create": "fieldcast.forecaster",
    "evaluate": "fieldcast.workflows.scoring",
    "export": "fieldcast.forecaster",
    "fit": "fieldcast.training.fitting",
    "load": "fieldcast.forecaster",
    "open_readings": "fieldcast.data.formats",
    "predict": "fieldcast.forecaster",
    "prepare_memory": "fieldcast.core.allocator",
    "register": "fieldcast.core.registry",
    "save": "fieldcast.forecaster",
}

__all__ = [
    "Backbone", "FieldcastError", "Forecaster", "Graph", "Readings", "TrainingOptions", "Windows", "__version__",
    "create", "evaluate", "export", "fit", "load", "open_readings", "predict", "prepare_memory", "register", "save",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'fieldcast' has no attribute '{name}'")
    value = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
