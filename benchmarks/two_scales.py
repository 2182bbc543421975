"""Cosine between tile features of one tissue scanned at 0.25 and at 0.5 µm/px, tile by tile.

The synthetic section is painted twice, at both resolutions; tiles are 224 px at 0.5 µm/px on either. Beside
the plain cosine stands that of features standardised over the section, which is what models see.

    .venv/bin/python benchmarks/two_scales.py --encoder stain --encoder hf:vit-s
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from miso.encoders import Encoder, load_encoder
from miso.geometry import TileSpec
from miso.phantom import PhantomSpec, write_phantom
from miso.samples.extract import sample_tiles
from miso.samples.ingest import IngestOptions, fit_to_slide
from miso.samples.vendors.open import read_vendor
from miso.samples.vendors.section import VendorOptions
from miso.slides import open_slide
from miso.verbs.console import show_table

RESULTS = Path(__file__).parent / "results" / "two_scales.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", action="append", help="one or more; stain by default")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the figures are kept")
    args = parser.parse_args()
    names, found = args.encoder or ["stain"], []
    with tempfile.TemporaryDirectory() as folder:
        tiles = {mpp: read(Path(folder) / str(mpp), mpp) for mpp in (0.25, 0.5)}
    for name in names:
        encoder = load_encoder(name)
        fine, coarse = (encoded(encoder, tiles[mpp]) for mpp in (0.25, 0.5))
        plain, scaled = cosine(fine, coarse), cosine(standardised(fine), standardised(coarse))
        found.append(
            {
                "encoder": Path(name).name if ":" in name else encoder.id,
                "tiles": len(plain),
                "mean": float(plain.mean()),
                "least": float(plain.min()),
                "standardised_mean": float(scaled.mean()),
                "standardised_least": float(scaled.min()),
            }
        )
    show_table(
        "cosine of tile features, 0.25 against 0.5 µm/px",
        ["encoder", "mean", "least", "standardised", "least"],
        [
            (
                str(one["encoder"]),
                *(f"{one[key]:.4f}" for key in ("mean", "least", "standardised_mean", "standardised_least")),
            )
            for one in found
        ],
    )
    args.out.parent.mkdir(exist_ok=True)
    args.out.write_text(json.dumps(found, indent=1) + "\n")


def read(folder: Path, mpp: float) -> torch.Tensor:
    """Write the section at a resolution, and read the tiles of its spots."""
    spec = PhantomSpec(
        seed=3, n_patients=1, n_sections=1, size_um=1600, array="visium", image_mpp=mpp, n_folds=0
    )
    write_phantom(spec, folder, "space-ranger-2")
    section = read_vendor(folder / "A1", VendorOptions())
    with open_slide(folder / "images" / "A1.jpg") as slide:
        fit_to_slide(section, slide, IngestOptions())
        return sample_tiles(slide, section.spots.center_xy, TileSpec(), count=64)


def encoded(encoder: Encoder, tiles: torch.Tensor) -> NDArray[np.float32]:
    return np.concatenate([encoder.encode(part).cls.numpy() for part in tiles.split(8)])


def standardised(features: NDArray[np.float32]) -> NDArray[np.float32]:
    return (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)


def cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / lengths


if __name__ == "__main__":
    main()
