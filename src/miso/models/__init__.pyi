from .checkpoint import Checkpoint, load_checkpoint
from .miso import MisoConfig, MisoModel
from .patch import PatchConfig, PatchModel

__all__ = ["Checkpoint", "MisoConfig", "MisoModel", "PatchConfig", "PatchModel", "load_checkpoint"]
