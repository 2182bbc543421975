"""What a map says of itself: genes and units, geometry in level-0 pixels, the slide, and how it was made."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any, Self

from miso.geometry import Raster
from miso.launch.provenance import fingerprint
from miso.slides.slide import Slide
from miso.untrusted.names import is_gene_name

SCHEMA = 1
"""Version of the layout on disk."""
LATER = ("has_std", "has_novelty", "grades", "calibration", "slide_novelty")
"""What maps of earlier versions do not say."""
INCIDENTAL = {"miso_version", "written"}
"""Provenance that does not make another map of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideRecord:
    """The slide under a map: where it lay, (width, height) in px, µm per px and their source."""

    name: str
    path: str
    size_px: tuple[int, int]
    mpp: float
    mpp_source: str
    fingerprint: str

    @classmethod
    def of(cls, slide: Slide) -> Self:
        """Describe an open slide."""
        return cls(
            name=slide.path.name,
            path=str(slide.path.resolve()),
            size_px=slide.size_px,
            mpp=slide.mpp,
            mpp_source=slide.resolution.source,
            fingerprint=fingerprint(slide.path),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MapHeader:
    """Everything of a map but its values; `pitch_um` is the side of a cell, `raster` where the cells lie.

    `grades` says by gene how far cross-validation bears it out, and `calibration` how wide intervals about
    spots are, where the models knew; `slide_novelty` how far the slide lies from those of training (beyond 1:
    farther than any of them from the others).
    """

    genes: tuple[str, ...]
    units: str
    pitch_um: float
    raster: Raster
    slide: SlideRecord
    provenance: Mapping[str, Any]
    has_std: bool = False
    has_novelty: bool = False
    grades: Mapping[str, str] = field(default_factory=dict)
    calibration: Mapping[str, Any] | None = None
    slide_novelty: float | None = None

    @property
    def how_made(self) -> str:
        """How the windows of the map met, in a few words."""
        made = self.provenance
        tile, window, stride = made.get("tile"), made.get("window_px"), made.get("stride_px")
        tile_px = tile.get("size_px") if isinstance(tile, dict) else window
        passes = "1 pass" if (n := made.get("passes", 1)) == 1 else f"{n} shifted passes"
        if stride is None or tile_px is None:
            return "predicted"
        if window is not None and window != tile_px:
            return f"windows of {window} px, {passes}"
        if stride != tile_px:
            return f"stride {stride} px"
        return "tiles side by side" if n == 1 else passes

    def to_json(self) -> dict[str, Any]:
        """Return plain lists, numbers and strings."""
        step = self.raster.step_px
        header = {
            "schema": SCHEMA,
            "genes": self.genes,
            "units": self.units,
            "pitch_um": self.pitch_um,
            "origin_xy": self.raster.origin_xy,
            "step_xy": (step, step),
            "shape": self.raster.shape,
            "slide": asdict(self.slide),
            "provenance": dict(self.provenance),
            "has_std": self.has_std,
            "has_novelty": self.has_novelty,
            "grades": dict(self.grades),
            "calibration": self.calibration,
            "slide_novelty": self.slide_novelty,
        }
        plain: dict[str, Any] = json.loads(json.dumps(header))
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            Where it is something else.
        """
        if data["schema"] != SCHEMA:
            raise ValueError(f"its layout has version {data['schema']}, this MISO reads version {SCHEMA}")
        (x, y), (step, _), (rows, columns) = data["origin_xy"], data["step_xy"], data["shape"]
        slide = data["slide"]
        odd = [gene for gene in data["genes"] if not is_gene_name(gene)]
        if odd:
            raise ValueError(f"it calls a gene {ascii(odd[0])[:40]}")
        if not all(_is_number(number) for number in (x, y, step, data["pitch_um"], slide["mpp"])):
            raise ValueError("its places and sizes are no numbers")
        if not (step > 0 and data["pitch_um"] > 0 and slide["mpp"] > 0):
            raise ValueError("its sizes are not above 0")
        return cls(
            genes=tuple(data["genes"]),
            units=data["units"],
            pitch_um=data["pitch_um"],
            raster=Raster(origin_xy=(x, y), step_px=step, shape=(rows, columns)),
            slide=SlideRecord(**{**slide, "size_px": tuple(slide["size_px"])}),
            provenance=data["provenance"],
            **{name: data[name] for name in LATER if name in data},
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def essentials(header: MapHeader) -> dict[str, Any]:
    """Keep what two equal maps share; where the slide lies and when the map was made do not count."""
    data = header.to_json()
    slide = {key: data["slide"][key] for key in ("size_px", "mpp", "fingerprint")}
    made = {key: value for key, value in data["provenance"].items() if key not in INCIDENTAL}
    kept = {
        key: data[key] for key in ("genes", "units", "pitch_um", "origin_xy", "step_xy", "shape", "has_std")
    }
    return {**made, **kept, "slide": slide}
