"""The training loop steps by mean gradients, is stopped by validation, and goes on bitwise after a kill."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from miso.training.history import History
from miso.training.loop import Host, Judge, Plan, computes_in_bfloat16, train_epochs
from miso.training.snapshot import Best, Snapshots, copy_weights

T = TypeVar("T")
PLAN = Plan(lr=0.1, weight_decay=0.0, epochs=3, seed=7, precision="float32")
X = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0))


def make_model(dropout: float = 0.0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(3, 6), nn.Dropout(dropout), nn.Linear(6, 1)).eval()


def in_turn(order: torch.Generator) -> list[int]:
    return torch.randperm(5, generator=order).tolist()


def squared(model: nn.Module) -> Callable[[int], Tensor]:
    def loss_of(item: int) -> Tensor:
        return (model(X[item]).float() - X[item].sum(1, keepdim=True)).square().mean()

    return loss_of


def judged_by(*scores: float) -> Judge:
    """A validation that says these, one an epoch."""
    said = iter(scores)
    return lambda: (next(said), [0.5])


def same(first: nn.Module, second: nn.Module) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("accumulate", [1, 2, 7])
def test_a_step_is_that_of_the_mean_loss_over_its_items(accumulate: int) -> None:
    ours, plain = make_model(), make_model()
    train_epochs(ours, replace(PLAN, accumulate=accumulate), in_turn, squared(ours), phase="x")
    adam, order, loss_of = (
        torch.optim.AdamW(plain.parameters(), lr=0.1, weight_decay=0.0),
        torch.Generator().manual_seed(7),
        squared(plain),
    )
    for _ in range(3):
        items = in_turn(order)
        for start in range(0, 5, accumulate):  # the last step of an epoch is the mean over what is left
            adam.zero_grad()
            torch.stack([loss_of(item) for item in items[start : start + accumulate]]).mean().backward()
            adam.step()
    for mine, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)


def test_in_bfloat16_matrices_are_and_weights_are_not() -> None:
    model, exact, seen = make_model(), make_model(), set()
    model.register_forward_hook(lambda module, given, out: seen.add(out.dtype))
    train_epochs(model, replace(PLAN, precision="bfloat16"), in_turn, squared(model), phase="x")
    train_epochs(exact, PLAN, in_turn, squared(exact), phase="x")
    assert seen == {torch.bfloat16}
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    with torch.no_grad():
        apart = (model(X) - exact(X)).abs().max()
    assert 0 < apart < 0.1


def test_auto_is_float32_on_a_cpu_and_bfloat16_there_has_to_be_asked_for() -> None:
    cpu = torch.device("cpu")
    assert not computes_in_bfloat16("auto", cpu)
    assert not computes_in_bfloat16("float32", cpu)
    assert computes_in_bfloat16("bfloat16", cpu)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_auto_is_bfloat16_on_a_gpu_that_has_it() -> None:
    assert computes_in_bfloat16("auto", torch.device("cuda"))


def test_training_mode_is_for_steps_and_evaluation_mode_for_validation() -> None:
    model, modes = make_model(), []
    loss_of = squared(model)

    def noted(item: int) -> Tensor:
        modes.append(model.training)
        return loss_of(item)

    def judge() -> tuple[float, list[float]]:
        modes.append(model.training)
        return 0.0, []

    train_epochs(model, PLAN, in_turn, noted, phase="x", judge=judge)
    assert modes == [True, True, True, True, True, False] * 3
    assert not model.training


def test_dropout_draws_from_the_seed_and_leaves_the_outside_alone() -> None:
    models = [make_model(0.5) for _ in range(3)]
    for outside, (model, seed) in enumerate(zip(models, (7, 7, 8), strict=True)):
        torch.manual_seed(outside)
        before = torch.get_rng_state()
        train_epochs(model, replace(PLAN, seed=seed), in_turn, squared(model), phase="x")
        assert torch.equal(torch.get_rng_state(), before)
    assert same(models[0], models[1])
    assert not same(models[0], models[2])


def test_the_first_of_the_best_epochs_is_chosen_and_its_weights_are_kept() -> None:
    model, two = make_model(), make_model()
    best = train_epochs(
        model,
        replace(PLAN, epochs=4),
        in_turn,
        squared(model),
        phase="x",
        judge=judged_by(0.1, 0.3, 0.3, 0.2),
    )
    assert (best.epoch, best.score, best.told) == (2, 0.3, [[0.5]] * 4)
    train_epochs(two, replace(PLAN, epochs=2), in_turn, squared(two), phase="x")
    assert not same(model, two)
    assert best.weights is not None
    model.load_state_dict(best.weights)
    assert same(model, two)


def test_an_undefined_score_is_never_the_best() -> None:
    model = make_model()
    judge = judged_by(float("nan"), -0.5, float("nan"))
    assert train_epochs(model, PLAN, in_turn, squared(model), phase="x", judge=judge).epoch == 2


def test_nothing_is_better_than_what_was_before_if_no_epoch_is() -> None:
    model = make_model()
    before = Best(score=0.9, weights=copy_weights(model))
    judge = judged_by(0.1, 0.2, 0.3)
    best = train_epochs(model, PLAN, in_turn, squared(model), phase="x", judge=judge, before=before)
    assert best == replace(before, told=[[0.5]] * 3)


def test_training_stops_after_so_many_epochs_without_a_better_score_and_chooses_as_before() -> None:
    scores = (0.1, 0.4, 0.3, 0.2, 0.4, 0.9)

    def fit(patience: int | None) -> tuple[Best, int]:
        model, epochs = make_model(), []
        judge = judged_by(*scores)

        def counted() -> tuple[float, list[float]]:
            epochs.append(1)
            return judge()

        plan = replace(PLAN, epochs=6, patience=patience)
        best = train_epochs(model, plan, in_turn, squared(model), phase="x", judge=counted)
        return best, len(epochs)

    (stopped, tried), (full, all_tried) = fit(3), fit(None)
    assert (stopped.epoch, tried) == (2, 5)
    assert (full.epoch, all_tried) == (6, 6)
    assert fit(4)[0].epoch == 6


def test_without_validation_nothing_stops_it() -> None:
    model, full = make_model(), make_model()
    best = train_epochs(model, replace(PLAN, patience=1), in_turn, squared(model), phase="x")
    train_epochs(full, PLAN, in_turn, squared(full), phase="x")
    assert best.epoch == 3
    assert same(model, full)


# ---- snapshots


class Killed(Exception):
    """What ends a process, as far as the loop can tell."""


def killed_after(epoch: int) -> Callable[[Iterable[T], int, str], Iterator[T]]:
    def track(items: Iterable[T], total: int, description: str) -> Iterator[T]:
        for number, item in enumerate(items):
            if number == epoch:
                raise Killed
            yield item

    return track


def fit_with_snapshots(
    folder: Path, host: Host, *, plan: Plan = PLAN, scores: tuple[float, ...] = (0.2, 0.5, 0.4)
) -> tuple[nn.Module, Best]:
    model = make_model(dropout=0.5)
    judge = judged_by(*scores)
    best = train_epochs(model, plan, in_turn, squared(model), phase="x", judge=judge, host=host)
    return model, best


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("epoch", [1, 2])
def test_a_training_that_was_cut_off_goes_on_to_the_same_bits(
    epoch: int, accumulate: int, tmp_path: Path
) -> None:
    plan, scores, told = replace(PLAN, accumulate=accumulate), (0.2, 0.5, 0.4), []
    whole, best = fit_with_snapshots(tmp_path, Host(), plan=plan)
    snapshots = Snapshots(folder=tmp_path, settings={"seed": 7}, say=told.append, every_s=0)
    with pytest.raises(Killed):
        fit_with_snapshots(tmp_path, Host(snapshots=snapshots, track=killed_after(epoch)), plan=plan)
    again, found = fit_with_snapshots(
        tmp_path, Host(snapshots=snapshots), plan=plan, scores=scores[epoch:]
    )  # it would run out of scores if it began anew
    assert told == [f"x goes on after epoch {epoch}"]
    assert same(again, whole)
    assert (found.epoch, found.score, found.told) == (best.epoch, best.score, best.told)
    assert found.weights is not None
    assert best.weights is not None
    assert all(torch.equal(found.weights[name], best.weights[name]) for name in best.weights)


def test_the_history_has_mean_losses_and_scores_also_after_a_kill(tmp_path: Path) -> None:
    plan = replace(PLAN, accumulate=2, lr=0.0)  # the model stays as it is, and so does its loss
    model, whole = make_model(), History(tmp_path / "whole.csv")
    losses = [squared(model)(item).item() for item in in_turn(torch.Generator())]
    train_epochs(
        model,
        plan,
        in_turn,
        squared(model),
        phase="x",
        judge=judged_by(0.2, 0.5, 0.4),
        host=Host(history=whole),
    )
    table = whole.read()
    assert table["epoch"].tolist() == [1, 2, 3]
    np.testing.assert_allclose(table["loss"], np.mean(losses), rtol=1e-5)
    assert table["score"].tolist() == [0.2, 0.5, 0.4]
    history, snapshots = History(tmp_path / "h.csv"), Snapshots(folder=tmp_path, settings={}, every_s=0)
    with pytest.raises(Killed):
        fit_with_snapshots(tmp_path, Host(snapshots=snapshots, history=history, track=killed_after(2)))
    fit_with_snapshots(tmp_path, Host(snapshots=snapshots, history=history), scores=(0.4,))
    once = History(tmp_path / "once.csv")
    fit_with_snapshots(tmp_path, Host(history=once))
    pd.testing.assert_frame_equal(history.read(), once.read())


def test_a_training_that_was_stopped_early_is_not_gone_on_with(tmp_path: Path) -> None:
    plan, snapshots = replace(PLAN, epochs=9, patience=1), Snapshots(folder=tmp_path, settings={}, every_s=0)
    first, best = fit_with_snapshots(tmp_path, Host(snapshots=snapshots), plan=plan)
    again, found = fit_with_snapshots(tmp_path, Host(snapshots=snapshots), plan=plan, scores=())
    assert same(first, again)
    assert found.epoch == best.epoch == 2


def test_a_short_training_writes_no_snapshot(tmp_path: Path) -> None:
    fit_with_snapshots(tmp_path, Host(snapshots=Snapshots(folder=tmp_path, settings={})))
    assert not list(tmp_path.iterdir())


def test_a_snapshot_of_other_settings_is_left_aside_and_said_so(tmp_path: Path) -> None:
    told: list[str] = []
    old = Snapshots(folder=tmp_path, settings={"seed": 6}, every_s=0)
    fit_with_snapshots(tmp_path, Host(snapshots=old), plan=replace(PLAN, seed=6))
    new = Snapshots(folder=tmp_path, settings={"seed": 7}, say=told.append)
    again, _ = fit_with_snapshots(tmp_path, Host(snapshots=new))
    assert len(told) == 1
    assert "other settings (seed is 6, now 7); x begins anew" in told[0]
    assert same(again, fit_with_snapshots(tmp_path, Host())[0])
