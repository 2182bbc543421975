"""Published figures of the HER2ST benchmark: mean Pearson r by model and gene set, and their sources."""

import csv
from dataclasses import dataclass
from importlib.resources import files

CAVEAT = (
    "Published figures are quoted, not reproduced: each model was scored against its own target (MISO "
    "against raw counts), on the benchmark's 36 sections of 8 patients. "
    "Runs beside them may be of other sections, folds and targets: this is a landmark, and no ranking."
)
GENE_SETS = {"all": "all_785", "hvg_30": "hvg_30", "svg_40": "svg_40"}
"""Our name of a gene set, and the column that holds the published figure of the like one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedModel:
    """One model's published figures.

    Attributes
    ----------
    pearson
        By our name of a gene set, the mean over genes of the per-section Pearson r.
    source
        Who says so.
    """

    model: str
    pearson: dict[str, float]
    source: str


def read_published() -> list[PublishedModel]:
    """Read the figures that come with the package, best first."""
    text = (files("miso.assets") / "her2st_published.csv").read_text()
    models = [
        PublishedModel(
            model=row["model"],
            pearson={name: float(row[column]) for name, column in GENE_SETS.items()},
            source=row["source"],
        )
        for row in csv.DictReader(text.splitlines())
    ]
    return sorted(models, key=lambda model: -model.pearson["all"])
