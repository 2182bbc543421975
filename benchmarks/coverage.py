"""Whether intervals hold and strange tiles are flagged, on patients of a phantom that are held out.

Trains a teacher and a student for each patient left out, then looks at that patient's sections as at any
slide: of how many of the measured values of spots the intervals that are to cover 90 % do cover, and how wide
they are against intervals of one width a gene, calibrated on the same spots. Nothing of a patient calibrates
its own intervals. Students say besides how many of the tiles about spots they would flag, and of tiles that
are blurred, inked or empty.

    .venv/bin/python benchmarks/coverage.py [miso-demo/phantom]

Without a folder a cohort of six patients is drawn in a temporary one; with one, runs that it holds are kept.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from miso.encoders import load_encoder
from miso.maps import load
from miso.maps.predictor import Predictor
from miso.models.calibration import LEVEL, calibrate, half_width
from miso.models.standardize import FeatureReference
from miso.phantom import PhantomSpec, open_truth, write_her2st
from miso.samples import Cohort, Sample, open_cohort
from miso.samples.sample import slide_fingerprint
from miso.samples.targets import target_values
from miso.slides import open_slide
from miso.training import CohortConfig, TrainConfig, train
from miso.training.distill import generate_labels
from miso.verbs._process_batch import process_her2st_folder
from miso.verbs._process_options import ProcessOptions
from miso.verbs.console import show_table, tell

RESULTS = Path(__file__).parent / "results" / "coverage.json"
SIZE_UM, PATIENTS = 2200.0, 6
Values = Float[NDArray[np.float32], "spot gene"]
Pixels = UInt8[NDArray[np.uint8], "tile height width 3"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cohort", type=Path, nargs="?", help="a phantom with processed_data/ and truth/")
    parser.add_argument("--preset", action="append", choices=["default", "published"])
    parser.add_argument("--target", default="raw")
    parser.add_argument("--max-epochs", type=int)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as own:
        folder = args.cohort or drawn(Path(own))
        for preset in args.preset or ["default"]:
            config = trained(folder, preset, args.target, args.max_epochs)
            for model in ("miso", "patch"):
                rows += study(load(run_of(folder, config, model)), folder)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(rows, indent=1) + "\n")
    show(rows)


def drawn(folder: Path) -> Path:
    """Draw a cohort of six patients, and process it with the built-in encoder."""
    write_her2st(PhantomSpec(size_um=SIZE_UM, n_patients=PATIENTS), folder)
    process_her2st_folder(folder, [], ProcessOptions(encoder="stain", device="cpu"))
    return folder


def run_of(folder: Path, config: TrainConfig, model: str) -> Path:
    """Folder of a run of teachers or students."""
    return folder / "runs" / f"coverage_{config.preset}_{config.target}_{model}"


def trained(folder: Path, preset: str, target: str, max_epochs: int | None) -> TrainConfig:
    """Train teachers and students, each patient held out in turn, where they are not there yet."""
    samples = folder / "processed_data"
    config = TrainConfig(
        cohort=CohortConfig(path=str(samples)),
        splits="leave_one_patient_out",
        preset=preset,
        target=target,
        max_epochs=max_epochs,
        labels=f"coverage_{preset}_{target}",
        baselines=False,
        device="cpu",
    )
    teachers = replace(config, run_dir=str(run_of(folder, config, "miso")))
    train(teachers, tell)
    generate_labels(teachers, open_cohort(samples, target=target))
    students = replace(config, model="patch", splits=None, run_dir=str(run_of(folder, config, "patch")))
    train(students, tell)
    return config


def study(run: Predictor, folder: Path) -> Iterator[dict[str, Any]]:
    """Look at every section of a cohort with the models that held it out."""
    cohort = open_cohort(folder / "processed_data", target=run.first.target)
    for sample in cohort.samples.values():
        truth = open_truth(folder / "truth" / f"{sample.name}.npz")
        seen = dict(zip(truth.genes, truth.visible.tolist(), strict=True))
        visible = np.array([seen[gene] for gene in run.genes])
        about = {"preset": run.first.notes["preset"], "model": run.first.kind, "target": run.first.target}
        about["section"] = sample.name
        speaking = run.for_slide(slide_fingerprint(sample))
        strange = of_tiles(speaking, sample) if speaking.is_student else {}
        yield {**about, **of_intervals(speaking, sample, cohort, visible), **strange}


def of_intervals(
    run: Predictor, sample: Sample, cohort: Cohort, visible: Bool[NDArray[np.bool_], " gene"]
) -> dict[str, Any]:
    """Return the share of measured values that intervals cover, and their width against a constant one."""
    predicted = np.asarray(run.predict(sample, in_sample=False, picture=False).X)
    missed = np.abs(target_values(sample, cohort.target, cohort.genes) - predicted)
    flat = calibrate(
        run.residuals and replace(run.residuals, mean=np.zeros_like(run.residuals.mean)), run.genes
    )
    if run.calibration is None or flat is None:
        return {}
    width, constant = (half_width(c, predicted, slice(None), LEVEL) for c in (run.calibration, flat))
    covered = missed <= width
    return {
        "covered": float(covered.mean()),
        "visible": float(covered[:, visible].mean()),
        "invisible": float(covered[:, ~visible].mean()),
        "constant": float((missed <= constant).mean()),
        "width": float(np.mean(width.mean(axis=0) / constant.mean(axis=0))),
        "width_visible": float(np.mean(width.mean(axis=0)[visible] / constant.mean(axis=0)[visible])),
    }


# ---- tiles


def blurred(tiles: Pixels) -> Pixels:
    """Out of focus by 4 µm."""
    return np.stack([gaussian_filter(tile, (8, 8, 0)) for tile in tiles])


def inked(tiles: Pixels) -> Pixels:
    """Half under blue ink."""
    ink = np.array([30, 60, 160]) / 255
    half = tiles.astype(float)
    half[:, :, : tiles.shape[2] // 2] *= ink
    return half.astype(np.uint8)


def empty(tiles: Pixels) -> Pixels:
    """Glass, with a little noise."""
    return np.random.default_rng(0).integers(236, 246, tiles.shape, dtype=np.uint8)


STRANGE: Mapping[str, Callable[[Pixels], Pixels]] = {"blurred": blurred, "inked": inked, "empty": empty}


def of_tiles(run: Predictor, sample: Sample, most: int = 32) -> dict[str, Any]:
    """Return the share of tiles about spots that are flagged, as they are and made strange."""
    reference = FeatureReference.of_section(sample.patch_features)
    plain = run.novelty(np.asarray(sample.patch_features, dtype=np.float32), reference)
    found = {"flagged": float((plain > 1).mean()), "slide": run.novelty_of_slide(reference)}
    encoder, tiles = load_encoder(run.first.encoder.split("@")[0]), pixels_of(sample, most)
    for name, spoil in STRANGE.items():
        with torch.inference_mode():
            features = encoder.encode(torch.from_numpy(spoil(tiles))).patches.numpy()
        found[name] = float((run.novelty(features, reference) > 1).mean())
    return found


def pixels_of(sample: Sample, most: int) -> Pixels:
    """Read some of the tiles about spots."""
    spec = sample.grid.tile
    rows = np.linspace(0, sample.n_spots - 1, min(most, sample.n_spots)).astype(int)
    with open_slide(Path(sample.manifest["slide"]["path"]), sample.mpp) as slide:
        half = spec.size_px * spec.mpp / sample.mpp / 2
        corners = sample.adata.obsm["spatial"][rows] - half
        size = (spec.size_px, spec.size_px)
        return np.stack([slide.read((x, y), size, spec.mpp) for x, y in corners.tolist()])


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a line for each model: means over sections, and the least and most of a section."""
    columns = ["covered", "visible", "invisible", "width", "flagged", "slide", *STRANGE]
    lines = []
    for kind in dict.fromkeys((row["preset"], row["target"], row["model"]) for row in rows):
        own = [row for row in rows if (row["preset"], row["target"], row["model"]) == kind]
        lines.append((", ".join(kind), *(in_words([r[c] for r in own if c in r]) for c in columns)))
    show_table(
        f"intervals that are to cover {LEVEL:.0%}; mean (least – most of a section)", ["", *columns], lines
    )


def in_words(values: Sequence[float]) -> str:
    """Write a mean with its range."""
    return f"{np.mean(values):.3f} ({min(values):.2f} – {max(values):.2f})" if values else "–"


if __name__ == "__main__":
    main()
