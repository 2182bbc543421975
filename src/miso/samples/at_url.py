"""Samples of a cohort at a URL, by way of copies on this machine, and where their label sets lie there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from miso.errors import CohortError
from miso.launch.ahead import map_ahead
from miso.samples.sample import Sample, open_sample
from miso.storage.remote import shown
from miso.storage.store import below, fetch, published

AT_A_TIME: Final = 4
"""Samples that are fetched at a time."""
NAMED: Final = 5
"""Folders that a note names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Samples that were fetched, and the folders beside them that were left alone, having no record."""

    samples: list[Sample]
    left: list[str]

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what was left alone."""
        return (f"{_listed(self.left)} left out: half written, without a record",) if self.left else ()


def fetch_samples(url: str, cache: Path, only: Sequence[str] = (), labels: str | None = None) -> Fetched:
    """Fetch the Samples below a URL that have a record, all or those of some names, into a cache.

    Parameters
    ----------
    labels
        A label set that is fetched too, of the Samples that have it.

    Raises
    ------
    CohortError
        If there is none, or none of that name.
    StorageError
        If the store does not answer.
    """
    whole, left = below(url)
    if not whole:
        half = f"; {_listed(left)} without a record (.miso.json), half written" if left else ""
        raise CohortError(f"no Samples at {shown(url)}{half} (miso process-cohort --out writes them there)")
    if unknown := [name for name in only if name not in whole]:
        half = ", half written" if unknown[0] in left else ""
        raise CohortError(f"no sample {unknown[0]!r} at {shown(url)}{half}; there are {', '.join(whole)}")

    def get(name: str) -> Sample:
        copy = fetch(f"{url.rstrip('/')}/{name}", cache)
        place = labels and labels_url(url, name, labels)
        there = place and published(place) is not None
        return open_sample(copy, labels=fetch(place, cache).parent if place and there else None)

    samples = list(map_ahead(get, only or whole, workers=AT_A_TIME))
    for name, sample in zip(only or whole, samples, strict=True):
        if sample.name != name:
            raise CohortError(f"{shown(url)}/{name} calls itself {sample.name!r}; expected the folder's name")
    return Fetched(samples=samples, left=left)


def labels_url(url: str, sample: str, name: str) -> str:
    """Where a label set of a Sample lies: beside the Samples, so that these stay as they are."""
    return f"{url.rstrip('/')}/.labels/{sample}/{name}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more} {'is' if len(names) == 1 else 'are'}"
