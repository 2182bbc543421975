"""The embedded encoder: patches in their order, each tile for itself, stains told apart."""

import numpy as np
import pytest
import torch

from miso.encoders import load_encoder
from miso.encoders.stain import EOSIN, HAEMATOXYLIN, blur, centre_weights
from miso.errors import EncoderError

TISSUE = (214, 160, 196)


@pytest.fixture(scope="module")
def tiles():
    """Three tiles of smooth blobs in the colours of a stained section."""
    rng = np.random.default_rng(0)
    rough = torch.from_numpy(rng.uniform(0.3, 1.0, (3, 3, 28, 28))).float()
    smooth = torch.nn.functional.interpolate(rough, size=224, mode="bicubic").clamp(0, 1)
    return (smooth.permute(0, 2, 3, 1) * 255).to(torch.uint8)


def plain(colour, size_px=224):
    return torch.tensor(colour, dtype=torch.uint8).expand(1, size_px, size_px, 3).clone()


@pytest.mark.parametrize("size_px", [32, 64, 208, 224])
def test_tokens_have_the_promised_shapes(stain, size_px):
    cls, patches = stain.encode(plain(TISSUE, size_px).expand(2, -1, -1, -1))
    side = size_px // 16
    assert cls.shape == (2, stain.tile_dim)
    assert patches.shape == (2, side * side, stain.patch_dim)
    assert cls.dtype == patches.dtype == torch.float32


@pytest.mark.parametrize(("row", "col"), [(0, 0), (0, 13), (3, 9), (13, 0), (7, 7)])
@pytest.mark.parametrize("colour", [(40, 20, 90), (255, 255, 255)], ids=["dark", "bright"])
def test_the_patch_that_is_another_colour_changes_most_in_row_major_order(stain, row, col, colour):
    before = plain(TISSUE)
    after = before.clone()
    after[0, 16 * row : 16 * row + 16, 16 * col : 16 * col + 16] = torch.tensor(colour, dtype=torch.uint8)
    change = (
        (stain.encode(after).patches - stain.encode(before).patches)[0].abs()[:, :3].sum(1)
    )  # its mean stains
    assert int(change.argmax()) == row * 14 + col
    assert (change > 1e-4).sum() == 1


def test_surroundings_fade_with_the_distance(stain):
    before, after = plain(TISSUE), plain(TISSUE)
    after[0, 112:128, 112:128] = torch.tensor((40, 20, 90), dtype=torch.uint8)
    change = (stain.encode(after).patches - stain.encode(before).patches)[0].abs().sum(1).reshape(14, 14)
    assert change[7, 7] > change[7, 8] > change[7, 10] > 1e-4
    assert change[0, 0] < 1e-3 * change[7, 7]


def test_a_tile_is_described_alike_alone_and_in_company(stain, tiles):
    together = stain.encode(tiles)
    for index in range(3):
        alone = stain.encode(tiles[index : index + 1])
        torch.testing.assert_close(alone.cls[0], together.cls[index], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(alone.patches[0], together.patches[index], rtol=1e-4, atol=1e-5)
    turned = stain.encode(tiles.flip(0))
    torch.testing.assert_close(turned.cls.flip(0), together.cls, rtol=1e-4, atol=1e-5)


def test_the_tile_feature_is_mean_spread_and_middle_of_its_patches(stain, tiles):
    cls, patches = stain.encode(tiles)
    mean, spread, middle = cls.split(stain.patch_dim, dim=1)
    torch.testing.assert_close(mean, patches.mean(1))
    torch.testing.assert_close(spread, patches.std(1))
    at = (np.arange(14) + 0.5) / 14 - 0.5
    weight = np.exp(-0.5 * (at[:, None] ** 2 + at[None] ** 2) / 0.2**2).ravel()
    expected = (patches.numpy() * weight[None, :, None]).sum(1) / weight.sum()
    np.testing.assert_allclose(middle, expected, rtol=1e-3, atol=1e-5)


def test_what_lies_in_the_middle_counts_more_for_the_middle_than_for_the_mean(stain):
    features = {}
    for place, at in (("corner", 0), ("middle", 96)):
        tile = plain(TISSUE)
        tile[0, at : at + 32, at : at + 32] = torch.tensor((60, 30, 110), dtype=torch.uint8)
        features[place] = stain.encode(tile).cls[0]
    mean, _, middle = (features["middle"] - features["corner"]).abs().split(stain.patch_dim)
    assert mean[:3].max() < 1e-4
    assert middle[:3].max() > 0.01


@pytest.mark.parametrize("level", [0, 1, 254, 255])
@pytest.mark.parametrize("size_px", [32, 224])
def test_plain_tiles_from_black_to_white_have_finite_features(stain, level, size_px):
    cls, patches = stain.encode(plain((level, level, level), size_px))
    assert torch.isfinite(cls).all()
    assert torch.isfinite(patches).all()
    assert cls[:, stain.patch_dim : 2 * stain.patch_dim].abs().max() < 1e-3  # all patches alike


def test_a_white_tile_has_no_stain(stain):
    assert stain.encode(plain((255, 255, 255))).patches[..., :3].abs().max() < 1e-6


@pytest.mark.parametrize(
    ("vector", "channel"), [(HAEMATOXYLIN, 0), (EOSIN, 1)], ids=["haematoxylin", "eosin"]
)
def test_a_pure_stain_is_found_in_its_own_channel_alone(stain, vector, channel):
    amount = 0.4
    density = amount * np.array(vector) / np.linalg.norm(vector)
    colour = np.rint(255 * 10**-density).astype(np.uint8)
    found = stain.encode(plain(tuple(map(int, colour)))).patches[0, 0, :3].numpy()
    expected = np.zeros(3)
    expected[channel] = amount
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_the_features_turn_with_the_tile(stain, tiles):
    upright, mirrored = stain.encode(tiles), stain.encode(tiles.flip(2))
    size = (3, 14, 14, stain.patch_dim)
    torch.testing.assert_close(
        mirrored.patches.reshape(size).flip(2), upright.patches.reshape(size), rtol=1e-3, atol=1e-4
    )


def test_loading_twice_gives_the_same_features(stain, tiles):
    again = load_encoder("stain")
    assert again.id == stain.id == "stain@1"
    torch.testing.assert_close(again.encode(tiles).cls, stain.encode(tiles).cls, rtol=0, atol=0)
    assert not any(weight.requires_grad for weight in again.module.parameters())


def test_stain_takes_no_argument():
    with pytest.raises(EncoderError, match="'stain' takes no argument, but got 'large'"):
        load_encoder("stain:large")


def test_blurring_keeps_a_plain_image_and_the_weights_sum_to_one():
    image = torch.full((1, 2, 20, 20), 0.3)
    for mirrored in (True, False):
        torch.testing.assert_close(blur(image, 2.5, mirrored=mirrored), image)
    assert centre_weights(14, 14).sum() == pytest.approx(1, abs=1e-6)
