"""The matrix of single probes of a probe-based assay: several probes a gene, some not to be counted."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from miso.phantom.cohort import Section
from miso.phantom.layouts.features import GENE, with_features
from miso.phantom.layouts.layout import Delivery
from miso.phantom.layouts.matrices import GENOME, Column, write_attributes, write_matrix

PROBE_SET = "Phantom Transcriptome Probe Set"
STRAY_MEAN = 2.0
"""Mean molecules that a spot catches with each probe that is filtered out."""
BACKGROUND_MEAN = 0.2
"""Mean molecules that a site off the tissue catches with each probe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """Probes, one a place: id and name of its gene, region, and whether it passed the filter."""

    gene: list[int] = field(default_factory=list)
    gene_ids: list[str] = field(default_factory=list)
    gene_names: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    regions: list[str] = field(default_factory=list)
    kept: list[bool] = field(default_factory=list)

    def add(self, gene: int, gene_id: str, symbol: str, *, kept: bool) -> None:
        """Add a probe of a gene; one that is not kept may belong to a gene that was withdrawn."""
        number = len(self.ids)
        tag = hashlib.md5(f"{gene_id}{number}".encode(), usedforsecurity=False).hexdigest()[:7]
        withdrawn = not kept and number % 2 == 1
        whole_id = f"DEPRECATED_{gene_id}" if withdrawn else gene_id
        self.gene.append(gene)
        self.gene_ids.append(whole_id)
        self.gene_names.append(whole_id if withdrawn else symbol)
        self.ids.append(f"{whole_id}|{symbol}|{tag}")
        self.names.append(f"{symbol}|{tag}")
        self.regions.append("spliced" if number % 3 else "unspliced")
        self.kept.append(kept)


def write_probes(path: Path, section: Section, delivery: Delivery, *, software: str, chemistry: str) -> None:
    """Write `raw_probe_bc_matrix.h5`: every site of the array, but the spots that were lost."""
    features, counts = with_features(section, delivery)
    genes = np.array(features.kinds) == GENE
    probes = _design(np.array(features.ids)[genes], np.array(features.names)[genes])
    rng = delivery.chance(section.name + "/probes")
    found = _on_sites(rng, section, _by_probe(rng, counts[:, genes], probes))
    present = np.ones(len(section.sites), dtype=bool)
    present[section.on_tissue] = section.counted
    order = np.flatnonzero(present)[np.argsort(section.sites.names[present])]
    with h5py.File(path, "w") as file:
        write_attributes(file, software=software, chemistry=chemistry, library=section.name)
        columns: dict[str, Column] = {
            "feature_type": [GENE] * len(probes.ids),
            "filtered_probes": np.array(probes.kept),
            "gene_id": probes.gene_ids,
            "gene_name": probes.gene_names,
            "genome": [GENOME] * len(probes.ids),
            "id": probes.ids,
            "name": probes.names,
            "probe_region": probes.regions,
        }
        barcodes = section.sites.names[order]
        matrix = write_matrix(file, barcodes, csr_array(found[order].astype(np.int32)), columns)
        matrix.create_dataset("filtered_barcodes", data=section.on_tissue[order], compression="gzip")
        kept = np.flatnonzero(probes.kept).astype(np.uint32)
        matrix["features"].create_group("target_sets").create_dataset(PROBE_SET, data=kept)


def _design(ids: NDArray[np.str_], symbols: NDArray[np.str_]) -> Probes:
    """One to three probes a gene, and a stray one for every other gene."""
    probes = Probes()
    for gene, (gene_id, symbol) in enumerate(zip(ids.tolist(), symbols.tolist(), strict=True)):
        for _ in range(1 + gene % 3):
            probes.add(gene, gene_id, symbol, kept=True)
        if gene % 2 == 0:
            probes.add(gene, gene_id, symbol, kept=False)
    return probes


def _by_probe(rng: np.random.Generator, counts: NDArray[np.int64], probes: Probes) -> NDArray[np.int64]:
    """Share out every gene's molecules among its kept probes; stray probes catch molecules of their own."""
    gene, kept = np.array(probes.gene), np.array(probes.kept)
    found = rng.poisson(STRAY_MEAN, (len(counts), len(gene)))
    for index in range(counts.shape[1]):
        own = np.flatnonzero((gene == index) & kept)
        found[:, own] = rng.multinomial(counts[:, index], np.full(len(own), 1 / len(own)))
    return found


def _on_sites(rng: np.random.Generator, section: Section, found: NDArray[np.int64]) -> NDArray[np.int64]:
    sites = rng.poisson(BACKGROUND_MEAN, (len(section.sites), found.shape[1]))
    sites[section.on_tissue] = found
    return sites
