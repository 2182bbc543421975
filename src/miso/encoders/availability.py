"""What of the encoders would work on this machine, told without loading weights and without the network."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from typing import Literal

from miso.encoders import vit_hub  # noqa: F401  registers its encoders
from miso.encoders.catalogue import CATALOGUE, Entry
from miso.encoders.extras import INSTALL, is_installed
from miso.encoders.hub import cached_folder, has_token, has_weights, is_offline, page_of, refusal
from miso.encoders.registry import encoders
from miso.encoders.weight_files import pickle_files

State = Literal["ready", "downloads", "unknown", "no"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """Whether an encoder can be loaded here.

    Attributes
    ----------
    state
        It is here; it would be downloaded at first use; only loading would tell; or it cannot be had.
    fix
        The one line that helps, or what to know; empty if nothing is needed.
    licence, gated, cached
        Terms of the weights; whether access has to be asked for; whether they are in the hub's cache. None
        where there is nothing to say.
    tile_px, native_mpp
        Side of its tiles, and the µm per px that its authors use.
    """

    name: str
    state: State
    fix: str = ""
    licence: str = ""
    gated: bool | None = None
    cached: bool | None = None
    tile_px: int | None = None
    native_mpp: float | None = None


def survey(*, online: bool = False) -> list[Availability]:
    """Look at every encoder that there is; with `online`, ask the hub about those that are not here."""
    named = [of_entry(name, entry) for name, entry in CATALOGUE.items()]
    if online and not is_offline():
        with ThreadPoolExecutor(max_workers=len(named)) as pool:
            named = list(pool.map(ask, named))
    return [STAIN, *named, *of_schemes(), *of_others()]


STAIN = Availability(name="stain", state="ready", licence="Apache-2.0", tile_px=224, native_mpp=0.5)
"""The embedded one."""


def of_entry(name: str, entry: Entry) -> Availability:
    """Look at an encoder of the catalogue: the extra it needs, the cache, the terms."""
    folder = cached_folder(entry.repo)
    here = folder is not None and has_weights(folder) and (folder / "config.json").is_file()
    state, fix = judge(name, entry, here, folder is not None and bool(pickle_files(folder)))
    return Availability(
        name=name,
        state=state,
        fix=fix,
        licence=entry.licence,
        gated=entry.gated,
        cached=here,
        tile_px=entry.size_px,
        native_mpp=entry.native_mpp,
    )


def judge(name: str, entry: Entry, here: bool, pickled: bool) -> tuple[State, str]:
    """Say whether an encoder can be loaded, and the one line that helps."""
    page, copy = page_of(entry.repo), f"pass {name}:<folder>"
    if entry.route == "timm" and not is_installed("timm"):
        return "no", INSTALL["timm"]
    if here:
        return "ready", ""
    if pickled or entry.weights == "pickle":
        return "no", f"only a pickle is published: download it from {page}, convert it once, {copy}"
    if is_offline():
        return "no", f"not cached, and HF_HUB_OFFLINE is set: download it where it can be had, {copy}"
    if entry.gated and not has_token():
        return "no", f"ask for access at {page}, then set HF_TOKEN"
    if entry.gated:
        return "downloads", f"if access was granted at {page}"
    return "downloads", ""


def of_schemes() -> list[Availability]:
    """Tell what `hf:` and `timm:` can read here."""
    found = []
    schemes = {"hf:<folder or owner/model>": "transformers", "timm:<folder or model.tag>": "timm"}
    for scheme, extra in schemes.items():
        fix = "" if is_installed(extra) else f"ViTs only; for other architectures: {INSTALL[extra]}"
        found.append(Availability(name=scheme, state="ready", fix=fix))
    return found


def of_others() -> list[Availability]:
    """Name the encoders that other packages bring; they are not imported."""
    found = []
    for point in sorted(entry_points(group=encoders.group)):
        package = point.dist.name if point.dist else point.value
        found.append(Availability(name=point.name, state="unknown", fix=f"of the package {package}"))
    return found


def ask(found: Availability) -> Availability:
    """Ask the hub whether it would give a model that is not here yet; an answer is waited for 5 s."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of the HTTP client in use

    repo = CATALOGUE[found.name].repo
    if found.cached:
        return found
    try:
        info = HfApi().model_info(repo, timeout=5.0)
        files = [f.rfilename for f in info.siblings or []]
        HfApi().auth_check(repo)
    except (OSError, HTTPError) as err:
        why = refusal(repo, err, offline=False, instead=f"{found.name}:<folder>")
        return replace(found, state="no", fix=why)
    if not any(name.startswith("model") and name.endswith(".safetensors") for name in files):
        return found  # what is known of it says what to do
    if found.state == "no" and CATALOGUE[found.name].route == "timm" and not is_installed("timm"):
        return found
    return replace(found, state="downloads", fix="")
