"""A torch state dict from a .pth file: names and finite tensors, read so that nothing in the file can run."""

import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from miso.errors import CheckpointError

NESTS = ("state_dict", "model_state_dict", "model")
"""Where trainers keep the state dict in what they save."""
WRAPPERS = re.compile(r"^(?:(?:module|model)\.)+")
"""What data-parallel and other wrappers put before each name."""
UNREADABLE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    OverflowError,
    MemoryError,
    AssertionError,
)
"""What torch's restricted unpickler raises on bytes that are no state dict."""


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read a state dict, plain or as a trainer wrapped it, in float32 and without wrappers' prefixes.

    Raises
    ------
    CheckpointError
        If it is absent, damaged, or holds anything but tensors of weights.
    """
    if not path.is_file():
        raise CheckpointError(f"no file at {path}; expected a checkpoint of the original MISO (.pth)")
    try:
        _check_packing(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of odd pickles, which are refused
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as err:
        said = " ".join(str(err).split())[:100] or type(err).__name__
        raise CheckpointError(
            f"{path} is no state dict that can be read safely ({said}); expected what "
            "torch.save(model.state_dict(), …) writes"
        ) from err
    content = _unnested(content)
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{path} holds {_kind(content)}, not a state dict (names and tensors)")
    tensors: dict[str, Tensor] = {}
    for key, value in content.items():
        name = WRAPPERS.sub("", str(key))
        if name in tensors:
            raise CheckpointError(f"{path} names {name!r} twice, with and without a wrapper's prefix")
        tensors[name] = _weights(path, str(key), value)
    return tensors


def _unnested(content: Any) -> Any:
    while isinstance(content, Mapping) and not any(isinstance(value, Tensor) for value in content.values()):
        inner = next((content[key] for key in NESTS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    return content


def _weights(path: Path, key: str, value: Any) -> Tensor:
    if not isinstance(value, Tensor) or not value.is_floating_point() or value.layout != torch.strided:
        raise CheckpointError(f"{path}: {key!r} is {_kind(value)}, not a tensor of weights")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise CheckpointError(
            f"{path}: {key!r} claims {value.numel():,} values and holds fewer; the file is damaged"
        )
    if not bool(torch.isfinite(value).all()):
        raise CheckpointError(f"{path}: {key!r} holds values that are not finite; the file is damaged")
    return value.detach().float().contiguous()


def _check_packing(path: Path) -> None:
    """Refuse an archive with a compressed entry: torch writes none, and a few bytes may stand for any."""
    if not zipfile.is_zipfile(path):
        return  # what torch wrote before 1.6; its values lie open
    with zipfile.ZipFile(path) as archive:
        packed = [each for each in archive.infolist() if each.file_size > each.compress_size]
    if packed:
        raise ValueError(f"its {packed[0].filename!r} is compressed")


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a table without tensors" if value else "an empty table"
    return f"a {type(value).__name__}" + (f" of {value.dtype}" if isinstance(value, Tensor) else "")
