"""What does not fit a model is refused, with what was found and what is wanted, before predicting."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import torch
from torch import nn

from miso.encoders.encoder import Encoder, InputContract
from miso.errors import CheckpointError
from miso.maps import Predictor
from miso.maps.fit import check_encoder
from miso.models import Checkpoint, MisoConfig, MisoModel, PatchConfig, PatchModel
from miso.models.attention import NetworkConfig
from miso.models.reliability import as_records, from_records, untested
from miso.samples import Sample

DIM, GENES, SPOTS = 6, ["ERBB2", "KRT8"], 12
Model = Callable[..., Checkpoint]


@pytest.fixture
def model() -> Model:
    def make(kind: str = "miso", **other: object) -> Checkpoint:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            network = NetworkConfig(embed_dim=8, attention_dim=8, heads=2)
            teacher = MisoModel(DIM, 2, MisoConfig(network=network, members=1))
            student = PatchModel(DIM, 2, PatchConfig(hidden=(4,), factors=2))
        made = Checkpoint(
            model=(student if kind == "patch" else teacher).eval(),
            kind=kind,
            genes=GENES,
            target="raw",
            units="counts per spot",
            nonnegative=True,
            encoder="phikon@abc",
            tile={"size_px": 224, "mpp": 0.5},
            patch_px=112,
            knn=5,
            spot_diameter_um=55.0,
            trained_on=["A1"],
            validated_on=[],
            held_out=[],
        )
        return replace(made, **other)  # type: ignore[arg-type]

    return make


@pytest.fixture
def sample() -> Callable[..., Sample]:
    """Spots on a slide that no model has met; keywords change the settings it was processed with."""

    def make(dim: int = DIM, **settings: Any) -> Sample:
        rng = np.random.default_rng(2)
        about = {
            "encoder": "phikon@abc",
            "tile": {"size_px": 224, "mpp": 0.5},
            "patch_px": 112,
            "inputs": {},
        }
        manifest = {
            "name": "S1",
            "patient": "P",
            "settings": about | settings,
            "resolution": {"mpp": 0.5, "source": "test"},
            "spot_diameter_um": 55.0,
            "slide": {"path": "s.png"},
        }
        made = Sample(Path("S1"), manifest)
        spots = anndata.AnnData(np.ones((SPOTS, 1), dtype=np.float32))
        spots.obsm["spatial"] = rng.random((SPOTS, 2)) * 1000
        spots.obsm["tile_features"] = rng.random((SPOTS, dim)).astype(np.float32)
        spots.obsm["neighbors"] = rng.integers(SPOTS, size=(SPOTS, 5))
        made.__dict__["adata"] = spots
        made.__dict__["patch_features"] = rng.random((SPOTS, 4, dim)).astype(np.float16)
        return made

    return make


def predictor(*checkpoints: Checkpoint) -> Predictor:
    return Predictor(checkpoints, Path("run"))


KINDS = pytest.mark.parametrize("kind", ["miso", "patch"])


@KINDS
def test_a_sample_that_fits_is_predicted_with_each_genes_reliability(
    kind: str, model: Model, sample: Callable[..., Sample]
) -> None:
    table = untested(GENES)
    known = from_records(
        [{**as_records(table)[0], "r_cv": 0.6, "r_low": 0.55, "sections": 3}, as_records(table)[1]]
    )
    found = Predictor([model(kind)], Path("run"), reliability=known).predict(sample())
    assert found.shape == (SPOTS, 2)
    assert list(found.var_names) == GENES
    assert list(found.var["grade"]) == ["A", "untested"]
    assert found.var.loc["ERBB2", "r_cv"] == 0.6
    assert np.isnan(found.var.loc["KRT8", "r_cv"])


@KINDS
def test_grades_survive_the_file_and_are_untested_without_scores(
    kind: str, model: Model, sample: Callable[..., Sample], tmp_path: Path
) -> None:
    predictor(model(kind)).predict(sample()).write_h5ad(tmp_path / "p.h5ad")
    found = anndata.read_h5ad(tmp_path / "p.h5ad")
    assert list(found.var["grade"]) == ["untested"] * 2
    assert found.var["r_cv"].isna().all()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another encoder": ({"encoder": "uni@abc"}, "encoded with uni@abc, this run with phikon@abc; process it"),
    "another revision": ({"encoder": "phikon@abd"}, "encoded with phikon@abd"),
    "another mpp": (
        {"tile": {"size_px": 224, "mpp": 0.688}},
        "224 px at 0.688 µm/px, this run's 224 px at 0.5",
    ),
    "another tile": ({"tile": {"size_px": 448, "mpp": 0.5}}, "448 px at 0.5 µm/px, this run's 224 px"),
    "another stain": (
        {"stain": {"method": "macenko", "reference": {"name": "ours"}}},
        "stain macenko ours, this run's to none",
    ),
}


@KINDS
@pytest.mark.parametrize("case", REFUSED)
def test_a_sample_processed_otherwise_is_refused(
    case: str, kind: str, model: Model, sample: Callable[..., Sample]
) -> None:
    settings, words = REFUSED[case]
    with pytest.raises(CheckpointError, match=words) as caught:
        predictor(model(kind)).predict(sample(**settings))
    assert "\n" not in str(caught.value)


def test_slight_differences_of_a_levels_resolution_are_none(
    model: Model, sample: Callable[..., Sample]
) -> None:
    predictor(model()).predict(sample(tile={"size_px": 224, "mpp": 0.52}))
    with pytest.raises(CheckpointError, match=r"0\.53"):
        predictor(model()).predict(sample(tile={"size_px": 224, "mpp": 0.53}))


def test_patches_matter_to_students_only(model: Model, sample: Callable[..., Sample]) -> None:
    predictor(model()).predict(sample(patch_px=56))
    with pytest.raises(CheckpointError, match="patches of 'S1' are 56 px, this run's 112 px"):
        predictor(model("patch")).predict(sample(patch_px=56))


@KINDS
def test_features_of_another_length_are_refused(
    kind: str, model: Model, sample: Callable[..., Sample]
) -> None:
    with pytest.raises(CheckpointError, match=r"the shape \(12, .*7\), expected .* takes the 6 numbers"):
        predictor(model(kind)).predict(sample(dim=7))


FEATURES, LISTS = np.ones((4, DIM), np.float32), np.array([[0, 1], [1, 2], [2, 3], [3, 0]])
BAD: dict[str, tuple[object, object, str]] = {
    "one axis": (FEATURES[0], LISTS, r"the shape \(6,\), expected \(spot, 6\)"),
    "three axes": (FEATURES[None], LISTS, r"the shape \(1, 4, 6\)"),
    "too short": (
        FEATURES[:, :5],
        LISTS,
        r"\(4, 5\), expected \(spot, 6\): this model takes the 6 numbers that ph",
    ),
    "not finite": (
        np.where(np.eye(4, DIM) > 0, np.nan, FEATURES),
        LISTS,
        "4 of 24 feature values are not finite",
    ),
    "lists of fewer spots": (FEATURES, LISTS[:3], "one list for each of 4 spots"),
    "no list": (FEATURES, LISTS[:, :0], "one list for each of 4 spots"),
    "flat lists": (FEATURES, LISTS[:, 0], "one list for each of 4 spots"),
    "lists of fractions": (FEATURES, LISTS + 0.5, "float64 numbers, expected integers"),
    "beyond the end": (FEATURES, LISTS + 1, "names spot 4, but there are 4"),
    "before the start": (FEATURES, LISTS - 1, "names spot -1, but there are 4"),
}


@pytest.mark.parametrize("case", BAD)
def test_bare_features_and_lists_that_do_not_fit_are_refused(case: str, model: Model) -> None:
    features, lists, words = BAD[case]
    with pytest.raises(CheckpointError, match=words) as caught:
        predictor(model()).predict_features(features, lists)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_bare_patches_of_another_length_are_refused(model: Model) -> None:
    with pytest.raises(CheckpointError, match=r"expected \(…, 6\)"):
        predictor(model("patch")).predict_patches(np.ones((2, 4, 7), np.float32))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"genes": GENES[::-1]}, "number 2 has the genes of the first in another order"),
        ({"genes": ["ERBB2", "FASN"]}, "number 2 does not predict 'KRT8'"),
        ({"encoder": "uni@1"}, "the encoder of the first is 'phikon@abc', that of number 2 'uni@1'"),
        ({"units": "ln"}, "the units of the first"),
        ({"patch_px": 16}, "the patch_px of the first"),
        ({"tile": {"size_px": 224, "mpp": 1.0}}, "the tile of the first"),
        ({"stain": {"method": "macenko"}}, "the stain of the first"),
    ],
)
def test_models_of_different_things_have_no_mean(other: dict[str, Any], words: str, model: Model) -> None:
    with pytest.raises(CheckpointError, match=words):
        predictor(model(), model(**other))


def test_teachers_and_students_are_not_mixed_and_levels_may_differ_a_little(model: Model) -> None:
    with pytest.raises(CheckpointError, match="the kind of the first is 'miso'"):
        predictor(model(), model("patch"))
    assert len(predictor(model(), model(tile={"size_px": 224, "mpp": 0.505})).checkpoints) == 2


def test_an_imported_model_takes_any_revision_of_its_encoder(
    model: Model, sample: Callable[..., Sample]
) -> None:
    imported = predictor(model(encoder="phikon"))
    assert imported.predict(sample()).uns["miso"]["encoder"] == "phikon"
    with pytest.raises(CheckpointError, match="with uni@abc, this run with phikon"):
        imported.predict(sample(encoder="uni@abc"))


def test_an_encoder_of_other_patches_or_length_is_refused(model: Model) -> None:
    encoder = Encoder(
        name="phikon",
        revision="abc",
        module=nn.Identity(),
        contract=InputContract(),
        patch_px=112,
        tile_dim=DIM,
        patch_dim=DIM,
        licence="none",
    )
    check_encoder(model("patch"), encoder)
    for change in ({"patch_px": 16}, {"patch_dim": 7}, {"revision": "abd"}):
        with pytest.raises(CheckpointError, match="the run was trained on"):
            check_encoder(model("patch"), replace(encoder, **change))  # type: ignore[arg-type]
