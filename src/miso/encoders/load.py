"""Encoders by name: `stain`, `phikon`, `hf:<repo or folder>`, or what another package registers."""

from collections.abc import Callable

from miso.encoders.encoder import Encoder
from miso.errors import EncoderError
from miso.registry import Registry

Factory = Callable[[str], Encoder]
"""Makes an encoder from what follows the colon in its name (empty for a plain name)."""

encoders: Registry[Factory] = Registry("encoder", "miso.encoders", EncoderError)


def load_encoder(name: str) -> Encoder:
    """Load an encoder on the CPU, frozen and in evaluation mode.

    Raises
    ------
    EncoderError
        If the name is unknown or its weights cannot be had here.
    """
    from miso.encoders import stain, vit_hub  # noqa: F401  registers; heavy imports only when an encoder is wanted

    scheme, _, rest = name.partition(":")
    encoder = encoders[scheme](rest)
    encoder.module.eval().requires_grad_(False)
    return encoder
