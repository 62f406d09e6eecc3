"""Training: the only place that imports Lightning."""

from fieldcast.training.options import TrainingOptions

__all__ = ["TrainingOptions"]
