"""A Checkpoint gives back the very model that was saved; anything else is refused in one line."""

import json
import pickle
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from miso.errors import CheckpointError
from miso.models import Checkpoint, MisoConfig, MisoModel, PatchConfig, PatchModel, load_checkpoint
from miso.models.attention import NetworkConfig
from miso.models.miso import PUBLISHED
from miso.models.patch import PUBLISHED_PATCH

DIM, GENES = 6, ["ERBB2", "KRT8", "µ-gene"]
TINY = NetworkConfig(embed_dim=16, attention_dim=8, heads=2)
MODELS: dict[str, Callable[[], MisoModel | PatchModel]] = {
    "default teacher": lambda: MisoModel(DIM, 3, MisoConfig()),
    "published teacher": lambda: MisoModel(DIM, 3, replace(PUBLISHED, network=TINY)),
    "teacher of counts": lambda: MisoModel(DIM, 3, replace(PUBLISHED, network=TINY, link="softplus")),
    "default student": lambda: PatchModel(DIM, 3, PatchConfig(hidden=(8, 4), factors=2)),
    "published student": lambda: PatchModel(DIM, 3, PUBLISHED_PATCH, nonnegative=False),
}


def checkpoint(model: MisoModel | PatchModel) -> Checkpoint:
    generator = torch.Generator().manual_seed(4)
    for value in model.state_dict().values():  # buffers too: gain, programs and the linear part
        value.copy_(torch.rand(value.shape, generator=generator))
    return Checkpoint(
        model=model.eval(),
        kind="patch" if isinstance(model, PatchModel) else "miso",
        genes=GENES,
        target="log1p",
        units="ln(1 + counts)",
        nonnegative=getattr(model, "nonnegative", True),
        encoder="stain@1",
        tile={"size_px": 224, "mpp": 0.5},
        patch_px=16,
        knn=37,
        spot_diameter_um=55.0,
        trained_on=["A1"],
        validated_on=["B1"],
        held_out=["C1"],
        slides={"A1": {"fingerprint": "abc", "mpp": 0.688, "source": "lattice"}},
        notes={"epoch": 3, "validation_r": 0.25},
    )


