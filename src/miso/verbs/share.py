"""`miso share`: a trained model as a bundle, in a folder or on the model hub."""

from pathlib import Path
from typing import Annotated, Any

import typer

from miso.verbs import console

NAME = "share"


def command(
    run: Annotated[
        Path, typer.Argument(help="A run folder, one of its folds, a checkpoint, or a bundle (--to).")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write the bundle to.")] = None,
    to: Annotated[str, typer.Option("--to", help="hf:owner/model: push it there, in one commit.")] = "",
    name: Annotated[str, typer.Option("--name", help="Name of the model; the run's folder by default.")] = "",
    licence: Annotated[
        str, typer.Option("--licence", "--license", help="Of the weights, e.g. cc-by-nc-4.0.")
    ] = "unstated",
    data: Annotated[str, typer.Option("--data", help="Where the sections come from, in a sentence.")] = "",
    hide_names: Annotated[
        bool, typer.Option("--hide-names", help="Number the sections; patients always are.")
    ] = False,
    benchmark: Annotated[
        Path | None, typer.Option("--benchmark", help="A folder of miso benchmark: for the noise ceilings.")
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Make a new repository public; private by default.")
    ] = False,
) -> None:
    """Write weights, each gene's reliability and a model card as a bundle that others load.

    The token of the hub is that of HF_TOKEN, or of an earlier login.

    Example: `miso share runs/c --out shared/c --licence cc-by-4.0`, `miso share shared/c --to hf:me/c`
    """
    from miso.errors import ConfigError
    from miso.maps.share import share, share_on_hub

    if (out is None) == (not to):
        raise ConfigError("pass either --out FOLDER or --to hf:owner/model")
    about: dict[str, Any] = {"name": name, "licence": licence, "data": data, "benchmark": benchmark}
    if out is not None:
        fresh = share(run, out, hide_names=hide_names, **about)
        console.tell(
            f"{out}: {'written' if fresh else 'already there'}; read its README.md before you share it"
        )
    else:
        made = share_on_hub(run, to, private=not public, hide_names=hide_names, **about)
        console.tell(f'{made}; load it with miso.load("{made}"), or pass it for a run')
    if licence == "unstated" and not (run / "bundle.json").is_file():
        console.tell("its licence is unstated, so nobody may use it yet; pass --licence")
