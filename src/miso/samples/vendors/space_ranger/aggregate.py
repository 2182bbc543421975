"""Runs of `spaceranger aggr`: several sections in one matrix, told apart by the number ending a barcode."""

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool
from numpy.typing import NDArray

from miso.errors import SampleError
from miso.samples.vendors.files.damage import open_text, refusing_damage, shown
from miso.samples.vendors.space_ranger.files import Library, SpaceRangerFiles, gather, pick
from miso.samples.vendors.space_ranger.pictures import read_scale_factors
from miso.samples.vendors.space_ranger.place import POSITIONS, SCALE_FACTORS, Place, prefix_of, visible
from miso.samples.vendors.space_ranger.positions import Positions

ALL_POSITIONS = ("aggr_tissue_positions.csv", "aggr_tissue_positions_list.csv")
TABLE = ("aggregation.csv", "aggregation_csv.csv")
NAME_COLUMNS = ("library_id", "sample_id")
NUMBER = r"-(?P<number>\d{1,6})$"


def find_aggregated(place: Place, library: str) -> SpaceRangerFiles | None:
    """Find the files of one library of an aggregated run; None if the folder is no such run.

    Raises
    ------
    SampleError
        If the library is not named or not there, or has no positions.
    """
    around = visible(place.folder)
    folders = _library_folders(place)
    common = next((path for path in around if prefix_of(path, ALL_POSITIONS) is not None), None)
    if not folders and common is None:
        return None
    numbers = _numbers(around, folders)
    if not numbers:
        return None if common is None else gather(place, place.name, _before(common, ALL_POSITIONS), [common])
    chosen = choose_library(numbers, library, place.folder)
    folder = folders.get(chosen.name)
    if folder is None and folders:
        raise SampleError(
            f"{place.spatial} has no folder of the library {chosen.name!r}; is the run complete?"
        )
    inside = replace(place, spatial=folder or place.folder)
    own = [path for key in POSITIONS if folder and (path := pick(visible(folder), "", (key,)))]
    positions = [*own, *([common] if common else [])]
    if not positions:
        raise SampleError(
            f"{place.folder} aggregates several libraries but has no positions; copy "
            "aggr_tissue_positions.csv of the same run into it, or pass the run of the one library"
        )
    return gather(inside, chosen.name, "", positions[:1], chosen)


def choose_library(numbers: Mapping[str, int], library: str, where: Path) -> Library:
    """Return the library that is meant, by name or number.

    Raises
    ------
    SampleError
        If none, or an unknown one, is named.
    """
    if not library and len(numbers) == 1:
        library = next(iter(numbers))
    for name, number in numbers.items():
        if library in (name, str(number)):
            return Library(name=name, number=number)
    wrong = f"no library {library!r} but " if library else ""
    raise SampleError(
        f"{where} holds {wrong}{len(numbers)} aggregated libraries ({shown(numbers, 12)}); "
        "choose one with --library"
    )


def take_library(positions: Positions, library: Library | None, named: str) -> Positions:
    """Keep the positions of one library, under the barcodes that the aggregated matrix gives them.

    Raises
    ------
    SampleError
        If there are several and none is chosen, or the chosen one is not there.
    """
    numbers = library_numbers(positions.barcodes)
    if len(numbers) > 1:
        chosen = library or choose_library({name: int(name) for name in numbers}, named, positions.path)
        mine = of_library(positions.barcodes, chosen)
        if not mine.any():
            raise SampleError(
                f"{positions.path} has no spot of {chosen.name!r} (barcodes that end in -{chosen.number})"
            )
        return positions.take(mine)
    if library is None or numbers == [str(library.number)]:
        return positions
    bare = pc.replace_substring_regex(positions.barcodes, r"-\d+$", "")
    return replace(positions, barcodes=pc.binary_join_element_wise(bare, str(library.number), "-"))


def library_numbers(barcodes: pa.Array) -> list[str]:
    """Return the numbers that barcodes end in."""
    said = pc.struct_field(pc.extract_regex(barcodes, NUMBER), "number")
    return [name for name in pc.unique(said).to_pylist() if name]


def of_library(barcodes: pa.Array, library: Library) -> Bool[NDArray[np.bool_], " barcode"]:
    """Whether barcodes are of a library."""
    return np.asarray(pc.ends_with(barcodes, f"-{library.number}"), dtype=bool)


def _library_folders(place: Place) -> dict[str, Path]:
    """Return the folders of `spatial` that are of a library each."""
    if place.spatial == place.folder or any(
        prefix_of(path, POSITIONS) == "" for path in visible(place.spatial)
    ):
        return {}
    inside = [path for path in visible(place.spatial) if path.is_dir()]
    parts = (*SCALE_FACTORS, *POSITIONS)
    return {path.name: path for path in inside if any(pick(visible(path), "", (key,)) for key in parts)}


def _numbers(around: list[Path], folders: Mapping[str, Path]) -> dict[str, int]:
    """Return the number of each library, by the table that the run was made from or its scale factors."""
    table = next((path for path in around if prefix_of(path, TABLE) is not None), None)
    if table is not None:
        return {name: at + 1 for at, name in enumerate(_read_names(table))}
    numbers = {}
    for name, folder in folders.items():
        factors = read_scale_factors(pick(visible(folder), "", SCALE_FACTORS))
        if factors.library_number is None:
            raise SampleError(
                f"{folder} does not say which number its barcodes end in; copy aggregation.csv of the "
                f"same run into {folder.parent.parent}"
            )
        numbers[name] = factors.library_number
    return numbers


def _read_names(table: Path) -> list[str]:
    with refusing_damage(table), open_text(table) as file:
        rows = [row for row in csv.reader(file, strict=True) if row]
    head = [name.strip().lower() for name in rows[0]] if rows else []
    column = next((head.index(name) for name in NAME_COLUMNS if name in head), None)
    if column is None or len(rows) < 2 or any(len(row) <= column for row in rows):
        raise SampleError(f"{table} names no libraries; expected a column {NAME_COLUMNS[0]}")
    return [row[column].strip() for row in rows[1:]]


def _before(path: Path, keys: tuple[str, ...]) -> str:
    return prefix_of(path, keys) or ""
