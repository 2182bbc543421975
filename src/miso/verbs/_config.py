"""From a Hydra configuration to a typed one; unknown keys are refused with the nearest known ones."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir, initialize_config_module
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from miso.errors import ConfigError
from miso.registry import unknown
from miso.training.config import TrainConfig
from miso.untrusted.documents import DocumentError, read_yaml


def read_config(name: str, overrides: list[str], folder: Path | None = None) -> TrainConfig:
    """Read a configuration of the product or of a user's folder, with `key=value` overrides.

    Raises
    ------
    ConfigError
        If there is no such configuration, a key is unknown, or a value has the wrong type.
    """
    name = name.removesuffix(".yaml")
    bad = next((override for override in overrides if "=" not in override), None)
    if bad is not None:
        raise ConfigError(f"settings are given as key=value, but got {bad!r}")
    if folder is not None and not folder.is_dir():
        raise ConfigError(f"no folder at {folder} (--config-dir)")
    _check_files(folder)
    # keys that a file leaves out are added, so that every typed key can be overridden
    added = [f"++{override.lstrip('+')}" for override in overrides]
    try:
        with _source(folder):
            raw = compose(config_name=name, overrides=added)
    except (HydraException, YAMLError) as err:
        raise ConfigError(f"configuration {name!r}: {' '.join(str(err).split())}") from err
    _check_keys(raw, TrainConfig, "")
    try:
        typed = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(TrainConfig), raw))
    except OmegaConfBaseException as err:
        raise ConfigError(f"configuration {name!r}: {_first_line(err)}") from err
    if not isinstance(typed, TrainConfig):
        raise ConfigError(f"configuration {name!r} is no mapping of settings")
    return typed


def _check_files(folder: Path | None) -> None:
    """Refuse files of a user's folder that could stand for more than they hold; Hydra expands aliases."""
    for file in sorted(folder.rglob("*.yaml")) if folder is not None else ():
        try:
            read_yaml(file)
        except DocumentError as err:
            raise ConfigError(f"configuration {file}: {err}") from err


def _source(folder: Path | None) -> Any:
    if folder is None:
        return initialize_config_module("miso.conf", version_base=None)
    return initialize_config_dir(str(folder.resolve()), version_base=None)


def _check_keys(raw: DictConfig, schema: Any, prefix: str) -> None:
    known: dict[str, Any] = {field.name: field.default_factory for field in fields(schema)}
    for key in map(str, raw):
        if key not in known:
            raise ConfigError(unknown("setting", f"{prefix}{key}", [f"{prefix}{name}" for name in known]))
        if OmegaConf.is_missing(raw, key):
            raise ConfigError(f"{prefix}{key} is not set; pass {prefix}{key}=…")
        if is_dataclass(known[key]):
            if not isinstance(raw[key], DictConfig):
                raise ConfigError(
                    f"{prefix}{key} holds settings of its own ({prefix}{key}.…), not {raw[key]!r}"
                )
            _check_keys(raw[key], known[key], f"{prefix}{key}.")


def _first_line(err: Exception) -> str:
    return str(err).strip().splitlines()[0]
