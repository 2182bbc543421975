"""Programs are predicted as ridge says, each as far as sections left out bear it out."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from miso.scores.metrics import mean_pearson
from miso.training import program_ridge
from miso.training.linear import path_over
from miso.training.program_ridge import fit_programs
from miso.training.sections import Section

SPOTS, DIM, GENES = 60, 12, 30


def inputs(section: Section) -> Tensor:
    return section.features


def cohort(n: int, noise: float = 1.0, seed: int = 0, dim: int = DIM) -> list[Section]:
    """Sections whose genes are mixtures of two programs, which three features carry, and noise."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    profiles, slopes = draw(2, GENES), draw(3, 2)
    return [
        Section(
            name=name,
            features=(x := draw(SPOTS, dim)),
            stain=x,
            neighbors=torch.arange(SPOTS)[:, None],
            center_um=draw(SPOTS, 2),
            total=torch.ones(SPOTS),
            y=x[:, :3] @ slopes @ profiles + noise * draw(SPOTS, GENES) + 7,
        )
        for name in "ABCDEFG"[:n]
    ]


def r(predicted: Tensor, section: Section) -> float:
    return mean_pearson(predicted.numpy(), section.y.numpy())


def test_mixtures_of_few_programs_are_predicted_better_than_gene_by_gene() -> None:
    *train, test = cohort(4, noise=6.0, seed=3)
    fit = fit_programs(train, inputs)
    by_gene = max(r(path_over(train, inputs).at(p)(test.features), test) for p in (0.1, 0.3, 1.0, 3.0, 10.0))
    assert r(fit.linear(test.features), test) > by_gene + 0.02
    assert 1 <= fit.used <= 4


def test_without_noise_the_map_is_found() -> None:
    *train, test = cohort(4, noise=0.01)
    assert r(fit_programs(train, inputs).linear(test.features), test) > 0.999


def test_counts_that_have_nothing_to_do_with_the_slide_are_left_at_their_mean() -> None:
    train = [replace(s, y=torch.randn(SPOTS, GENES) + 3) for s in cohort(4)]
    fit = fit_programs(train, inputs)
    assert fit.used == 0
    predicted = fit.linear(train[0].features)
    torch.testing.assert_close(predicted, torch.cat([s.y for s in train]).mean(0).expand(SPOTS, -1))
    assert torch.allclose(torch.cat(fit.missed).mean(0), torch.zeros(()), atol=1e-5)


def test_each_program_is_ridge_times_a_factor_and_what_it_misses_is_of_sections_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(program_ridge, "PENALTIES", (0.05,))
    sections = cohort(3)
    fit = fit_programs(sections, inputs)
    x = [(s.features - s.features.mean(0)).double().numpy() for s in sections]
    scale = np.concatenate([(s.y - s.y.mean(0)).double().numpy() for s in sections]).std(0, ddof=1)
    profiles = fit.programs.double().numpy() / scale
    c = [(s.y - s.y.mean(0)).double().numpy() / scale @ profiles.T for s in sections]

    def ridge(of: Sequence[int]) -> np.ndarray:
        rows = np.concatenate([x[i] for i in of])
        values = np.concatenate([c[i] for i in of])
        penalty = 0.05 * (rows**2).sum()
        return Ridge(alpha=penalty, fit_intercept=False).fit(rows, values).coef_.T

    whole, out = ridge([0, 1, 2]), [ridge([j for j in range(3) if j != i]) for i in range(3)]
    predicted = [x[i] @ out[i] for i in range(3)]
    along = sum((p * values).sum(0) for p, values in zip(predicted, c, strict=True))
    square = sum((p**2).sum(0) for p in predicted)
    factor = np.clip(along / square, 0, 1)
    gained = 2 * factor * along - factor**2 * square
    factor[gained <= program_ridge.ERRORS**2 * np.concatenate(c).var(0, ddof=1)] = 0
    assert (factor > 0).sum() == fit.used > 0
    np.testing.assert_allclose(fit.linear.weight, (whole * factor) @ (profiles * scale), atol=1e-4)
    for i in range(3):
        np.testing.assert_allclose(fit.missed[i], c[i] - predicted[i] * factor, atol=1e-4)


def test_levels_of_sections_move_the_mean_and_nothing_else() -> None:
    sections = cohort(3)
    brighter = [replace(s, y=s.y + 50 * i) for i, s in enumerate(sections)]
    one, other = fit_programs(sections, inputs), fit_programs(brighter, inputs)
    torch.testing.assert_close(one.linear.weight, other.linear.weight, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(one.linear.bias + 50, other.linear.bias, atol=1e-3, rtol=1e-3)


def test_fewer_spots_than_features_are_fitted_in_the_space_they_span(monkeypatch: pytest.MonkeyPatch) -> None:
    sections = cohort(3, dim=400)
    quick = fit_programs(sections, inputs)
    monkeypatch.setattr(program_ridge, "_row_space", lambda x: torch.eye(400, dtype=torch.float64))
    torch.testing.assert_close(
        quick.linear.weight, fit_programs(sections, inputs).linear.weight, atol=1e-4, rtol=1e-3
    )


def test_sections_of_a_patient_are_left_out_together() -> None:
    sections = [replace(s, patient=p) for s, p in zip(cohort(5), "PPQRR", strict=True)]
    assert program_ridge._parts(sections) == [0, 0, 1, 2, 2]
    assert program_ridge._parts([replace(s, patient="P") for s in sections]) == [0, 1, 2, 3, 4]
    seven = cohort(7)
    assert program_ridge._parts(seven) == [0, 1, 2, 3, 4, 0, 1]


def test_a_lone_section_is_cut_into_pieces_and_its_spots_stay_in_their_order() -> None:
    (alone,) = cohort(1, noise=0.1)
    pieces = program_ridge._pieces(alone)
    assert sorted(torch.cat(pieces).tolist()) == list(range(SPOTS))
    fit = fit_programs([alone], inputs)
    assert r(fit.linear(alone.features), alone) > 0.95
    centred, spread = alone.y - alone.y.mean(0), alone.y.std(0)
    axes = (fit.programs / spread).T
    values = (fit.linear(alone.features) - fit.linear.bias) / spread @ axes
    left_out = centred / spread @ axes - fit.missed[0]
    for program in range(fit.used):  # what pieces left out say agrees with the whole, spot by spot
        assert np.corrcoef(values[:, program], left_out[:, program])[0, 1] > 0.9


def test_genes_that_some_sections_lack_are_learnt_from_the_others() -> None:
    *train, test = cohort(5, noise=1.0)
    masked = [replace(s, y=s.y.clone()) for s in train]
    masked[0].y[:, :10] = torch.nan
    masked[1].y[:, 20:] = torch.nan
    whole, part = (fit_programs(of, inputs).linear(test.features) for of in (train, masked))
    assert torch.isfinite(part).all()
    assert r(part, test) > r(whole, test) - 0.02
    never = [replace(s, y=s.y.clone()) for s in train]
    for section in never:
        section.y[:, 0] = torch.nan
    predicted = fit_programs(never, inputs).linear(test.features)
    torch.testing.assert_close(predicted[:, 0], torch.zeros(SPOTS), atol=1e-5, rtol=0)
    assert r(predicted[:, 1:], replace(test, y=test.y[:, 1:])) > r(whole, test) - 0.02
