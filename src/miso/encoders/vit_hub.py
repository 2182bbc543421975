"""Pretrained Vision Transformers by name, from a model hub or a folder, each with its own input contract.

Only `config.json`, `preprocessor_config.json` and safetensors are fetched or opened; no code of a model runs.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from miso.encoders.encoder import Encoder, InputContract
from miso.encoders.registry import encoders
from miso.encoders.vit_weights import build_vit, listed
from miso.errors import EncoderError

FILES = ["config.json", "preprocessor_config.json", "model*.safetensors"]
MODELS = {
    "phikon": ("owkin/phikon", "Owkin non-commercial"),
    "phikon-v2": ("owkin/phikon-v2", "Owkin non-commercial"),
    "h0-mini": ("bioptimus/H0-mini", "CC-BY-NC-ND-4.0"),
    "uni2-h": ("MahmoodLab/UNI2-h", "CC-BY-NC-ND-4.0"),
}
"""Repository and licence by name."""


@encoders.register("hf")
def load_hf(source: str) -> Encoder:
    """Load `hf:<folder>` from the disk, or else `hf:<owner>/<repo>` from the hub."""
    folder = Path(source).expanduser()
    if source and folder.is_dir():
        return read_folder(folder, name=f"hf:{folder.resolve()}", licence="see the model's page")
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", source):
        raise EncoderError(f"no folder {source!r} here; expected hf:<folder> or hf:<owner>/<model>")
    return load_repo(source, name=f"hf:{source}", licence="see the model's page")


def load_named(name: str, rest: str) -> Encoder:
    """Load one of `MODELS` from the hub."""
    if rest:
        raise EncoderError(f"encoder {name!r} takes nothing after a colon; a folder is read with hf:{rest}")
    repo, licence = MODELS[name]
    return load_repo(repo, name=name, licence=licence)


for _name in MODELS:
    encoders.register(_name)(partial(load_named, _name))


def load_repo(repo: str, *, name: str, licence: str) -> Encoder:
    """Load a model of the hub, or of its cache on this disk; its revision is the commit."""
    folder = fetch(repo)
    return read_folder(folder, name=name, licence=licence, source=repo, revision=folder.name)


def fetch(repo: str) -> Path:
    """Get the files of a model and return their folder, which bears the commit's name; nothing is ever asked.

    With HF_HUB_OFFLINE=1 only the cache is looked at and no socket is opened.
    """
    from huggingface_hub import constants, errors, snapshot_download
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of the HTTP client in use

    in_env = os.environ.get("HF_HUB_OFFLINE", "").upper() in constants.ENV_VARS_TRUE_VALUES
    offline = in_env or constants.HF_HUB_OFFLINE
    url, elsewhere = f"{constants.ENDPOINT}/{repo}", "download it where it can be had and pass hf:<folder>"
    try:
        return Path(snapshot_download(repo, allow_patterns=FILES, local_files_only=offline))
    except errors.HFValidationError as err:
        raise EncoderError(f"{repo!r} names no model; expected hf:<folder> or hf:<owner>/<model>") from err
    except errors.GatedRepoError as err:
        raise EncoderError(f"model {repo!r} is gated; ask for access at {url}, then set HF_TOKEN") from err
    except errors.RepositoryNotFoundError as err:
        raise EncoderError(f"no model {repo!r} without a token; see {url}, and set HF_TOKEN") from err
    except (OSError, HTTPError) as err:
        if offline:
            why = "is not in the cache, and HF_HUB_OFFLINE is set"
            raise EncoderError(f"model {repo!r} {why}; {elsewhere}") from err
        if status_of(err) in (401, 403):
            raise EncoderError(f"model {repo!r} is closed to this user; see {url}, and set HF_TOKEN") from err
        why = f"cannot be fetched from {url} ({type(err.__cause__ or err).__name__})"
        raise EncoderError(f"model {repo!r} {why}; {elsewhere}") from err


def status_of(err: BaseException) -> int | None:
    """HTTP status that an error stands for; the hub's client may have wrapped it in another one."""
    answers = (getattr(e, "response", None) for e in (err, err.__cause__))
    return next((answer.status_code for answer in answers if answer is not None), None)


