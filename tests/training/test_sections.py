"""Sections from Samples that came without their image: trained on as they are, or refused with the reason."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from miso.errors import CohortError
from miso.samples import open_sample
from miso.samples.vendors.original.export import export_original
from miso.samples.vendors.original.sample import import_original
from miso.training import TrainConfig, train

Configure = Callable[..., TrainConfig]


@pytest.fixture(scope="module")
def imported(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cohort after a way through the original MISO's folders, which know no stain features."""
    at = tmp_path_factory.mktemp("original")
    for name in ("A1", "B1", "C1", "D1"):
        sample = open_sample(samples / name)
        export_original(sample, at / "npy" / name, flavour="her2st")
        import_original(
            at / "npy" / name,
            at / "samples" / name,
            encoder="stain",
            tile_px=64,
            patch_px=sample.grid.patch_px,
            slide_mpp=sample.mpp,
            patient=name[0],
        )
    return at / "samples"


def test_baselines_on_samples_without_stain_features_are_refused_with_the_way_out(
    configure: Configure, imported: Path
) -> None:
    with pytest.raises(CohortError, match=r"'A1' was imported without its image .*; set baselines=false"):
        train(configure(imported, baselines=True))


def test_without_baselines_imported_samples_train_like_those_they_came_from(
    configure: Configure, imported: Path, samples: Path, tmp_path: Path
) -> None:
    scores = []
    for folder in (samples, imported):
        config = configure(folder, run_dir=str(tmp_path / folder.parent.name))
        train(config)
        table = pd.read_parquet(Path(config.run_dir or "") / "metrics.parquet")
        scores.append(table[table["metric"] == "pearson"].set_index(["sample", "gene", "model"])["value"])
    pd.testing.assert_series_equal(scores[1], scores[0], rtol=1e-4, atol=1e-4)
