"""Programs are predicted as ridge says, each as far as sections left out bear it out."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from miso.scores.metrics import mean_pearson
from miso.training import program_ridge, shrinkage
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
    assert torch.allclose(
        torch.cat([fit.missed(i, s) for i, s in enumerate(train)]).mean(0), torch.zeros(()), atol=1e-5
    )


def test_each_program_is_ridge_times_a_factor_and_what_it_misses_is_of_sections_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shrinkage, "PENALTIES", (0.05,))
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
        np.testing.assert_allclose(fit.missed(i, sections[i]), c[i] - predicted[i] * factor, atol=1e-4)


def test_levels_of_sections_move_the_mean_and_nothing_else() -> None:
    sections = cohort(3)
    brighter = [replace(s, y=s.y + 50 * i) for i, s in enumerate(sections)]
    one, other = fit_programs(sections, inputs), fit_programs(brighter, inputs)
    torch.testing.assert_close(one.linear.weight, other.linear.weight, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(one.linear.bias + 50, other.linear.bias, atol=1e-3, rtol=1e-3)


def test_fewer_spots_than_features_are_fitted_in_the_space_they_span(monkeypatch: pytest.MonkeyPatch) -> None:
    sections = cohort(3, dim=400)
    quick = fit_programs(sections, inputs)
    monkeypatch.setattr(program_ridge, "_row_space", lambda *_: None)
    torch.testing.assert_close(
        quick.linear.weight, fit_programs(sections, inputs).linear.weight, atol=1e-4, rtol=1e-3
    )


def test_sections_of_a_patient_are_left_out_together() -> None:
    assert program_ridge.parts_of("ABCDE", "PPQRR") == [0, 0, 1, 2, 2]
    assert program_ridge.parts_of("ABCDE", "PPPPP") == [0, 1, 2, 3, 4]
    assert program_ridge.parts_of("ABCDEFG", [""] * 7) == [0, 1, 2, 3, 4, 0, 1]


def test_a_lone_section_is_cut_into_pieces_and_its_spots_stay_in_their_order() -> None:
    (alone,) = cohort(1, noise=0.1)
    pieces = program_ridge._pieces(alone)
    assert sorted(torch.cat(pieces).tolist()) == list(range(SPOTS))
    fit = fit_programs([alone], inputs)
    assert r(fit.linear(alone.features), alone) > 0.95
    centred, spread = alone.y - alone.y.mean(0), alone.y.std(0)
    axes = (fit.programs / spread).T
    values = (fit.linear(alone.features) - fit.linear.bias) / spread @ axes
    left_out = centred / spread @ axes - fit.missed(0, alone)
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


def turned_round(sections: list[Section]) -> list[Section]:
    """The same sections, but what carries the programs comes last."""
    return [replace(s, features=s.features.flip(1)) for s in sections]


def test_inputs_that_say_nothing_are_not_looked_at() -> None:
    fit = fit_programs(cohort(4), inputs, sights=(6, DIM))
    assert fit.sight == 6
    assert fit.linear.weight.shape == (DIM, GENES)
    assert (fit.linear.weight[:6].abs().sum(1) > 0).all()
    assert (fit.linear.weight[6:] == 0).all()


def test_all_inputs_are_looked_at_where_those_that_tell_come_last() -> None:
    fit = fit_programs(turned_round(cohort(4)), inputs, sights=(6, DIM))
    assert fit.sight == DIM
    assert (fit.linear.weight.abs().sum(1) > 0).all()


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("dim", [DIM, 400])  # more than there are spots too
def test_with_some_inputs_out_of_sight_all_is_as_if_they_were_not_there(n: int, dim: int) -> None:
    sections = cohort(n, dim=dim, seed=2)
    fit = fit_programs(sections, inputs, sights=(6, dim))
    alone = fit_programs(sections, lambda s: s.features[:, :6])
    assert fit.sight == alone.sight == 6
    assert fit.used == alone.used > 0
    assert (fit.weight[6:] == 0).all()
    torch.testing.assert_close(fit.weight[:6], alone.weight)
    torch.testing.assert_close(fit.bias, alone.bias)
    torch.testing.assert_close(fit.missed(0, sections[0]), alone.missed(0, sections[0]))
    strange = replace(sections[0], features=sections[0].features.clone())
    strange.features[:, 6:] = 1e3
    assert torch.equal(fit.missed(0, strange), fit.missed(0, sections[0]))


def test_unless_numbers_of_inputs_are_named_all_are_used() -> None:
    sections = cohort(3)
    fit, named = fit_programs(sections, inputs), fit_programs(sections, inputs, sights=(DIM,))
    assert fit.sight == named.sight == DIM
    assert (fit.linear.weight.abs().sum(1) > 0).all()
    assert torch.equal(fit.linear.weight, named.linear.weight)


def test_where_nothing_can_be_told_the_first_and_least_are_kept() -> None:
    noise = [
        replace(s, y=torch.randn(SPOTS, GENES, generator=torch.Generator().manual_seed(i)))
        for i, s in enumerate(cohort(4))
    ]
    fit = fit_programs(noise, inputs, sights=(6, DIM))
    assert (fit.used, fit.sight) == (0, 6)
    assert not fit.linear.weight.any()


def test_what_is_seen_is_chosen_by_sections_left_out_and_not_by_how_well_all_fit() -> None:
    """Each section's own last input carries its genes, another way round in each: no use elsewhere."""
    generator = torch.Generator().manual_seed(5)
    direction = torch.randn(GENES, generator=generator)
    sections = [
        replace(s, y=s.y + sign * 5 * s.features[:, -1:] * direction)
        for s, sign in zip(cohort(4), (1, -1, 1, -1), strict=True)
    ]
    fit = fit_programs(sections, inputs, sights=(6, DIM))
    assert fit.sight == 6
    for section in sections:  # though within each, the last input tells most
        seen = torch.linalg.lstsq(section.features - section.features.mean(0), section.y - section.y.mean(0))
        assert seen.solution[-1].norm() > seen.solution[:6].norm()
