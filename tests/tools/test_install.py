"""tools/install.py decides on a torch, reads groups and stamps; nothing here installs anything."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("miso_tools_install", ROOT / "tools" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


install = load_script()


def report(*packages: str) -> dict[str, Any]:
    """Build what `pip install --dry-run --report` says, as far as the script reads it."""
    pairs = [package.split("==") for package in packages]
    return {"version": "1", "install": [{"metadata": {"name": n, "version": v}} for n, v in pairs]}


CPU = report("torch==2.13.0+cpu", "sympy==1.14.0", "Jinja2==3.1.6")
CUDA = report("torch==2.13.0", "sympy==1.14.0", "nvidia_cublas==13.1.1.3", "triton==3.7.1")


def never() -> dict[str, Any]:
    raise AssertionError("pip was asked for a report that nobody needs")


def completed(stdout: str, returncode: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess([], returncode, stdout, "")


def test_without_a_gpu_a_cpu_report_means_plain_pip() -> None:
    plan = install.plan_torch("", False, lambda: CPU)
    assert (plan.tool, plan.arguments) == ("pip", [install.TORCH])


def test_without_a_gpu_a_cuda_report_means_the_cpu_build_by_uv() -> None:
    plan = install.plan_torch("", False, lambda: CUDA)
    assert (plan.tool, plan.arguments) == ("uv", [install.TORCH])


def test_with_a_gpu_plain_pip_is_taken_and_no_report_is_needed() -> None:
    assert install.plan_torch("", True, never).tool == "pip"


@pytest.mark.parametrize("has_gpu", [True, False])
def test_a_torch_that_was_asked_for_goes_straight_to_pip(has_gpu: bool) -> None:
    plan = install.plan_torch("--pre 'torch==2.14.0+cu130'", has_gpu, never)
    assert (plan.tool, plan.arguments) == ("pip", ["--pre", "torch==2.14.0+cu130"])


@pytest.mark.parametrize(
    "package",
    [
        "nvidia-cudnn-cu13==9.20",
        "NVIDIA_NCCL_cu12==2.29",
        "cuda-bindings==13.5",
        "triton==3.7.1",
        "torch==2.13.0+cu130",
    ],
)
def test_any_one_cuda_package_gives_a_report_away(package: str) -> None:
    assert install.brings_cuda(report("sympy==1.14.0", package))


def test_a_cpu_report_brings_no_cuda() -> None:
    assert not install.brings_cuda(CPU)


def test_the_cpu_build_by_uv_leaves_dependencies_to_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(install, "step", lambda label, *command: commands.append(command))
    install.install_torch(install.TorchPlan("uv", [install.TORCH], "why"))
    assert commands[0][-2:] == ("install", "uv")
    assert commands[1][-3:] == ("--torch-backend=cpu", "--no-deps", install.TORCH)


def test_a_cpu_build_that_cannot_be_had_names_both_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_at_torch(label: str, *command: str) -> str:
        if label == "uv":
            return ""
        raise install.InstallError("no route to the index")

    monkeypatch.setattr(install, "step", fail_at_torch)
    with pytest.raises(install.InstallError, match=r"no route(.|\n)*TORCH='torch==.*\+cpu'(.|\n)*CUDA"):
        install.install_torch(install.TorchPlan("uv", [install.TORCH], "why"))


def test_the_question_to_pip_installs_and_downloads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(install, "step", lambda label, *command: asked.extend(command) or '{"install": []}')
    assert install.resolve_torch() == {"install": []}
    assert {"--dry-run", "--ignore-installed", "--use-feature=fast-deps", install.TORCH} <= set(asked)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (completed("GPU 0: NVIDIA H100 (UUID: GPU-1)\n"), True),
        (completed("No devices were found\n"), False),
        (completed("GPU 0: lost", returncode=9), False),
    ],
)
def test_a_gpu_is_one_that_nvidia_smi_lists(
    monkeypatch: pytest.MonkeyPatch, answer: subprocess.CompletedProcess[str], expected: bool
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: answer)
    assert install.has_nvidia_gpu() is expected


def test_without_nvidia_smi_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not install.has_nvidia_gpu()


@pytest.mark.parametrize(
    ("installed", "asked", "before", "kept"),
    [
        ("", "", "", False),
        ("2.13.0+cpu", "", "", True),
        ("2.12.1+cpu", "", "", False),
        ("2.12.1", "", "torch==2.12.1", True),  # asked for once, kept from then on
        ("2.12.1", "torch==2.12.1", "torch==2.12.1", True),
        ("2.13.0+cpu", "torch==2.13.0+cu130", "", False),
    ],
)
def test_torch_is_installed_anew_only_when_another_is_wanted(
    installed: str, asked: str, before: str, kept: bool
) -> None:
    assert install.keeps_torch(installed, asked, before) is kept


def test_a_torch_without_its_record_was_interrupted_and_does_not_count(tmp_path: Path) -> None:
    info = tmp_path / "lib" / "python3.11" / "site-packages" / "torch-2.13.0+cpu.dist-info"
    info.mkdir(parents=True)
    assert install.installed_torch(tmp_path) == ""
    (info / "RECORD").touch()
    assert install.installed_torch(tmp_path) == "2.13.0+cpu"


def test_torch_is_locked_for_everything_installed_after_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(install, "CONSTRAINTS", tmp_path / "constraints.txt")
    monkeypatch.setattr(install, "installed_torch", lambda venv: "2.13.0+cpu")
    install.ensure_torch("", "")
    assert (tmp_path / "constraints.txt").read_text() == "torch==2.13.0+cpu\n"


def test_groups_named_by_the_script_stand_in_pyproject() -> None:
    import tomllib

    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert {*install.GROUPS, install.WEIGHTS} <= set(groups)
    assert install.group_options(("test", "lint")) == ["--group", "test", "--group", "lint"]


PYPROJECT = """
[project]
name = "miso"
dependencies = ["numpy"]
[dependency-groups]
test = ["pytest"]
[tool.ruff]
line-length = 110
"""


def keys(folder: Path, text: str) -> tuple[str, str]:
    path = folder / "pyproject.toml"
    path.write_text(text)
    return install.fingerprint("runtime", path), install.fingerprint("dev", path)


def test_a_new_dependency_makes_both_stamps_stale(tmp_path: Path) -> None:
    before, after = keys(tmp_path, PYPROJECT), keys(tmp_path, PYPROJECT.replace("numpy", "scipy"))
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_a_new_test_tool_leaves_the_runtime_stamp_valid(tmp_path: Path) -> None:
    before, after = keys(tmp_path, PYPROJECT), keys(tmp_path, PYPROJECT.replace("pytest", "hypothesis"))
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_a_setting_of_a_linter_reinstalls_nothing(tmp_path: Path) -> None:
    assert keys(tmp_path, PYPROJECT) == keys(tmp_path, PYPROJECT.replace("110", "100"))


def test_a_changed_script_makes_the_stamp_stale(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "install.py").write_text("new")
    there = tmp_path / "pyproject.toml"
    assert install.fingerprint("runtime", there) != install.fingerprint(
        "runtime", there, tmp_path / "install.py"
    )


def test_a_stamp_is_read_back_and_a_damaged_one_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "stamp.json"
    assert install.read_stamp(path) == {}
    install.write_stamp(path, {"runtime": "abc", "torch": ""})
    assert install.read_stamp(path) == {"runtime": "abc", "torch": ""}
    assert [item.name for item in tmp_path.iterdir()] == ["stamp.json"]
    path.write_text('{"runtime": "ab')
    assert install.read_stamp(path) == {}


def test_a_stamp_vouches_for_its_own_level_and_torch_only() -> None:
    stamp = {"runtime": "abc", "torch": "torch==2.12.1"}
    assert install.is_current(stamp, "runtime", "abc", "")
    assert install.is_current(stamp, "runtime", "abc", "torch==2.12.1")
    assert not install.is_current(stamp, "runtime", "abd", "")
    assert not install.is_current(stamp, "runtime", "abc", "torch==2.11.0")
    assert not install.is_current(stamp, "dev", "abc", "")


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A `.venv/` of nothing but a Python, and an installer whose steps do nothing."""
    monkeypatch.setattr(install, "VENV", tmp_path)
    monkeypatch.setattr(install, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(install, "STAMP", tmp_path / "stamp.json")
    monkeypatch.setattr(install, "CONSTRAINTS", tmp_path / "constraints.txt")
    monkeypatch.setattr(install, "make_venv", lambda: None)
    monkeypatch.setattr(install, "installed_torch", lambda venv: install.TORCH.split("==")[1])
    monkeypatch.setattr(install, "step", lambda label, *command: print("step", *command))
    return tmp_path


def test_a_second_install_does_nothing(sandbox: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install.ensure("dev", "")
    assert "step" in capsys.readouterr().out
    for level in ("dev", "runtime"):  # the larger one vouches for the smaller one
        install.ensure(level, "")
        assert "step" not in capsys.readouterr().out


def test_the_checks_are_added_to_an_install_for_use(
    sandbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install.ensure("runtime", "")
    assert "--group" not in capsys.readouterr().out
    install.ensure("dev", "")
    assert "--group test --group lint" in capsys.readouterr().out


def test_an_interrupted_install_leaves_no_stamp(sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install.ensure("runtime", "")

    def interrupt(label: str, *command: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(install, "step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        install.ensure("dev", "")
    assert install.read_stamp(install.STAMP) == {}


def test_a_failing_step_shows_the_last_lines_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    script = "import sys; [print('line', n) for n in range(40)]; sys.exit(3)"
    with pytest.raises(install.InstallError, match=r"line 39\n.*ended with status 3") as caught:
        install.step("a step", sys.executable, "-c", script)
    assert "line 20\n" not in str(caught.value)
    assert capsys.readouterr().out == "a step ... failed\n"


def test_a_python_that_is_too_old_is_told_so_in_one_line() -> None:
    with pytest.raises(install.InstallError, match=r"^MISO needs Python 3\.11 or newer; .* is 3\.9\.18\."):
        install.check_python((3, 9, 18))
    install.check_python((3, 11, 0))


def test_a_virtual_environment_that_was_moved_is_not_healthy(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text("#!/bin/sh\n")  # answers everything with success
    python.chmod(0o755)
    for made_at, healthy in ((tmp_path, True), (tmp_path / "elsewhere", False)):
        (tmp_path / "pyvenv.cfg").write_text(f"command = python3 -m venv --clear {made_at}\n")
        assert install.is_healthy(tmp_path) is healthy


def test_a_missing_virtual_environment_is_not_healthy(tmp_path: Path) -> None:
    assert not install.is_healthy(tmp_path)
