"""Encoders by name: `stain`, `phikon`, `hf:<repo or folder>`, or what another package registers."""

from miso.encoders import stain, vit_hub  # noqa: F401  importing them registers their encoders
from miso.encoders.encoder import Encoder
from miso.encoders.registry import encoders


def load_encoder(name: str) -> Encoder:
    """Load an encoder on the CPU, frozen and in evaluation mode.

    Raises
    ------
    EncoderError
        If the name is unknown or its weights cannot be had here.
    """
    scheme, _, rest = name.partition(":")
    encoder = encoders[scheme](rest)
    encoder.module.eval().requires_grad_(False)
    return encoder
