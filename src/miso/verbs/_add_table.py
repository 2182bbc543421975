"""Tables of numbers that people keep as text."""

from pathlib import Path

import pandas as pd

from miso.errors import SampleError


def read_numbers(path: Path) -> pd.DataFrame:
    """Read a CSV or TSV whose first column names the rows.

    Raises
    ------
    SampleError
        If there is no such file, or it is no table.
    """
    if not path.is_file():
        raise SampleError(f"no table at {path}")
    try:
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline()
        separator = max(",\t;", key=header.count)
        found = pd.read_csv(path, sep=separator, index_col=0, encoding="utf-8-sig")
    except (ValueError, UnicodeDecodeError, pd.errors.ParserError) as err:
        said = " ".join(str(err).split())
        raise SampleError(f"{path.name!r} is no table with barcodes in its first column: {said}") from err
    if not len(found.columns):
        raise SampleError(f"{path.name!r} has no values beside its first column, which holds barcodes")
    return found
