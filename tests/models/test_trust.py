"""What a Checkpoint knows of its limits goes with it, may lack, and is refused when damaged."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from miso.errors import CheckpointError
from miso.models import Checkpoint, load_checkpoint
from miso.models.bundle import Bundle, read_bundle, write_bundle
from miso.models.novelty import TilesOfSection, fit_novelty
from miso.models.residuals import Residuals
from miso.models.standardize import FeatureReference
from miso.models.trust import FILE


@pytest.fixture
def knowing(small_checkpoint: Callable[..., Checkpoint]) -> Checkpoint:
    rng = np.random.default_rng(0)
    predicted = rng.uniform(0, 3, (150, 3)).astype(np.float32)
    measured = rng.poisson(predicted).astype(np.float32)
    reference = FeatureReference(mean=torch.zeros(6), std=torch.ones(6))
    return small_checkpoint(
        kind="patch",
        residuals=Residuals.of_section("C1", predicted, measured),
        novelty=fit_novelty([TilesOfSection(tiles=rng.normal(0, 1, (80, 12)), reference=reference, part=0)]),
    )


def test_it_is_read_as_it_was_written(knowing: Checkpoint, tmp_path: Path) -> None:
    knowing.save(tmp_path / "c")
    found = load_checkpoint(tmp_path / "c")
    assert knowing.residuals is not None
    assert found.residuals is not None
    assert found.residuals.sections == ("C1",)
    for name, array in knowing.residuals.arrays().items():
        np.testing.assert_array_equal(found.residuals.arrays()[name], array)
    assert knowing.novelty is not None
    assert found.novelty is not None
    np.testing.assert_array_equal(found.novelty.axes, knowing.novelty.axes)
    mode = (tmp_path / "c" / "config.json").stat().st_mode
    assert (tmp_path / "c" / FILE).stat().st_mode == mode


def test_a_checkpoint_without_it_has_no_such_file_and_loads(
    small_checkpoint: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    small_checkpoint().save(tmp_path / "c")
    assert {path.name for path in (tmp_path / "c").iterdir()} == {"config.json", "model.safetensors"}
    found = load_checkpoint(tmp_path / "c")
    assert found.residuals is None
    assert found.novelty is None


@pytest.mark.parametrize("part", ["residuals", "novelty"])
def test_one_part_alone_is_kept(part: str, knowing: Checkpoint, tmp_path: Path) -> None:
    replace(knowing, **{part: None}).save(tmp_path / "c")  # type: ignore[arg-type]
    found = load_checkpoint(tmp_path / "c")
    assert (found.residuals is None, found.novelty is None) == (part == "residuals", part == "novelty")


def test_damage_is_named_in_one_line(
    knowing: Checkpoint, tmp_path: Path, spoil: Callable[..., bytes]
) -> None:
    knowing.save(tmp_path / "c")
    file = tmp_path / "c" / FILE
    whole = file.read_bytes()
    for content in (b"", whole[: len(whole) // 2], spoil(whole, 1, head=200)):
        file.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"trust\.safetensors is damaged") as refusal:
            load_checkpoint(tmp_path / "c")
        assert "\n" not in str(refusal.value)


def test_that_of_another_model_is_refused(
    knowing: Checkpoint, small_checkpoint: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 3, (150, 2)).astype(np.float32)
    replace(knowing, residuals=Residuals.of_section("C1", values, values + 1)).save(tmp_path / "c")
    with pytest.raises(CheckpointError, match="it is of 2 genes, the model of 3"):
        load_checkpoint(tmp_path / "c")


def test_a_bundle_carries_it_and_holds_it_against_its_hash(
    knowing: Checkpoint, small_bundle: Callable[..., Bundle], tmp_path: Path
) -> None:
    bundle = small_bundle(2, "patch")
    first, second = bundle.checkpoints
    shared = replace(bundle, checkpoints={first: knowing, second: bundle.checkpoints[second]})
    assert write_bundle(shared, tmp_path / "b")
    assert not write_bundle(shared, tmp_path / "b")  # the very same is there
    found = read_bundle(tmp_path / "b").checkpoints
    assert found[first].residuals is not None
    assert found[second].residuals is None
    file = tmp_path / "b" / first / FILE
    whole = file.read_bytes()
    file.write_bytes(whole[:-4] + bytes(4))
    with pytest.raises(CheckpointError, match="sha256 differs"):
        read_bundle(tmp_path / "b")
    file.write_bytes(whole)
    (tmp_path / "b" / second / FILE).write_bytes(whole)
    with pytest.raises(CheckpointError, match="no hash"):
        read_bundle(tmp_path / "b")
    file.unlink()
    (tmp_path / "b" / second / FILE).unlink()
    with pytest.raises(CheckpointError, match="is missing"):
        read_bundle(tmp_path / "b")
