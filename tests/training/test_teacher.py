"""The teacher learns, chooses on validation sections, never looks at a test section, and is reproducible."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from miso.models.attention import NetworkConfig
from miso.models.miso import MisoModel, linear_inputs
from miso.scores.metrics import mean_pearson
from miso.training.program_ridge import fit_programs
from miso.training.sections import Section
from miso.training.teacher import GAINS, RECIPES, Fitted, fit_teacher

DEFAULT = replace(RECIPES["default"], max_epochs=4, epochs_unseen=2)
TINY = NetworkConfig(embed_dim=32, attention_dim=16, heads=4)
PUBLISHED = replace(
    RECIPES["published"], model=replace(RECIPES["published"].model, network=TINY), max_epochs=5, lr=3e-3
)
RECIPE = {"default": DEFAULT, "published": PUBLISHED}


def inputs(section: Section) -> Tensor:
    return linear_inputs(section.features, section.neighbors, DEFAULT.model)


def r(fitted: Fitted, section: Section) -> float:
    with torch.no_grad():
        predicted = fitted.model(section.features, section.neighbors).clamp(min=0)
    return mean_pearson(predicted[:, :6].numpy(), section.y[:, :6].numpy())


def same_weights(first: MisoModel, second: MisoModel) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return all(torch.equal(one[name], two[name]) for name in one)


def with_counts(section: Section, seed: int) -> Section:
    """The section with the counts of strangers."""
    y = torch.poisson(torch.full_like(section.y, 9.0), generator=torch.Generator().manual_seed(seed))
    return replace(section, y=y, total=y.sum(1))


@pytest.mark.parametrize("name", RECIPE)
def test_a_teacher_learns_what_colours_show_and_carries_it_to_another_patient(
    name: str, sections: list[Section]
) -> None:
    fitted = fit_teacher(sections[:2], sections[2:3], RECIPE[name], seed=0)
    assert r(fitted, sections[3]) > {"default": 0.7, "published": 0.3}[name]


def test_a_teacher_of_meaningless_counts_predicts_nothing(sections: list[Section]) -> None:
    noise = [with_counts(section, seed) for seed, section in enumerate(sections)]
    fitted = fit_teacher(noise[:2], noise[2:3], DEFAULT, seed=0)
    assert abs(r(fitted, noise[3])) < 0.15


def test_the_default_adds_what_ridge_misses() -> None:
    """A gene that is the product of two features: no line through either."""
    generator = torch.Generator().manual_seed(0)

    def section(name: str) -> Section:
        x = torch.randn(100, 4, generator=generator)
        y = (3 + x[:, :1] * x[:, 1:2] + x[:, 2:3]).clamp(min=0).expand(-1, 2)
        lists = torch.arange(100)[:, None].repeat(1, 9)
        return Section(
            name=name, features=x, stain=x, neighbors=lists, center_um=x[:, :2], total=y.sum(1), y=y
        )

    *train, val, test = [section(name) for name in "ABCDE"]
    fitted = fit_teacher(train, [val], replace(RECIPES["default"], max_epochs=12), seed=0)
    assert fitted.notes["gain"] > 0
    assert fitted.notes["validation_r"] > fitted.notes["validation_r_linear"] + 0.02
    ridge = fit_teacher(train, [val], replace(RECIPES["default"], max_epochs=0), seed=0)
    with torch.no_grad():
        score, linear = (
            mean_pearson(f.model(test.features, test.neighbors).numpy(), test.y.numpy())
            for f in (fitted, ridge)
        )
    assert score > linear + 0.02


def test_without_epochs_the_default_is_its_linear_part_on_training_and_validation_sections(
    sections: list[Section],
) -> None:
    fitted = fit_teacher(sections[:2], sections[2:3], replace(DEFAULT, max_epochs=0), seed=0)
    assert fitted.notes["gain"] == 0
    linear, test = fit_programs(sections[:3], inputs).linear, sections[3]
    with torch.no_grad():
        predicted = fitted.model(test.features, test.neighbors)
    torch.testing.assert_close(predicted, linear(inputs(test)), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("name", RECIPE)
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    name: str, sections: list[Section]
) -> None:
    recipe = replace(RECIPE[name], max_epochs=2)
    torch.manual_seed(1)
    first = fit_teacher(sections[:2], [], recipe, seed=5)
    torch.manual_seed(2)  # whatever happened before in the process
    outside = torch.get_rng_state()
    again, other = (fit_teacher(sections[:2], [], recipe, seed=seed) for seed in (5, 6))
    assert same_weights(first.model, again.model)
    assert first.notes == again.notes
    assert not same_weights(first.model, other.model)
    assert torch.equal(torch.get_rng_state(), outside)


def test_members_of_a_teacher_differ_from_one_another(sections: list[Section]) -> None:
    model = fit_teacher(sections[:2], [], DEFAULT, seed=0).model
    first, second, _ = (network.embed.weight for network in model.networks)
    assert isinstance(first, Tensor)
    assert not torch.equal(first, second)


def test_validation_chooses_the_published_epoch_and_its_weights_are_kept(sections: list[Section]) -> None:
    train, val = sections[:2], sections[2:3]
    chosen = fit_teacher(train, val, PUBLISHED, seed=3)
    each = {
        epoch: fit_teacher(train, [], replace(PUBLISHED, epochs_unseen=epoch), seed=3)
        for epoch in range(1, PUBLISHED.max_epochs + 1)
    }
    with torch.no_grad():
        scores = {
            epoch: mean_pearson(
                fitted.model(val[0].features, val[0].neighbors).clamp(min=0).numpy(), val[0].y.numpy()
            )
            for epoch, fitted in each.items()
        }
    best = max(scores, key=scores.__getitem__)
    assert chosen.notes == {"epoch": best, "validation_r": scores[best]}
    assert same_weights(chosen.model, each[best].model)
    assert len(set(scores.values())) == len(scores)


def test_validation_chooses_epoch_and_gain_of_the_default(sections: list[Section]) -> None:
    true = fit_teacher(sections[:2], sections[2:3], DEFAULT, seed=0).notes
    assert true["gain"] in GAINS
    assert 0 <= true["epoch"] <= DEFAULT.max_epochs
    assert (true["epoch"] == 0) == (true["gain"] == 0)
    assert true["validation_r"] >= true["validation_r_linear"]
    backwards = [replace(sections[2], y=sections[2].y.max() - sections[2].y)]
    other = fit_teacher(sections[:2], backwards, DEFAULT, seed=0).notes
    assert other["validation_r_linear"] < 0 < true["validation_r_linear"]
    assert (other["epoch"], other["gain"]) != (true["epoch"], true["gain"])


def test_once_all_is_chosen_the_default_is_fitted_to_validation_sections_too(sections: list[Section]) -> None:
    fitted = fit_teacher(sections[:2], sections[2:3], DEFAULT, seed=0)

    def weight(of: Sequence[Section]) -> Tensor:
        return fit_programs(of, inputs).linear.weight

    assert torch.equal(fitted.model.linear_weight, weight(sections[:3]))
    alone = fit_teacher(sections[:2], sections[2:3], replace(DEFAULT, refit=False), seed=0)
    assert torch.equal(alone.model.linear_weight, weight(sections[:2]))


def test_the_published_teacher_learns_nothing_from_validation_but_the_epoch(sections: list[Section]) -> None:
    one = replace(PUBLISHED, max_epochs=1)
    first = fit_teacher(sections[:2], sections[2:3], one, seed=0)
    other = fit_teacher(sections[:2], [with_counts(sections[2], 1)], one, seed=0)
    assert same_weights(first.model, other.model)
