"""A slide seen as in training: through the same encoder in the same precision, brought to the same stain."""

import json
from typing import Any

import torch

from miso.encoders import Encoder, load_encoder
from miso.encoders.precision import precision_of, with_precision
from miso.models import Checkpoint
from miso.models.encoder_id import name_and_revision
from miso.slides import Slide
from miso.slides.restained import RestainedSlide
from miso.slides.stain_norm import make_stain_transform
from miso.slides.stain_reference import StainReference


def encoder_as_trained(checkpoint: Checkpoint, device: torch.device | str) -> Encoder:
    """Load the encoder that a model was trained on, in the precision that its features had."""
    encoder = load_encoder(name_and_revision(checkpoint.encoder)[0])
    encoder.module.to(device)
    return with_precision(encoder, precision_of(checkpoint.encoder))


def stained_as_trained(slide: Slide, checkpoint: Checkpoint) -> Slide:
    """Bring a slide to the stain that the cohort was brought to."""
    stain = checkpoint.stain
    if stain["method"] == "none":
        return slide
    text = json.dumps({"schema": 1, **stain["reference"]})
    reference = StainReference.from_json(text, "the checkpoint's stain")
    return RestainedSlide(slide, make_stain_transform(slide, stain["method"], reference))


def slide_in_cohort(checkpoint: Checkpoint, print_of: str) -> tuple[str, dict[str, Any]] | None:
    """Recognise a slide of the cohort by its file's fingerprint: its sample, and its mpp and their source."""
    for name, record in checkpoint.slides.items():
        if record["fingerprint"] == print_of:
            return name, dict(record)
    return None


def held_out(checkpoint: Checkpoint, print_of: str) -> bool:
    """Whether a slide was in the cohort, and not in what this model has seen."""
    names = {name for name, record in checkpoint.slides.items() if record["fingerprint"] == print_of}
    return bool(names & set(checkpoint.held_out))
