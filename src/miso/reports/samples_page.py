"""The page of Samples: where a section's resolution is from, how spots lie on it, depth and quality."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from miso.errors import MisoError
from miso.reports.histogram import Histogram, histogram
from miso.reports.picture import Picture, colored, ramp, read_picture
from miso.reports.section import GOOD, Section, look_at
from miso.reports.skeleton import check_ours, identity, is_made_of, render, write_page
from miso.reports.spot_picture import REASON_COLORS, colors_of_reasons, draw_spots
from miso.samples import Sample, open_sample
from miso.samples.sample import MANIFEST, TOTAL

PAGE, TEMPLATE = "report.html", "samples.html"
ALIGNMENT_PX, ALIGNMENT_BYTES, ALL_BYTES, LEAST_BYTES = 1400, 300_000, 6_000_000, 20_000
"""Longer side and bytes of an alignment picture; bytes of all of them; what each may have however many."""
COLUMNS = {
    TOTAL: "molecules a spot",
    "n_genes": "genes a spot",
    "pct_counts_mt": "mitochondrial, % of a spot",
    "tissue_share": "tissue, share of a tile",
    "sharpness": "sharpness of a tile",
}
WORTH_SAYING = 0.1
"""From this share of spots off good tissue on, a section is pointed out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A section that the page has no Sample of: what became of it, and why."""

    name: str
    state: str
    reason: str


def samples_in(folder: Path) -> tuple[list[Sample], list[Absent]]:
    """Open every Sample of a folder, by name; what cannot be opened is named beside them."""
    samples, damaged = [], []
    for file in sorted(folder.glob(f"*/{MANIFEST}")):
        if file.parent.name.startswith("."):
            continue
        try:
            samples.append(open_sample(file.parent))
        except MisoError as err:
            damaged.append(Absent(name=file.parent.name, state="damaged", reason=str(err)))
    return samples, damaged


def write_samples_page(
    page: Path, samples: Sequence[Sample], absent: Sequence[Absent] = (), *, title: str
) -> bool:
    """Write the page, unless there is one of the very same; return whether it was written.

    Raises
    ------
    ConfigError
        If another file is in its place.
    """
    about = {"samples": [sample.manifest for sample in samples], "absent": [asdict(one) for one in absent]}
    made_of = identity(TEMPLATE, {"title": title, **about})
    if is_made_of(page, made_of):
        return False
    check_ours(page)
    sections, missing = _look_at_all(samples)
    write_page(page, _render(title, sections, [*absent, *missing], made_of))
    return True


def _look_at_all(samples: Sequence[Sample]) -> tuple[list[Section], list[Absent]]:
    sections, missing = [], []
    for sample in samples:
        try:
            sections.append(look_at(sample))
        except MisoError as err:
            missing.append(Absent(name=sample.name, state="damaged", reason=str(err)))
    return sections, missing


def _render(title: str, sections: Sequence[Section], absent: Sequence[Absent], made_of: str) -> str:
    budget = min(ALIGNMENT_BYTES, max(ALL_BYTES // max(len(sections), 1), LEAST_BYTES))
    return render(
        TEMPLATE,
        made_of,
        title=title,
        sections=[_section(index, section, budget) for index, section in enumerate(sections)],
        patients=sorted({section.sample.patient for section in sections}),
        spots=sum(section.spots for section in sections),
        alike=_alike(sections),
        absent=absent,
        ramp=ramp(),
    )


def _section(index: int, section: Section, budget: int) -> dict[str, Any]:
    sample, resolution = section.sample, section.sample.manifest["resolution"]
    counts, limits = _counts(section)
    return {
        "anchor": f"section-{index}",
        "name": sample.name,
        "patient": sample.patient,
        "layout": sample.manifest.get("layout", "–"),
        "mpp": resolution["mpp"],
        "mpp_source": resolution["source"],
        "facts": section,
        "doubt": _doubt(section),
        "alignment": read_picture(sample.path / "alignment.png", ALIGNMENT_PX, budget),
        "counts": counts,
        "limits": limits,
        "reasons": _reasons(section),
        "reason_picture": _reason_picture(section),
        "histograms": _histograms(section),
        "settings": section.settings.items(),
    }


def _doubt(section: Section) -> str:
    """Name what most of the spots off good tissue show, where these are many."""
    bad = {reason: n for reason, n in section.reasons.items() if reason != GOOD}
    if not bad or 1 - section.on_tissue < WORTH_SAYING:
        return ""
    worst = max(bad, key=lambda reason: bad[reason])
    return f"{sum(bad.values())} of {section.spots} spots lie off good tissue, most of them on: {worst}"


def _counts(section: Section) -> tuple[Picture | None, tuple[float, float]]:
    values = section.column(TOTAL)
    if not section.spots or not np.isfinite(values).any():
        return None, (np.nan, np.nan)
    colors, limits = colored(values)
    return _drawn(section, colors), limits


def _reason_picture(section: Section) -> Picture | None:
    """Draw what tiles show, where they do not all show tissue."""
    if set(section.reasons) <= {GOOD}:
        return None
    return _drawn(section, colors_of_reasons(section.obs["reason"].astype(str).to_list()))


def _drawn(section: Section, colors: Any) -> Picture:
    sample = section.sample
    return draw_spots(
        section.center_xy,
        sample.spot_diameter_um / sample.mpp,
        colors,
        mpp=sample.mpp,
        square=sample.square_spots,
    )


def _reasons(section: Section) -> list[dict[str, Any]]:
    return [
        {"name": name, "spots": section.reasons[name], "color": color}
        for name, color in REASON_COLORS.items()
        if name in section.reasons
    ]


def _histograms(section: Section) -> list[Histogram]:
    drawn = (histogram(title, section.column(name)) for name, title in COLUMNS.items())
    return [found for found in drawn if found is not None]


def _alike(sections: Sequence[Section]) -> dict[str, str]:
    """Return what decides how sections were made, and whether they all were made alike."""
    tiles = [section.sample.grid.tile for section in sections]
    said = {
        "encoder": [s.sample.encoder_id for s in sections],
        "tiles of": [f"{tile.size_px} px at {tile.mpp:.3g} µm/px" for tile in tiles],
        "stain": [str(s.sample.stain["method"]) for s in sections],
        "processed by miso": [str(s.sample.manifest.get("miso_version", "–")) for s in sections],
    }
    return {title: " or ".join(sorted(set(values))) for title, values in said.items() if values}
