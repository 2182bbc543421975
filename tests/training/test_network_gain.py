"""Networks are added as far as sections left out bear them out: cases whose answer is known beforehand."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar, cast

import pytest
import torch
from torch import Tensor, nn

from miso.models.miso import MisoModel
from miso.training import network_gain
from miso.training.loop import Host, Plan
from miso.training.network_gain import NetworkGain, choose_gain
from miso.training.sections import Section
from miso.training.snapshot import Best

T = TypeVar("T")
SPOTS, DIM, PROGRAMS = 60, 8, 4
PLAN = Plan(lr=0.05, weight_decay=0.0, epochs=3, seed=0)
STILL = replace(PLAN, lr=0.0)
"""Networks stay what they are from the start."""


class Says(nn.Module):
    """Stands for a model: networks that are a linear map, so that what they say is known."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())

    def mixed(self, features: Tensor, neighbors: Tensor) -> Tensor:
        return features @ self.weight


def cohort(n: int, patients: str = "", names: str = "ABCDEFGHIJ") -> list[Section]:
    generator = torch.Generator().manual_seed(0)

    def section(name: str, patient: str) -> Section:
        x = torch.randn(SPOTS, DIM, generator=generator)
        return Section(
            name=name,
            patient=patient,
            features=x,
            stain=x,
            neighbors=torch.arange(SPOTS)[:, None],
            center_um=x[:, :2],
            total=torch.ones(SPOTS),
            y=torch.randn(SPOTS, 3, generator=generator),
        )

    return [section(*about) for about in zip(names[:n], patients or names, strict=False)]


def truth() -> Tensor:
    return torch.randn(DIM, PROGRAMS, generator=torch.Generator().manual_seed(1))


def missed(index: int, section: Section) -> Tensor:
    """What the linear part misses: a linear map of the features, about its mean."""
    values = section.features @ truth()
    return values - values.mean(0)


def noise(index: int, section: Section) -> Tensor:
    """What nobody can tell from the slide."""
    return torch.randn(SPOTS, PROGRAMS, generator=torch.Generator().manual_seed(100 + index))


def choose(
    sections: list[Section],
    goal: Callable[[int, Section], Tensor],
    *,
    weight: Tensor | None = None,
    n_val: int = 0,
    plan: Plan = PLAN,
    host: Host | None = None,
    asked: Callable[[int], object] = lambda index: None,
) -> NetworkGain:
    """Choose, with networks that start at `weight` and learn the goal by least squares."""
    start = torch.zeros(DIM, PROGRAMS) if weight is None else weight

    def loss_for(model: MisoModel) -> Callable[[int], Tensor]:
        def loss_of(index: int) -> Tensor:
            asked(index)
            said: Tensor = model.mixed(sections[index].features, sections[index].neighbors)
            return (said - goal(index, sections[index])).square().mean()

        return loss_of

    def new_model() -> MisoModel:
        return cast("MisoModel", Says(start))

    return choose_gain(new_model, loss_for, goal, sections, n_val, plan, host or Host())


def left_out(sections: list[Section], n_val: int) -> dict[str, set[str]]:
    """Which sections each phase does not learn from."""
    learnt_from: dict[str, set[str]] = {}

    def track(items: Iterable[T], total: int, description: str) -> Iterator[T]:
        learnt_from[description] = set()
        yield from items

    def asked(index: int) -> None:
        learnt_from[list(learnt_from)[-1]].add(sections[index].name)

    choose(sections, missed, n_val=n_val, host=Host(track=track), asked=asked)
    return {phase: {s.name for s in sections} - names for phase, names in learnt_from.items()}


# ---- how much is added


def test_networks_that_say_exactly_what_is_missed_are_added_in_full() -> None:
    found = choose(cohort(4), missed, weight=truth(), plan=STILL)
    torch.testing.assert_close(found.gain, torch.ones(PROGRAMS))
    assert found.epochs == 1  # those that follow are no better


def test_networks_that_say_too_much_are_added_in_part_and_those_that_say_too_little_in_full() -> None:
    times = torch.tensor([2.0, 5.0, 1.0, 0.5])
    found = choose(cohort(4), missed, weight=truth() * times, plan=STILL)
    torch.testing.assert_close(found.gain, torch.tensor([0.5, 0.2, 1.0, 1.0]))


