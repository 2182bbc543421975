"""Which windows an encoder is shown, and how their weights add up."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from torch import nn

from miso.encoders.encoder import Encoder
from miso.errors import MapError
from miso.geometry import TileSpec
from miso.maps.seams import blending, lay_windows

TILE = TileSpec()


@pytest.mark.parametrize(
    ("side", "stride"), [(14, 14), (14, 7), (28, 7), (16, 4), (28, 21), (28, 24), (64, 48)]
)
def test_the_weights_of_all_windows_sum_to_the_same_everywhere(side: int, stride: int) -> None:
    total, weights = np.zeros((4 * side, 4 * side)), blending(side, min(side - stride, side / 2))
    for row, col in product(range(0, 3 * side + 1, stride), repeat=2):
        total[row : row + side, col : col + side] += weights[: 4 * side - row, : 4 * side - col]
    inner = total[side : 2 * side, side : 2 * side]
    np.testing.assert_allclose(inner, inner[0, 0], rtol=1e-5)


def test_weights_fade_over_what_they_are_told_and_alike_on_all_sides() -> None:
    weights = blending(28, 7)
    assert weights[0].max() < 0.02
    np.testing.assert_array_equal(weights[7:21, 7:21], 1)
    for other in (weights[::-1], weights[:, ::-1], weights.T):
        np.testing.assert_array_equal(weights, other)
    assert (blending(28, 0) == 1).all()
    assert blending(28, 14, 0.25)[0, 14] > 0.4


@pytest.mark.parametrize(
    ("asked", "window_px", "stride_px", "shifts_px"),
    [
        ({}, 224, 224, ((0, 0), (120, 120))),
        ({"passes": 1}, 224, 224, ((0, 0),)),
        ({"passes": 4}, 224, 224, tuple(product((0, 120), repeat=2))),
        ({"passes": 16}, 224, 224, tuple(product((0, 56, 112, 168), repeat=2))),
        ({"stride_px": 56}, 224, 56, ((0, 0),)),
        ({"seams": "overlap"}, 224, 112, ((0, 0),)),
        ({"seams": "wide"}, 448, 400, ((0, 0), (8, 8))),
        ({"seams": "none"}, 224, 224, ((0, 0),)),
    ],
)
def test_windows_are_laid_as_asked(
    encoder: Encoder,
    asked: dict[str, Any],
    window_px: int,
    stride_px: int,
    shifts_px: tuple[tuple[int, int], ...],
) -> None:
    windows = lay_windows(encoder, TILE, **asked)
    assert (windows.spec.size_px, windows.spec.mpp) == (window_px, 0.5)
    assert windows.stride_px == stride_px
    assert windows.shifts_px == shifts_px


@pytest.mark.parametrize("patch_px", [14, 16, 32])
@pytest.mark.parametrize("passes", [4, 16])
def test_every_other_pass_is_shifted_by_half_a_patch(
    encoder_of: Callable[..., Encoder], patch_px: int, passes: int
) -> None:
    windows = lay_windows(encoder_of(patch_px), TILE, passes=passes)
    half = {(up % patch_px, left % patch_px) for up, left in windows.shifts_px}
    assert half == set(product((0, patch_px // 2), repeat=2))
    assert len(set(windows.shifts_px)) == passes


def test_an_encoder_of_one_size_takes_no_wide_windows(encoder_of: Callable[..., Encoder]) -> None:
    narrow = replace(encoder_of(), module=nn.Identity())
    with pytest.raises(MapError, match="'mean-colour' takes its own size only"):
        lay_windows(narrow, TILE, seams="wide")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"seams": "invisible"}, "seams 'invisible': choose one of shifted, overlap, wide, none"),
        (
            {"seams": "wide", "stride_px": 112},
            "a stride is for overlapping tiles, and seams 'wide' sets its own",
        ),
        ({"stride_px": 100}, "choose a divisor of the tile's 224 px, such as 14, 16, 28, 32, 56, 112, 224"),
        ({"stride_px": -1}, "choose a divisor"),
        ({"passes": 3}, "3 passes: choose one of 1, 2, 4, 16"),
        ({"passes": 2, "stride_px": 56}, "passes are for seams shifted or wide, not 'overlap'"),
    ],
)
def test_what_does_not_fit_is_refused(encoder: Encoder, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(MapError, match=message):
        lay_windows(encoder, TILE, **asked)
