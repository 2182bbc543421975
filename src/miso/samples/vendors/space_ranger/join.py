"""Which barcodes of a count matrix lie where: matched by name, and everything left out counted."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int
from numpy.typing import NDArray

from miso.errors import AlignmentError
from miso.samples.vendors.space_ranger.positions import Positions

SUFFIX = r"-\d+$"
"""The number of the library, which some tools cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The barcodes of a matrix that become spots, and for each of those its row of the positions."""

    kept: Bool[NDArray[np.bool_], " barcode"]
    position: Int[NDArray[np.int64], " spot"]
    notes: list[str]


def join(
    positions: Positions,
    barcodes: pa.Array,
    counts_name: str,
    *,
    raw: bool,
    mine: Bool[NDArray[np.bool_], " barcode"] | None = None,
) -> Joined:
    """Match the barcodes of a matrix with positions, and keep the spots in tissue.

    Parameters
    ----------
    raw
        Whether the matrix counts spots off the tissue as a matter of course.
    mine
        The barcodes of the library in question, where the matrix counts several.

    Raises
    ------
    AlignmentError
        If nothing matches, or no spot in tissue has counts.
    """
    if mine is not None:
        part = join(positions, barcodes.filter(pa.array(mine)), counts_name, raw=raw)
        kept = np.zeros(len(mine), dtype=bool)
        kept[np.flatnonzero(mine)] = part.kept
        return replace(part, kept=kept)
    at, notes = _match(positions, barcodes)
    matched = at >= 0
    if not matched.any():
        counted = repr(barcodes[0].as_py()) if len(barcodes) else "no barcode"
        raise AlignmentError(
            f"no barcode of {counts_name!r} has a position in {positions.path.name!r} (counts are of "
            f"barcodes like {counted}, positions of {positions.barcodes[0].as_py()!r}); "
            "are they of one sample?"
        )
    inside = np.zeros(len(at), dtype=bool)
    inside[matched] = positions.in_tissue[at[matched]]
    in_tissue = int(positions.in_tissue.sum())
    if not inside.any():
        raise AlignmentError(
            f"none of the {in_tissue} spots in tissue of {positions.path.name!r} has counts in "
            f"{counts_name!r}; are they of one sample?"
        )
    n_kept = int(inside.sum())
    off_tissue = int(matched.sum()) - n_kept
    if raw:
        notes.append("counts are those of the raw matrix, of its spots in tissue")
    for number, sentence in (
        (int((~matched).sum()), "of {} barcodes with counts have no position and were left out"),
        (0 if raw else off_tissue, "of {} barcodes with counts lie off the tissue and were left out"),
    ):
        if number:
            notes.append(f"{number} {sentence.format(len(at))}")
    if in_tissue - n_kept:
        notes.append(f"{in_tissue - n_kept} of {in_tissue} spots in tissue have no counts and were left out")
    return Joined(kept=inside, position=at[inside], notes=notes)


def _match(positions: Positions, barcodes: pa.Array) -> tuple[NDArray[np.int64], list[str]]:
    """Return the position of each barcode, −1 for none; without the libraries' numbers if only that fits."""
    at = _index(barcodes, positions.barcodes)
    if (at >= 0).any():
        return at, []
    plain, placed = (
        pc.replace_substring_regex(names, SUFFIX, "") for names in (barcodes, positions.barcodes)
    )
    unique = all(len(pc.unique(names)) == len(names) for names in (plain, placed))
    bare = _index(plain, placed)
    if unique and ((bare >= 0).all() or np.isin(np.flatnonzero(positions.in_tissue), bare).all()):
        counted, lying = barcodes[0].as_py(), positions.barcodes[0].as_py()
        return bare, [f"barcodes were matched without their number (counts {counted}, positions {lying})"]
    return at, []


def _index(names: pa.Array, among: pa.Array) -> NDArray[np.int64]:
    found = pc.fill_null(pc.index_in(names, value_set=among), -1)
    return np.asarray(found, dtype=np.int64)
