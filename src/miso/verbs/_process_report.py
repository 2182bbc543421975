"""The pages that the `process-*` commands leave: of a Sample in its folder, of a cohort beside Samples."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from miso.errors import MisoError
from miso.launch import RunReport
from miso.reports.samples_page import PAGE, Absent, samples_in, write_samples_page
from miso.samples import Sample
from miso.samples.sample import MANIFEST
from miso.verbs.console import tell

MOST_SECTIONS = 500
"""Of a page: each takes some 60 kB of it, and a browser has to hold them all."""


def report_sample(sample: Sample) -> None:
    """Write the page of one Sample into its folder."""
    _write(sample.path / PAGE, [sample], [], sample.name)


def report_cohort(
    dataset: Path, out: Path, report: RunReport, sections: Sequence[str], lacking: Mapping[str, Sequence[str]]
) -> None:
    """Write the page of all Samples in `out`, and of the dataset's sections that have none there.

    Parameters
    ----------
    sections, lacking
        The dataset's sections that can be processed, and what others lack.
    """
    if (many := sum(1 for _ in out.glob(f"*/{MANIFEST}"))) > MOST_SECTIONS:
        tell(f"{many} Samples are too many for one page; miso inspect {out} lists them")
        return
    samples, damaged = samples_in(out)
    if not samples:
        return
    failed = {outcome.unit: outcome.message for outcome in report.having("failed")}
    there = {sample.path.name for sample in samples} | {one.name for one in damaged}
    absent = [
        Absent(name=name, state="failed" if name in failed else "not processed", reason=failed.get(name, "–"))
        for name in sections
        if name not in there
    ]
    absent += [
        Absent(name=name, state="left out", reason=f"no {', no '.join(of)}") for name, of in lacking.items()
    ]
    _write(out / PAGE, samples, [*absent, *damaged], dataset.resolve().name)


def _write(page: Path, samples: Sequence[Sample], absent: Sequence[Absent], title: str) -> None:
    """Write a page; Samples are not lost because their page cannot be written."""
    try:
        if write_samples_page(page, samples, absent, title=title):
            tell(f"look at {title}: {page}")
    except (MisoError, OSError) as err:
        tell(f"no page of {title} was written: {err}")