def test_each_program_takes_what_helps_itself() -> None:
    """The first is said backwards, the second is not said at all, the third is another's."""
    weight = truth()
    weight[:, 0] *= -1
    weight[:, 1] = 0
    weight[:, 2] = torch.linalg.qr(truth()).Q @ torch.tensor([0.0, 0, 0, 1])  # at right angles to the others
    found = choose(cohort(4), missed, weight=weight, plan=STILL)
    assert found.gain[:3].tolist() == [0, 0, 0]
    torch.testing.assert_close(found.gain[3], torch.tensor(1.0))


def test_the_mean_of_what_networks_say_of_a_section_does_not_matter() -> None:
    """It is taken off at prediction too."""
    bright = [replace(s, features=s.features + 10 * i) for i, s in enumerate(cohort(4))]
    found = choose(bright, missed, weight=truth(), plan=STILL)
    torch.testing.assert_close(found.gain, torch.ones(PROGRAMS), atol=1e-3, rtol=0)


def test_networks_learn_on_some_sections_what_the_others_bear_out() -> None:
    found = choose(cohort(4), missed, plan=replace(PLAN, epochs=40))
    assert (found.gain > 0.9).all()
    assert found.epochs > 10


def test_of_noise_nothing_is_learnt_that_would_be_added() -> None:
    for seed in range(5):

        def goal(index: int, section: Section, seed: int = seed) -> Tensor:
            return noise(index + 10 * seed, section)

        found = choose(cohort(5), goal, plan=replace(PLAN, epochs=10))
        assert found.epochs == 0
        assert found.gain.tolist() == [0] * PROGRAMS


def test_only_the_programs_that_can_be_told_are_added() -> None:
    def goal(index: int, section: Section) -> Tensor:
        return torch.cat([missed(index, section)[:, :2], noise(index, section)[:, 2:]], dim=1)

    found = choose(cohort(5), goal, plan=replace(PLAN, epochs=40))
    assert (found.gain[:2] > 0.9).all()
    assert found.gain[2:].tolist() == [0, 0]


def test_without_epochs_nothing_is_added() -> None:
    found = choose(cohort(4), missed, weight=truth(), plan=replace(PLAN, epochs=0))
    assert (found.epochs, found.gain.tolist()) == (0, [0] * PROGRAMS)


def test_spots_without_a_value_bear_nothing_out_and_spoil_nothing() -> None:
    sections = cohort(4)
    for section in sections:
        section.y[::3] = torch.nan

    def goal(index: int, section: Section) -> Tensor:
        values = missed(index, section)
        values[::3] = torch.nan
        return values

    def loss_for(model: MisoModel) -> Callable[[int], Tensor]:
        return lambda index: cast("Says", model).weight.sum() * 0

    found = choose_gain(
        lambda: cast("MisoModel", Says(truth())), loss_for, goal, sections, 0, replace(PLAN, lr=0.0)
    )
    torch.testing.assert_close(found.gain, torch.ones(PROGRAMS))


# ---- what is made of the proofs


def decided(monkeypatch: pytest.MonkeyPatch, proofs: Sequence[Best]) -> NetworkGain:
    """Choose as if trainings had ended like this."""
    waiting = iter(proofs)
    monkeypatch.setattr(network_gain, "train_epochs", lambda *_, **__: next(waiting))
    found = choose(cohort(len(proofs)), missed)
    assert next(waiting, None) is None
    return found


def proof(*epochs: tuple[Sequence[float], Sequence[float]], miss: float = 1.0) -> Best:
    """What a part told of its epochs: p·c and |p|² of each program, `miss` being missed of each spot."""
    missing = [miss**2 * SPOTS] * PROGRAMS
    return Best(score=1.0, epoch=1, told=[[*along, *square, *missing, SPOTS] for along, square in epochs])


MUCH = ([1e6] * PROGRAMS, [1e6] * PROGRAMS)
HARM = ([-1e6] * PROGRAMS, [1e6] * PROGRAMS)


def test_the_factor_is_that_of_all_parts_together(monkeypatch: pytest.MonkeyPatch) -> None:
    proofs = [
        proof(([100, 300, -90, 300], [200, 200, 90, 300])),
        proof(([200, 200, 30, 300], [300, 300, 90, 900])),
        proof(([150, 0, 30, 300], [400, 100, 20, 1200])),
    ]
    found = decided(monkeypatch, proofs)
    assert found.epochs == 1
    torch.testing.assert_close(found.gain, torch.tensor([450 / 900, 500 / 600, 0, 900 / 2400]))


