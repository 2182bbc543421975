"""Tables for spreadsheets: text that a spreadsheet would run as a formula is marked as text."""

import re

import pandas as pd

FORMULA = re.compile(r"\s*[=+\-@]|[\t\r\n]")
"""How a formula begins, for one spreadsheet or another (OWASP, CSV injection)."""
BREAKS = re.compile(r"[\r\n]+")
"""What ends a row, for some readers even where no quotes stand about it."""


def plain_cell(value: object) -> object:
    """Put an apostrophe before text that begins like a formula, on one line; numbers stay what they are."""
    if not isinstance(value, str):
        return value
    return ("'" if FORMULA.match(value) else "") + BREAKS.sub(" ", value)


def plain_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts, and whose names of rows and columns, no spreadsheet runs."""
    tame = table.copy(deep=False)
    for at, dtype in enumerate(table.dtypes):
        if not pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype):
            tame.isetitem(at, [plain_cell(value) for value in table.iloc[:, at]])
    return tame.rename(index=plain_cell, columns=plain_cell)
