"""Mapping a slide with a run: which folds may speak, and where the slide's resolution comes from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from miso.errors import ConfigError, MisoError, SlideError
from miso.launch.provenance import fingerprint
from miso.maps import ExpressionMap, load
from miso.maps.as_trained import slide_in_cohort
from miso.maps.predictor import Predictor
from miso.maps.regions import read_regions, region_mask
from miso.reports.map_page import page_of, write_map_page
from miso.slides import Slide, open_slide
from miso.training.device import choose_device
from miso.units import Resolution
from miso.verbs.console import tell, track

WORTH_SAYING = 0.02
"""Share of a map: one tile in a hundred of any slide is unlike training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapOptions:
    """What `super-resolve` says of every slide; see `miso.maps.super_resolve`.

    `report` says whether a page is written beside each map.
    """

    genes: tuple[str, ...] | None = None
    seams: str | None = None
    stride: int | None = None
    passes: int | None = None
    tissue: str = "detect"
    std: bool = True
    device: str = "auto"
    in_sample: bool = False
    report: bool = True

    def __post_init__(self) -> None:
        if self.tissue not in ("detect", "all"):
            raise ConfigError(f"--tissue is 'detect' or 'all', not {self.tissue!r}")


class Mapper:
    """A run and its encoder, loaded once for any number of slides."""

    def __init__(self, run: Path | str, options: MapOptions) -> None:
        self.options = options
        self.predictor = load(run)
        self._encoder = self.predictor.load_encoder(choose_device(options.device))

    def map(
        self, slide: Path, out: Path, *, mpp: float | None = None, region: Path | None = None
    ) -> ExpressionMap:
        """Map a slide file; a slide of the run's own cohort is mapped by the folds that held it out.

        Beside the map goes its page, unless the options say otherwise.
        """
        made = self.map_band(slide, out, (0, 1), mpp=mpp, region=region)
        assert made is not None
        return made

    def map_band(
        self,
        slide: Path,
        out: Path,
        band: tuple[int, int],
        *,
        mpp: float | None = None,
        region: Path | None = None,
    ) -> ExpressionMap | None:
        """Map one of several bands of a slide (index, count); None while others are not finished."""
        options = self.options
        if region and options.tissue != "detect":
            raise ConfigError("--region maps what lies in it, whatever is there; leave --tissue out")
        if not slide.exists():
            raise SlideError(f"no image at {slide}")
        regions = read_regions(region) if region else ()
        with _open(self.predictor, slide, fingerprint(slide), mpp) as opened:
            how: dict[str, Any] = {
                "in_sample": options.in_sample,
                "genes": options.genes,
                "seams": options.seams,
                "stride_px": options.stride,
                "passes": options.passes,
                "tissue": region_mask(regions, opened.size_px, opened.mpp) if regions else options.tissue,
                "std": options.std,
                "track": track,
            }
            made = (
                self.predictor.super_resolve(opened, out, self._encoder, **how)
                if band[1] == 1
                else self.predictor.super_resolve(opened, out, self._encoder, band=band, **how)
            )
        if options.report and made is not None:
            _report(made, self.predictor)
        return made


def _report(made: ExpressionMap, predictor: Predictor) -> None:
    """Write the page of a map; the map is not lost because its page cannot be written."""
    page = page_of(made.path)
    try:
        if write_map_page(made, page, predictor.reliability):
            tell(f"look at {made.path.name}: {page}")
    except (MisoError, OSError) as err:
        tell(f"no page of {made.path.name} was written: {err}")


def unlike_training(made: ExpressionMap) -> str:
    """Say how much of a map, or whether the whole slide, is unlike training; empty where nothing is."""
    novelty, words = made.novelty, []
    if novelty is not None and (seen := np.isfinite(novelty)).any():
        share = float((novelty[seen] > 1).mean())
        if share >= WORTH_SAYING:
            words.append(f"{share:.1%} of the map lies in tiles unlike those of training (novelty above 1)")
    if made.slide_novelty is not None and made.slide_novelty > 1:
        words.append(
            f"the slide itself lies {made.slide_novelty:.1f} times as far from the training slides as any of "
            "them from the others: read the map with care"
        )
    return "; ".join(words)


def _open(predictor: Predictor, path: Path, print_of: str, mpp: float | None) -> Slide:
    known = slide_in_cohort(predictor.first, print_of)
    if known is None:
        return open_slide(path, mpp)
    name, record = known
    speaking = [c for c in predictor.checkpoints if name in c.held_out]
    who = f"mapped by {len(speaking)} fold(s) that held it out" if speaking else "which every fold has seen"
    tell(
        f"{path.name} is section {name} of the run's cohort, {who}; "
        f"{record['mpp']:.4g} µm/px ({record['source']})"
    )
    return open_slide(path, mpp or Resolution(mpp=record["mpp"], source=record["source"]))
