"""Slide area against time and peak memory of `miso rewrite-slide` and of `miso super-resolve`."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyvips
from numpy.typing import NDArray

from growth.child import command
from growth.plan import Plan
from growth.rows import Row, Rows
from growth.student import write_student
from miso.encoders import load_encoder
from miso.phantom import PhantomSpec, write_her2st
from miso.slides import open_slide
from miso.slides.rewrite import write_pyramid
from pyramids import CROP_PX, SOURCES, darkest_square, mirrored

AXIS, PYRAMID, MAP, MPP = "area", "pyramid", "map", 0.5
Pixels = NDArray[np.uint8]


def measure_area(plan: Plan, rows: Rows, work: Path) -> None:
    """Measure what is not measured yet; commands are run whole, their start of a few seconds included."""
    sizes = {
        PYRAMID: f"phantom tissue of {plan.texture_um:g} µm mirrored",
        MAP: f"phantom tissue of {plan.texture_um:g} µm mirrored, stain, {plan.map_genes} genes, every tile",
    }
    works = [(PYRAMID, side, rewritten) for side in plan.pyramid_sides]
    works += [(MAP, side, mapped) for side in plan.map_sides]
    todo = [each for each in works if rows.lacks(AXIS, each[0], each[1] ** 2, sizes[each[0]])]
    if not todo:
        return
    crop = texture(plan, work)
    for what, side, do in todo:
        with TemporaryDirectory(dir=work) as folder:
            rows.measure(AXIS, what, side**2, sizes[what], partial(do, plan, crop, side, Path(folder)))


def texture(plan: Plan, work: Path) -> Pixels:
    """Draw a phantom section and take its densest part, or all of it where it is small."""
    spec = PhantomSpec(seed=3, n_patients=1, n_sections=1, size_um=plan.texture_um)
    image = write_her2st(spec, work / f"texture_{plan.texture_um:g}") / "images" / "HE" / "A1.jpg"
    drawn = pyvips.Image.new_from_file(str(image))
    whole = min(drawn.width, drawn.height) < CROP_PX + 1000  # room for a choice in steps of 500 px
    return np.asarray((drawn if whole else darkest_square(drawn)).numpy())


def rewritten(plan: Plan, crop: Pixels, side: int, folder: Path) -> Row:
    """Rewrite a flat TIFF as a pyramid."""
    flat = mirrored(crop, folder / "flat.tif", (side, side), SOURCES["strips"])
    figures = command(f"rewrite-slide --path-slide {flat} --mpp {MPP} --path-output-folder {folder / 'out'}")
    return {**figures, "written_kb": _written_kb(folder / "out")}


def mapped(plan: Plan, crop: Pixels, side: int, folder: Path) -> Row:
    """Map a pyramid with a student of random weights, every tile of it."""
    slide, out = pyramid_of(crop, side, folder), folder / "map.zarr"
    run = write_student(load_encoder("stain"), plan.map_genes, folder / "student")
    figures = command(
        f"super-resolve {run} --slide {slide} --mpp {MPP} --tissue all --device cpu --no-report --out {out}"
    )
    return {**figures, "written_kb": _written_kb(out)}


def pyramid_of(crop: Pixels, side: int, folder: Path) -> Path:
    """Write a square slide, a pyramid as `miso rewrite-slide` makes it."""
    flat, slide = mirrored(crop, folder / "flat.tif", (side, side), SOURCES["strips"]), folder / "slide.tif"
    with open_slide(flat, MPP) as opened:
        write_pyramid(opened, slide)
    flat.unlink()
    return slide


def _written_kb(folder: Path) -> float:
    return round(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e3, 1)
