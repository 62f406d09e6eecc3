"""The forecaster: the model with its units, its saved folder, its forecasts."""

from fieldcast.forecaster.adapters import freeze, load_adapter, save_adapter
from fieldcast.forecaster.construction import make_stage
from fieldcast.forecaster.exporting import export
from fieldcast.forecaster.folder import load, save
from fieldcast.forecaster.model import Forecaster, create
from fieldcast.forecaster.predicting import predict

__all__ = [
    "Forecaster",
    "create",
    "export",
    "freeze",
    "load",
    "load_adapter",
    "make_stage",
    "predict",
    "save",
    "save_adapter",
]
