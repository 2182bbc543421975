"""`miso doctor`: what would work on this machine."""

from typing import Annotated, Any

import typer

from miso.verbs import console

NAME = "doctor"
STATES = {"ready": "yes", "downloads": "downloads", "unknown": "try it", "no": "no"}


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON, for a script.")] = False,
    online: Annotated[bool, typer.Option("--online", help="Ask the model hub as well.")] = False,
) -> None:
    """Say what would work here: devices, libraries, extras, and each encoder, its terms, and what it lacks.

    No weights are loaded, and without --online no network is used.
    """
    found = examine(online)
    if as_json:
        import json

        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for line in wording(found):
        console.out.print(line, markup=False)


def examine(online: bool) -> dict[str, Any]:
    """Look at everything."""
    from dataclasses import asdict

    from miso.encoders.availability import survey
    from miso.encoders.weight_files import CONVERT
    from miso.verbs import _doctor

    return {
        "machine": _doctor.about_machine(),
        "torch": _doctor.about_torch(),
        "libraries": _doctor.about_libraries(),
        "extras": _doctor.about_extras(),
        "encoders": [asdict(encoder) for encoder in survey(online=online)],
        "convert": CONVERT.format(file="pytorch_model.bin"),
    }


def wording(found: dict[str, Any]) -> list[str]:
    """Say it in lines."""
    return [
        *_machine(found["machine"], found["torch"], found["libraries"]),
        "",
        "Extras",
        *(_extra(extra) for extra in found["extras"]),
        "",
        *_encoders(found["encoders"]),
        "",
        "Licences are those of the weights. A pickle can run code and is never read; convert one you trust",
        f"once, in its folder, with: {found['convert']}",
    ]


def _machine(machine: dict[str, Any], torch: dict[str, Any], libraries: dict[str, str]) -> list[str]:
    free, total = machine["memory_free_gb"], machine["memory_gb"]
    memory = f"{_gb(free)} of {_gb(total)} memory free" if free is not None else f"{_gb(total)} memory"
    devices = "; ".join(_device(device) for device in torch["devices"])
    return [
        f"miso {machine['miso']} · Python {machine['python']} · {machine['system']}",
        f"{machine['cores']} cores · {memory} · disk free: {_gb(machine['disk_free_gb'])} here, "
        f"{_gb(machine['model_cache_free_gb'])} for models ({machine['model_cache']})",
        f"torch {torch['version']} · threads: {torch['threads']} · {devices}",
        " · ".join(f"{name} {version}" for name, version in libraries.items()),
    ]


def _device(device: dict[str, Any]) -> str:
    memory = f", {_gb(device['memory_gb'])}" if "memory_gb" in device else ""
    bf16 = "bfloat16 native" if device["bf16"] else "no native bfloat16: features are made in float32"
    model = f"{device['model']}, " if device["name"] != "cpu" and device["model"] else ""
    return f"{device['name']} ({model}{bf16}{memory})"


def _extra(extra: dict[str, Any]) -> str:
    have = ", ".join(f"{name} {version}" for name, version in extra["versions"].items() if version)
    return f"  {extra['name']:<13} {have or 'missing'}{': ' if extra['fix'] else ''}{extra['fix']}"


def _encoders(encoders: list[dict[str, Any]]) -> list[str]:
    head = ("Encoder", "loads here", "licence", "gated", "cached", "tile px", "µm/px", "to do")
    rows = [head, *(_row(encoder) for encoder in encoders)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head) - 1)]
    return ["  ".join([*map(str.ljust, row, widths), row[-1]]).rstrip() for row in rows]


def _row(encoder: dict[str, Any]) -> tuple[str, ...]:
    return (
        encoder["name"],
        STATES[encoder["state"]],
        encoder["licence"] or "–",
        _yes(encoder["gated"]),
        _yes(encoder["cached"]),
        str(encoder["tile_px"] or "–"),
        str(encoder["native_mpp"] or "–"),
        encoder["fix"],
    )


def _yes(flag: bool | None) -> str:
    return "–" if flag is None else "yes" if flag else "no"


def _gb(size: float | None) -> str:
    return "? GB" if size is None else f"{size:g} GB"
