"""The teacher learns, chooses on validation sections, never looks at a test section, and is reproducible."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import pytest
import torch
from torch import Tensor

from miso.models.attention import NetworkConfig
from miso.models.miso import MisoModel
from miso.scores.metrics import mean_pearson
from miso.training import network_gain
from miso.training.loop import Host
from miso.training.program_ridge import ProgramFit, fit_programs
from miso.training.sections import Section
from miso.training.snapshot import Best
from miso.training.teacher import RECIPES, Fitted, fit_teacher

T = TypeVar("T")
DEFAULT = replace(RECIPES["default"], max_epochs=4, epochs_unseen=2)
TINY = NetworkConfig(embed_dim=32, attention_dim=16, heads=4)
PUBLISHED = replace(
    RECIPES["published"], model=replace(RECIPES["published"].model, network=TINY), max_epochs=5, lr=3e-3
)
RECIPE = {"default": DEFAULT, "published": PUBLISHED}


def linear_fit(model: MisoModel, of: Sequence[Section]) -> ProgramFit:
    """Fit the linear part alone, on the inputs of a model."""
    seen = model.inputs
    return fit_programs(of, lambda s: seen(s.features, s.neighbors), sights=(seen.alone, seen.n))


@pytest.fixture
def all_networks_are_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add networks without much of a proof, for tests of how they are trained."""
    monkeypatch.setattr(network_gain, "CHANCE", 0.0)
    monkeypatch.setattr(network_gain, "ERRORS", 0.0)


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


def drawn(name: str, seed: int, gene: Callable[[Tensor, Tensor], Tensor]) -> Section:
    """A section of 10 x 10 spots and four features, and two genes that a function of these makes.

    The function takes the features of the spot and those of its nine nearest.
    """
    generator = torch.Generator().manual_seed(seed)
    places = torch.cartesian_prod(torch.arange(10.0), torch.arange(10.0))
    lists = torch.cdist(places, places).argsort(dim=1, stable=True)[:, :9]
    x = torch.randn(100, 4, generator=generator)
    y = (3 + gene(x, x[lists]) + x[:, 2])[:, None] + 0.3 * torch.randn(100, 2, generator=generator)
    return Section(
        name=name, features=x, stain=x, neighbors=lists, center_um=places, total=torch.ones(100), y=y
    )


def contrast(own: Tensor, near: Tensor) -> Tensor:
    """How far apart neighbours are: no mean over them tells, but attention does."""
    return near[..., 0].amax(1) - near[..., 0].amin(1)


def product(own: Tensor, near: Tensor) -> Tensor:
    return own[:, 0] * own[:, 1]


def score(fitted: Fitted, section: Section) -> float:
    with torch.no_grad():
        predicted = fitted.model(section.features, section.neighbors)
    return mean_pearson(predicted.numpy(), section.y.numpy())


def test_the_default_adds_what_ridge_misses() -> None:
    *train, val, test = [drawn(name, seed, contrast) for seed, name in enumerate("ABCDE")]
    fitted, linear = (
        fit_teacher(train, [val], replace(RECIPES["default"], max_epochs=epochs), seed=0)
        for epochs in (12, 0)
    )
    assert fitted.notes["programs_of_networks"] == 1
    assert 1 <= fitted.notes["epoch"] <= 12
    assert fitted.model.gain[0] > 0.5
    assert not fitted.model.gain[1:].any()
    assert score(fitted, test) > score(linear, test) + 0.05


def test_networks_that_have_nothing_to_tell_are_left_out_and_not_trained() -> None:
    """The same sections, but what spots lack cannot be told from their neighbours."""

    def chance(own: Tensor, near: Tensor) -> Tensor:
        return torch.randn(len(own), generator=torch.Generator().manual_seed(int(1e4 * own[0, 0].abs())))

    sections = [drawn(name, seed, chance) for seed, name in enumerate("ABCD")]
    fitted = fit_teacher(sections[:3], sections[3:], replace(RECIPES["default"], max_epochs=8), seed=0)
    assert (fitted.notes["epoch"], fitted.notes["programs_of_networks"]) == (0, 0)
    assert not fitted.model.gain.any()
    assert not any(network.head.weight.any() for network in fitted.model.networks)
    assert fitted.notes["programs"] == 1


def test_the_linear_part_sees_products_by_its_hidden_units() -> None:
    *train, test = [drawn(name, seed, product) for seed, name in enumerate("ABCDE")]
    recipe = replace(RECIPES["default"], max_epochs=0)
    with_units, without = (
        fit_teacher(train, [], replace(recipe, model=replace(recipe.model, hidden=hidden)), seed=0)
        for hidden in (1024, 0)
    )
    assert score(with_units, test) > score(without, test) + 0.1


def test_a_model_says_whether_it_looks_at_the_surroundings() -> None:
    """One gene is what a spot shows, the other what its surroundings do."""

    def nothing(own: Tensor, near: Tensor) -> Tensor:
        return torch.zeros(len(own))

    def around(own: Tensor, near: Tensor) -> Tensor:
        return 3 * near[..., 0].mean(1)

    recipe = replace(RECIPES["default"], max_epochs=0)
    for gene, seen in [(nothing, False), (around, True)]:
        sections = [drawn(name, seed, gene) for seed, name in enumerate("ABC")]
        fitted = fit_teacher(sections, [], recipe, seed=0)
        assert fitted.notes["surroundings"] == seen
        assert bool(fitted.model.linear_weight[fitted.model.inputs.alone :].any()) == seen


