"""Gene lists: read from text or CSV, and found (or not) in the Samples of a cohort."""

import csv
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Literal

from miso.errors import CohortError

Missing = Literal["error", "drop", "mask"]
HER2ST_PANEL = "her2st_panel"
"""The 785 genes of the HER2ST benchmark (Wang et al., Nature Communications 2025)."""


def read_gene_list(source: str) -> list[str]:
    """Read gene symbols: the first column of a text or CSV file, or the product's own panel by name.

    Raises
    ------
    CohortError
        If there is no such file, or it names no gene or one twice.
    """
    if source == HER2ST_PANEL:
        text = (files("miso.assets") / "her2st_panel.txt").read_text()
    elif Path(source).is_file():
        text = _read_text(Path(source))
    else:
        raise CohortError(
            f"no gene list at {source!r}; give a text or CSV file with one symbol a line, or {HER2ST_PANEL!r}"
        )
    rows = (row[0].strip() for row in csv.reader(text.splitlines()) if row)
    genes = [gene for gene in rows if gene and gene.lower() not in {"gene", "genes", "symbol", "gene_name"}]
    if not genes:
        raise CohortError(f"the gene list {source!r} names no gene")
    twice = sorted({gene for gene in genes if genes.count(gene) > 1})
    if twice:
        raise CohortError(f"the gene list {source!r} names {', '.join(twice[:5])} twice")
    return genes


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # Excel marks its CSV files
    except UnicodeDecodeError as err:
        raise CohortError(f"the gene list {str(path)!r} is no text; give one symbol a line") from err


def choose_genes(
    wanted: list[str] | None, available: Mapping[str, Iterable[str]], missing: Missing
) -> list[str]:
    """Return the genes that a cohort is trained on.

    Parameters
    ----------
    wanted
        The panel; None takes all genes that every Sample has.
    available
        Genes of each Sample, by its name.
    missing
        What to do with a gene that some Sample lacks: refuse a panel that names one, drop it, or keep it and
        learn it from the Samples that have it ("mask": without a panel, the union of all genes).

    Raises
    ------
    CohortError
        If the panel matches nothing, lacks genes that may not be dropped, or no gene is shared at all.
    """
    sets = {name: set(genes) for name, genes in available.items()}
    shared = (set.union if missing == "mask" else set.intersection)(*sets.values())
    if wanted is None:
        if not shared:
            raise CohortError(
                f"no gene is in every sample ({', '.join(sorted(sets))}); are they of one species and kind?"
            )
        every = dict.fromkeys(gene for genes in available.values() for gene in genes)
        return [gene for gene in every if gene in shared]
    kept = [gene for gene in wanted if gene in shared]
    if not kept:
        example = next(iter(next(iter(sets.values()))), "none")
        raise CohortError(
            f"none of the {len(wanted)} genes of the panel (first: {wanted[0]!r}) is in every sample "
            f"(which have genes like {example!r}); are these symbols of the same species and kind?"
        )
    absent = [gene for gene in wanted if gene not in shared]
    if absent and missing == "error":
        lacking = next(name for name, genes in sets.items() if absent[0] not in genes)
        raise CohortError(
            f"{len(absent)} of {len(wanted)} panel genes are not in every sample "
            f"(first: {absent[0]!r}, not in {lacking!r}); set cohort.missing=drop to leave them out"
        )
    return kept
