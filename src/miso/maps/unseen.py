"""Who may speak of a slide, and what checkpoints know of sections that they have not learnt from."""

from collections.abc import Sequence

from miso.maps.as_trained import held_out
from miso.models import Checkpoint
from miso.models.residuals import Residuals


def all_residuals(checkpoints: Sequence[Checkpoint]) -> Residuals | None:
    """Put together what each checkpoint missed on sections that it has not learnt from; None of none."""
    return Residuals.together([c.residuals for c in checkpoints if c.residuals is not None])


def of_same_patient(checkpoint: Checkpoint, sample: str) -> set[str]:
    """Name the sections of the cohort that are of the same patient as a sample: itself at least."""
    patient = checkpoint.slides[sample].get("patient", "")
    same = {name for name, slide in checkpoint.slides.items() if patient and slide.get("patient") == patient}
    return {sample} | same


def without_slide(checkpoints: Sequence[Checkpoint], print_of: str) -> list[Checkpoint]:
    """Keep those that held out a slide of the cohort, by the fingerprint of its file."""
    return [checkpoint for checkpoint in checkpoints if held_out(checkpoint, print_of)]


def trained_on(checkpoints: Sequence[Checkpoint]) -> list[str]:
    """Name the sections that any of them has seen."""
    return sorted({name for c in checkpoints for name in (*c.trained_on, *c.validated_on)})
