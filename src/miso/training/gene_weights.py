"""How much each gene counts in the loss: weights ≥ 0 of any scale, from a file or from counts."""

import csv
import hashlib
import warnings
from collections.abc import Callable, Sequence
from math import isfinite
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from miso.errors import ConfigError, MisoError
from miso.samples import Cohort, Sample
from miso.samples.targets import Target, Values, dense_counts
from miso.scores.ceiling import reliability

Weights = Float[NDArray[np.float64], " gene"]
RELIABILITY = "reliability"
"""The choice that asks the training sections' counts."""
AT_ONCE = 1024
"""Genes that are split into halves together."""


def gene_weights(source: str, cohort: Cohort, train: Sequence[str], seed: int = 0) -> Weights:
    """Return the weight of each gene of a cohort.

    Parameters
    ----------
    source
        A CSV or TSV file with the columns `gene` and `weight`, or `reliability`: the share of a gene's
        variance that is not counting noise (`miso.scores.ceiling.reliability`, below 0 taken for 0), mean
        over the training sections where it is defined; 0 where it is nowhere.
    train
        Names of the training samples; no other counts are looked at.

    Raises
    ------
    ConfigError
        If the file does not fit the cohort's genes, all weights are 0, or the target is no counts.
    """
    if source != RELIABILITY:
        return _of_file(Path(source), cohort.genes)
    each = np.stack([_of_counts(cohort.samples[name], cohort, seed) for name in train])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of genes that are defined nowhere
        weights = np.nan_to_num(np.nanmean(each.clip(min=0), axis=0))
    if not weights.any():
        raise ConfigError(
            "gene_weights=reliability: no gene of the training samples varies beyond counting noise; "
            "leave gene_weights out"
        )
    return np.asarray(weights)


def weights_fingerprint(source: str, cohort: Cohort) -> str:
    """Name the content of a choice of weights, and refuse what cannot be before any training.

    Raises
    ------
    ConfigError
        As `gene_weights` does.
    """
    if source != RELIABILITY:
        return hashlib.sha256(_of_file(Path(source), cohort.genes).tobytes()).hexdigest()[:16]
    _transform(cohort.target)
    return RELIABILITY


def ignored_genes(source: str, genes: Sequence[str]) -> list[str]:
    """Genes that a file of weights names and a cohort does not predict."""
    known = set(genes)
    return [] if source == RELIABILITY else [gene for gene in _read(Path(source)) if gene not in known]


# ---- of a file


def _of_file(path: Path, genes: Sequence[str]) -> Weights:
    found = _read(path)
    lacking = [gene for gene in genes if gene not in found]
    if lacking:
        raise ConfigError(
            f"{len(lacking)} of {len(genes)} genes have no weight in {path} (first: {lacking[0]!r}); "
            "give each a row, 0 for one that is not to count"
        )
    weights = np.array([found[gene] for gene in genes])
    if not weights.any():
        raise ConfigError(
            f"{path} gives every gene that is predicted the weight 0; at least one has to count"
        )
    return weights


def _read(path: Path) -> dict[str, float]:
    """Read weights by gene, of all rows."""
    if not path.is_file():
        raise ConfigError(
            f"no file at {path}; gene_weights is a CSV or TSV with gene and weight, or {RELIABILITY!r}"
        )
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()  # Excel marks its CSV files
    except UnicodeDecodeError as err:
        raise ConfigError(f"{path} is no text; gene_weights is a CSV or TSV with gene and weight") from err
    separator = max(",\t;", key=(lines or [""])[0].count)
    rows = csv.DictReader(lines, delimiter=separator, skipinitialspace=True)
    if not {"gene", "weight"} <= set(rows.fieldnames or ()):
        named = ", ".join(rows.fieldnames or ()) or "nothing"
        raise ConfigError(f"the first line of {path} names {named}; gene_weights needs gene and weight")
    weights: dict[str, float] = {}
    for row in rows:
        gene = (row["gene"] or "").strip()
        if gene in weights:
            raise ConfigError(f"{path} names the gene {gene!r} twice; keep one of its weights")
        weights[gene] = _number(path, gene, row["weight"])
    return weights


def _number(path: Path, gene: str, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not isfinite(value) or value < 0:
        raise ConfigError(f"{path}: the weight of {gene!r} is {text or ''!r}; a weight is a number ≥ 0")
    return value


# ---- of counts


def _of_counts(sample: Sample, cohort: Cohort, seed: int) -> Weights:
    """Reliability of each gene on one section; NaN where it is undefined or the gene was not measured."""
    with sample.briefly() as adata:
        own = [index for index, gene in enumerate(cohort.genes) if gene in adata.var_names]
        total = np.asarray(adata.X.sum(axis=1), dtype=np.float32).reshape(-1)
        found = np.full(len(cohort.genes), np.nan)
        for part in (own[start : start + AT_ONCE] for start in range(0, len(own), AT_ONCE)):
            counts = dense_counts(adata, [cohort.genes[index] for index in part])
            try:
                found[part] = reliability(counts, total, _transform(cohort.target), seed=seed)
            except MisoError as err:
                raise ConfigError(f"gene_weights=reliability, sample {sample.name!r}: {err}") from err
    return found


def _transform(target: Target) -> Callable[[Values, Values], Values]:
    if target.transform is None:
        raise ConfigError(
            f"gene_weights=reliability splits molecules, and target={target.name} is a table; give a file"
        )
    return target.transform
