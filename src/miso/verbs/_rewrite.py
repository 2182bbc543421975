"""Rewriting one slide as a pyramid in a folder: skipped when the same is there, and whole or absent."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from miso.errors import ConfigError, MisoError, SlideError
from miso.launch.progress import Track, silent
from miso.launch.provenance import differences, fingerprint, stamp
from miso.slides import Slide, open_slide
from miso.slides.record import read_record, write_record
from miso.slides.resolution import choose_resolution
from miso.slides.rewrite import DEFAULT_QUALITY, DEFAULT_TILE_PX, write_pyramid
from miso.slides.tiff import is_tiff, read_pages
from miso.storage import write_path
from miso.units import Resolution
from miso.verbs.console import tell, track

OR_ELSE = " or --path-visium (its Space Ranger folder)"
TILE_MULTIPLE = 16
"""The sides of TIFF tiles are multiples of this."""


def rewrite_slide(
    source: Path,
    target: Path,
    resolution: Resolution,
    *,
    quality: int = DEFAULT_QUALITY,
    lossless: bool = False,
    tile_px: int = DEFAULT_TILE_PX,
    track: Track = silent,
) -> bool:
    """Write `source` as a tiled pyramidal BigTIFF under the name `target`, whole or not at all.

    Returns
    -------
    Whether it was made now, rather than found there as it would be made.

    Raises
    ------
    SlideError
        If the source cannot be read, or something else is at `target`.
    ConfigError
        If a setting is impossible.
    """
    if not 1 <= quality <= 100 or tile_px < TILE_MULTIPLE or tile_px % TILE_MULTIPLE:
        raise ConfigError(
            f"quality {quality}, tiles of {tile_px} px: a quality is 1 to 100, a tile a multiple of 16 px"
        )
    if source.is_dir() and not any(source.glob("*.dcm")):
        raise SlideError(f"{source} is a folder; pass one image file")
    with open_slide(source, resolution) as slide:
        if target.exists() and target.samefile(slide.path):
            raise SlideError(f"{source} would be written over itself; choose another output folder")
        settings = _settings(slide, quality, lossless, tile_px)
        if _already_there(target, settings):
            return False
        record = {
            "settings": settings,
            "source": slide.path.name,
            "resolution": {"mpp": resolution.mpp, "source": resolution.source},
            **stamp(),
        }
        with write_path(target) as temporary:
            write_pyramid(
                slide,
                temporary,
                quality=quality,
                lossless=lossless,
                tile_px=tile_px,
                description=write_record(record),
                track=track,
            )
    return True


def rewrite_into(
    image: Path,
    folder: Path,
    *,
    mpp: float | None,
    path_visium: Path | None,
    quality: int,
    lossless: bool,
) -> Path:
    """Write `<stem>_pyr.tif` into a folder, and tell what was done and where the resolution came from."""
    target = folder / f"{image.stem}_pyr.tif"
    with open_slide(image) as slide:
        tagged = slide.resolution if slide.has_resolution else None
        spatial = [] if path_visium is None else _ask_folder(slide, path_visium)
        resolution, doubts = choose_resolution(mpp, spatial, tagged, image.name, "--mpp", OR_ELSE)
    for doubt in doubts:
        tell(f"warning: {doubt}")
    made = rewrite_slide(image, target, resolution, quality=quality, lossless=lossless, track=track)
    with open_slide(target) as slide:
        width, height = slide.size_px
        tell(
            f"{target}{'' if made else ' (already there)'}: {width} × {height} px in {len(slide.levels)} "
            f"levels, {target.stat().st_size / 1e6:.3g} MB, {resolution}"
        )
    return target


def _ask_folder(slide: Slide, folder: Path) -> list[Resolution]:
    """Ask a Space Ranger folder in a process of its own: pandas and anndata take more than 100 MB."""
    with ProcessPoolExecutor(1, get_context("spawn")) as apart:
        return apart.submit(_from_folder, slide.size_px, slide.path.name, folder).result()


def _from_folder(size_px: tuple[int, int], image_name: str, folder: Path) -> list[Resolution]:
    """Read what a Space Ranger folder says, once sure that its spots were placed on an image of this size."""
    from miso.samples.guard import check_image_size
    from miso.samples.vendors.space_ranger.folder import read_spatial

    spatial = read_spatial(folder)
    check_image_size(size_px, image_name, spatial)
    return list(spatial.resolutions)


def _settings(slide: Slide, quality: int, lossless: bool, tile_px: int) -> dict[str, Any]:
    return {
        "input": fingerprint(slide.path),
        "size_px": list(slide.size_px),
        "mpp": float(f"{slide.mpp:.6g}"),
        "codec": "deflate" if lossless else f"JPEG quality {quality}",
        "tile_px": tile_px,
    }


def _already_there(target: Path, settings: dict[str, Any]) -> bool:
    if not target.exists():
        return False
    advice = "remove it or choose another output folder"
    try:
        with open_slide(target):  # says if it is cut off
            record = read_record(read_pages(target)[0].description) if is_tiff(target) else None
    except MisoError as err:
        raise SlideError(f"{target} is there, but {err}; {advice}") from err
    if record is None or not isinstance(found := record.get("settings"), dict):
        raise SlideError(f"{target} is there and was not written by miso rewrite-slide; {advice}")
    if differing := differences(found, settings):
        raise SlideError(f"{target} was made otherwise: {'; '.join(differing)}; {advice}")
    return True
