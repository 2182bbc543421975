"""Pretrained encoders by name, from the model hub or a folder: `hf:`, `timm:`, and those of the catalogue.

Only `config.json`, `preprocessor_config.json` and safetensors are fetched or opened; no code of a model runs.
"""

import re
from functools import partial
from pathlib import Path

from miso.encoders.catalogue import CATALOGUE, Entry
from miso.encoders.encoder import Encoder
from miso.encoders.folder import read_folder
from miso.encoders.hub import fetch, has_weights, is_offline, page_of
from miso.encoders.registry import encoders
from miso.encoders.weight_files import CONVERT
from miso.errors import EncoderError

REPO = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


@encoders.register("hf")
def load_hf(source: str) -> Encoder:
    """Load `hf:<folder>` from the disk, or else `hf:<owner>/<repo>` from the hub."""
    folder = Path(source).expanduser()
    if source and folder.is_dir():
        return read_folder(folder, name=f"hf:{folder.resolve()}")
    if not REPO.fullmatch(source):
        raise EncoderError(f"no folder {source!r} here; expected hf:<folder> or hf:<owner>/<model>")
    return load_repo(source, name=f"hf:{source}")


@encoders.register("timm")
def load_timm(source: str) -> Encoder:
    """Load `timm:<folder>`, `timm:<owner>/<repo>`, or timm's own `timm:<model>.<tag>` from the hub."""
    folder = Path(source).expanduser()
    if source and folder.is_dir():
        return read_folder(folder, name=f"timm:{folder.resolve()}")
    if not REPO.fullmatch(source) or not {"/", "."} & set(source):
        expected = "timm:<folder>, timm:<owner>/<model> or timm:<model>.<tag>"
        raise EncoderError(f"no folder {source!r} here; expected {expected}, like vit_small_patch16_224.dino")
    return load_repo(source if "/" in source else f"timm/{source}", name=f"timm:{source}")


def load_named(name: str, rest: str) -> Encoder:
    """Load an encoder of the catalogue: `<name>` from the hub, `<name>:<folder>` from the disk."""
    entry = CATALOGUE[name]
    if not rest:
        return load_repo(entry.repo, name=name, entry=entry)
    folder = Path(rest).expanduser()
    if not folder.is_dir():
        raise EncoderError(
            f"no folder {rest!r} here; expected {name}:<folder>, or {name} alone for the hub's"
        )
    return read_folder(folder, name=f"{name}:{folder.resolve()}", entry=entry)


for _name in CATALOGUE:
    encoders.register(_name)(partial(load_named, _name))


def load_repo(repo: str, *, name: str, entry: Entry | None = None) -> Encoder:
    """Load a model of the hub, or of its cache on this disk; its revision is the commit."""
    instead = f"{name if entry else 'hf'}:<folder>"
    folder = fetch(repo, instead)
    if not has_weights(folder) and is_offline() and not (entry and entry.weights == "pickle"):
        why = "is in the cache without its safetensors, and HF_HUB_OFFLINE is set"
        raise EncoderError(f"model {repo!r} {why}; download it where it can be had and pass {instead}")
    if not has_weights(folder):
        raise EncoderError(
            f"model {repo!r} publishes no safetensors, and a pickle can run code and is not read; download "
            f"pytorch_model.bin, and config.json if there is one, from {page_of(repo)}, convert it once, in "
            f"that folder, with: {CONVERT.format(file='pytorch_model.bin')}; then pass {instead}"
        )
    return read_folder(folder, name=name, entry=entry, source=repo, revision=folder.name)
