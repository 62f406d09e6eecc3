"""ST-LoRA: every sensor its own low-rank correction, beside any backbone."""

from fieldcast.methods.st_lora.stage import STLoRA

__all__ = ["STLoRA"]
