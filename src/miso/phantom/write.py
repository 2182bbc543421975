"""The cohort on disk, in the layout in which HER2ST is downloaded; positions are in level-0 pixels."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from miso.errors import SampleError
from miso.phantom.cohort import PhantomSpec, Section, make_section
from miso.phantom.truth import save_truth

SCHEMA = 1
RECORD = "phantom.json"
UNFINISHED = ".phantom-unfinished.json"
FOLDERS = ("count-matrices", "images", "spot-selections", "truth")
JPEG_QUALITY = 92

Progress = Callable[[str, int, int], None]
"""Called before each section with its name, its index and the number of sections."""


def write_her2st(spec: PhantomSpec, folder: Path | str, progress: Progress | None = None) -> Path:
    """Write a cohort, or do nothing where the same one already is.

    Every file appears whole or not at all, `phantom.json` last.
    After an interruption it goes on where it stopped.

    Returns
    -------
    Path
        The folder: `count-matrices`, `images/HE`, `spot-selections`, `truth`, `splits.json`, `phantom.json`.

    Raises
    ------
    SampleError
        If the folder holds another cohort, or files that are no phantom's.
    """
    folder = Path(folder)
    record = {"schema": SCHEMA, **asdict(spec), "genes": list(spec.genes.symbols)}
    if _already_there(folder, record):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / UNFINISHED, record)
    for index, name in enumerate(spec.sections):
        if progress:
            progress(name, index, len(spec.sections))
        if not all(path.exists() for path in _files(folder, name).values()):
            _write_section(folder, make_section(spec, *divmod(index, spec.n_sections)))
    _write_json(folder / "splits.json", splits(spec))
    _write_json(folder / RECORD, record)
    (folder / UNFINISHED).unlink()
    return folder


def splits(spec: PhantomSpec) -> dict[str, object]:
    """Folds by patient: fold i tests on the i-th patient from the end and validates on the one before."""
    folds = []
    for fold in range(spec.n_folds):
        last = spec.n_patients - fold
        order = spec.patients[last:] + spec.patients[:last]
        n_val, n_test = int(len(order) > 2), int(len(order) > 1)
        held = len(order) - n_val - n_test
        folds.append(
            {
                "train": sorted(order[:held]),
                "val": list(order[held : held + n_val]),
                "test": list(order[held + n_val :]),
            }
        )
    return {"unit": "patient", "folds": folds}


def _already_there(folder: Path, record: dict[str, object]) -> bool:
    """Whether the whole cohort is there; a different one, or foreign files, are refused."""
    for name in (RECORD, UNFINISHED):
        if (folder / name).is_file():
            _refuse_other(folder, _read_record(folder / name), record)
            return name == RECORD
    foreign = [name for name in FOLDERS if (folder / name).exists()]
    if foreign:
        raise SampleError(
            f"{folder} has {foreign[0]!r} but no {RECORD}, so it is no phantom cohort; choose another folder"
        )
    return False


def _read_record(path: Path) -> dict[str, object]:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as err:
        raise SampleError(f"{path} is damaged ({err}); delete its folder or choose another") from err
    if not isinstance(held, dict):
        raise SampleError(f"{path} is damaged (no table of settings); delete its folder or choose another")
    return held


def _refuse_other(folder: Path, held: dict[str, object], wanted: dict[str, object]) -> None:
    differing = [key for key in wanted if held.get(key) != wanted[key]]
    told = [key for key in differing if key != "genes"] or differing
    if told:
        what = ", ".join(f"{key} is {held.get(key)}, asked for {wanted[key]}" for key in told)
        raise SampleError(
            f"{folder} holds another phantom cohort: {what}; choose another folder or delete it"
        )


def _files(folder: Path, section: str) -> dict[str, Path]:
    return {
        "counts": folder / "count-matrices" / f"{section}.tsv.gz",
        "image": folder / "images" / "HE" / f"{section}.jpg",
        "spots": folder / "spot-selections" / f"{section}_selection.tsv.gz",
        "truth": folder / "truth" / f"{section}.npz",
    }


def _write_section(folder: Path, section: Section) -> None:
    files = _files(folder, section.name)
    names = np.array(section.spots.names)[section.counted]
    counts = pd.DataFrame(section.counts[section.counted], index=names, columns=list(section.truth.genes))
    _whole(files["counts"], lambda path: _write_table(path, counts, index=True))
    _whole(files["spots"], lambda path: _write_table(path, _selection(section), index=False))
    _whole(files["truth"], lambda path: save_truth(path, section.truth))
    image = Image.fromarray(section.image)
    _whole(files["image"], lambda path: image.save(path, format="jpeg", quality=JPEG_QUALITY))


def _selection(section: Section) -> pd.DataFrame:
    spots = section.spots
    return pd.DataFrame(
        {
            "x": spots.array_xy[:, 0],
            "y": spots.array_xy[:, 1],
            "new_x": spots.refined_xy[:, 0].round(3),
            "new_y": spots.refined_xy[:, 1].round(3),
            "pixel_x": spots.center_xy[:, 0].round(2),
            "pixel_y": spots.center_xy[:, 1].round(2),
            "selected": 1,
        }
    )


def _write_table(path: Path, table: pd.DataFrame, *, index: bool) -> None:
    compression = {"method": "gzip", "compresslevel": 6, "mtime": 0}
    table.to_csv(path, sep="\t", index=index, compression=compression)


def _write_json(path: Path, content: dict[str, object]) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    _whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write under a temporary name, then rename, so that a file is never half there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    write(temporary)
    temporary.replace(path)
