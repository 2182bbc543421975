"""The encoders that there are, by name: this package's, and those of other packages' entry points."""

from collections.abc import Callable

from miso.encoders.encoder import Encoder
from miso.errors import EncoderError
from miso.registry import Registry

Factory = Callable[[str], Encoder]
"""Makes an encoder from what follows the colon in its name (empty for a plain name)."""

encoders: Registry[Factory] = Registry("encoder", "miso.encoders", EncoderError)
