"""What this machine is and has, for `miso doctor`: versions, devices, extras; sizes in GB of 10^9 bytes."""

import importlib
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

PACKAGE = "miso-spatial"
LIBRARIES = ("numpy", "scipy", "anndata", "zarr", "safetensors", "huggingface_hub")
NO_DEPS = {"timm": "pip install --no-deps timm"}
"""Extras that a plain install would pull more than wanted for."""
EXTRA = re.compile(r"""^\s*([\w.-]+).*;.*\bextra\s*==\s*["']([\w.-]+)["']""")


def about_machine() -> dict[str, Any]:
    """Name the system, its cores and memory, and the disk that is free here and for models."""
    from huggingface_hub import constants

    affinity = getattr(os, "sched_getaffinity", None)
    free_gb, all_gb = memory_gb()
    return {
        "miso": version(PACKAGE),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "memory_gb": all_gb,
        "memory_free_gb": free_gb,
        "disk_free_gb": disk_free_gb(Path.cwd()),
        "model_cache": str(constants.HF_HUB_CACHE),
        "model_cache_free_gb": disk_free_gb(Path(constants.HF_HUB_CACHE)),
    }


def memory_gb() -> tuple[float | None, float | None]:
    """Memory that is free and that there is, as far as the system tells."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        return round(kib["MemAvailable"] * 1024e-9, 1), round(kib["MemTotal"] * 1024e-9, 1)
    except (OSError, KeyError, ValueError, IndexError):
        pass  # not Linux
    try:
        return None, round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 1e-9, 1)
    except (AttributeError, ValueError, OSError):
        return None, None


def disk_free_gb(path: Path) -> float | None:
    """Free space of the disk that a path is or would be on."""
    for place in (path, *path.parents):
        if place.exists():
            return round(shutil.disk_usage(place).free * 1e-9, 1)
    return None


def about_torch() -> dict[str, Any]:
    """Name the build of torch, and each device with its memory and whether bfloat16 is native there."""
    import torch

    from miso.encoders.encoder import has_native_bf16

    cpu = torch.device("cpu")
    devices = [{"name": "cpu", "model": platform.processor() or "", "bf16": has_native_bf16(cpu)}]
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        device = torch.device("cuda", index)
        devices.append(
            {
                "name": str(device),
                "model": about.name,
                "memory_gb": round(about.total_memory * 1e-9, 1),
                "bf16": has_native_bf16(device),
            }
        )
    if torch.backends.mps.is_available():
        devices.append({"name": "mps", "model": "Apple GPU", "bf16": has_native_bf16(torch.device("mps"))})
    return {"version": torch.__version__, "threads": torch.get_num_threads(), "devices": devices}


def about_libraries() -> dict[str, str]:
    """Versions of the libraries that read slides, and of a few more; what cannot be loaded says why."""
    found = {"openslide": tried(_openslide), "libvips": tried(_libvips)}
    return found | {name: version_of(name) or "missing" for name in LIBRARIES}


def _openslide() -> str:
    return str(importlib.import_module("openslide").__library_version__)


def _libvips() -> str:
    vips = importlib.import_module("pyvips")
    return ".".join(str(vips.version(part)) for part in range(3))


def tried(look: Callable[[], str]) -> str:
    """Return a version, or why there is none."""
    try:
        return look()
    except (ImportError, OSError, AttributeError) as err:
        return f"cannot be loaded ({' '.join(str(err).split())[:120]})"


def version_of(distribution: str) -> str | None:
    """Version of a package, found without importing it."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def about_extras(requirements: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """Tell for each extra of this package what is installed, and the line that installs the rest."""
    lines = (requires(PACKAGE) or []) if requirements is None else requirements
    members: dict[str, list[str]] = {}
    for line in lines:
        if found := EXTRA.match(line):
            members.setdefault(found[2], []).append(found[1])
    extras = []
    for extra, names in sorted(members.items()):
        versions = {name: version_of(name) for name in names}
        missing = None in versions.values()
        fix = NO_DEPS.get(extra, f"pip install '{PACKAGE}[{extra}]'") if missing else ""
        extras.append({"name": extra, "installed": not missing, "versions": versions, "fix": fix})
    return extras
