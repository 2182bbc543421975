"""A bundle gives back what was shared, with its card, and is refused when it is not as it was."""

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

from miso.errors import CheckpointError
from miso.models import Checkpoint, load_checkpoint
from miso.models.bundle import HERE, Bundle, read_bundle, write_bundle
from miso.models.card import Facts, card
from miso.models.reliability import untested

Make = Callable[..., Bundle]


@pytest.fixture
def saved(small_bundle: Make, tmp_path: Path) -> Path:
    write_bundle(small_bundle(2), tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.mark.parametrize(("n", "kind"), [(1, "miso"), (3, "miso"), (1, "patch"), (2, "patch")])
def test_what_is_read_is_what_was_written(n: int, kind: str, small_bundle: Make, tmp_path: Path) -> None:
    made = small_bundle(n, kind)
    assert write_bundle(made, tmp_path / "b")
    found = read_bundle(tmp_path / "b")
    assert list(found.checkpoints) == list(made.checkpoints)
    assert found.facts == made.facts
    pd.testing.assert_frame_equal(found.reliability, made.reliability, check_exact=True)
    for name, checkpoint in made.checkpoints.items():
        again = found.checkpoints[name]
        assert replace(again, model=checkpoint.model) == checkpoint
        theirs = again.model.state_dict()
        assert all(torch.equal(theirs[key], value) for key, value in checkpoint.model.state_dict().items())


def test_one_checkpoint_lies_in_the_bundles_own_folder_and_several_have_one_each(
    small_bundle: Make, tmp_path: Path
) -> None:
    write_bundle(small_bundle(1), tmp_path / "one")
    write_bundle(small_bundle(2), tmp_path / "two")
    files = {"model.safetensors", "config.json"}
    assert {path.name for path in (tmp_path / "one").iterdir()} == files | {"bundle.json", "README.md"}
    assert {path.name for path in (tmp_path / "two").iterdir()} == {
        "bundle.json",
        "README.md",
        "model_0",
        "model_1",
    }
    assert {path.name for path in (tmp_path / "two" / "model_1").iterdir()} == files


def test_no_pickle_is_written_or_read(
    small_bundle: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a pickle")

    for module, name in [
        (pickle, "dump"),
        (pickle, "dumps"),
        (pickle, "load"),
        (pickle, "loads"),
        (torch, "load"),
    ]:
        monkeypatch.setattr(module, name, refuse)
    write_bundle(small_bundle(2), tmp_path / "b")
    assert len(read_bundle(tmp_path / "b").checkpoints) == 2


def test_the_same_bundle_is_left_alone_and_another_one_refused(small_bundle: Make, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    write_bundle(small_bundle(2), folder)
    (folder / "README.md").write_text("a card of the user's own")
    stamps = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert not write_bundle(small_bundle(2), folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == stamps
    other = small_bundle(2)
    others = {"facts": replace(other.facts, licence="mit")}
    for changed in (small_bundle(1), small_bundle(2, "patch"), replace(other, **others)):
        with pytest.raises(CheckpointError, match="holds something else; choose another folder"):
            write_bundle(changed, folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == stamps
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_what_is_no_bundle_is_not_overwritten_and_an_empty_folder_is_filled(
    small_bundle: Make, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    for name in ("file", "full"):
        with pytest.raises(CheckpointError, match="holds something else"):
            write_bundle(small_bundle(), tmp_path / name)
    assert write_bundle(small_bundle(), tmp_path / "empty")
    assert (tmp_path / "full" / "notes.txt").read_text() == "mine"


def test_an_interrupted_write_leaves_nothing(
    small_bundle: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("miso.models.bundle.card", stop)
    with pytest.raises(KeyboardInterrupt):
        write_bundle(small_bundle(2), tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    index = json.loads((folder / "bundle.json").read_text())
    edit(index)
    (folder / "bundle.json").write_text(json.dumps(index))


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no index": (lambda f: (f / "bundle.json").unlink(), "bundle.json is missing"),
    "index cut short": (lambda f: (f / "bundle.json").write_text('{"schema'), "is damaged"),
    "binary index": (lambda f: (f / "bundle.json").write_bytes(b"\xff\xfe\x80"), "is damaged"),
    "another JSON": (lambda f: (f / "bundle.json").write_text("[1]"), "is no index of a bundle"),
    "another layout": (lambda f: change(f, lambda i: i.update(schema=9)), "has layout 9"),
    "no members": (lambda f: change(f, lambda i: i.update(members=[])), "its members are"),
    "members elsewhere": (lambda f: change(f, lambda i: i.update(members=["../a"])), "its members are"),
    "hidden members": (lambda f: change(f, lambda i: i.update(members=[".cache"])), "its members are"),
    "members that are no names": (lambda f: change(f, lambda i: i.update(members=[3])), "its members are"),
    "no hashes": (lambda f: change(f, lambda i: i.pop("sha256")), "is damaged"),
    "no facts": (lambda f: change(f, lambda i: i.pop("facts")), "is damaged"),
    "strange facts": (lambda f: change(f, lambda i: i["facts"].update(held_apart="x")), "held_apart is 'x'"),
    "no genes": (lambda f: change(f, lambda i: i.update(genes=None)), "is damaged"),
    "genes in another order": (lambda f: change(f, lambda i: i["genes"].reverse()), "in another order"),
    "other genes": (lambda f: change(f, lambda i: i["genes"].pop()), "are others, or in another order"),
    "a member missing": (lambda f: (f / "model_1/model.safetensors").unlink(), "not whole: model_1/model"),
    "one bit of a weight": (lambda f: flip(f / "model_1/model.safetensors"), "its sha256 differs"),
    "settings changed": (
        lambda f: (f / "model_0/config.json").write_text((f / "model_0/config.json").read_text() + " "),
        "config.json is not the file",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_bundle_is_refused_in_one_line(damage: str, saved: Path) -> None:
    spoil, words = DAMAGES[damage]
    spoil(saved)
    with pytest.raises(CheckpointError) as caught:
        read_bundle(saved)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_any_flipped_bit_or_cut_of_any_file_is_noticed(
    saved: Path, spoil: Callable[..., bytes], refusal: Callable[[Callable[[], object]], str]
) -> None:
    for name in ("model_0/model.safetensors", "model_1/config.json"):
        whole = (saved / name).read_bytes()
        for trial in range(20):
            (saved / name).write_bytes(spoil(whole, trial))
            said = refusal(lambda: read_bundle(saved))
            assert "\n" not in said
            assert "sha256 differs" in said
        (saved / name).write_bytes(whole)
    whole = (saved / "bundle.json").read_bytes()
    for trial in range(60):  # what is not hashed is refused or read, and never a traceback
        (saved / "bundle.json").write_bytes(spoil(whole, trial))
        assert "\n" not in refusal(lambda: read_bundle(saved))


def front(text: str) -> dict[str, Any]:
    _, head, _ = text.split("---\n", 2)
    found: dict[str, Any] = yaml.safe_load(head)
    return found


def test_the_card_has_a_head_that_the_hub_reads(saved: Path) -> None:
    head = front((saved / "README.md").read_text(encoding="utf-8"))
    assert head["license"] == "cc-by-4.0"
    assert head["library_name"] == "miso"
    assert {"spatial-transcriptomics", "histopathology"} <= set(head["tags"])


def test_the_card_says_what_a_user_has_to_know(saved: Path) -> None:
    text = (saved / "README.md").read_text(encoding="utf-8")
    for said in (
        "# Breast, small",
        "the mean of 2 models",
        "`stain`, revision `1`",
        "Apache-2.0 (embedded in MISO)",
        "224 px at 0.5 µm/px",
        "ln(1 + counts)",
        "3 sections of 3 patients",
        "Whole patients were held out",
        "Three sections / of the phantom.",
        "| ERBB2 | 0.700 | 3 | – | A |",
        "| KRT8 | 0.200 | 3 | – | C |",
        "| genes | 1 | 0 | 1 | 0 | 1 |",
        "no medical device",
        'miso.load("hf:OWNER/MODEL")',
    ):
        assert said in text, said
    assert "Jane" not in text


def test_an_unstated_licence_and_an_encoder_with_terms_are_said(
    small_checkpoint: Callable[..., Checkpoint],
) -> None:
    checkpoint = small_checkpoint(encoder="phikon@abc")
    table = untested(checkpoint.genes)
    text = card([checkpoint], table, Facts(name="x"))
    head = front(text)
    assert (head["license"], head["license_name"]) == ("other", "unstated")
    assert head["base_model"] == "owkin/phikon"
    assert "Owkin non-commercial" in text
    assert "an unknown number of sections of an unknown number of patients" in text
    odd = front(card([checkpoint], table, Facts(name="x: y\n# z", licence="Ours | only\nhere")))
    assert (odd["license"], odd["license_name"]) == ("other", "Ours / only here")


def test_a_single_bundle_is_a_checkpoint_folder_too(small_bundle: Make, tmp_path: Path) -> None:
    bundle = small_bundle(1)
    write_bundle(bundle, tmp_path / "b")
    assert load_checkpoint(tmp_path / "b").genes == bundle.checkpoints[HERE].genes
