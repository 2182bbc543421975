"""Tiles and slides like those of the training are near, others far; stain does not count for tiles."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from miso.models.novelty import Novelty, TilesOfSection, fit_novelty, summed_up
from miso.models.standardize import FeatureReference

DIM, PATCHES = 12, 9
MIX = np.random.default_rng(7).normal(0, 1, (4, DIM))


def tiles(seed: int, n: int = 150, shift: float = 0.0, scale: float = 1.0) -> NDArray[np.float32]:
    """Tiles whose features follow four hidden numbers, and a little noise; a slide's own shift and scale."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(0, 1, (n, 1, 4)) + rng.normal(0, 0.5, (n, PATCHES, 4))
    features = hidden @ MIX + rng.normal(0, 0.2, (n, PATCHES, DIM))
    return np.asarray(shift + scale * features, dtype=np.float32)


def reference_of(features: NDArray[np.float32]) -> FeatureReference:
    return FeatureReference.of(torch.from_numpy(features))


def distance(
    novelty: Novelty, features: NDArray[np.float32], reference: FeatureReference
) -> NDArray[np.float32]:
    return np.asarray(novelty.of_tiles(summed_up(features, reference)))


def learnt(sections: Sequence[NDArray[np.float32]], parts: Sequence[int] | None = None) -> Novelty:
    found = fit_novelty(
        [
            TilesOfSection(tiles=summed_up(f, reference_of(f)), reference=reference_of(f), part=part)
            for f, part in zip(sections, parts or range(len(sections)), strict=True)
        ]
    )
    assert found is not None
    return found


@pytest.fixture(scope="module")
def novelty() -> Novelty:
    rng = np.random.default_rng(0)
    return learnt([tiles(i, shift=rng.normal(0, 0.3), scale=rng.uniform(0.8, 1.2)) for i in range(5)])


def test_about_one_in_a_hundred_tiles_of_a_new_slide_is_beyond_1(novelty: Novelty) -> None:
    new = tiles(50, n=4000)
    flagged = (distance(novelty, new, reference_of(new)) > 1).mean()
    assert 0.003 < flagged < 0.025


def test_a_slide_stained_otherwise_has_the_same_tiles_and_is_another_slide(novelty: Novelty) -> None:
    new = tiles(50)
    stained = 4 * new + 10
    as_they_were = distance(novelty, new, reference_of(new))
    np.testing.assert_allclose(distance(novelty, stained, reference_of(stained)), as_they_were, rtol=1e-3)
    assert novelty.of_slide(reference_of(new)) < 2
    assert novelty.of_slide(reference_of(stained)) > 4


def test_a_tile_off_the_axes_of_training_tiles_is_far_even_if_no_feature_is_extreme(novelty: Novelty) -> None:
    new = tiles(50)
    shuffled = np.stack([np.random.default_rng(i).permutation(new[:, :, i]) for i in range(DIM)], axis=-1)
    assert (distance(novelty, np.asarray(shuffled), reference_of(new)) > 1).mean() > 0.95


def test_what_is_beyond_1_is_seen_on_patients_left_out() -> None:
    apart = [tiles(i) + 2 * i * np.eye(DIM, dtype=np.float32)[i] for i in range(3)]
    references = [reference_of(tiles(0))] * 3  # so that the patients do differ

    def far(parts: Sequence[int]) -> float:
        sections = [
            TilesOfSection(tiles=summed_up(f, r), reference=r, part=part)
            for f, r, part in zip(apart, references, parts, strict=True)
        ]
        found = fit_novelty(sections)
        assert found is not None
        return found.far

    assert far([0, 1, 2]) > 1.5 * far([0, 0, 0])


def test_a_single_section_is_enough_for_tiles_and_says_nothing_of_slides() -> None:
    alone = learnt([tiles(1, n=400)])
    new = tiles(2, n=400)
    assert (distance(alone, new, reference_of(new)) > 1).mean() < 0.1
    assert np.isnan(alone.of_slide(reference_of(new)))


def test_too_few_tiles_teach_nothing() -> None:
    few = tiles(1, n=20)
    section = TilesOfSection(tiles=summed_up(few, reference_of(few)), reference=reference_of(few), part=0)
    assert fit_novelty([section]) is None


def test_a_feature_that_never_varies_does_no_harm() -> None:
    flat = [np.concatenate([tiles(i), np.zeros((150, PATCHES, 2), np.float32)], axis=2) for i in range(4)]
    found = learnt(flat)
    away = distance(found, flat[0], reference_of(flat[0]))
    assert np.isfinite(away).all()
    assert np.median(away) < 1
    varying = flat[0].copy()
    varying[..., -1] = np.random.default_rng(0).normal(0, 1, varying.shape[:2])
    assert np.isfinite(found.of_slide(reference_of(varying)))


def test_what_is_kept_of_it_gives_the_same_distances(novelty: Novelty) -> None:
    again, new = Novelty.from_arrays(novelty.arrays()), tiles(9)
    reference = reference_of(new)
    np.testing.assert_allclose(distance(again, new, reference), distance(novelty, new, reference), rtol=1e-5)
    assert again.of_slide(reference) == pytest.approx(novelty.of_slide(reference), rel=1e-5)
    with pytest.raises(ValueError, match="axes"):
        Novelty.from_arrays({**novelty.arrays(), "axes": novelty.axes[:, :3]})


def test_tiles_that_are_blurred_are_far(novelty: Novelty) -> None:
    new = tiles(50)
    mean = new.mean(axis=1, keepdims=True)
    blurred = mean + 0.1 * (new - mean)  # every patch is nearly as its tile
    assert (distance(novelty, blurred, reference_of(new)) > 1).mean() > 0.95


def test_of_many_features_the_first_axes_alone_are_computed_and_give_the_same_distances(
    novelty: Novelty, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = [tiles(i) for i in range(3)]
    dense = learnt(sections)
    monkeypatch.setattr("miso.models.gaussian.DENSE", 1)
    few = learnt(sections)
    new = tiles(9)
    np.testing.assert_allclose(
        distance(few, new, reference_of(new)), distance(dense, new, reference_of(new)), rtol=1e-3
    )
    np.testing.assert_array_equal(few.axes, learnt(sections).axes)


def test_a_tile_is_summed_up_by_the_mean_and_the_log_spread_of_its_scaled_patches() -> None:
    features = tiles(3, n=5)
    reference = reference_of(tiles(4, shift=0.5, scale=2.0))
    scaled = reference.apply(torch.from_numpy(features)).numpy()
    expected = np.concatenate([scaled.mean(1), np.log(scaled.std(1) + 0.1)], axis=1)
    np.testing.assert_allclose(summed_up(features, reference), expected, rtol=1e-4, atol=1e-5)
