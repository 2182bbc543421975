"""What is said of a map that lies beyond what its models have learnt from."""

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from miso.maps import ExpressionMap
from miso.verbs._super_resolve import unlike_training


@pytest.mark.parametrize(
    ("novelty", "slide_novelty", "said"),
    [
        (None, None, []),
        ([0.5, 0.9, np.nan], 0.8, []),
        ([0.5] * 99 + [1.2], None, []),  # one tile in a hundred of any slide
        ([0.5, 2.0, 3.0, np.nan], 0.9, ["66.7% of the map"]),
        ([0.5], 2.44, ["2.4 times as far"]),
        ([2.0], 3.0, ["100.0% of the map", "3.0 times as far"]),
        ([np.nan], None, []),
    ],
)
def test_a_map_unlike_training_is_told_in_words(
    novelty: list[float] | None, slide_novelty: float | None, said: list[str]
) -> None:
    plane = None if novelty is None else np.array([novelty], dtype=np.float32)
    made = cast("ExpressionMap", SimpleNamespace(novelty=plane, slide_novelty=slide_novelty))
    words = unlike_training(made)
    assert bool(words) == bool(said)
    assert all(part in words for part in said)
