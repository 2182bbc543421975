"""Time, peak memory, size and fidelity of `rewrite-slide` on 20,000 × 20,000 px of dense tissue.

The slide is mirrored from the densest 2,500 px of the HER2ST sections. Each rewriting is a process of its
own, Python and imports included. The same run measures a writer that holds the whole image in memory (numpy
and tifffile with imagecodecs, where they are installed), which ratios are taken of, and plain libvips at
quality 90: that took 6.0 s on the machine where the original's writer was timed, which tells how fast this
one is. Wall times need an idle machine; sources are in the page cache.

    .venv/bin/python benchmarks/pyramids.py --data her2st-download --work work [--large]
"""

import argparse
import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pyvips
from numpy.typing import NDArray

from miso.slides import open_slide
from miso.verbs.console import number, show_table, tell

MPP, CROP_PX = 0.5, 2500
SIZE_PX, LARGE_PX, TALL_PX = (20_000, 20_000), (40_000, 40_000), (20_000, 80_000)
REGIONS, REGION_PX = 40, 512
Pixels = NDArray[np.uint8]
SOURCES: dict[str, dict[str, Any]] = {
    "strips": {"compression": "none"},
    "LZW strips": {"compression": "lzw", "predictor": "horizontal"},
    "deflate strips": {"compression": "deflate", "predictor": "horizontal", "level": 1},
    "JPEG strips": {"compression": "jpeg", "Q": 95},
}
ORIGINAL = {"wall_s": [17.6, 19.3], "peak_mib": 3990 * 1e6 / 2**20}
"""The original MISO's writer on another machine, where plain libvips took `PLAIN_S`."""
PLAIN_S = 6.0
REWRITE = """
import sys
from pathlib import Path
from miso.units import Resolution
from miso.verbs._rewrite import rewrite_slide
source, out, mpp, lossless = sys.argv[1:]
resolution = Resolution(mpp=float(mpp), source="--mpp")
rewrite_slide(Path(source), Path(out), resolution, lossless=lossless == "True")
"""
LIBVIPS = """
import sys
import pyvips
source, out, mpp, _ = sys.argv[1:]
per_mm = 1000 / float(mpp)
tiled = {"tile": True, "tile_width": 256, "tile_height": 256, "pyramid": True, "bigtiff": True}
pyvips.Image.new_from_file(source, access="sequential").tiffsave(
    out, compression="jpeg", Q=90, xres=per_mm, yres=per_mm, resunit="cm", **tiled)
"""
IN_MEMORY = """
import sys
import numpy as np
import tifffile
source, out, mpp, _ = sys.argv[1:]
image = tifffile.imread(source)
kind = {"photometric": "rgb", "tile": (256, 256), "compression": "jpeg", "compressionargs": {"level": 90}}
with tifffile.TiffWriter(out, bigtiff=True) as tiff:
    scale = 1
    while True:
        per_cm = 1e4 / float(mpp) / scale
        tiff.write(image, subfiletype=scale > 1, maxworkers=2,
                   resolution=(per_cm, per_cm), resolutionunit="CENTIMETER", **kind)
        if max(image.shape) <= 256:
            break
        rows, columns = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
        total = np.full((rows // 2, columns // 2, 3), 2, dtype=np.uint16)
        for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
            total += image[y:rows:2, x:columns:2]
        total //= 4
        image, scale = total.astype(np.uint8), scale * 2
"""
MEASURED = """
import json, resource, time
from memory import peak_mib
begun = time.monotonic()
{work}
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({{"wall_s": time.monotonic() - begun, "cpu_s": used.ru_utime + used.ru_stime,
                  "peak_mib": peak_mib()}}))
"""
RESULTS = Path(__file__).parent / "results" / "pyramids.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of HER2ST with sections C2 to C5")
    parser.add_argument("--work", type=Path, required=True, help="folder for temporary files, up to 12 GB")
    parser.add_argument("--large", action="store_true", help="four times the pixels too, wide and tall")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    crop = dense_crop(sorted((args.data / "images" / "HE").glob("*.jpg")))
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        rows = [row for name in SOURCES for row in run(crop, Path(folder), SIZE_PX, name)]
        for size_px in (LARGE_PX, TALL_PX) if args.large else ():
            rows += run(crop, Path(folder), size_px, "strips")
    show(rows)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(
        json.dumps({"cores": os.cpu_count(), "original_another_run": ORIGINAL, "rows": rows}, indent=1) + "\n"
    )


def dense_crop(images: list[Path]) -> Pixels:
    """Cut the darkest square out of each section, and take the one that JPEG finds hardest."""
    squares = [darkest_square(pyvips.Image.new_from_file(str(image))) for image in images]
    return np.asarray(max(squares, key=lambda square: len(square.jpegsave_buffer(Q=90))).numpy())


def darkest_square(section: pyvips.Image) -> pyvips.Image:
    grey = section.colourspace("b-w").shrink(500, 500).numpy()
    span = CROP_PX // 500
    windows = np.lib.stride_tricks.sliding_window_view(grey[:-1, :-1], (span, span)).mean(axis=(2, 3))
    row, column = np.unravel_index(np.argmin(windows), windows.shape)
    return section.crop(int(column) * 500, int(row) * 500, CROP_PX, CROP_PX)


