"""What each epoch of a fold's training came to: a line an epoch in a table, written as it goes."""

import csv
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

FILE = "history.csv"
COLUMNS = ("phase", "epoch", "loss", "score")


@dataclass(frozen=True, slots=True)
class History:
    """The table of a fold.

    Columns are the phase of the training; the epoch, from 1 on; the mean loss over its items, as it was in
    training; and the score on what was left out, empty where nothing was. A training that is killed and
    goes on does some epochs again, to the same numbers: the last line of an epoch counts.
    """

    file: Path

    def add(self, phase: str, epoch: int, loss: float, score: float | None) -> None:
        """Write a line."""
        new = not self.file.exists()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(COLUMNS)
            writer.writerow((phase, epoch, f"{loss:.6g}", "" if score is None else f"{score:.6g}"))

    def read(self) -> pd.DataFrame:
        """Return a row a phase and epoch; no rows where there is no table.

        Raises
        ------
        ValueError
            If the file is damaged.
        """
        if not self.file.is_file():
            return pd.DataFrame(columns=list(COLUMNS))
        table = pd.read_csv(
            self.file, usecols=list(COLUMNS), dtype={"epoch": int, "loss": float, "score": float}
        )
        return table.drop_duplicates(["phase", "epoch"], keep="last", ignore_index=True)
