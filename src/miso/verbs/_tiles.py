"""The tiles of a slide by what they show, as a table and as a picture."""

from pathlib import Path

from miso.geometry import TileSpec
from miso.maps.plot_tiles import plot_tiles
from miso.slides import open_slide
from miso.slides.quality import assess_tiles, cover
from miso.storage import write_path
from miso.verbs.console import tell


def write_tiles(path: Path, mpp: float | None, table: Path | None, picture: Path | None) -> None:
    """Assess tiles of 224 px at 0.5 µm/px laid side by side over a slide, and write what is asked for."""
    with open_slide(path, mpp) as slide:
        side_px = TileSpec().side_on(slide.mpp)
        corners = cover(slide, side_px)
        tiles = assess_tiles(slide, corners, side_px)
        counts = tiles["reason"].value_counts()
        tell(", ".join(f"{reason} {number}" for reason, number in counts.items() if number))
        if table is not None:
            tiles.insert(0, "x", corners[:, 0])
            tiles.insert(1, "y", corners[:, 1])
            with write_path(table) as temporary:
                tiles.to_csv(temporary, index=False, float_format="%.6g")
            tell(f"{table}: x and y are top-left corners in level-0 px, {side_px:.6g} px a side")
        if picture is not None:
            plot_tiles(slide, corners, side_px, tiles["reason"], picture)
            tell(f"{picture}")
