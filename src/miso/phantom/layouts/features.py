"""What a section's matrix holds: molecules of features (genes with two names, antibodies) by barcode."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray
from scipy.sparse import csr_array

from miso.phantom.cohort import Section
from miso.phantom.genes import VISIBLE
from miso.phantom.layouts.layout import Delivery

GENE, ANTIBODY = "Gene Expression", "Antibody Capture"
ANTIBODIES = 3
"""Antibodies against the products of the first genes; one that binds nothing comes behind them."""
TWIN_SHARE = 0.3
"""Share of a gene's molecules that its second id gets."""
NULL_ID = 1000
"""Ids of invisible genes count from here."""

Counts = Int[NDArray[np.int64], "spot feature"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Features, one a place: identifier, name and type."""

    ids: tuple[str, ...]
    names: tuple[str, ...]
    kinds: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A count matrix: `counts` has a row a barcode and a column a feature."""

    barcodes: NDArray[np.str_]
    features: Features
    counts: csr_array


def ensembl_id(symbol: str) -> str:
    """Make up an identifier of a phantom gene; it does not depend on which other genes there are."""
    known = [name for name, _ in VISIBLE]
    number = known.index(symbol) + 1 if symbol in known else NULL_ID + int(symbol.removeprefix("NULL"))
    return f"ENSG99{number:09d}"


def measure(section: Section, delivery: Delivery) -> Measured:
    """Gather the counted spots of a section, sorted by barcode as vendors do."""
    features, counts = with_features(section, delivery)
    barcodes = section.spots.names[section.counted]
    order = np.argsort(barcodes)
    return Measured(
        barcodes=barcodes[order],
        features=features,
        counts=csr_array(counts[section.counted][order].astype(np.int32)),
    )


def with_features(section: Section, delivery: Delivery) -> tuple[Features, Counts]:
    """Name the features, and count them on every spot; with `extra_features` there are more than genes."""
    symbols, counts = section.truth.genes, section.counts
    ids = tuple(map(ensembl_id, symbols))
    genes = Features(ids=ids, names=symbols, kinds=(GENE,) * len(ids))
    return (
        _with_extras(genes, counts, delivery.chance(section.name))
        if delivery.extra_features
        else (genes, counts)
    )


def _with_extras(genes: Features, counts: Counts, rng: np.random.Generator) -> tuple[Features, Counts]:
    """Share the first symbol's molecules with a second id of that symbol, and add antibodies."""
    twin = rng.binomial(counts[:, 0], TWIN_SHARE)
    own = counts.copy()
    own[:, 0] -= twin
    bound = counts[:, :ANTIBODIES]
    caught = rng.poisson(np.column_stack([20 + 5 * bound, np.full(len(counts), 8)]))
    antibodies = (*(f"{symbol}.1" for symbol in genes.names[:ANTIBODIES]), "mouse_IgG2a")[-caught.shape[1] :]
    features = Features(
        ids=(*genes.ids, genes.ids[0].replace("ENSG99", "ENSG98"), *antibodies),
        names=(*genes.names, genes.names[0], *antibodies),
        kinds=(*genes.kinds, GENE, *(ANTIBODY,) * len(antibodies)),
    )
    return features, np.column_stack([own, twin, caught])
