"""Tables beside the counts: matched by barcode, whole and finite, kept once, and found again as targets."""

import numpy as np
import pandas as pd
import pytest

from miso.errors import CohortError, SampleError
from miso.samples import open_cohort, open_sample
from miso.samples.tables import add_table, open_table, table_names
from miso.samples.targets import find_target, target_columns, target_values


@pytest.fixture
def sample(processed, tmp_path):
    """A Sample of one's own: links to what is large, a folder for what is added."""
    source = open_sample(processed / "A1").path
    copy = tmp_path / "A1"
    copy.mkdir()
    for path in source.iterdir():
        (copy / path.name).symlink_to(path)
    return open_sample(copy)


def proportions(sample, columns=("tumour", "immune"), seed=0):
    values = np.random.default_rng(seed).random((len(sample.adata), len(columns)))
    return pd.DataFrame(values, index=sample.adata.obs_names, columns=list(columns))


def test_rows_are_matched_by_barcode_whatever_their_order(sample):
    table = proportions(sample)
    stranger = pd.DataFrame([[1.0, 2.0]], index=["no-spot"], columns=table.columns)
    assert add_table(sample, "cells", pd.concat([stranger, table.iloc[::-1]]), "share of cells")
    found = open_table(open_sample(sample.path), "cells")
    assert found.units == "share of cells"
    assert list(found.values.index) == list(sample.adata.obs_names)
    np.testing.assert_allclose(found.values, table, rtol=1e-6)
    assert table_names(sample) == ["cells"]


def test_the_same_table_again_is_left_alone_and_another_of_its_name_refused(sample):
    table = proportions(sample)
    assert add_table(sample, "cells", table, "share")
    assert not add_table(sample, "cells", table, "share")
    for other, units in ((table + 1, "share"), (table, "percent"), (table[["immune", "tumour"]], "share")):
        with pytest.raises(SampleError, match="another table 'cells'"):
            add_table(sample, "cells", other, units)


WRONG = {
    "most spots without a row": (lambda t: t.iloc[:4], r"8 of 12 spots .* have no row .*--allow-missing"),
    "other barcodes": (lambda t: t.set_axis([f"s{i}" for i in range(len(t))]), r"12 of 12 .* like \['s0'\]$"),
    "a row twice": (lambda t: pd.concat([t, t.iloc[:1]]), "names the spot .* twice"),
    "a column twice": (lambda t: pd.concat([t, t[["immune"]]], axis=1), "the column 'immune' twice"),
    "words": (lambda t: t.assign(immune="many"), "something else than numbers"),
    "a missing value": (lambda t: t.assign(immune=np.nan), "values of the table are missing or infinite"),
    "an infinite value": (lambda t: t.iloc[1:] / [0, 1], "11 values of the table are missing or infinite"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_table_that_does_not_fit_is_refused_by_name(what, sample):
    spoil, message = WRONG[what]
    with pytest.raises(SampleError, match=message):
        add_table(sample, "cells", spoil(proportions(sample)), "share")
    assert table_names(sample) == []


def test_spots_without_a_row_or_with_an_empty_one_are_kept_as_such(sample):
    table = proportions(sample)
    spots = list(table.index)
    table.loc[spots[5]] = np.nan
    assert add_table(sample, "cells", table.drop(spots[2]).iloc[::-1], "share")
    found = open_table(open_sample(sample.path), "cells")
    assert found.lacking == [spots[2], spots[5]]
    assert list(found.values.index) == spots
    kept = [i for i in range(len(spots)) if i not in (2, 5)]
    np.testing.assert_allclose(found.values.iloc[kept], table.iloc[kept], rtol=1e-6)
    assert not add_table(sample, "cells", table.drop(spots[2]), "share")  # the same again
    target = find_target("cells", [sample])
    assert target.nonnegative
    values = target_values(sample, target, ["immune"])
    assert np.flatnonzero(np.isnan(values[:, 0])).tolist() == [2, 5]


def test_more_than_half_of_the_spots_may_lack_when_asked_for(sample):
    table = proportions(sample)
    assert add_table(sample, "cells", table.iloc[:4], "share", allow_missing=True)
    assert open_table(sample, "cells").lacking == list(table.index[4:])
    with pytest.raises(SampleError, match=r"12 of 12 spots .* have no row"):
        add_table(sample, "none", table.iloc[:0], "share", allow_missing=True)


@pytest.mark.parametrize("name", ["../out", "a/b", "", ".hidden", "x" * 80])
def test_a_name_never_leaves_the_folder(name, sample):
    with pytest.raises(SampleError, match="a table's name is"):
        add_table(sample, name, proportions(sample), "share")
    with pytest.raises(CohortError, match="has no table"):
        open_table(sample, name)


def test_a_table_is_a_target_with_its_units_and_columns(sample):
    table = proportions(sample)
    add_table(sample, "cells", table, "share of cells")
    target = find_target("cells", [sample])
    assert (target.units, target.nonnegative, target.transform) == ("share of cells", True, None)
    assert target_columns(sample, target) == ["tumour", "immune"]
    np.testing.assert_allclose(target_values(sample, target, ["immune"]), table[["immune"]], rtol=1e-6)
    add_table(sample, "scores", table - 0.5, "z")
    assert not find_target("scores", [sample]).nonnegative


def test_only_a_table_that_every_sample_has_is_a_target(sample, processed):
    add_table(sample, "cells", proportions(sample), "share")
    with pytest.raises(CohortError, match="unknown target 'cells'"):
        find_target("cells", [sample, open_sample(processed / "B1")])


def test_a_cohort_of_a_table_has_its_columns_for_genes(sample):
    add_table(sample, "cells", proportions(sample), "share")
    cohort = open_cohort(sample.path.parent, target="cells")
    assert cohort.genes == ["tumour", "immune"]
    assert cohort.target.name == "cells"


def test_damaged_tables_are_named(sample):
    add_table(sample, "cells", proportions(sample), "share")
    file = sample.path / "tables" / "cells.parquet"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(CohortError, match="is damaged"):
        open_table(sample, "cells")
    proportions(sample).iloc[1:].to_parquet(file)
    with pytest.raises(CohortError, match="is of other spots"):
        open_table(sample, "cells")