def read_folder(
    folder: Path, *, name: str, licence: str, source: str | None = None, revision: str | None = None
) -> Encoder:
    """Read a model's folder; its revision is a hash of the weights unless it is given.

    `source` is what messages call the folder.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    source = str(folder) if source is None else source
    try:
        files = weight_files(folder)
        config = read_json(folder / "config.json")
        if not config:
            raise EncoderError("no config.json; without it the architecture is unknown")
        if "architecture" in config:  # of timm
            contract = timm_contract(config)
        else:
            contract = transformers_contract(read_json(folder / "preprocessor_config.json"))
        vit = build_vit(config, {key: value for file in files for key, value in load_file(file).items()})
        if contract.size_px % vit.config.patch_px:
            sides = f"{contract.size_px} px are not whole patches of {vit.config.patch_px} px"
            raise EncoderError(f"its images of {sides}; correct the size in its configuration")
    except EncoderError as err:
        raise EncoderError(f"model {source!r}: {err}") from err.__cause__
    except SafetensorError as err:
        raise EncoderError(f"model {source!r}: damaged safetensors ({err}); fetch it again") from err
    return Encoder(
        name=name,
        revision=hash_of(files) if revision is None else revision,
        module=vit,
        contract=contract,
        patch_px=vit.config.patch_px,
        tile_dim=vit.config.dim,
        patch_dim=vit.config.dim,
        licence=licence,
    )


def weight_files(folder: Path) -> list[Path]:
    """`model.safetensors`, or all the shards of one; pickled weights are refused."""
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    shards = sorted(folder.glob("model-*-of-*.safetensors"))
    if shards and len(shards) == int(shards[0].stem.rpartition("-")[2]):
        return shards
    if shards:
        raise EncoderError(
            f"{len(shards)} shards like {shards[0].name} are here, not all of them; fetch it again"
        )
    if pickles := sorted(p.name for pattern in ("*.bin", "*.pt", "*.pth") for p in folder.glob(pattern)):
        raise EncoderError(
            f"weights only in {listed(pickles)}: a pickle can run code and is not read; save safetensors"
        )
    raise EncoderError(
        "no model.safetensors; weights are read from safetensors only, never from a pickle (.bin, .pth)"
    )


def hash_of(files: list[Path]) -> str:
    """`sha256:` and 12 hex digits over the files' bytes, read in pieces."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    return f"sha256:{digest.hexdigest()[:12]}"


def read_json(path: Path) -> dict[str, Any]:
    """Parse a JSON object; a file that is not there is an empty one."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as err:
        raise EncoderError(f"{path.name} is not JSON ({err})") from err
    if not isinstance(value, dict):
        raise EncoderError(f"{path.name} holds no JSON object")
    return value


def transformers_contract(preprocessor: Mapping[str, Any]) -> InputContract:
    """Read `preprocessor_config.json`; mean and std are never guessed."""
    if not preprocessor:
        raise EncoderError(
            "no preprocessor_config.json; put the model's own beside it: mean and std are not guessed"
        )
    scale = preprocessor.get("rescale_factor", 1 / 255)
    if preprocessor.get("do_rescale") is False or not isinstance(scale, float) or abs(scale * 255 - 1) > 1e-3:
        raise EncoderError(f"preprocessor_config.json rescales by {scale!r}; only 1/255 is read here")
    cropped = preprocessor.get("do_center_crop", preprocessor.get("crop_size") is not None)
    size_px = side_of(preprocessor.get("crop_size" if cropped else "size"))
    if preprocessor.get("do_normalize") is False:
        return InputContract(size_px=size_px)
    return InputContract(
        size_px=size_px, mean=triple(preprocessor, "image_mean"), std=triple(preprocessor, "image_std")
    )


def timm_contract(config: Mapping[str, Any]) -> InputContract:
    """Read the `pretrained_cfg` of a timm `config.json` (in old files its keys lie at the top)."""
    data = config.get("pretrained_cfg") or config
    size = (config.get("model_args") or {}).get("img_size", (data.get("input_size") or [None])[-1])
    return InputContract(size_px=side_of(size), mean=triple(data, "mean"), std=triple(data, "std"))


def side_of(size: Any) -> int:
    """Side in px of the square image that a size stands for, in any of the ways it is written."""
    if isinstance(size, Mapping):
        size = size.get("shortest_edge") or [size.get("height"), size.get("width")]
    sides = set(size) if isinstance(size, list) else {size}
    if len(sides) != 1 or not isinstance(side := sides.pop(), int) or side < 1:
        raise EncoderError(f"its configuration gives the image size as {size!r}; expected one square")
    return side


def triple(data: Mapping[str, Any], key: str) -> tuple[float, float, float]:
    """Three numbers, one a channel."""
    values = data.get(key)
    if isinstance(values, list) and len(values) == 3 and all(isinstance(v, int | float) for v in values):
        return float(values[0]), float(values[1]), float(values[2])
    raise EncoderError(
        f"its configuration gives {key} as {values!r}; expected three numbers (none are guessed)"
    )
