"""Label sets: values a trained run gives to the spots of a Sample, one array a fold, to teach a student."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from miso.errors import SampleError
from miso.launch.provenance import fingerprint
from miso.storage.atomic import replace_folder
from miso.untrusted.documents import read_json


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSet:
    """Pseudo-labels of one Sample.

    Attributes
    ----------
    genes, units
        What the columns are, and their units.
    folds
        The folds for which this Sample was no test section, so that its labels may teach.
    teachers
        "fold" when the labels of fold f come from the teacher of fold f alone, "all" for the ensemble.
    about
        Provenance: the run that made them.
    """

    folder: Path
    genes: list[str]
    units: str
    folds: list[int]
    teachers: str
    about: Mapping[str, Any]

    def fold(self, index: int) -> Float[NDArray[np.float32], "spot gene"]:
        """Values for a fold, memory-mapped; what is written into them stays in memory.

        Raises
        ------
        SampleError
            If the teacher of that fold must not speak of this Sample, or never did, or the file is damaged.
        """
        if index not in self.folds:
            raise SampleError(f"{self.folder} has no labels for fold {index}: there this section is held out")
        file = self.folder / f"fold_{index}.npy"
        try:
            values: Float[NDArray[np.float32], "spot gene"] = np.load(file, mmap_mode="c")
        except (OSError, ValueError, EOFError) as err:
            raise SampleError(f"{file} is damaged ({err}); make the labels again") from err
        return values

    def fingerprints(self) -> dict[str, str]:
        """Name the content of each fold's values."""
        return {f"fold_{index}": fingerprint(self.folder / f"fold_{index}.npy") for index in self.folds}


def open_labels(folder: Path) -> LabelSet:
    """Open a label set's folder.

    Raises
    ------
    SampleError
        If it is damaged.
    """
    try:
        about = read_json(folder / "labels.json")
        return LabelSet(
            folder=folder,
            genes=about["genes"],
            units=about["units"],
            folds=about["folds"],
            teachers=about["teachers"],
            about=about,
        )
    except (ValueError, KeyError, TypeError) as err:
        raise SampleError(f"the labels in {folder} are damaged; make them again") from err


def write_labels(
    folder: Path, values: Mapping[int, Float[NDArray[np.float32], "spot gene"]], about: Mapping[str, Any]
) -> LabelSet:
    """Write one array a fold and what they are; an earlier label set of that name is replaced whole."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for fold, array in values.items():
        np.save(partial / f"fold_{fold}.npy", array.astype(np.float32))
    (partial / "labels.json").write_text(json.dumps({**about, "folds": sorted(values)}, indent=1))
    shutil.rmtree(folder, ignore_errors=True)
    replace_folder(partial, folder)
    return open_labels(folder)
