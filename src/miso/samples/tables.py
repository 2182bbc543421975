"""Tables of a Sample beside its counts, a row a spot: cell types, proteins, pathway scores; each a target."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from miso.errors import CohortError, SampleError
from miso.samples.sample import Sample
from miso.storage import write_path

FOLDER, NAME = "tables", re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Values by spot (in the Sample's order) and column, and their units; NaN in a spot that has no row."""

    values: pd.DataFrame
    units: str

    @property
    def lacking(self) -> list[str]:
        """Spots without a row: nothing is learnt or scored there."""
        return list(self.values.index[self.values.isna().all(axis=1)])


def add_table(
    sample: Sample, name: str, values: pd.DataFrame, units: str, *, allow_missing: bool = False
) -> bool:
    """Keep a table beside a Sample's counts; its index are the spots' barcodes, in any order.

    Spots without a row, or with an empty one, are kept as such (`Table.lacking`): tools that deconvolve leave
    out spots of poor quality.

    Parameters
    ----------
    allow_missing
        Whether more than half of the spots may lack, which mostly means other barcodes.

    Returns
    -------
    Whether it was written: the same table already there is left alone.

    Raises
    ------
    SampleError
        If it lacks too many spots, holds something else than finite numbers, names a spot or column twice, or
        another table has the name.
    """
    if not NAME.fullmatch(name):
        raise SampleError(f"a table's name is letters, digits, '_', '-' and '.', not {name!r}")
    spots = sample.adata.obs_names
    values = values.set_axis(values.index.astype(str)).set_axis(values.columns.astype(str), axis=1)
    for what, index in (("spot", values.index), ("column", values.columns)):
        if index.has_duplicates:
            raise SampleError(f"the table names the {what} {index[index.duplicated()][0]!r} twice")
    values = values.dropna(how="all")
    lacking = spots.difference(values.index, sort=False)
    if len(lacking) == len(spots) or (2 * len(lacking) > len(spots) and not allow_missing):
        raise SampleError(
            f"{len(lacking)} of {len(spots)} spots of {sample.name!r} have no row in the table "
            f"(first: {lacking[0]!r}); its first column holds barcodes like {values.index[:1].tolist()}"
            + ("" if len(lacking) == len(spots) else "; pass --allow-missing if they are to lack")
        )
    ordered = _numbers(values.loc[spots.intersection(values.index, sort=False)]).reindex(spots)
    ordered.attrs["units"] = units
    if name in sample.adata.obsm or name in table_names(sample):
        held = open_table(sample, name)
        if held.units == units and held.values.equals(ordered):
            return False
        raise SampleError(f"sample {sample.name!r} has another table {name!r}; choose another name")
    with write_path(_file(sample, name)) as temporary:
        ordered.to_parquet(temporary)
    return True


def table_names(sample: Sample) -> list[str]:
    """Tables that came with the section, and those added since."""
    added = (path.stem for path in (sample.path / FOLDER).glob("*.parquet"))
    return sorted({*sample.own_tables, *added})


def open_table(sample: Sample, name: str) -> Table:
    """Open a table.

    Raises
    ------
    CohortError
        If there is none of that name, or it is damaged.
    """
    held, file = sample.adata.obsm.get(name), _file(sample, name)
    if isinstance(held, pd.DataFrame):
        return Table(values=_numbers(held), units=f"as measured ({name})")
    if not NAME.fullmatch(name) or not file.is_file():
        there = ", ".join(table_names(sample)) or "none"
        raise CohortError(
            f"sample {sample.name!r} has no table {name!r} (there: {there}); see miso add-table"
        )
    try:
        found = pd.read_parquet(file)
    except (OSError, ValueError) as err:
        raise CohortError(f"{file} is damaged; remove it and add the table again") from err
    if list(found.index) != list(sample.adata.obs_names):
        raise CohortError(f"{file} is of other spots than the Sample; remove it and add the table again")
    return Table(values=found, units=str(found.attrs.get("units", "as given")))


def _numbers(values: pd.DataFrame) -> pd.DataFrame:
    try:
        numbers = values.astype(np.float32)
    except (TypeError, ValueError) as err:
        raise SampleError(f"the table holds something else than numbers: {err}") from err
    bad = ~np.isfinite(numbers.to_numpy())
    if bad.any():
        row, column = (int(index[0]) for index in np.nonzero(bad))
        raise SampleError(
            f"{int(bad.sum())} values of the table are missing or infinite "
            f"(first: spot {numbers.index[row]!r}, column {numbers.columns[column]!r})"
        )
    return numbers


def _file(sample: Sample, name: str) -> Path:
    return sample.path / FOLDER / f"{name}.parquet"
