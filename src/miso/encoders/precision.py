"""How an encoder computes: float32, bfloat16 with weights kept so, or 8-bit integers on the CPU."""

import copy
import logging
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from miso.encoders.encoder import Encoder, Precision, has_native_bf16
from miso.encoders.int8 import Int8Module
from miso.encoders.kept_memory import keep_freed_memory
from miso.errors import EncoderError

log = logging.getLogger(__name__)

INT8 = "+int8"
"""What the revision of an encoder in 8-bit integers ends in: its features are other features."""
FAITHFUL = 0.98
"""Mean cosine to the float32 patch features below which 8-bit ones are warned of."""
EXTRA = ("onnx", "onnxruntime", "onnxscript")


def with_precision(encoder: Encoder, precision: Precision) -> Encoder:
    """Return the encoder computing in another way, on the device where it is.

    Parameters
    ----------
    precision
        `auto` is bfloat16 where the device has it natively and the model survives it, else float32. `int8`
        quantises linear layers and runs on the CPU through ONNX Runtime; that encoder has another id.

    On a CPU the process keeps from then on what it frees (`kept_memory`).

    Raises
    ------
    EncoderError
        If the encoder, the device or what is installed does not allow it.
    """
    if encoder.device.type == "cpu" and getattr(encoder.module, "autocast", False):
        keep_freed_memory()
    if precision in ("auto", "fp32"):
        chosen = replace(encoder, precision=precision)
        return _holding_bf16(chosen) if chosen.arithmetic == "bf16" else chosen
    if isinstance(encoder.module, Int8Module):
        raise EncoderError(f"{encoder.id} is in int8 already; load it anew")
    if not getattr(encoder.module, "autocast", False):
        raise EncoderError(f"the encoder {encoder.name!r} computes in fp32 only; leave --precision out")
    if precision == "bf16":
        if not has_native_bf16(encoder.device):
            raise EncoderError(
                f"this {_in_words(encoder.device)} has no bfloat16 units, and would be slower with it than "
                "with fp32; leave --precision out"
            )
        return _holding_bf16(replace(encoder, precision="bf16"))
    _check_int8(encoder)
    if torch.cpu._is_amx_tile_supported():
        log.warning(
            "this CPU has units for bfloat16 matrices (AMX), with which the default was faster than int8 "
            "wherever we measured it, and closer to fp32; leave --precision out"
        )
    return replace(
        encoder,
        module=Int8Module(encoder.module),
        revision=encoder.revision + INT8,
        precision="int8",
    )


def precision_of(encoder_id: str) -> Precision:
    """Say which precision features of an encoder with this id have to be made with."""
    return "int8" if encoder_id.endswith(INT8) else "auto"


def check_faithful(
    encoder: Encoder, tiles: UInt8[Tensor, "tile height width 3"], tell: Callable[[str], None]
) -> float:
    """Measure the mean cosine of an `int8` encoder's patch features to float32 ones, tell it, warn if low.

    Parameters
    ----------
    tiles
        A few tiles of the slide at hand; they are encoded twice.
    """
    if not isinstance(encoder.module, Int8Module):
        raise ValueError(f"{encoder.id} is not in int8")
    exact = replace(encoder, module=encoder.module.exact, precision="fp32")
    cosine = patch_cosine(encoder, exact, tiles)
    tell(f"int8: the patch features' mean cosine to fp32 is {cosine:.4f} on {len(tiles)} tiles")
    if not cosine >= FAITHFUL:
        log.warning(
            "int8 changes the features of %s: their mean cosine to fp32 is %.3f, below %.2f; "
            "leave --precision out",
            encoder.name,
            cosine,
            FAITHFUL,
        )
    return cosine


def patch_cosine(one: Encoder, other: Encoder, tiles: UInt8[Tensor, "tile height width 3"]) -> float:
    """Mean cosine between the patch features of two encoders."""
    found, expected = one.encode(tiles).patches, other.encode(tiles).patches
    return float(torch.cosine_similarity(found, expected.to(found.device), dim=-1).mean())


def _holding_bf16(encoder: Encoder) -> Encoder:
    """Copy the encoder with the weights that autocast would cast at every call cast once; others are shared.

    Autocast still chooses what is computed in which type, so the features are the same to the bit.
    """
    cast = {
        id(weight): nn.Parameter(weight.to(torch.bfloat16), requires_grad=False)
        for layer in encoder.module.modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
        for weight in layer.parameters(recurse=False)
    }
    kept = {id(t): t for t in (*encoder.module.parameters(), *encoder.module.buffers())}
    return replace(encoder, module=copy.deepcopy(encoder.module, kept | cast))


def _check_int8(encoder: Encoder) -> None:
    if encoder.device.type != "cpu":
        raise EncoderError(
            f"--precision int8 runs on a CPU, and the device here is a {_in_words(encoder.device)}; "
            "pass --device cpu, or leave --precision out"
        )
    if missing := [package for package in EXTRA if find_spec(package) is None]:
        raise EncoderError(
            f"--precision int8 needs {', '.join(missing)}; install with: pip install 'miso-spatial[onnx]'"
        )


def _in_words(device: torch.device) -> str:
    return "CPU" if device.type == "cpu" else f"{device.type} device"
