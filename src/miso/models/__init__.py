"""Models of expression: the MISO teacher over spots, the student over patches, and their checkpoints."""

from miso.models.checkpoint import Checkpoint, load_checkpoint
from miso.models.miso import MisoConfig, MisoModel
from miso.models.patch import PatchConfig, PatchModel

__all__ = ["Checkpoint", "MisoConfig", "MisoModel", "PatchConfig", "PatchModel", "load_checkpoint"]
