"""How well bad tiles are told: pen, folds, blur and glass painted on sections, so that the answer is known.

On phantom sections, and with --data on real ones, each defect is painted on a fresh copy: marker strokes in
four colours, opaque and thin; a second layer of tissue; Gaussian blur of known σ with the camera's noise
after it. Sensitivity: of the tiles that the defect covers by more than half, the share with that reason.
Specificity: of the tissue tiles of the picture as it was, the share that is called tissue.

    .venv/bin/python benchmarks/tile_quality.py --data data --out
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from miso.phantom import PhantomSpec, make_section
from miso.phantom.defects import INKS, TRANSLUCENT, blur, fold, ink, strokes
from miso.slides import Level, Slide, open_slide
from miso.slides.density import glass_density, optical_density
from miso.slides.mask import SlideMask
from miso.slides.quality import SlideQuality, assess_tiles, cover, slide_quality
from miso.units import Resolution
from miso.verbs.console import show_table

RESULTS = Path(__file__).parent / "results" / "tile_quality.json"
SIDE_UM = 112.0
STROKE_UM, FOLD_UM, BLUR_UM = 300.0, 160.0, 600.0
SIGMAS_UM = (1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
LEAST_TILES = 5
REAL = {
    "HER2ST C2": ("her2st/images/HE/C2.jpg", 0.688, (1600, 3000, 8200, 8300)),
    "HER2ST C4": ("her2st/images/HE/C4.jpg", 0.688, (300, 1500, 6900, 6800)),
    "mouse brain (Visium)": ("visium/mouse_brain_crop/test_img.jpg", 0.727, None),
    "skin (Aperio)": ("wsi/CMU-1-Small-Region.svs", None, None),
    "mouse olfactory bulb (ST, 6 µm/px)": ("st_toy/image.jpg", 6.25, None),
}
"""File, µm per pixel where the file does not say it, and the part (left, top, right, bottom) that is used."""

Picture = NDArray[np.uint8]


class PictureSlide(Slide):
    """A picture in memory."""

    def __init__(self, name: str, rgb: Picture, mpp: float) -> None:
        level = Level(size_px=(rgb.shape[1], rgb.shape[0]), downsample=1.0)
        super().__init__(Path(name), (level,), Resolution(mpp=mpp, source="benchmark"))
        self.rgb = rgb

    def _read_region(self, index: int, origin: tuple[int, int], size: tuple[int, int]) -> Picture:
        return self.rgb[origin[1] : origin[1] + size[1], origin[0] : origin[0] + size[0]]

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A sound slide with its tiles, and what was made of them."""

    slide: PictureSlide
    origin_xy: NDArray[np.float64]
    side_px: float
    sound: pd.DataFrame
    quality: SlideQuality

    @classmethod
    def of(cls, slide: PictureSlide) -> "Case":
        """Assess a slide as it is, on tiles that cover it."""
        side_px = SIDE_UM / slide.mpp
        origin_xy, quality = cover(slide, side_px), slide_quality(slide)
        sound = assess_tiles(slide, origin_xy, side_px, quality=quality)
        return cls(slide=slide, origin_xy=origin_xy, side_px=side_px, sound=sound, quality=quality)

    def with_picture(self, rgb: Picture, *, sharpness: bool = False) -> pd.DataFrame:
        """Assess the same tiles of another picture."""
        painted = PictureSlide(self.slide.path.name, rgb, self.slide.mpp)
        return assess_tiles(painted, self.origin_xy, self.side_px, sharpness=sharpness)

    def covered(self, where: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Share of each tile."""
        return SlideMask(mask=where, slide_size_px=self.slide.size_px).share(self.origin_xy, self.side_px)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with her2st, visium, wsi and st_toy")
    parser.add_argument("--only", help="pictures whose name holds this")
    parser.add_argument("--out", action="store_true", help=f"write {RESULTS.name} to benchmarks/results/")
    args = parser.parse_args()
    rows: list[dict[str, object]] = []
    for slide in pictures(args.data):
        if args.only and args.only not in slide.path.name:
            continue
        rows += [{"picture": slide.path.name, **row} for row in score(Case.of(slide))]
        show([row for row in rows if row["picture"] == slide.path.name])
    table = pd.DataFrame(rows)
    summary = table.groupby("defect", sort=False)["rate"].agg(["mean", "min"]).round(3)
    show_table(
        "over the pictures",
        ["", "mean", "least"],
        [(str(name), f"{row['mean']:.3f}", f"{row['min']:.3f}") for name, row in summary.iterrows()],
    )
    if args.out:
        RESULTS.write_text(json.dumps({"tiles": rows}, indent=1, ensure_ascii=False) + "\n")


def pictures(data: Path | None) -> Iterator[PictureSlide]:
    """Yield sound sections: three phantom patients, then the real ones that are there."""
    spec = PhantomSpec(seed=5, n_patients=3, n_sections=1)
    for patient in range(spec.n_patients):
        section = make_section(spec, patient, 0)
        yield PictureSlide(f"phantom {section.name}", section.image, section.truth.mpp)
    for name, (file, mpp, part) in REAL.items() if data else ():
        with open_slide(data / file, mpp) as slide:
            left, top, right, bottom = part or (0, 0, *slide.size_px)
            rgb = slide.read((left, top), (right - left, bottom - top), slide.mpp)
            yield PictureSlide(name, np.array(rgb), slide.mpp)


def score(case: Case) -> Iterator[dict[str, object]]:
    """Yield one row a defect: tiles that count, and the rate at which they are named rightly."""
    sound = case.sound
    tissue = (sound["tissue_share"] >= 0.5) & (sound["on_slide"] > 0.99)
    yield rate("sound tissue called tissue", sound["reason"][tissue] == "tissue")
    for bad in ("pen", "fold", "blur"):
        yield rate(f"sound tissue not called {bad}", sound["reason"][tissue] != bad)
    glass = (sound["tissue_share"] == 0) & (sound["on_slide"] > 0.99)
    yield rate("glass called background", sound["reason"][glass] == "background")
    yield from pens(case, tissue.to_numpy(), glass.to_numpy())
    yield from folds(case, tissue.to_numpy())
    yield from blurs(case, tissue.to_numpy())


def pens(case: Case, tissue: NDArray[np.bool_], glass: NDArray[np.bool_]) -> Iterator[dict[str, object]]:
    width_um = min(STROKE_UM, 0.15 * min(case.slide.size_px) * case.slide.mpp)
    where = _strokes(case, width_um, share=0.12)
    covered = case.covered(where) > 0.5
    for colour in INKS:
        for name, strength in (("opaque", 1.0), ("thin", TRANSLUCENT)):
            found = case.with_picture(ink(case.slide.rgb, where, colour, strength))["reason"] == "pen"
            yield rate(f"{name} {colour} on tissue", found[covered & tissue])
            yield rate(f"{name} {colour} on glass", found[covered & glass])


def folds(case: Case, tissue: NDArray[np.bool_]) -> Iterator[dict[str, object]]:
    slide, mpp = case.slide, case.slide.mpp
    density = optical_density(slide.thumbnail(1024)[0])
    glass = tuple(255 * 10 ** -glass_density(density).astype(float))
    shift = (round(170 / mpp), round(90 / mpp))
    on_tissue = _grow(case.quality.tissue.mask, slide.rgb.shape[:2])
    double = on_tissue & np.roll(on_tissue, shift[::-1], axis=(0, 1))
    where = _strokes(case, FOLD_UM, share=0.06) & double
    table = case.with_picture(fold(slide.rgb, where, shift, glass))
    covered = case.covered(where)
    yield rate("fold", (table["reason"] == "fold")[(covered > 0.5) & tissue])
    yield rate("no fold beside folds", (table["reason"] != "fold")[(covered == 0) & tissue])


def blurs(case: Case, tissue: NDArray[np.bool_]) -> Iterator[dict[str, object]]:
    if not case.sound["sharpness"].notna().any():
        return
    where = _strokes(case, BLUR_UM, share=0.3)
    covered = case.covered(where)
    for sigma in SIGMAS_UM:
        rgb = blur(case.slide.rgb, where, sigma / case.slide.mpp, np.random.default_rng(0))
        table = case.with_picture(rgb, sharpness=True)
        yield rate(f"blur of σ {sigma:g} µm", (table["reason"] == "blur")[(covered > 0.5) & tissue])


def rate(defect: str, right: pd.Series) -> dict[str, object]:
    value = float(right.mean()) if len(right) >= LEAST_TILES else None
    return {"defect": defect, "tiles": len(right), "rate": value if value is None else round(value, 4)}


def show(rows: list[dict[str, object]]) -> None:
    told = [row for row in rows if row["rate"] is not None]
    show_table(
        str(rows[0]["picture"]),
        ["", "tiles", "rate"],
        [(str(row["defect"]), str(row["tiles"]), f"{row['rate']:.3f}") for row in told],
    )


def _strokes(case: Case, width_um: float, share: float) -> NDArray[np.bool_]:
    """Strokes that cover about a share of the picture, the same at each call."""
    slide = case.slide
    width, height = (side * slide.mpp for side in slide.size_px)
    length = min(1500.0, 0.6 * min(width, height))
    n = max(round(share * width * height / (width_um * length)), 1)
    rng = np.random.default_rng(1)
    return strokes(rng, slide.size_px, width_um / slide.mpp, n, length / slide.mpp)


def _grow(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    row, col = (np.arange(side) * few // side for side, few in zip(shape, mask.shape, strict=True))
    return mask[row[:, None], col]


if __name__ == "__main__":
    main()
