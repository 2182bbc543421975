"""From each vendor's folder to a trained model: the same cohort, delivered in every layout."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import miso
from miso.phantom import PhantomSpec, open_truth, write_phantom
from miso.phantom.layouts.catalog import LAYOUTS
from miso.samples import Sample

SPOTS = PhantomSpec(seed=5, n_patients=3, n_sections=1, size_um=900, n_visible=6, n_null=2)
BINS = replace(SPOTS, array="hd", size_um=480)
SMALL = ("--encoder", "stain", "--tile-size", 64, "--knn", 7, "--device", "cpu")


def source_of(folder: Path, layout: str, name: str) -> tuple[object, ...]:
    """What a user would type for one section."""
    image = folder / "images" / f"{name}.jpg"
    match layout:
        case "her2st":
            raise AssertionError("has a command of its own")
        case "legacy-st":
            return ("--path-visium", folder / name)
        case "h5ad":
            at = folder / name / f"{name}.h5ad"
            return ("--path-visium", at, "--path-slide", at.with_suffix(".jpg"))
        case "spatialdata":
            return ("--path-visium", folder / name / f"{name}.zarr")
        case "visium-hd":
            return ("--path-visium", folder / name, "--path-slide", image, "--bin-um", 16)
        case _:
            return ("--path-visium", folder / name, "--path-slide", image)


@pytest.fixture(scope="module", params=sorted(LAYOUTS))
def walked(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    in_process: Callable[[tuple[object, ...]], int],
) -> tuple[str, Path]:
    """Deliver the cohort in a layout, process it and train; every command has to end well."""
    layout = request.param
    if layout == "spatialdata":
        pytest.importorskip("spatialdata", reason="the extra 'spatial' is not installed")
    at = tmp_path_factory.mktemp(layout)
    spec = BINS if layout == "visium-hd" else replace(SPOTS, array=LAYOUTS[layout].array)
    folder = write_phantom(spec, at / "vendor", layout)
    if layout == "her2st":
        samples = folder / "processed_data"
        assert in_process(("process-her2st", "--path-dataset", folder, *SMALL)) == 0
    else:
        samples = at / "samples"
        for name in spec.sections:
            words = (*source_of(folder, layout, name), "--path-output-folder", samples / name, *SMALL)
            assert in_process(("process-data", *words, "--patient", name[0])) == 0
    settings = ("knn=7", "max_epochs=1", "device=cpu", f"splits={folder / 'splits.json'}")
    run = ("--config-name", "train_10x", f"cohort.path={samples}", f"run_dir={at / 'run'}", *settings)
    assert in_process(("train", *run)) == 0
    return layout, at


def samples_of(walked: tuple[str, Path]) -> list[Sample]:
    layout, at = walked
    folder = at / "vendor/processed_data" if layout == "her2st" else at / "samples"
    return [miso.open_sample(path.parent) for path in sorted(folder.glob("*/sample.json"))]


def test_the_held_out_patient_is_scored(walked: tuple[str, Path]) -> None:
    metrics = pd.read_parquet(walked[1] / "run" / "metrics.parquet")
    assert set(metrics["sample"]) == {"C1"}
    summary = json.loads((walked[1] / "run" / "summary.json").read_text())
    assert np.isfinite(summary["miso"]["pearson"])


def test_resolution_and_shape_are_the_phantom_s(walked: tuple[str, Path]) -> None:
    for sample in samples_of(walked):
        assert sample.mpp == pytest.approx(0.5, rel=0.02)
        assert sample.square_spots == (walked[0] == "visium-hd")
        assert (sample.path / "alignment.png").is_file()


def test_counts_follow_the_truth_under_the_spots(walked: tuple[str, Path]) -> None:
    """The expected molecules at where a spot is said to lie explain what it counts: nothing is shuffled."""
    layout, at = walked
    for sample in samples_of(walked):
        truth = open_truth(at / "vendor" / "truth" / f"{sample.name}.npz")
        shape = "square" if sample.square_spots else "disc"
        expected = truth.under(sample.adata.obsm["spatial"], sample.spot_diameter_um, shape=shape)
        expected = pd.DataFrame(expected, columns=list(truth.genes))[list(sample.adata.var_names)].to_numpy()
        counts = sample.adata.X.toarray()
        per_gene = [np.corrcoef(expected[:, g], counts[:, g])[0, 1] for g in range(6) if counts[:, g].any()]
        assert np.nanmean(per_gene) > (0.3 if layout == "visium-hd" else 0.6)


def test_ids_are_kept_beside_symbols_where_the_layout_has_them(walked: tuple[str, Path]) -> None:
    for sample in samples_of(walked):
        assert ("gene_id" in sample.adata.var) == LAYOUTS[walked[0]].has_ids
