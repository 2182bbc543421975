"""The student: a spot is exactly the weighted mean of its patches, and only of those on its disc."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from miso.geometry import PatchGrid, TileSpec
from miso.models.patch import PUBLISHED_PATCH, PatchConfig, PatchModel, SpotDropout
from miso.models.standardize import FeatureReference

DIM, GENES = 6, 11
GRID = PatchGrid(tile=TileSpec(size_px=224, mpp=0.5), patch_px=16)
CONFIGS = {
    "default": PatchConfig(hidden=(16, 8), factors=4),
    "published": replace(PUBLISHED_PATCH, hidden=(16, 8)),
}


def build(config: PatchConfig, *, nonnegative: bool = True) -> PatchModel:
    torch.manual_seed(0)
    model = PatchModel(DIM, GENES, config, nonnegative=nonnegative)
    if config.factors:
        programs = torch.randn(config.factors, GENES)
        model.programs.copy_(programs.abs() if nonnegative else programs)
    return model.double().eval()


@pytest.fixture
def patches() -> Tensor:
    return torch.randn(
        9, GRID.n_patches, DIM, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("nonnegative", [True, False])
def test_a_spot_is_exactly_the_weighted_mean_of_its_patches(
    name: str, nonnegative: bool, patches: Tensor
) -> None:
    model = build(CONFIGS[name], nonnegative=nonnegative)
    weights = torch.from_numpy(CONFIGS[name].weights(GRID, 100.0)).double()
    reference = FeatureReference.of(patches)
    each = model(patches, reference)  # (spot, patch, gene)
    by_hand = sum(weights[p] * each[:, p] for p in range(GRID.n_patches))
    torch.testing.assert_close(model.spots(patches, weights, reference), by_hand, atol=1e-6, rtol=0)
    assert float(each.detach().std()) > 1e-3


@pytest.mark.parametrize("name", CONFIGS)
def test_counts_are_never_below_zero_and_signed_targets_may_be(name: str, patches: Tensor) -> None:
    far = 50 * patches
    assert float(build(CONFIGS[name])(far).detach().min()) >= 0
    assert float(build(CONFIGS[name], nonnegative=False)(far).detach().min()) < 0


def test_a_patch_is_predicted_from_its_own_feature_alone(patches: Tensor) -> None:
    model, reference = build(CONFIGS["default"]), FeatureReference.of(patches)
    changed = patches.clone()
    changed[2, 7] += 3
    moved = (model(changed, reference) != model(patches, reference)).any(dim=-1)
    assert moved.nonzero().tolist() == [[2, 7]]


def test_the_published_student_has_the_published_layers() -> None:
    layers = [
        layer for layer in PatchModel(768, 785, PUBLISHED_PATCH).network if not isinstance(layer, SpotDropout)
    ]
    assert [type(layer) for layer in layers] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    sizes = [(layer.in_features, layer.out_features) for layer in layers if isinstance(layer, nn.Linear)]
    assert sizes == [(768, 1024), (1024, 512), (512, 785)]
    assert PUBLISHED_PATCH.dropout == 0
    assert (PUBLISHED_PATCH.pool, PUBLISHED_PATCH.standardize) == ("tile", False)


def test_the_same_units_are_left_out_of_all_patches_of_a_spot() -> None:
    layer = SpotDropout(0.25).train()
    units = torch.rand(50, 7, 40, generator=torch.Generator().manual_seed(0)) + 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        left = layer(units) / units
    assert torch.equal(left == 0, (left[:, :1] == 0).expand_as(left))
    torch.testing.assert_close(left[left > 0], torch.full_like(left[left > 0], 4 / 3))
    assert 0.2 < float((left[:, 0] == 0).float().mean()) < 0.3
    assert torch.equal(layer.eval()(units), units)


def test_patches_off_the_disc_have_no_say_in_a_spot(patches: Tensor) -> None:
    model, reference = build(CONFIGS["default"]), FeatureReference.of(patches)
    weights = torch.from_numpy(PatchConfig().weights(GRID, 55.0)).double()
    off = torch.from_numpy(np.hypot(*GRID.offsets_um().T) > 55.0 / 2 + GRID.patch_um)
    assert 0 < off.sum() < GRID.n_patches
    changed = torch.where(off[:, None], 1e3, patches)
    assert torch.equal(model.spots(changed, weights, reference), model.spots(patches, weights, reference))


def test_disc_weights_measure_the_disc_and_tile_weights_are_all_alike() -> None:
    disc = PatchConfig(pool="disc").weights(GRID, 100.0)
    assert disc.sum() == pytest.approx(1, abs=1e-6)
    area_um2 = GRID.patch_um**2 / disc.max()  # of all patches in the disc
    assert area_um2 == pytest.approx(np.pi * 50**2, rel=0.01)
    tile = PatchConfig(pool="tile").weights(GRID, 100.0)
    np.testing.assert_array_equal(tile, np.full(196, np.float32(1 / 196)))


def test_features_are_measured_against_the_reference_that_is_given(patches: Tensor) -> None:
    model = build(CONFIGS["default"])
    shifted = patches * 2 + 7
    torch.testing.assert_close(
        model(shifted, FeatureReference.of(shifted)),
        model(patches, FeatureReference.of(patches)),
        atol=1e-5,
        rtol=1e-5,
    )
    assert not torch.allclose(model(shifted, FeatureReference.of(patches)), model(patches))
    torch.testing.assert_close(model(patches), model(patches, FeatureReference.of(patches)))


def test_a_reference_counts_every_patch_alike_and_silences_a_constant_feature(patches: Tensor) -> None:
    patches[..., 3] = 0.1
    reference = FeatureReference.of(patches)
    flat = patches.reshape(-1, DIM).numpy()
    np.testing.assert_allclose(reference.mean, flat.mean(0), atol=1e-6)
    np.testing.assert_allclose(reference.std, flat.std(0), atol=1e-6)
    scaled = reference.apply(patches.float())
    assert torch.equal(scaled[..., 3], torch.zeros(patches.shape[:2]))
    assert torch.isfinite(scaled).all()