@pytest.mark.parametrize(("just", "gain"), [(1.01, 1.0), (0.99, 0.0)])
def test_a_program_has_to_gain_more_than_its_variance_times_the_errors_squared(
    monkeypatch: pytest.MonkeyPatch, just: float, gain: float
) -> None:
    gained = just * network_gain.ERRORS**2 * 2.0**2  # of each spot 2 is missed
    sure = [1e6, gained / 2, 0, 0]
    found = decided(monkeypatch, [proof((sure, sure), miss=2.0)] * 2)
    assert found.gain.tolist() == [1, gain, 0, 0]


def test_a_part_that_networks_harm_counts_against_them(monkeypatch: pytest.MonkeyPatch) -> None:
    found = decided(monkeypatch, [proof(MUCH), proof(HARM), proof(MUCH)])
    torch.testing.assert_close(found.gain, torch.full((PROGRAMS,), 1 / 3))
    found = decided(monkeypatch, [proof(HARM), proof(MUCH), proof(HARM)])
    assert (found.epochs, found.gain.tolist()) == (0, [0] * PROGRAMS)


def test_the_epoch_is_one_for_all_parts_among_those_that_all_have_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    little = ([1e5] * PROGRAMS, [1e5] * PROGRAMS)
    found = decided(monkeypatch, [proof(little, MUCH, little), proof(little, little, MUCH, MUCH)])
    assert (
        found.epochs == 2
    )  # not 3, where the second part alone is at its best by as much, and the first worse
    assert decided(monkeypatch, [proof(little), proof(MUCH, MUCH)]).epochs == 1


def test_if_no_program_has_proven_itself_no_epoch_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    little = proof(([1.0] * PROGRAMS, [1.0] * PROGRAMS))
    found = decided(monkeypatch, [little, little])
    assert (found.epochs, found.gain.tolist()) == (0, [0] * PROGRAMS)


# ---- what is left out


def test_validation_sections_of_five_patients_are_left_out_at_once_and_no_others() -> None:
    sections = cohort(8, "PPQRSTUV")
    assert left_out(sections, 5) == {"proving 1 of 1": set("DEFGH")}


@pytest.mark.parametrize(("patients", "n_val"), [("PPQRSTUV", 4), ("PPPSTSTU", 5), ("PPPSSSSS", 5)])
def test_with_validation_sections_of_fewer_patients_all_are_left_out_in_turn(
    patients: str, n_val: int
) -> None:
    sections = cohort(8, patients)
    found = left_out(sections, n_val)
    assert sorted(name for names in found.values() for name in names) == list("ABCDEFGH")
    whose = [{patients["ABCDEFGH".index(name)] for name in names} for names in found.values()]
    for i, one in enumerate(whose):
        for other in whose[i + 1 :]:
            assert not one & other
    assert len(found) == min(5, len(set(patients)))


def test_validation_sections_whose_patients_nobody_names_are_one_each() -> None:
    sections = [replace(s, patient="") for s in cohort(7)]
    assert left_out(sections, 5) == {"proving 1 of 1": set("CDEFG")}
    assert len(left_out(sections, 4)) == 5


def test_sections_of_one_patient_are_left_out_one_by_one() -> None:
    found = left_out(cohort(3, "PPP"), 0)
    assert found == {"proving 1 of 3": {"A"}, "proving 2 of 3": {"B"}, "proving 3 of 3": {"C"}}


@pytest.mark.parametrize("n_val", [0, 1])
def test_a_lone_section_gets_no_networks_and_trains_none(n_val: int) -> None:
    def refuse(index: int) -> None:
        raise AssertionError("a network was trained")

    found = choose(cohort(1), missed, weight=truth(), n_val=n_val, asked=refuse)
    assert found.epochs == 0
    assert not found.gain.any()


def test_what_is_left_out_moves_no_weight() -> None:
    """With validation sections of five patients, the networks are the same whatever is missed there."""
    sections, made = cohort(8), []

    def new_model() -> MisoModel:
        made.append(Says(torch.zeros(DIM, PROGRAMS)))
        return cast("MisoModel", made[-1])

    for there in (1.0, -3.0):

        def goal(index: int, section: Section, there: float = there) -> Tensor:
            return missed(index, section) * (1.0 if index < 3 else there)

        def loss_for(
            model: MisoModel, goal: Callable[[int, Section], Tensor] = goal
        ) -> Callable[[int], Tensor]:
            def loss_of(index: int) -> Tensor:
                said: Tensor = model.mixed(sections[index].features, sections[index].neighbors)
                return (said - goal(index, sections[index])).square().mean()

            return loss_of

        found = choose_gain(new_model, loss_for, goal, sections, 5, PLAN)
        assert (found.epochs > 0) == (there > 0)
    assert torch.equal(made[0].weight, made[1].weight)
    assert (made[0].weight != 0).all()
