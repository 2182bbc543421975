"""The noise ceiling: that of known reliabilities, of no signal, of nothing; and of real sections."""

from pathlib import Path

import numpy as np
import pytest

from miso.errors import MisoError
from miso.samples.targets import targets
from miso.samples.vendors.st.her2st import find_sections, read_section
from miso.scores.ceiling import noise_ceiling, reliability
from miso.scores.metrics import pearson

RAW, LOG = targets["raw"].transform, targets["log1p_cp10k"].transform


def poisson(spots: int, genes: int, seed: int = 0, spread: float = 0.5, mean: float = 4.0):
    """Counts of genes whose rates are gamma distributed over spots: reliability is known in closed form."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(1 / spread, mean * spread, (spots, genes))
    counts = rng.poisson(rate).astype(np.float32)
    return rate, counts, counts.sum(axis=1) + 1000.0


@pytest.mark.parametrize(("spread", "mean"), [(0.5, 4.0), (0.1, 2.0), (1.0, 0.5)])
def test_reliability_of_counts_is_the_share_of_variance_that_is_not_poissons(
    spread: float, mean: float
) -> None:
    _, counts, total = poisson(600, 200, spread=spread, mean=mean)
    signal = mean**2 * spread
    found = reliability(counts, total, RAW)
    assert found.mean() == pytest.approx(signal / (signal + mean), abs=0.02)


@pytest.mark.parametrize("transform", [RAW, LOG], ids=["raw", "log1p_cp10k"])
def test_the_ceiling_is_what_the_true_rates_score(transform) -> None:
    rate, counts, total = poisson(400, 100)
    reached = pearson(transform(rate, total[:, None]), transform(counts, total[:, None])).mean()
    assert noise_ceiling(counts, total, transform).mean() == pytest.approx(reached, abs=0.02)


def test_without_signal_reliability_is_about_0_and_the_ceiling_never_below() -> None:
    counts = np.random.default_rng(0).poisson(3, (300, 100)).astype(np.float32)
    total = counts.sum(axis=1) + 500
    assert reliability(counts, total, RAW).mean() == pytest.approx(0, abs=0.03)
    assert (reliability(counts, total, RAW) < 0).any()
    ceiling = noise_ceiling(counts, total, RAW)
    assert (ceiling >= 0).all()
    assert (ceiling == 0).any()


def test_a_gene_without_molecules_with_one_or_with_as_many_everywhere_has_no_ceiling() -> None:
    _, counts, total = poisson(50, 4)
    counts[:, 1] = 0
    counts[:, 2] = 0
    counts[7, 2] = 1
    counts[:, 3] = 6
    found = noise_ceiling(counts, total, RAW)
    assert np.isnan(found).tolist() == [False, True, True, True]


def test_the_draws_follow_the_seed_and_more_of_them_agree_better() -> None:
    _, counts, total = poisson(80, 50)
    same = [noise_ceiling(counts, total, LOG, seed=3) for _ in range(2)]
    np.testing.assert_array_equal(*same)
    gap = [
        np.abs(np.subtract(*(reliability(counts, total, RAW, draws=draws, seed=s) for s in (1, 2)))).mean()
        for draws in (1, 20)
    ]
    assert gap[1] < gap[0] / 2


def test_the_other_genes_of_a_spot_are_split_too() -> None:
    counts, total = np.full((40, 1), 6.0), np.full(40, 10_000.0)
    seen: list[np.ndarray] = []

    def keep(half: np.ndarray, of: np.ndarray) -> np.ndarray:
        seen.append(of[:, 0])
        return half

    noise_ceiling(counts, total, keep, draws=3)
    halves = np.array(seen[:6]).reshape(3, 2, 40)  # the seventh is of the whole
    np.testing.assert_array_equal(halves.sum(axis=1), 10_000)
    assert 30 < halves[:, 0].std() < 70  # √(10,000 / 4) = 50


@pytest.mark.parametrize(
    ("counts", "total", "says"),
    [
        ([[0.5]], [3.0], "0.5 is no number of them; pass raw counts"),
        ([[-1.0]], [3.0], "-1 is no number"),
        ([[np.nan]], [3.0], "nan is no number"),
        ([[4.0]], [3.0], "spot 0 has 4 molecules of these genes and 3 in all"),
    ],
)
def test_what_cannot_be_split_is_refused(counts, total, says: str) -> None:
    with pytest.raises(MisoError, match=says):
        noise_ceiling(np.array(counts), np.array(total), RAW)


@pytest.mark.data
def test_the_real_sections_have_the_ceilings_of_the_design(real_data: Path) -> None:
    asset = Path(__file__).parents[2] / "src/miso/assets/her2st_panel.txt"
    genes = asset.read_text().split()
    for files in find_sections(real_data / "her2st"):
        spots = read_section(files).spots
        counts = spots.counts[:, [spots.genes.index(gene) for gene in genes]].toarray().astype(np.float32)
        total = np.asarray(spots.counts.sum(axis=1), dtype=np.float32).ravel()
        assert 0.52 < np.nanmean(noise_ceiling(counts, total, RAW)) < 0.60
        assert 0.40 < np.nanmean(noise_ceiling(counts, total, LOG)) < 0.44
