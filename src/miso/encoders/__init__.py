"""Encoders: frozen image models that turn a tile into a tile feature and one feature a patch."""

from miso.encoders.encoder import Encoder, InputContract, Tokens
from miso.encoders.load import load_encoder

__all__ = ["Encoder", "InputContract", "Tokens", "load_encoder"]
