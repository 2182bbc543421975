"""What `miso benchmark` prints: a table a board, its comparisons in words, and what to beware of."""

import pandas as pd

from miso.reports.benchmark import Benchmark, BoardResult
from miso.reports.comparisons import in_words
from miso.reports.published import CAVEAT, PublishedModel
from miso.reports.source_data import SourceData
from miso.verbs import console


def show(found: Benchmark) -> None:
    """Print every board, then published figures, what came of a spreadsheet, and the caveats, once each."""
    for result in found.boards:
        _show_board(result)
    notes = [
        note for result in found.boards for note in (*result.comparisons.get("caveat", []), *result.caveats)
    ]
    if found.published:
        _show_published(found.published)
        notes.append(CAVEAT)
    notes += [_spreadsheet(name, data) for name, data in found.source_data.items()]
    for note in dict.fromkeys(notes):
        console.tell(f"note: {note}")


def _show_board(result: BoardResult) -> None:
    board, figures = result.board, result.figures
    r = figures[figures["metric"] == "pearson"].set_index(["model", "gene_set"])
    sets = [gene_set.name for gene_set in result.gene_sets]
    rows = []
    for model in dict.fromkeys(r.index.get_level_values("model")):
        cells = [_cell(r.loc[(model, name)]) if (model, name) in r.index else "–" for name in sets]
        first = r.loc[(model, sets[0])]
        rows.append((str(model), *cells, f"{first['undefined']}/{first['of']}"))
    console.show_table(
        f"{board.name}: held-out Pearson r, mean over genes and its 95 % interval\n"
        f"{board.sections_in_words}, {len(board.genes)} genes",
        ["model", *sets, "undefined"],
        rows,
    )
    pairs = result.comparisons
    for _, row in pairs[(pairs["role"] != "") & (pairs["gene_set"] == sets[0])].iterrows():
        console.out.print(in_words(row), markup=False)


def _cell(row: pd.Series) -> str:
    return (
        f"{console.number(row['value'])}\n[{console.number(row['low'], 2)}, {console.number(row['high'], 2)}]"
    )


def _show_published(models: list[PublishedModel]) -> None:
    sets = list(models[0].pearson)
    rows = [(m.model, *(console.number(m.pearson[name]) for name in sets), m.source) for m in models]
    console.show_table("published on HER2ST: mean Pearson r", ["model", *sets, "source"], rows)


def _spreadsheet(board: str, data: SourceData) -> str:
    genes, models = data.table["gene"].nunique(), data.table["model"].nunique()
    names = f"{len(data.repairs)} gene names repaired, {len(data.unmatched)} without a gene of {board}"
    first = f" (first: {data.unmatched[0].found!r})" if data.unmatched else ""
    return f"{data.path.name}: {models} models, {genes} genes, {names}{first}"
