"""A snapshot holds all of a training, is written whole, and is not believed where it does not belong."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from miso.training.snapshot import Best, Moment, Parts, Snapshots
from miso.training.team import ALONE


def parts(seed: int = 0) -> Parts:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    return Parts(model=model, optimizer=optimizer, order=torch.Generator().manual_seed(seed), team=ALONE)


def step(of: Parts) -> None:
    of.optimizer.zero_grad()
    x = torch.randn(4, 3)  # of the process's own random numbers
    (of.model(x) ** 2).mean().backward()
    of.optimizer.step()
    torch.randperm(5, generator=of.order)


def moment(best: Best | None = None) -> Moment:
    trained = parts()
    step(trained)
    return trained.moment(4, best or Best())


def test_what_is_written_is_read(tmp_path: Path) -> None:
    snapshots = Snapshots(folder=tmp_path / "deep", settings={"seed": 1})
    best = Best(score=1 / 3, epoch=2, told=[[0.75], [1.0]], weights={"weight": torch.ones(2)})
    written = moment(best)
    snapshots.write("training", written)
    found = snapshots.read("training")
    assert found is not None
    assert found.epoch == 4
    assert (found.best.score, found.best.epoch, found.best.told) == (1 / 3, 2, [[0.75], [1.0]])
    assert found.best.weights is not None
    assert torch.equal(found.best.weights["weight"], torch.ones(2))
    for part in ("model", "optimizer", "random"):
        one, two = getattr(written, part), getattr(found, part)
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_best_without_weights_or_score_is_read_as_such(tmp_path: Path) -> None:
    snapshots = Snapshots(folder=tmp_path, settings={})
    snapshots.write("training", moment())
    found = snapshots.read("training")
    assert found is not None
    assert found.best == Best()


def test_what_is_restored_takes_the_same_steps() -> None:
    with torch.random.fork_rng(devices=[]):
        first = parts()
        step(first)
        torch.manual_seed(3)
        kept = first.moment(1, Best())
        kept = Moment(
            epoch=1,
            model={name: t.clone() for name, t in kept.model.items()},
            optimizer={name: t.clone() for name, t in kept.optimizer.items()},
            random=kept.random,
            best=kept.best,
        )
        step(first)
        torch.manual_seed(9)
        other = parts(seed=5)
        step(other)
        other.restore(kept)
        step(other)
    assert torch.equal(first.model.weight, other.model.weight)
    assert torch.equal(first.order.get_state(), other.order.get_state())


def test_phases_have_snapshots_of_their_own_and_one_in_anothers_place_is_left_aside(tmp_path: Path) -> None:
    told: list[str] = []
    snapshots = Snapshots(folder=tmp_path, settings={}, say=told.append)
    snapshots.write("choosing", moment())
    assert snapshots.read("training") is None
    assert told == []
    snapshots.file("choosing").rename(snapshots.file("training"))
    assert snapshots.read("training") is None
    assert "phase is choosing, now training" in told[0]


@pytest.mark.parametrize(
    "content", [b"", b"half a snap", b"\x10\x00\x00\x00\x00\x00\x00\x00{}              "]
)
def test_a_damaged_snapshot_is_left_aside_and_said_so(content: bytes, tmp_path: Path) -> None:
    told: list[str] = []
    snapshots = Snapshots(folder=tmp_path, settings={}, say=told.append)
    snapshots.file("training").write_bytes(content)
    assert snapshots.read("training") is None
    assert told == [f"{tmp_path / 'training.safetensors'} is damaged; training begins anew"]


def test_a_writing_that_fails_leaves_the_last_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots = Snapshots(folder=tmp_path, settings={})
    snapshots.write("training", moment())
    before = snapshots.file("training").read_bytes()

    def full(tensors: object, file: Path, facts: object) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("miso.training.snapshot.save_file", full)
    with pytest.raises(OSError, match="space"):
        snapshots.write("training", moment())
    assert [path.name for path in tmp_path.iterdir()] == ["training.safetensors"]
    assert snapshots.file("training").read_bytes() == before


def test_removing_takes_all_phases(tmp_path: Path) -> None:
    snapshots = Snapshots(folder=tmp_path / "snapshots", settings={})
    snapshots.remove()  # nothing there is fine
    snapshots.write("choosing", moment())
    snapshots.write("training", moment())
    snapshots.remove()
    assert not list(tmp_path.iterdir())
