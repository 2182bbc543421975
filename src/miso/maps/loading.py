"""Finding trained models: a run, one of its folds, a checkpoint, a bundle, or a bundle on the hub."""

from pathlib import Path

from miso.errors import CheckpointError
from miso.maps.predictor import Predictor
from miso.models import load_checkpoint
from miso.models.bundle import is_bundle, read_bundle
from miso.models.hub import PREFIX, HubName, fetch_bundle
from miso.models.reliability import read_reliability


def load(path: Path | str) -> Predictor:
    """Load a run, one of its folds, a checkpoint folder, or a shared bundle.

    Parameters
    ----------
    path
        A run folder gives the mean over its folds (and repeats). `hf:owner/model`, with `@revision` or
        without, is a bundle on the hub (see `from_pretrained`).

    Raises
    ------
    CheckpointError
        If there is no checkpoint, the run is not finished, or the bundle is damaged.
    """
    if str(path).startswith(PREFIX):
        name = HubName.parse(str(path))
        return from_pretrained(name.repo, revision=name.revision)
    path = Path(path)
    if is_bundle(path):
        return _load_bundle(path)
    if (path / "config.yaml").is_file() and not (path / "summary.json").is_file():
        raise CheckpointError(f"the run at {path} is not finished; run the same miso train command to go on")
    folders = (
        [path] if (path / "model.safetensors").is_file() else sorted(path.glob("repeat_*_fold_*/checkpoint"))
    )
    if (path / "checkpoint").is_dir():
        folders = [path / "checkpoint"]
    if not folders:
        raise CheckpointError(
            f"no run or checkpoint at {path}; miso train makes runs, and hf:owner/model is one of the hub"
        )
    checkpoints = [load_checkpoint(folder) for folder in folders]
    scores = (path if path.name != "checkpoint" else path.parent) / "metrics.parquet"
    first = checkpoints[0]
    return Predictor(checkpoints, path, reliability=read_reliability(scores, first.genes, first.kind))


def from_pretrained(
    repo_id: str,
    *,
    revision: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
    cache: Path | None = None,
) -> Predictor:
    """Load a bundle from the model hub, or from its cache on this disk.

    Parameters
    ----------
    repo_id, revision
        `owner/model`, and a branch, tag or commit; None is the main branch.
    token
        Of the hub; None takes that of HF_TOKEN or of an earlier login.
    endpoint, cache
        Address of another hub, and another folder to keep what is fetched.

    Raises
    ------
    CheckpointError
        If it cannot be had (see `miso.models.hub.fetch_bundle`) or is damaged.
    """
    name = HubName.parse(f"{repo_id}@{revision}" if revision else repo_id)
    folder = fetch_bundle(name, token=token, endpoint=endpoint, cache=cache)
    return _load_bundle(folder, source=f"{PREFIX}{name.repo}@{folder.name}")


def _load_bundle(folder: Path, source: str | None = None) -> Predictor:
    bundle = read_bundle(folder)
    return Predictor(list(bundle.checkpoints.values()), folder, reliability=bundle.reliability, source=source)
