"""`miso doctor`: always an answer, without weights, without the network, for people and for scripts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from miso.cli import app
from miso.encoders.catalogue import CATALOGUE
from miso.verbs import _doctor, doctor


@pytest.fixture(autouse=True)
def _no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)


def test_doctor_names_machine_libraries_and_every_encoder_with_its_terms() -> None:
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 0, done.output
    for word in ("miso ", "Python ", "torch ", "openslide ", "libvips ", "disk free", "bfloat16"):
        assert word in done.output
    lines = done.output.splitlines()
    for name, entry in CATALOGUE.items():
        (line,) = [line for line in lines if line.startswith(f"{name} ")]
        assert entry.licence in line
    (stain,) = [line for line in lines if line.startswith("stain ")]
    assert stain.split()[1] == "yes"


def test_doctor_for_scripts_is_json() -> None:
    done = CliRunner().invoke(app, ["doctor", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert set(found) == {"machine", "torch", "libraries", "extras", "encoders", "convert"}
    assert found["torch"]["devices"][0]["name"] == "cpu"
    assert isinstance(found["torch"]["devices"][0]["bf16"], bool)
    assert found["machine"]["cores"] >= 1
    encoders = {encoder["name"]: encoder for encoder in found["encoders"]}
    assert set(CATALOGUE) < set(encoders)
    assert encoders["stain"]["state"] == "ready"
    assert encoders["uni"]["gated"] is True
    assert all(encoder["fix"] for encoder in found["encoders"] if encoder["state"] == "no")
    assert "weights_only=True" in found["convert"]


def test_doctor_opens_no_socket_and_imports_no_extra(tmp_path: Path) -> None:
    program = """
import os, sys
def watch(event, _):
    if event.startswith("socket."):
        os.write(2, event.encode())
        os._exit(3)
sys.addaudithook(watch)
sys.argv = ["miso", "doctor", "--json"]
from miso.cli import main
try: main()
except SystemExit as end:
    assert not end.code, end.code
heavy = {"timm", "transformers", "torchvision", "anndata", "onnxruntime"} & set(sys.modules)
assert not heavy, heavy
"""
    env = os.environ | {"HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["machine"]["model_cache"].startswith(str(tmp_path))


def test_an_extra_lists_what_it_brings_and_how_to_get_the_rest() -> None:
    wanted = [
        "numpy>=2.0",
        'numpy>=2.0; extra == "maths"',
        'no-such-package-at-all>=1; extra == "wishes"',
        "numpy ; python_version > '3' and extra == 'wishes'",
        'not-timm-really; extra == "timm"',
    ]
    maths, timm, wishes = _doctor.about_extras(wanted)
    assert (maths["name"], maths["installed"], maths["fix"]) == ("maths", True, "")
    assert set(maths["versions"]) == {"numpy"}
    assert (timm["installed"], timm["fix"]) == (False, "pip install --no-deps timm")
    assert wishes["fix"] == "pip install 'miso-spatial[wishes]'"
    assert wishes["versions"]["no-such-package-at-all"] is None


def test_a_library_that_cannot_be_loaded_is_said_and_not_raised() -> None:
    def broken() -> str:
        raise OSError("libvips.so.42: cannot open\nshared object file")

    assert _doctor.tried(broken) == "cannot be loaded (libvips.so.42: cannot open shared object file)"


def test_memory_and_disk_are_plausible(tmp_path: Path) -> None:
    free, total = _doctor.memory_gb()
    assert total is None or (0.1 < total < 1e5 and (free is None or free <= total))
    assert _doctor.disk_free_gb(tmp_path / "not" / "there" / "yet") == pytest.approx(
        _doctor.disk_free_gb(tmp_path), abs=5
    )


def test_a_gpu_is_named_with_its_memory() -> None:
    gpu = {"name": "cuda:0", "model": "Some GPU", "memory_gb": 80.0, "bf16": True}
    assert doctor._device(gpu) == "cuda:0 (Some GPU, bfloat16 native, 80 GB)"
    assert "no native bfloat16" in doctor._device({"name": "cpu", "model": "", "bf16": False})
