"""What is looked at: one slide, maps over it, spots on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miso.errors import MapError, SampleError
from miso.launch.provenance import stamp
from miso.maps import ExpressionMap, open_map
from miso.maps.colors import lookup
from miso.slides import Slide, open_slide
from miso.units import Resolution, in_px
from miso.view.map_tiles import TILE, MapTiles
from miso.view.slide_tiles import TILE_PX, SlideTiles
from miso.view.spots import Spots, open_spots

COLORMAPS = {"viridis": "viridis", "cividis": "cividis", "magma": "magma", "grey": "gray"}
"""Their names here, and matplotlib's; all but the last are read by colour-blind people as by others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A slide and what lies on it, ready to be cut into tiles."""

    slide: SlideTiles
    maps: tuple[MapTiles, ...]
    spots: tuple[Spots, ...]
    gene: str | None = None

    def described(self, *, live: bool) -> dict[str, Any]:
        """Say what there is, as the page reads it from `scene.json`."""
        slide = self.slide.slide
        width, height = slide.size_px
        return {
            "version": stamp()["miso_version"],
            "live": live,
            "slide": {
                "name": slide.path.name,
                "width": width,
                "height": height,
                "mpp": slide.mpp,
                "mpp_source": slide.resolution.source,
                "tile": TILE_PX,
                "levels": self.slide.n_levels,
            },
            "maps": [_of_map(tiles) for tiles in self.maps],
            "samples": [_of_spots(spots, slide.mpp) for spots in self.spots],
            "colormaps": {name: lookup(source).tobytes().hex() for name, source in COLORMAPS.items()},
            "start": {"map": 0 if self.maps else None, "gene": self.gene},
        }


def open_scene(
    slide: Path,
    maps: Sequence[Path] = (),
    spots: Sequence[Path] = (),
    mpp: float | None = None,
    genes: Sequence[str] = (),
) -> Scene:
    """Open a slide with what lies on it.

    The µm per pixel are the caller's, or else those of a map, of a Sample, or of the slide's tags. `genes`
    selects those of the maps that are shown; the first is shown at the beginning.

    Raises
    ------
    SlideError, MapError, SampleError
        If something cannot be opened, or lies on a slide of another size.
    """
    opened, found = [open_map(path) for path in maps], [open_spots(path) for path in spots]
    if genes:
        opened = [map_.select(genes) for map_ in opened]
    seen = open_slide(slide, mpp if mpp is not None else _resolution(opened, found))
    seen.resolution  # noqa: B018  says so if nobody knows
    _check(seen, opened, found)
    return Scene(
        slide=SlideTiles(seen),
        maps=tuple(MapTiles(map_) for map_ in opened),
        spots=tuple(found),
        gene=genes[0] if genes else None,
    )


def _resolution(maps: Sequence[ExpressionMap], spots: Sequence[Spots]) -> Resolution | None:
    for map_ in maps:
        record = map_.header.slide
        return Resolution(mpp=record.mpp, source=record.mpp_source)
    return next((each.resolution for each in spots if each.resolution is not None), None)


def _check(slide: Slide, maps: Sequence[ExpressionMap], spots: Sequence[Spots]) -> None:
    """Refuse what was made on a slide of another size: it would lie in the wrong places."""
    for map_ in maps:
        if (size := map_.header.slide.size_px) != slide.size_px:
            raise MapError(
                f"map {map_.path.name!r} was made on a slide of {in_px(size)}, {slide.path.name!r} has "
                f"{in_px(slide.size_px)}; pass the slide that was mapped, {map_.header.slide.name!r}"
            )
    for each in spots:
        if each.slide_px is not None and each.slide_px != slide.size_px:
            raise SampleError(
                f"sample {each.name!r} lies on a slide of {in_px(each.slide_px)}, {slide.path.name!r} has "
                f"{in_px(slide.size_px)}; pass the Sample of this slide"
            )


def _of_map(tiles: MapTiles) -> dict[str, Any]:
    map_, header = tiles.map, tiles.map.header
    return {
        "name": map_.path.stem,
        "units": map_.units,
        "pitch_um": map_.pitch_um,
        "origin_xy": list(map_.origin_xy),
        "step_px": map_.raster.step_px,
        "shape": list(map_.raster.shape),
        "tile": TILE,
        "levels": len(tiles.shapes),
        "genes": list(map_.genes),
        "grades": {gene: grade for gene, grade in map_.grades.items() if gene in map_},
        "has_std": map_.std_values is not None,
        "has_novelty": map_.novelty_values is not None,
        "slide_novelty": map_.slide_novelty,
        "about": [
            ["windows", header.how_made],
            ["cells", f"{map_.pitch_um:.3g} µm"],
            ["encoder", str(header.provenance.get("encoder", "unknown"))],
            ["slide", f"{header.slide.name}, {header.slide.mpp:.4g} µm/px ({header.slide.mpp_source})"],
            ["made", f"MISO {header.provenance.get('miso_version')}, {header.provenance.get('written')}"],
        ],
    }


def _of_spots(spots: Spots, mpp: float) -> dict[str, Any]:
    return {
        "name": spots.name,
        "kind": spots.kind,
        "units": spots.units,
        "genes": list(spots.genes),
        "spots": len(spots.names),
        "spot_px": spots.spot_um / mpp,
        "square": spots.square,
    }
