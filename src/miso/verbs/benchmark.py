"""`miso benchmark`: runs beside their baselines, a noise ceiling and published figures."""

from pathlib import Path
from typing import Annotated

import typer

from miso.verbs import _options, console

NAME = "benchmark"


def command(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Run folders of miso train, or URLs.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for tables, pictures and report.html.")],
    gene_set: Annotated[
        list[str] | None,
        typer.Option(
            "--gene-set",
            "--genes-set",
            help="all, hvg_N, svg_N, or a text or CSV file of symbols; again for more. "
            "[default: all, hvg_30, svg_40]",
            show_default=False,
        ),
    ] = None,
    cohort: Annotated[
        str | None,
        typer.Option("--cohort", help="Folder or URL of the Samples, where they have moved since."),
    ] = None,
    published: Annotated[
        bool,
        typer.Option("--published", help="Set the HER2ST benchmark's published figures beside the runs."),
    ] = False,
    source_data: Annotated[
        Path | None,
        typer.Option(
            "--source-data",
            metavar="FILE.xlsx",
            help="Read others' correlations by gene from a workbook too.",
        ),
    ] = None,
    cache: _options.Cache = None,
) -> None:
    """Score finished runs side by side: tables, violins and an offline report.html.

    Every run stands beside the baselines that it was trained with, with 95 % intervals, a paired test against
    the strongest of them, and the noise ceiling of the held-out sections. Figures are the HER2ST benchmark's
    mean: over sections of a fold, folds, then genes; undefined values are counted. HVG and SVG are chosen
    fold by fold on training sections. Runs on other targets, folds or genes come in separate tables.

    Example: `miso benchmark runs/c runs/c-distil --published --out benchmark`, then open
    `benchmark/report.html`
    """
    from miso.reports.benchmark import benchmark, check_out, write_benchmark
    from miso.storage.fetched import cache_folder, fetch
    from miso.verbs._benchmark import show

    check_out(out)
    copies = cache_folder(cache)
    found = benchmark(
        [fetch(run, copies) for run in runs],
        cohort=cohort,
        wanted=gene_set or [],
        published=published,
        source_data=source_data,
        track=console.track,
        cache=copies,
    )
    report = write_benchmark(found, out)
    show(found)
    console.tell(f"tables, pictures and the page to open: {report}")
