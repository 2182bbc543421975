"""A model's weights on disk: safetensors, whole or in shards, known by a hash of their bytes; no pickle."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from miso.errors import EncoderError

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
CONVERT = (
    'python -c "import torch; from safetensors.torch import save_file; '
    "w = torch.load('{file}', map_location='cpu', weights_only=True); "
    "w = {{k: v.contiguous().clone() for k, v in w.get('state_dict', w).items()}}; "
    "save_file(w, 'model.safetensors')\""
)
"""What turns a pickle of plain tensors into safetensors, run once by someone who trusts it."""


def weight_files(folder: Path) -> list[Path]:
    """`model.safetensors`, or all the shards of one; pickled weights are refused."""
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    shards = sorted(folder.glob("model-*-of-*.safetensors"))
    if shards and shards[0].stem.rpartition("-")[2] == f"{len(shards):05d}":
        return shards
    if shards:
        raise EncoderError(
            f"{len(shards)} shards like {shards[0].name} are here, not all of them; fetch it again"
        )
    if pickles := pickle_files(folder):
        raise EncoderError(
            f"weights only in {listed(pickles)}: a pickle can run code and is not read; convert it once, "
            f"in that folder, with: {CONVERT.format(file=pickles[0])}"
        )
    raise EncoderError(
        "no model.safetensors; weights are read from safetensors only, never from a pickle (.bin, .pth)"
    )


def pickle_files(folder: Path) -> list[str]:
    """Names of the pickles in a folder."""
    return sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))


def read_weights(files: Sequence[Path]) -> dict[str, Tensor]:
    """Read the tensors of all the files."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return {key: value for file in files for key, value in load_file(file).items()}
    except SafetensorError as err:
        raise EncoderError(f"damaged safetensors ({err}); fetch it again") from err


def hash_of(files: Sequence[Path]) -> str:
    """`sha256:` and 12 hex digits over the files' bytes, read in pieces."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    return f"sha256:{digest.hexdigest()[:12]}"


def listed(names: Sequence[str], most: int = 3) -> str:
    """Name the first few."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more
