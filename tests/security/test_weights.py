"""Weights of others: pickles that run code, tensors that claim what is not there, models too large."""

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from miso.errors import CheckpointError, SampleError
from miso.models.checkpoint import load_checkpoint
from miso.models.state_dict import read_state_dict
from miso.samples import open_sample
from miso.samples.labels import open_labels
from miso.samples.vendors.files.npy import map_numbers, read_strings

READ = """
from pathlib import Path
from miso.models.state_dict import read_state_dict
from miso.models.checkpoint import load_checkpoint
"""


class Trap:
    """What a pickle can do: write a file when it is opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoint_with_a_pickle_in_it_is_refused_and_not_run(zipped, tmp_path):
    mark = tmp_path / "run"
    torch.save(
        {"w": torch.ones(2), "trap": Trap(mark)}, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped
    )
    with pytest.raises(CheckpointError, match="safely"):
        read_state_dict(tmp_path / "x.pth")
    assert not mark.exists()


def test_bare_pickle_is_refused_and_not_run(tmp_path):
    mark = tmp_path / "run"
    (tmp_path / "x.pth").write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(CheckpointError):
        read_state_dict(tmp_path / "x.pth")
    assert not mark.exists()


@pytest.mark.parametrize("size", [(10**5, 10**5), (10**9, 10**9), (2**31,)])
def test_tensor_that_repeats_one_value_for_ever_is_refused(size, tmp_path, attack):
    torch.save({"w": torch.ones(1).expand(size)}, tmp_path / "x.pth")
    assert (tmp_path / "x.pth").stat().st_size < 2000
    said = attack(READ, f"read_state_dict(Path({str(tmp_path / 'x.pth')!r}))", mib=300)
    assert "claims" in said


def test_checkpoint_whose_values_are_packed_a_thousand_to_one_is_refused(tmp_path, attack):
    plain = io.BytesIO()
    torch.save({"w": torch.zeros(50_000_000)}, plain)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(tmp_path / "x.pth", "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert (tmp_path / "x.pth").stat().st_size < 300_000
    said = attack(READ, f"read_state_dict(Path({str(tmp_path / 'x.pth')!r}))", mib=150)
    assert "is compressed" in said


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 2**63),
        struct.pack("<Q", 2**40) + b"{}",
        struct.pack("<Q", 200_000) + b"[" * 200_000,
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 70)
        + b'{"w": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 4]}}'[:70],
        b"",
    ],
)
def test_safetensors_with_an_absurd_header_are_refused(content, tmp_path, small_checkpoint_folder):
    (small_checkpoint_folder / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(small_checkpoint_folder)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("offsets", [[0, 2**60], [2**60, 0], [-4, 4], [0, 3]])
def test_safetensors_whose_values_lie_elsewhere_are_refused(offsets, small_checkpoint_folder):
    head = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": offsets}}).encode()
    path = small_checkpoint_folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(head)) + head + bytes(4))
    with pytest.raises(CheckpointError):
        load_checkpoint(small_checkpoint_folder)


@pytest.mark.parametrize(
    "change",
    [
        {"in_dim": 10**9},
        {"n_genes": 10**9},
        {"in_dim": -1},
        {"config": {"members": 10**9}},
        {"config": {"network": {"depth": 10**9}}},
        {"config": {"network": {"embed_dim": 10**6}}},
        {"config": {"network": {"heads": 0}}},
        {"config": {"hidden": 10**9}},
    ],
    ids=str,
)
def test_model_that_its_arguments_make_larger_than_its_weights_is_refused(
    change, small_checkpoint_folder, attack
):
    path = small_checkpoint_folder / "config.json"
    about = json.loads(path.read_text())
    arguments = about["arguments"]
    config = change.get("config", {})
    arguments["config"]["network"] |= config.get("network", {})
    arguments["config"] |= {key: value for key, value in config.items() if key != "network"}
    arguments |= {key: value for key, value in change.items() if key != "config"}
    path.write_text(json.dumps(about))
    said = attack(READ, f"load_checkpoint(Path({str(small_checkpoint_folder)!r}))", mib=300)
    assert "does not fit together" in said


def test_checkpoint_as_it_was_saved_is_read_in_that_memory(small_checkpoint_folder, attack):
    assert attack(READ, f"load_checkpoint(Path({str(small_checkpoint_folder)!r}))", mib=300) == "done"


def test_array_of_objects_in_a_sample_is_refused_and_not_run(processed, tmp_path):
    import shutil

    folder, mark = tmp_path / "A1", tmp_path / "run"
    shutil.copytree(processed / "A1", folder)
    np.save(folder / "patch_features.npy", np.array([Trap(mark)], dtype=object), allow_pickle=True)
    with pytest.raises(SampleError, match="damaged"):
        _ = open_sample(folder).patch_features
    (folder / "labels" / "p").mkdir(parents=True)
    about = {"genes": ["A"], "units": "u", "folds": [0], "teachers": "fold"}
    (folder / "labels" / "p" / "labels.json").write_text(json.dumps(about))
    np.save(folder / "labels" / "p" / "fold_0.npy", np.array([Trap(mark)], dtype=object), allow_pickle=True)
    with pytest.raises(SampleError, match="damaged"):
        open_labels(folder / "labels" / "p").fold(0)
    for read in (read_strings, lambda path: map_numbers(path, 1)):
        with pytest.raises(SampleError):
            read(folder / "patch_features.npy")
    assert not mark.exists()


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")  # numpy's, of the product of sides
@pytest.mark.parametrize("shape", [(10**15,), (2**62, 2**62), (-1,)])
def test_array_that_claims_a_petabyte_is_refused(shape, processed, tmp_path):
    import shutil

    folder = tmp_path / "A1"
    shutil.copytree(processed / "A1", folder)
    head = f"{{'descr': '<f2', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    (folder / "patch_features.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + head)
    with pytest.raises(SampleError, match="damaged"):
        _ = open_sample(folder).patch_features
    with pytest.raises(SampleError):
        map_numbers(folder / "patch_features.npy", 1)


def test_encoder_with_a_pickle_of_weights_is_refused(tmp_path):
    from miso.encoders.weight_files import weight_files
    from miso.errors import EncoderError

    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(tmp_path / "run")))
    with pytest.raises(EncoderError, match="a pickle can run code"):
        weight_files(tmp_path)
    assert not (tmp_path / "run").exists()


def test_no_module_opens_pickles():
    import miso

    calls = ("pickle.load", "allow_pickle=True", "weights_only=False", "joblib.load", "read_pickle", "dill")
    root = Path(miso.__file__).parent
    found = {
        str(path.relative_to(root)): call
        for path in root.rglob("*.py")
        for call in calls
        if call in path.read_text()
    }
    assert found == {}
    assert save_file  # what is written instead
