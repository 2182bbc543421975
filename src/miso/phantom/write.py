"""The cohort on disk in any vendor's layout, with its truth and its splits; positions are level-0 px."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from miso.errors import ConfigError, SampleError
from miso.phantom.cohort import Section, make_section
from miso.phantom.layouts.catalog import find_layout
from miso.phantom.layouts.layout import Delivery, ImageFormat, Layout
from miso.phantom.spec import PhantomSpec
from miso.phantom.truth import save_truth
from miso.storage.atomic import write_path
from miso.untrusted.documents import read_json

SCHEMA = 2
RECORD = "phantom.json"
UNFINISHED = ".phantom-unfinished.json"

Progress = Callable[[str, int, int], None]
"""Called before each section with its name, its index and the number of sections."""


def write_phantom(
    spec: PhantomSpec,
    folder: Path | str,
    layout: str = "her2st",
    *,
    image_format: ImageFormat = "jpeg",
    extra_features: bool = False,
    outs: bool = True,
    progress: Progress | None = None,
) -> Path:
    """Write a cohort, or do nothing where the same one already is.

    Every file appears whole or not at all, a section's truth behind its other files, `phantom.json` last.
    After an interruption it goes on where it stopped.

    Parameters
    ----------
    layout
        One of `layouts.catalog.LAYOUTS`; the cohort's array must be the one that it is for.
    image_format
        Of the full-resolution pictures.
    extra_features
        Whether one symbol has two Ensembl ids that share its molecules, and antibodies are captured too.
    outs
        Whether the content of a Space Ranger folder lies in `outs`.

    Returns
    -------
    Path
        The folder: what the layout says, `truth`, `splits.json`, `phantom.json`.

    Raises
    ------
    ConfigError
        If there is no such layout or picture format, or the cohort does not suit the layout.
    SampleError
        If the folder holds another cohort, or files that are no phantom's.
    """
    delivery = Delivery(
        spec=spec, layout=layout, image_format=image_format, extra_features=extra_features, outs=outs
    )
    chosen = _suitable(delivery)
    folder = Path(folder)
    record = {"schema": SCHEMA, **asdict(delivery), **asdict(spec), "genes": list(spec.genes.symbols)}
    del record["spec"]
    if _already_there(folder, record, (*chosen.folders, *spec.sections, "truth")):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / UNFINISHED, record)
    for index, name in enumerate(spec.sections):
        if progress:
            progress(name, index, len(spec.sections))
        if not _truth_path(folder, name).exists():
            _write_section(folder, make_section(spec, *divmod(index, spec.n_sections)), chosen, delivery)
    _write_json(folder / "splits.json", splits(spec))
    _write_json(folder / RECORD, record)
    (folder / UNFINISHED).unlink()
    return folder


def write_her2st(spec: PhantomSpec, folder: Path | str, progress: Progress | None = None) -> Path:
    """Write a cohort of legacy ST sections as HER2ST is downloaded; see `write_phantom`."""
    return write_phantom(spec, folder, "her2st", progress=progress)


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


def _suitable(delivery: Delivery) -> Layout:
    """Look up the layout, and refuse what it cannot hold."""
    layout, name, array = find_layout(delivery.layout), delivery.layout, delivery.spec.array
    if array != layout.array:
        raise ConfigError(
            f"the layout {name!r} is for the array {layout.array!r}, not {array!r}; "
            f"use PhantomSpec(array={layout.array!r})"
        )
    if delivery.image_format not in get_args(ImageFormat):
        raise ConfigError(
            f"pictures as {delivery.image_format!r}: choose one of {', '.join(get_args(ImageFormat))}"
        )
    if delivery.extra_features and not layout.has_ids:
        raise ConfigError(f"extra features in {name!r}: its genes have no ids, so a symbol occurs once")
    return layout


def _already_there(folder: Path, record: dict[str, object], own: tuple[str, ...]) -> bool:
    """Whether the whole cohort is there; a different one, or foreign files, are refused."""
    for name in (RECORD, UNFINISHED):
        if (folder / name).is_file():
            _refuse_other(folder, _read_record(folder / name), record)
            return name == RECORD
    foreign = [name for name in own if (folder / name).exists()]
    if foreign:
        raise SampleError(
            f"{folder} has {foreign[0]!r} but no {RECORD}, so it is no phantom cohort; choose another folder"
        )
    return False


def _read_record(path: Path) -> dict[str, object]:
    try:
        held = read_json(path)
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


def _truth_path(folder: Path, section: str) -> Path:
    return folder / "truth" / f"{section}.npz"


def _write_section(folder: Path, section: Section, layout: Layout, delivery: Delivery) -> None:
    """Write what the layout says, then the truth, which marks the section as done."""
    for name, write in layout.pieces(section, delivery):
        if (folder / name).is_dir():
            continue  # whole, since folders too are renamed into place
        with write_path(folder / name) as temporary:
            write(temporary)
    with write_path(_truth_path(folder, section.name)) as temporary:
        save_truth(temporary, section.truth)


def _write_json(path: Path, content: dict[str, object]) -> None:
    with write_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
