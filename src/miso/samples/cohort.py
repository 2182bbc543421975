"""Samples that are learnt from together: one encoder, one gene list, one target."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from miso.errors import CohortError
from miso.samples.at_url import fetch_samples
from miso.samples.genes import Missing, choose_genes, read_gene_list
from miso.samples.sample import MANIFEST, Sample, open_sample
from miso.samples.targets import Target, find_target, target_columns
from miso.storage.fetched import cache_folder
from miso.storage.remote import local_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Samples by name, the genes that are predicted, their counts' target, and what was left out."""

    samples: dict[str, Sample]
    genes: list[str]
    target: Target
    wanted: int
    missing: Missing = "error"
    notes: tuple[str, ...] = ()

    @property
    def patients(self) -> dict[str, str]:
        """The patient of each sample."""
        return {name: sample.patient for name, sample in self.samples.items()}


def open_cohort(
    path: Path | str,
    *,
    genes: str | None = None,
    also: Sequence[str] = (),
    missing: Missing = "error",
    target: str = "raw",
    only: Sequence[str] = (),
    labels: str | None = None,
    cache: Path | None = None,
) -> Cohort:
    """Open a folder of Samples, or those at a URL (`s3://…`), which are fetched.

    Parameters
    ----------
    path
        A folder whose sub-folders are Samples, or a URL that Samples were published below.
    genes
        A gene list (see `read_gene_list`); None takes all genes that every Sample has.
    also
        Genes added to that list.
    missing
        "error", "drop" or "mask": what to do with genes that some Sample lacks (see `choose_genes`).
    target
        Name of the target: a transform of counts, or a table that every Sample has (see `find_target`).
    only
        Names of the samples to take; empty takes all.
    labels, cache
        Of Samples at a URL: the label set that is fetched with them, and the folder of copies, which stay
        there while the originals are the same.

    Raises
    ------
    CohortError
        If there is no Sample, encoders or tiles differ, or the genes do not fit.
    StorageError
        If a URL cannot be read.
    """
    notes: tuple[str, ...] = ()
    if (folder := local_path(str(path))) is not None:
        samples = _open_all(folder, only)
    else:
        found = fetch_samples(str(path), cache_folder(cache), only, labels)
        samples, notes = {sample.name: sample for sample in found.samples}, found.notes
    encoders = {sample.encoder_id for sample in samples.values()}
    if len(encoders) > 1:
        raise CohortError(
            f"the samples in {path} come from different encoders: {', '.join(sorted(encoders))}"
        )
    _check_tiles(samples)
    _check_stain(samples)
    wanted = list(dict.fromkeys([*read_gene_list(genes), *also])) if genes else None
    what = find_target(target, list(samples.values()))
    there = {name: target_columns(sample, what) for name, sample in samples.items()}
    chosen = choose_genes(wanted, there, missing)
    n_wanted = len(wanted or chosen)
    return Cohort(samples=samples, genes=chosen, target=what, wanted=n_wanted, missing=missing, notes=notes)


def _check_tiles(samples: dict[str, Sample]) -> None:
    """Refuse tiles that differ in size, or by 5 % in resolution: every slide's level has its own."""
    first, *others = samples.values()
    for other in others:
        ours, theirs = first.grid.tile, other.grid.tile
        if ours.size_px != theirs.size_px or max(ours.mpp, theirs.mpp) > 1.05 * min(ours.mpp, theirs.mpp):
            raise CohortError(
                f"tiles differ: {ours.size_px} px at {ours.mpp:.4g} µm/px in {first.name!r}, "
                f"{theirs.size_px} px at {theirs.mpp:.4g} µm/px in {other.name!r}; process them alike"
            )


def _check_stain(samples: dict[str, Sample]) -> None:
    first, *others = samples.values()
    for other in others:
        if other.stain != first.stain:
            ours, theirs = (sample.stain["method"] for sample in (first, other))
            what = f"{ours} and {theirs}" if ours != theirs else f"two references of {ours}"
            raise CohortError(
                f"{first.name!r} and {other.name!r} were brought to different stains ({what}); "
                "process them with the same --stain-norm and --stain-reference"
            )


def _open_all(path: Path, only: Sequence[str]) -> dict[str, Sample]:
    if not path.is_dir():
        raise CohortError(
            f"no folder at {path}; cohort.path is a folder of Samples (miso process-her2st writes one)"
        )
    folders = sorted(
        file.parent for file in path.glob(f"*/{MANIFEST}") if not file.parent.name.startswith(".")
    )
    if not folders:
        raise CohortError(
            f"no Samples in {path}: none of its folders has a {MANIFEST} (miso process-her2st writes them)"
        )
    samples: dict[str, Sample] = {}
    for folder in folders:
        sample = open_sample(folder)
        if sample.name in samples:
            raise CohortError(f"{sample.path} and {samples[sample.name].path} are both named {sample.name!r}")
        samples[sample.name] = sample
    if unknown := [name for name in only if name not in samples]:
        raise CohortError(f"no sample {unknown[0]!r} in {path}; there are {', '.join(sorted(samples))}")
    return {name: samples[name] for name in only} if only else samples
