"""Tables that users give to batches: CSV with a header, a row a unit; paths are relative to the table."""

import csv
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from miso.errors import ConfigError
from miso.registry import unknown
from miso.storage import write_path
from miso.storage.remote import is_url
from miso.untrusted.names import is_file_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of a table: its cells, stripped, by column."""

    table: Path
    line: int
    cells: Mapping[str, str]

    def wrong(self, what: str) -> ConfigError:
        """Say what is wrong with it."""
        return ConfigError(f"{self.table} line {self.line}: {what}")

    def place(self, column: str) -> str | None:
        """Return a path, or a URL as it is; None for an empty cell."""
        text = self.cells.get(column)
        if not text:
            return None
        return text if is_url(text) else str((self.table.parent / text).absolute())

    def number(self, column: str) -> float | None:
        """Return a number; None for an empty cell."""
        text = self.cells.get(column)
        try:
            return float(text) if text else None
        except ValueError as err:
            raise self.wrong(f"{column} is {text!r}, which is no number") from err

    def name(self, otherwise: str, taken: Container[str]) -> str:
        """Return what the unit is called: its name, or else the stem of what lies in another column."""
        name = self.cells.get("name") or Path(self.cells[otherwise].rstrip("/")).stem
        if name in taken:
            raise self.wrong(f"two rows are named {name!r}; give each its own name")
        if not is_file_name(name):
            raise self.wrong(f"{ascii(name)[:60]} cannot be the name of a file")
        return name


def read_table(file: Path, columns: Sequence[str], required: str) -> Iterator[Row]:
    """Yield the rows of a table.

    Raises
    ------
    ConfigError
        If it cannot be read, has no rows, an unknown column or a row of another length, or lacks a cell.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            reader = csv.DictReader(opened, restkey="", strict=True)
            rows = [(reader.line_num, cells) for cells in reader]
    except FileNotFoundError as err:
        raise ConfigError(f"no table at {file}; it is a CSV with the columns {', '.join(columns)}") from err
    except (OSError, UnicodeDecodeError, csv.Error) as err:
        raise ConfigError(f"{file} cannot be read as CSV: {err}") from err
    if not rows:
        raise ConfigError(f"{file} has no rows; it is a CSV with the columns {', '.join(columns)}")
    for column in reader.fieldnames or ():
        if column not in columns:
            raise ConfigError(f"{file}: {unknown('column', column, list(columns))}")
    for line, cells in rows:
        if "" in cells or None in cells.values():
            raise ConfigError(f"{file} line {line} has another number of cells than the header")
        row = Row(table=file, line=line, cells={column: cell.strip() for column, cell in cells.items()})
        if not row.cells.get(required):
            raise row.wrong(f"there is no {required}")
        yield row


def keep_rest(
    file: Path, columns: Sequence[str], rows: Sequence[Mapping[str, object]], tried: Container[str]
) -> None:
    """Write the rows that are still to be done as a table.

    Where there are none, an earlier table is removed if all its rows are among those that were `tried`.
    """
    if not rows:
        if file.is_file() and all(
            row.cells.get("name") in tried for row in read_table(file, columns, "name")
        ):
            file.unlink()
    elif file.parent.is_dir():
        with write_path(file) as temporary, temporary.open("w", newline="", encoding="utf-8") as opened:
            writer = csv.DictWriter(opened, columns, restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
