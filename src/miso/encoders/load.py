"""Encoders by name: `stain`, `phikon`, `hf:<repo or folder>`, or what another package registers."""

from miso.encoders import stain, vit_hub  # noqa: F401  importing them registers their encoders
from miso.encoders.encoder import Encoder
from miso.encoders.registry import encoders
from miso.errors import EncoderError


def load_encoder(name: str) -> Encoder:
    """Load an encoder on the CPU, frozen and in evaluation mode.

    Raises
    ------
    EncoderError
        If the name is unknown or its weights cannot be had here.
    """
    scheme, _, rest = name.partition(":")
    if "/" in scheme and scheme not in set(encoders):
        raise EncoderError(f"unknown encoder {name!r}; a folder or a model of the hub is hf:{name}")
    encoder = encoders[scheme](rest)
    encoder.module.eval().requires_grad_(False)
    return encoder
