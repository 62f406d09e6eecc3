"""The forecaster: the model with its units, its saved folder, its forecasts."""

from fieldcast.forecaster.exporting import export
from fieldcast.forecaster.folder import load, save
from fieldcast.forecaster.model import Forecaster, create
from fieldcast.forecaster.predicting import predict

__all__ = ["Forecaster", "create", "export", "load", "predict", "save"]
