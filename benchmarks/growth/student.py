"""A student with random weights, of the default sizes: what mapping costs does not depend on its weights."""

from pathlib import Path

import torch

from miso.encoders import Encoder
from miso.models import Checkpoint, PatchModel
from miso.models.patch import PatchConfig


def random_student(encoder: Encoder, genes: int) -> Checkpoint:
    """Make a student of an encoder's patch features."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = PatchModel(encoder.patch_dim, genes, PatchConfig())
    model.programs.uniform_()
    return Checkpoint(
        model=model.eval(),
        kind="patch",
        genes=[f"G{number}" for number in range(genes)],
        target="raw",
        units="counts per spot",
        nonnegative=True,
        encoder=encoder.id,
        tile={"size_px": 224, "mpp": 0.5},
        patch_px=encoder.patch_px,
        knn=37,
        spot_diameter_um=55.0,
        trained_on=[],
        validated_on=[],
        held_out=[],
    )


def write_student(encoder: Encoder, genes: int, folder: Path) -> Path:
    """Write it where `miso super-resolve` finds it."""
    random_student(encoder, genes).save(folder)
    return folder
