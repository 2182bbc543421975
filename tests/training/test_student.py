"""The student learns labels and a share of counts; on validation sections counts choose its epoch alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from miso.models.patch import PatchModel
from miso.models.standardize import FeatureReference
from miso.samples import open_cohort
from miso.samples.targets import target_values
from miso.scores.metrics import mean_pearson
from miso.training import student
from miso.training.programs import find_programs
from miso.training.student import RECIPES, Goals, PatchSection, fit_student, predict_spots

CPU = torch.device("cpu")
RECIPE = {
    "default": replace(
        RECIPES["default"], model=replace(RECIPES["default"].model, factors=6), max_epochs=6, epochs_unseen=6
    ),
    "published": replace(
        RECIPES["published"],
        model=replace(RECIPES["published"].model, hidden=(128, 64)),
        max_epochs=60,
        epochs_unseen=60,
        lr=3e-3,
    ),
}


@pytest.fixture(scope="module")
def patched(samples: Path) -> list[PatchSection]:
    """The sections as students see them; the labels are the measured counts."""
    cohort = open_cohort(samples)
    return [
        PatchSection(
            name=sample.name,
            patches=np.array(sample.patch_features),
            labels=torch.from_numpy(target_values(sample, cohort.target, cohort.genes)),
            measured=target_values(sample, cohort.target, cohort.genes),
            reference=FeatureReference.of_section(sample.patch_features),
        )
        for sample in cohort.samples.values()
    ]


@pytest.fixture(scope="module")
def weights(samples: Path) -> torch.Tensor:
    sample = open_cohort(samples).samples["A1"]
    return student.patch_weights(RECIPE["default"].model, sample)


def fit(
    train: list[PatchSection],
    val: list[PatchSection],
    weights: torch.Tensor,
    name: str = "default",
    seed: int = 0,
) -> tuple[PatchModel, dict[str, object]]:
    return fit_student(train, val, weights, RECIPE[name], nonnegative=True, seed=seed, device=CPU)


def same_weights(first: PatchModel, second: PatchModel) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("name", RECIPE)
def test_a_student_learns_its_labels_and_carries_them_to_another_patient(
    name: str, patched: list[PatchSection], weights: torch.Tensor
) -> None:
    model, _ = fit(patched[:2], patched[2:3], weights, name)
    r = mean_pearson(predict_spots(model, patched[3], weights)[:, :6], patched[3].measured[:, :6])
    assert r > 0.3


def test_goals_are_labels_mixed_with_what_was_measured_where_that_is_known() -> None:
    labels = torch.tensor([[0.0, 8.0], [4.0, 4.0], [1.0, 2.0]])
    measured = np.array([[4, np.nan], [0, 8], [np.nan, np.nan]], dtype=np.float32)
    quarter = Goals(labels=labels, measured=measured, share=0.25)
    assert quarter[:].tolist() == [[1, 8], [3, 5], [1, 2]]
    assert quarter[torch.tensor([2, 0])].tolist() == [[1, 2], [1, 8]]
    assert len(quarter) == 3
    assert torch.equal(replace(quarter, share=0.0)[:], labels)
    assert replace(quarter, share=1.0)[:].tolist() == [[4, 8], [0, 8], [1, 2]]


def test_measured_counts_of_training_sections_teach_the_published_student_nothing(
    patched: list[PatchSection], weights: torch.Tensor
) -> None:
    assert RECIPES["published"].counts == 0
    blind = [replace(s, measured=np.full_like(s.measured, np.nan)) for s in patched[:2]]
    first, other = (fit(train, patched[2:3], weights, "published") for train in (patched[:2], blind))
    assert same_weights(first[0], other[0])


def test_a_student_of_counts_alone_needs_no_true_label(
    patched: list[PatchSection], weights: torch.Tensor
) -> None:
    counts = replace(RECIPE["default"], counts=1.0)
    wrong = [replace(s, labels=torch.zeros_like(s.labels)) for s in patched[:2]]
    for train, learns in ((wrong, True), ([replace(s, measured=s.measured * np.nan) for s in wrong], False)):
        model, _ = fit_student(train, [], weights, counts, nonnegative=True, seed=0, device=CPU)
        assert (float(predict_spots(model, patched[3], weights).max()) > 1) == learns


def test_labels_of_validation_sections_teach_nothing(
    patched: list[PatchSection], weights: torch.Tensor
) -> None:
    blind = [replace(s, labels=torch.full_like(s.labels, torch.nan)) for s in patched[2:3]]
    first, other = fit(patched[:2], patched[2:3], weights), fit(patched[:2], blind, weights)
    assert same_weights(first[0], other[0])
    assert first[1] == other[1]


def test_validation_chooses_the_epoch_and_its_weights_are_kept(
    patched: list[PatchSection], weights: torch.Tensor
) -> None:
    train, val = patched[:2], patched[2:3]
    chosen, notes = fit(train, val, weights, seed=3)
    recipes = [
        replace(RECIPE["default"], epochs_unseen=epochs) for epochs in range(RECIPE["default"].max_epochs + 1)
    ]
    each = [
        fit_student(train, [], weights, recipe, nonnegative=True, seed=3, device=CPU)[0] for recipe in recipes
    ]
    scores = [mean_pearson(predict_spots(model, val[0], weights), val[0].measured) for model in each]
    assert notes == {"epoch": int(np.argmax(scores)), "validation_r": max(scores)}
    assert same_weights(chosen, each[int(np.argmax(scores))])


def test_the_same_seed_gives_the_same_student_and_another_seed_another(
    patched: list[PatchSection], weights: torch.Tensor
) -> None:
    torch.manual_seed(1)
    first, _ = fit(patched[:2], [], weights, seed=5)
    torch.manual_seed(2)
    outside = torch.get_rng_state()
    (again, _), (other, _) = (fit(patched[:2], [], weights, seed=seed) for seed in (5, 6))
    assert same_weights(first, again)
    assert not same_weights(first, other)
    assert torch.equal(torch.get_rng_state(), outside)


def test_patches_off_the_disc_teach_nothing_and_are_no_part_of_a_prediction(
    patched: list[PatchSection], weights: torch.Tensor
) -> None:
    assert 0 < int((weights == 0).sum()) < len(weights)

    def spoilt(section: PatchSection) -> PatchSection:
        patches = section.patches.copy()
        patches[:, weights.numpy() == 0] = np.nan
        return replace(section, patches=patches)

    first, _ = fit(patched[:2], [], weights)
    other, _ = fit([spoilt(s) for s in patched[:2]], [], weights)
    assert same_weights(first, other)
    np.testing.assert_array_equal(
        predict_spots(first, spoilt(patched[3]), weights), predict_spots(first, patched[3], weights)
    )


def test_programs_of_counts_are_not_negative_and_rebuild_mixed_labels() -> None:
    rng = np.random.default_rng(0)
    true = rng.gamma(1, 1, (3, 20))
    labels = torch.from_numpy(rng.gamma(1, 1, (200, 3)) @ true)
    found = find_programs([labels[:80], labels[80:]], 5, nonnegative=True, seed=0)
    assert found.shape == (5, 20)
    assert float(found.min()) >= 0
    fitted = torch.linalg.lstsq(found.double().T, labels.T).solution.T @ found.double()
    assert float((fitted - labels).std() / labels.std()) < 0.02


def test_programs_of_signed_labels_span_them() -> None:
    rng = np.random.default_rng(1)
    labels = torch.from_numpy(rng.normal(size=(100, 2)) @ rng.normal(size=(2, 9)))
    found = find_programs([labels], 4, nonnegative=False, seed=0).double()
    fitted = torch.linalg.lstsq(found.T, labels.T, driver="gelsd").solution.T @ found
    torch.testing.assert_close(fitted, labels, atol=1e-5, rtol=0)


def test_more_programs_than_genes_leave_the_rest_at_zero() -> None:
    labels = torch.rand(30, 4, generator=torch.Generator().manual_seed(0))
    found = find_programs([labels], 7, nonnegative=True, seed=0)
    assert torch.equal(found[4:], torch.zeros(3, 4))
    assert torch.isfinite(found).all()