def predict(model: MisoModel | PatchModel) -> torch.Tensor:
    features = torch.randn(12, DIM, generator=torch.Generator().manual_seed(5))
    if isinstance(model, PatchModel):
        return model(features)
    neighbors = torch.randint(12, (12, 5), generator=torch.Generator().manual_seed(6))
    return model(features, neighbors)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    checkpoint(MODELS["default student"]()).save(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


@pytest.mark.parametrize("name", MODELS)
def test_what_is_loaded_predicts_bitwise_what_was_saved(name: str, tmp_path: Path) -> None:
    made = checkpoint(MODELS[name]())
    made.save(tmp_path / "c")
    found = load_checkpoint(tmp_path / "c")
    assert torch.equal(predict(found.model), predict(made.model))
    assert not found.model.training
    for field in fields(Checkpoint):
        if field.name != "model":
            assert getattr(found, field.name) == getattr(made, field.name), field.name
    assert found.model.config == made.model.config


@pytest.mark.parametrize("name", ["default teacher", "published teacher"])
def test_a_checkpoint_from_before_there_were_links_still_loads(name: str, tmp_path: Path) -> None:
    made = checkpoint(MODELS[name]())
    made.save(tmp_path / "c")
    file = tmp_path / "c" / "config.json"
    about = json.loads(file.read_text())
    assert about["arguments"]["config"].pop("link") == "identity"
    file.write_text(json.dumps(about))
    found = load_checkpoint(tmp_path / "c")
    assert torch.equal(predict(found.model), predict(made.model))
    assert found.model.config == made.model.config


def test_a_checkpoint_with_a_link_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    checkpoint(MODELS["teacher of counts"]()).save(tmp_path / "c")
    file = tmp_path / "c" / "config.json"
    file.write_text(file.read_text().replace('"softplus"', '"logit"'))
    with pytest.raises(CheckpointError, match=r"does not fit together: .* has no link 'logit'"):
        load_checkpoint(tmp_path / "c")


def test_a_folder_holds_safetensors_and_json_and_needs_no_pickle(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a pickle was opened")

    for module, name in [(pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")]:
        monkeypatch.setattr(module, name, refuse)
    assert sorted(path.name for path in saved.iterdir()) == ["config.json", "model.safetensors"]
    assert load_checkpoint(saved).genes == GENES
    assert {"schema": 3, "model": "patch"}.items() <= json.loads((saved / "config.json").read_text()).items()


def test_saving_again_replaces_the_whole_folder(saved: Path) -> None:
    (saved / "stray.txt").write_text("from before")
    other = checkpoint(MODELS["default teacher"]())
    other.save(saved)
    assert load_checkpoint(saved).kind == "miso"
    assert [path.name for path in saved.parent.iterdir()] == ["checkpoint"]
    assert not (saved / "stray.txt").exists()


def change(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    about = json.loads((folder / "config.json").read_text())
    edited = edit(about)
    (folder / "config.json").write_text(json.dumps(about if edited is None else edited))


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-40])


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no configuration": (lambda f: (f / "config.json").unlink(), "config.json is missing"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is missing"),
    "weights cut short": (cut, "damaged"),
    "weights that are text": (lambda f: (f / "model.safetensors").write_text("no weights"), "damaged"),
    "no JSON": (lambda f: (f / "config.json").write_text('{"schema": 3'), "damaged"),
    "binary configuration": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x80"), "damaged"),
    "JSON of another kind": (lambda f: change(f, lambda about: [about]), "damaged"),
    "another layout": (lambda f: change(f, lambda about: about.update(schema=99)), "has layout 99"),
    "no model named": (lambda f: change(f, lambda about: about.pop("model") and None), "lacks 'model'"),
    "no genes": (lambda f: change(f, lambda about: about.clear() or {"schema": 3}), "lacks 'model'"),
    "unknown model": (lambda f: change(f, lambda about: about.update(model="pach")), "did you mean 'patch'"),
    "model that is no name": (lambda f: change(f, lambda about: about.update(model=["patch"])), "not fit"),
    "unknown argument": (
        lambda f: change(f, lambda about: about["arguments"]["config"].update(depth=3)),
        "unexpected keyword argument 'depth'",
    ),
    "other sizes": (lambda f: change(f, lambda about: about["arguments"].update(n_genes=7)), "not fit"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_foreign_checkpoint_is_refused_in_one_line(damage: str, saved: Path) -> None:
    spoil, words = DAMAGES[damage]
    spoil(saved)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(saved)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*nowhere"):
        load_checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["planted", "planted:run", "os:system", "miso.models.patch:PatchModel"])
def test_a_model_is_a_registered_name_and_never_an_import_path(
    name: str, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "planted.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    change(saved, lambda about: about.update(model=name))
    with pytest.raises(CheckpointError, match="unknown model"):
        load_checkpoint(saved)
    assert "planted" not in sys.modules


def test_whoever_reads_the_settings_reads_the_weights(saved: Path) -> None:
    modes = {path.name: path.stat().st_mode for path in saved.iterdir()}
    assert modes["model.safetensors"] == modes["config.json"]


def spoil_weights(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state["network.0.bias"][2] = torch.nan
    save_file(state, folder / "model.safetensors")


STRANGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "genes that are no names": (lambda f: change(f, lambda about: about.update(genes=[1, 2, 3])), "genes is"),
    "a gene twice": (
        lambda f: change(f, lambda about: about.update(genes=["A", "B", "A"])),
        "the gene 'A' is named twice",
    ),
    "fewer genes": (
        lambda f: change(f, lambda about: about["genes"].pop() and None),
        "names 2 genes for 3 outputs",
    ),
    "a tile without mpp": (lambda f: change(f, lambda about: about["tile"].pop("mpp") and None), "tile is"),
    "no resolution": (lambda f: change(f, lambda about: about["tile"].update(mpp=0)), "tile is"),
    "a word for a number": (lambda f: change(f, lambda about: about.update(knn="many")), "knn is 'many'"),
    "slides without fingerprints": (
        lambda f: change(f, lambda about: about["slides"]["A1"].pop("fingerprint") and None),
        "lacks 'fingerprint'",
    ),
    "no stain": (lambda f: change(f, lambda about: about.update(stain=3)), "not fit together"),
    "a weight that is not finite": (spoil_weights, "network.0.bias holds weights that are not finite"),
}


@pytest.mark.parametrize("damage", STRANGE)
def test_what_says_strange_things_of_itself_is_refused_in_one_line(damage: str, saved: Path) -> None:
    spoil, words = STRANGE[damage]
    spoil(saved)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(saved)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
