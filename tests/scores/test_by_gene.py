"""Scores taken together: what they are one by one, whatever was found of the measured side before."""

import numpy as np
import pytest

from miso.errors import MisoError
from miso.scores import columns
from miso.scores.by_gene import by_gene, score_together
from miso.scores.columns import Block, Columns, Measured, PerGene
from miso.scores.metrics import Metric, metrics, pearson, score_all


def section(seed: int, spots: int = 40, genes: int = 7) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a prediction, a target and counts."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(1, 2, genes), (spots, genes)).astype(np.float32)
    predicted = (counts + rng.normal(1, 2, counts.shape)).astype(np.float32)
    return predicted, np.log1p(counts), counts


def alone(predicted: np.ndarray, target: np.ndarray, counts: np.ndarray) -> dict[str, PerGene]:
    sides = {"target": target, "counts": counts}
    return {name: metrics[name].score(predicted, sides[metrics[name].on]) for name in metrics}


def assert_same(found: dict[str, PerGene], expected: dict[str, PerGene]) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("block", [80, 2**17])
def test_every_prediction_of_a_section_gets_what_it_would_alone(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "BLOCK", block)
    predicted, target, counts = section(0)
    target[3, 1] = np.nan  # one value, in one gene
    sides = {"target": Measured(target), "counts": Measured(counts)}
    damaged = predicted[::-1].copy()
    damaged[0, 2] = np.inf
    for model in (predicted, damaged, np.zeros_like(predicted), predicted):
        assert_same(score_all(model, sides), alone(model, target, counts))


def test_spots_that_only_one_side_lacks_are_in_the_scores_of_the_other() -> None:
    predicted, target, counts = section(1)
    target[:9] = np.nan
    found = score_all(predicted, {"target": Measured(target), "counts": Measured(counts)})
    assert_same(found, alone(predicted, target, counts))
    assert_same(
        {"auc_1": found["auc_1"], "spearman": found["spearman"]},
        {
            "auc_1": metrics["auc_1"].score(predicted, counts),
            "spearman": metrics["spearman"].score(predicted[9:], target[9:]),
        },
    )


def test_a_fact_of_the_measured_side_is_found_once_a_block_and_never_of_another_prediction() -> None:
    asked: list[int] = []

    def width(values: Columns) -> PerGene:
        asked.append(values.shape[1])
        return np.asarray(values.max(axis=0))

    @by_gene
    def apart(predicted: Block, measured: Block) -> PerGene:
        return np.asarray(predicted.of(width) - measured.of(width))

    predicted, target, _ = section(2)
    known = Measured(target)
    first = apart(predicted, known)
    assert asked == [7, 7]
    np.testing.assert_allclose(apart(predicted + 1, known), first + 1, rtol=1e-6)
    assert asked == [7, 7, 7]


def test_a_metric_of_another_package_needs_to_know_arrays_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    about = {"better": "low", "definition": "", "undefined": "", "source": ""}
    bias = Metric(name="bias", score=lambda p, m: np.asarray((p - m).mean(axis=0)), **about)  # type: ignore[arg-type]
    monkeypatch.setitem(metrics._items, "bias", bias)
    predicted, target, _ = section(3)
    found = score_all(predicted, {"target": Measured(target)})
    np.testing.assert_allclose(found["bias"], (predicted - target).mean(axis=0))
    assert "auc_0" not in found
    assert list(found) == [name for name in metrics if not name.startswith("auc")]


def test_sides_of_different_shape_are_refused_by_name_of_their_shapes() -> None:
    predicted, target, _ = section(4)
    with pytest.raises(MisoError, match=r"shape \(40, 5\) .* shape \(40, 7\)"):
        score_together(predicted[:, :5], {"t": Measured(target)}, {"r": ("t", pearson)})