def test_without_epochs_the_default_is_its_linear_part_on_training_and_validation_sections(
    sections: list[Section],
) -> None:
    fitted = fit_teacher(sections[:2], sections[2:3], replace(DEFAULT, max_epochs=0), seed=0)
    fit, test = linear_fit(fitted.model, sections[:3]), sections[3]
    assert fitted.notes == {
        "programs": fit.used,
        "surroundings": fit.sight > fitted.model.inputs.alone,
        "epoch": 0,
        "programs_of_networks": 0,
    }
    assert torch.equal(fitted.model.linear_weight[:, : fit.weight.shape[1]], fit.weight)
    with torch.no_grad():
        predicted = fitted.model(test.features, test.neighbors)
        seen = fitted.model.inputs(test.features, test.neighbors)
    torch.testing.assert_close(predicted, fit.linear(seen), atol=1e-4, rtol=1e-4)


@pytest.mark.usefixtures("all_networks_are_let_in")
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


@pytest.mark.usefixtures("all_networks_are_let_in")
def test_sections_left_out_choose_epoch_and_gain_of_the_default(sections: list[Section]) -> None:
    fitted = fit_teacher(sections[:2], sections[2:3], DEFAULT, seed=0)
    gain = fitted.model.gain
    assert ((gain >= 0) & (gain <= 1)).all()
    assert fitted.notes["programs_of_networks"] == (gain > 0).sum() > 0
    assert 1 <= fitted.notes["epoch"] <= DEFAULT.max_epochs
    backwards = replace(sections[2], y=sections[2].y.max() - sections[2].y)
    other = fit_teacher(sections[:2], [backwards], DEFAULT, seed=0)
    assert not torch.equal(other.model.gain, gain)


@pytest.mark.usefixtures("all_networks_are_let_in")
def test_once_all_is_chosen_the_default_is_fitted_to_validation_sections_too(sections: list[Section]) -> None:
    """Both parts are, whatever sections are called; the networks to within the order of the sections."""
    model = fit_teacher(sections[:2], sections[2:3], DEFAULT, seed=0).model
    weight = linear_fit(model, sections[:3]).weight
    assert torch.equal(model.linear_weight[:, : weight.shape[1]], weight)
    assert same_weights(model, fit_teacher(sections[:3], [], DEFAULT, seed=0).model)


def test_the_published_teacher_learns_nothing_from_validation_but_the_epoch(sections: list[Section]) -> None:
    one = replace(PUBLISHED, max_epochs=1)
    first = fit_teacher(sections[:2], sections[2:3], one, seed=0)
    other = fit_teacher(sections[:2], [with_counts(sections[2], 1)], one, seed=0)
    assert same_weights(first.model, other.model)


@pytest.mark.usefixtures("all_networks_are_let_in")
def test_patience_ends_a_choice_early_and_never_asks_for_more_than_was_seen(
    sections: list[Section], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, val, proofs, tried = sections[:2], sections[2:3], [], []
    train_epochs = network_gain.train_epochs

    def watched(*args: object, **keys: object) -> Best:
        proofs.append(train_epochs(*args, **keys))  # type: ignore[arg-type]
        return proofs[-1]

    def track(items: Iterable[T], total: int, description: str) -> Iterator[T]:
        for item in items:
            tried.append((description, item))
            yield item

    monkeypatch.setattr(network_gain, "train_epochs", watched)
    recipe = replace(RECIPES["default"], lr=0.3, max_epochs=12, patience=2)  # so fast that it soon gets worse
    notes = fit_teacher(train, val, recipe, seed=0, host=Host(track=track)).notes
    assert len(proofs) == 3
    for number, proof in enumerate(proofs, 1):
        epochs = [epoch for phase, epoch in tried if phase == f"proving {number} of 3"]
        assert max(epochs) == proof.epoch + 3 < 12  # the last one is begun with, and given up
    assert 0 < notes["epoch"] <= min(len(proof.told) for proof in proofs)
    assert [epoch for phase, epoch in tried if phase == "training"] == list(range(1, notes["epoch"] + 1))


def test_teachers_try_all_their_epochs_unless_told_otherwise() -> None:
    assert {recipe.patience for recipe in RECIPES.values()} == {None}


@pytest.mark.usefixtures("all_networks_are_let_in")
@pytest.mark.parametrize("name", RECIPE)
def test_a_teacher_trained_in_bfloat16_learns_about_the_same(name: str, sections: list[Section]) -> None:
    exact, rounded = (
        fit_teacher(sections[:2], sections[2:3], replace(RECIPE[name], precision=precision), seed=0)
        for precision in ("float32", "bfloat16")
    )
    assert not same_weights(exact.model, rounded.model)
    assert r(rounded, sections[3]) == pytest.approx(r(exact, sections[3]), abs=0.03)
    assert {weight.dtype for weight in rounded.model.parameters()} == {torch.float32}
