"""A benchmark: runs on their boards, scored, compared and drawn, and written to a folder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from miso.errors import ConfigError, MisoError
from miso.launch.progress import Track, silent
from miso.launch.provenance import stamp
from miso.reports.boards import Board, gather
from miso.reports.caveats import caveats
from miso.reports.ceilings import ceilings
from miso.reports.comparisons import compare
from miso.reports.figures import by_section, score_board
from miso.reports.gene_sets import GeneSet, check_wanted, choose_gene_sets, plain
from miso.reports.published import PublishedModel, read_published
from miso.reports.runs import FinishedRun, open_runs
from miso.reports.source_data import SourceData, read_source_data
from miso.reports.violins import draw_violins, save
from miso.scores.aggregate import gene_means
from miso.storage import write_path
from miso.untrusted.cells import plain_cells

ABOUT = "benchmark.json"
"""Marks a folder that may be written over."""
REPORT, PICTURES = "report.html", "pictures"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardResult:
    """What came of a board: tables as `figures`, `comparisons` and `ceilings` describe them.

    Attributes
    ----------
    ceiling
        None where there is none; `caveats` says why.
    """

    board: Board
    gene_sets: list[GeneSet]
    figures: pd.DataFrame
    comparisons: pd.DataFrame
    ceiling: pd.DataFrame | None
    sections: pd.DataFrame
    caveats: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """Boards and what stands beside them: published figures, and the source data of others, by board."""

    boards: list[BoardResult]
    published: list[PublishedModel]
    source_data: dict[str, SourceData]

    @property
    def runs(self) -> list[FinishedRun]:
        """Every run."""
        return [run for result in self.boards for run in result.board.runs]


def benchmark(
    paths: Sequence[Path],
    *,
    cohort: Path | str | None = None,
    wanted: Sequence[str] = (),
    published: bool = False,
    source_data: Path | None = None,
    track: Track = silent,
    cache: Path | None = None,
) -> Benchmark:
    """Score and compare runs.

    Parameters
    ----------
    cohort, cache
        Folder or URL of the Samples, where they have moved; and the folder for copies of those at URLs.
    wanted
        Gene sets: `all`, `hvg_30`, `svg_40` (any number), or text or CSV files; none takes these three.
    source_data
        A workbook of correlations by gene.

    Raises
    ------
    MisoError
        If anything given is at fault; in one line.
    """
    sets = check_wanted(wanted)
    boards = gather(open_runs(paths, cohort, cache))
    spreadsheets = {b.name: read_source_data(source_data, b.genes) for b in boards if source_data}
    return Benchmark(
        boards=[_result(board, sets) for board in track(boards, len(boards), "scoring")],
        published=read_published() if published else [],
        source_data=spreadsheets,
    )


def _result(board: Board, wanted: Sequence[str]) -> BoardResult:
    gene_sets = choose_gene_sets(board, wanted)
    ceiling, note = _ceiling(board)
    figures = score_board(board, gene_sets, ceiling)
    return BoardResult(
        board=board,
        gene_sets=gene_sets,
        figures=figures,
        comparisons=compare(board, gene_sets),
        ceiling=ceiling,
        sections=by_section(board),
        caveats=caveats(board, gene_sets, figures, note),
    )


def _ceiling(board: Board) -> tuple[pd.DataFrame | None, str]:
    try:
        return ceilings(board), ""
    except MisoError as err:
        return None, f"There is no noise ceiling: {err}."


def write_benchmark(found: Benchmark, out: Path) -> Path:
    """Write tables, pictures and the page to a folder, over those of an earlier benchmark; return the page.

    Raises
    ------
    ConfigError
        If the folder holds something else.
    """
    from miso.reports.page import render

    check_out(out)
    with write_path(out / ABOUT) as temporary:
        about = {"runs": [str(run.folder.path.resolve()) for run in found.runs], **stamp()}
        temporary.write_text(json.dumps(about, indent=1))
    for name, table in tables(found).items():
        with write_path(out / name) as temporary:
            if name.endswith(".csv"):
                plain_cells(table).to_csv(temporary, index=False)
            else:
                table.to_parquet(temporary, index=False)
    pictures = draw(found, out / PICTURES)
    with write_path(out / REPORT) as temporary:
        temporary.write_text(render(found, pictures), encoding="utf-8")
    return out / REPORT


def check_out(out: Path) -> None:
    """Refuse a folder that holds anything but an earlier benchmark: a run has a metrics.parquet too."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / ABOUT).is_file())):
        raise ConfigError(f"{out} is there and is no folder of a benchmark; choose another --out")


def tables(found: Benchmark) -> dict[str, pd.DataFrame]:
    """Return every table by the file that it goes to."""
    figures = _together([result.figures for result in found.boards])
    results = {
        "metrics.parquet": [r.board.values.assign(board=r.board.name) for r in found.boards],
        "ceiling.parquet": [
            r.ceiling.assign(board=r.board.name) for r in found.boards if r.ceiling is not None
        ],
        "paired.csv": [result.comparisons for result in found.boards],
        "gene_sets.csv": [s.as_rows().assign(board=r.board.name) for r in found.boards for s in r.gene_sets],
    }
    written = {"table.csv": figures, "table.parquet": figures}
    written |= {name: _together(parts) for name, parts in results.items() if parts}
    if found.source_data:
        written["source_data.csv"] = _together(
            [data.table.assign(board=name) for name, data in found.source_data.items()]
        )
    return written


def draw(found: Benchmark, folder: Path) -> dict[tuple[str, str], Path]:
    """Draw the violins of every board and gene set, and remove those of an earlier benchmark."""
    drawn = {}
    for result in found.boards:
        for gene_set in result.gene_sets:
            out = folder / f"violin_{result.board.name}_{plain(gene_set.name)}.png"
            save(_violins(result, gene_set), out)
            drawn[result.board.name, gene_set.name] = out
    for old in set(folder.glob("violin_*.png")) - set(drawn.values()):
        old.unlink()
    return drawn


def _violins(result: BoardResult, gene_set: GeneSet) -> Figure:
    board = result.board
    values = board.values if result.ceiling is None else pd.concat([board.values, result.ceiling])
    genes = gene_means(gene_set.pick(values[values["metric"] == "pearson"].reset_index(drop=True)))
    figures = result.figures
    chosen = figures[(figures["metric"] == "pearson") & (figures["gene_set"] == gene_set.name)].set_index(
        "model"
    )
    return draw_violins(
        genes,
        chosen,
        title=f"{gene_set.name}: {len(gene_set.genes)} genes, {board.target.name}",
        subtitle=f"{board.sections_in_words} held out · violin: genes, bar: their middle half · "
        "dot and line: mean over genes, 95 % interval",
    )


def _together(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Put the boards' tables together, the board's name first."""
    table = pd.concat(parts, ignore_index=True)
    return table[["board", *(column for column in table.columns if column != "board")]]
