"""What a Checkpoint knows of its limits, on disk beside its weights: residuals where unseen, and novelty."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from miso.errors import CheckpointError
from miso.models.novelty import Novelty
from miso.models.residuals import Residuals
from miso.untrusted.documents import parse_json

FILE = "trust.safetensors"


def write_trust(folder: Path, residuals: Residuals | None, novelty: Novelty | None) -> None:
    """Write what is known; no file where nothing is."""
    arrays = {f"residuals.{name}": array for name, array in (residuals.arrays() if residuals else {}).items()}
    arrays |= {f"novelty.{name}": array for name, array in (novelty.arrays() if novelty else {}).items()}
    if not arrays:
        return
    sections = json.dumps(residuals.sections if residuals else [], ensure_ascii=False)
    whole = {name: np.array(array, order="C") for name, array in arrays.items()}
    save_file(whole, folder / FILE, metadata={"sections": sections})


def read_trust(folder: Path, *, genes: int, in_dim: int) -> tuple[Residuals | None, Novelty | None]:
    """Read what is known; nothing where there is no file, as of Checkpoints of old.

    Raises
    ------
    CheckpointError
        If the file is damaged, or of another model.
    """
    if not (folder / FILE).is_file():
        return None, None
    try:
        with safe_open(folder / FILE, framework="numpy") as file:
            sections = parse_json((file.metadata() or {})["sections"])
            arrays: dict[str, NDArray[np.generic]] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        residuals = Residuals.from_arrays(sections, _part(arrays, "residuals")) if sections else None
        novelty = Novelty.from_arrays(found) if (found := _part(arrays, "novelty")) else None
        if residuals is not None and residuals.missed.shape[3] != genes:
            raise ValueError(f"it is of {residuals.missed.shape[3]} genes, the model of {genes}")
        if novelty is not None and novelty.slide_mean.shape[1] != in_dim:
            raise ValueError(f"it is of {novelty.slide_mean.shape[1]} features, the model takes {in_dim}")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as err:
        said = " ".join(str(err).split())[:120]
        raise CheckpointError(f"{folder / FILE} is damaged ({said}); train again, or fetch it again") from err
    return residuals, novelty


def _part(arrays: dict[str, NDArray[np.generic]], of: str) -> dict[str, NDArray[np.generic]]:
    return {name.removeprefix(f"{of}."): array for name, array in arrays.items() if name.startswith(f"{of}.")}