def run(crop: Pixels, folder: Path, size_px: tuple[int, int], name: str) -> list[dict[str, Any]]:
    """Rewrite one source, of the first kind in every way."""
    needed, free = 2.5 * 3 * size_px[0] * size_px[1], shutil.disk_usage(folder).free
    if free < needed:
        sys.exit(f"{folder} has {free / 1e9:.1f} GB free, and {needed / 1e9:.1f} GB are needed")
    source = mirrored(crop, folder / "source.tif", size_px, SOURCES[name])
    writers = {"default": REWRITE}
    if name == "strips" and size_px == SIZE_PX:
        writers |= {"lossless": REWRITE, "plain libvips": LIBVIPS}
        if importlib.util.find_spec("imagecodecs") and importlib.util.find_spec("tifffile"):
            writers["in memory"] = IN_MEMORY
        else:
            tell("no imagecodecs: the in-memory writer is left out, and with it the ratios")
    rows = [measure(work, source, name, writer, crop) for writer, work in writers.items()]
    source.unlink()
    return rows


def mirrored(crop: Pixels, path: Path, size_px: tuple[int, int], saved: dict[str, Any]) -> Path:
    """Write the slide as a TIFF in strips, in a stream."""
    image = pyvips.Image.new_from_array(crop)
    row = image.join(image.fliphor(), "horizontal")
    block = row.join(row.flipver(), "vertical")
    across, down = -(-size_px[0] // block.width), -(-size_px[1] // block.height)
    block.replicate(across, down).crop(0, 0, *size_px).tiffsave(str(path), bigtiff=True, **saved)
    return path


def measure(work: str, source: Path, name: str, writer: str, crop: Pixels) -> dict[str, Any]:
    """Rewrite in a child process, and look at the result through openslide."""
    out = source.with_name("out.tif")
    words = [str(source), str(out), str(MPP), str(writer == "lossless")]
    child = [sys.executable, "-c", MEASURED.format(work=work), *words]
    beside = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    shown = subprocess.run(child, check=True, stdout=subprocess.PIPE, text=True, env=beside).stdout
    figures = {key: round(value, 2) for key, value in json.loads(shown).items()}
    pyramid = openslide.OpenSlide(str(out))
    row = {
        "size_px": list(pyramid.dimensions),
        "source": name,
        "writer": writer,
        **figures,
        "size_mb": round(out.stat().st_size / 1e6, 1),
        "psnr_db": psnr(pyramid, source, None if name == "JPEG strips" else crop),
        "levels": pyramid.level_count,
        "mpp": float(pyramid.properties[openslide.PROPERTY_NAME_MPP_X]),
    }
    pyramid.close()
    out.unlink()
    tell(json.dumps(row))
    return row


def psnr(pyramid: openslide.OpenSlide, source: Path, crop: Pixels | None) -> float | None:
    """Compare regions with the crop that they mirror, or with a source that is lossy; None is exact."""
    rng, errors = np.random.default_rng(0), []
    with open_slide(source, MPP) as slide:
        for x, y in rng.integers(0, min(slide.size_px) - REGION_PX, (REGIONS, 2)):
            region = pyramid.read_region((int(x), int(y)), 0, (REGION_PX, REGION_PX))
            if crop is None:
                truth = slide.read((x, y), (REGION_PX, REGION_PX), MPP)
            else:
                rows, columns = (mirror(np.arange(start, start + REGION_PX)) for start in (y, x))
                truth = crop[np.ix_(rows, columns)]
            errors.append(np.mean((np.asarray(region)[..., :3].astype(float) - truth) ** 2))
    return round(float(10 * np.log10(255**2 / np.mean(errors))), 2) if any(errors) else None


def mirror(index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Map positions on the slide to those in the crop that it repeats, forth and back."""
    folded = index % (2 * CROP_PX)
    return np.where(folded < CROP_PX, folded, 2 * CROP_PX - 1 - folded)


def show(rows: list[dict[str, Any]]) -> None:
    in_memory = next((row for row in rows if row["writer"] == "in memory"), None)
    show_table(
        f"dense tissue, {os.cpu_count()} cores; rate and memory against the in-memory writer",
        ["source, px", "writer", "wall s", "CPU s", "MiB", "MB", "dB", "rate", "memory"],
        [
            (
                "{} {}²".format(row["source"], SIZE_PX[0])
                if tuple(row["size_px"]) == SIZE_PX
                else "{} {} × {}".format(row["source"], *row["size_px"]),
                row["writer"],
                number(row["wall_s"], 1),
                number(row["cpu_s"], 1),
                number(row["peak_mib"], 0),
                number(row["size_mb"], 0),
                number(row["psnr_db"], 1) if row["psnr_db"] else "exact",
                *against(row, in_memory),
            )
            for row in rows
        ],
    )
    low, high = ORIGINAL["wall_s"]
    tell(
        f"the original's writer at 20,000², on another machine: {low} to {high} s, "
        f"{ORIGINAL['peak_mib']:.0f} MiB"
    )
    seconds = {
        row["writer"]: row["wall_s"]
        for row in rows
        if row["source"] == "strips" and tuple(row["size_px"]) == SIZE_PX
    }
    if "plain libvips" in seconds:
        slower = seconds["plain libvips"] / PLAIN_S
        most, least = (wall * slower / seconds["default"] for wall in (high, low))
        tell(
            f"plain libvips takes {slower:.2f} × its time there; with the original as much slower too, "
            f"the default is {least:.1f} to {most:.1f} × as fast"
        )


def against(row: dict[str, Any], in_memory: dict[str, Any] | None) -> tuple[str, str]:
    """Ratios of pixels per second, and of peak memory."""
    if in_memory is None:
        return "–", "–"
    pixels, others = (math.prod(each["size_px"]) for each in (row, in_memory))
    rate = pixels / row["wall_s"] / (others / in_memory["wall_s"])
    return f"{rate:.2g} ×", f"1/{in_memory['peak_mib'] / row['peak_mib']:.3g}"


if __name__ == "__main__":
    main()
