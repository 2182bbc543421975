"""`miso add-table`: a text file by barcode becomes a target."""

import shutil

import numpy as np
import pandas as pd
import pytest

from miso.samples import open_sample
from miso.samples.tables import open_table


@pytest.fixture
def sample(processed, tmp_path):
    return shutil.copytree(processed / "A1", tmp_path / "A1")


@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_a_text_table_is_added_and_found(run_miso, sample, tmp_path, separator):
    names = open_sample(sample).adata.obs_names
    table = pd.DataFrame({"T": np.linspace(0, 1, len(names))}, index=names)
    table.to_csv(tmp_path / "cells.txt", sep=separator)
    words = ("add-table", sample, "--table", tmp_path / "cells.txt", "--name", "cells", "--units", "share")
    code, _, told = run_miso(*words)
    assert code == 0
    assert "target=cells" in told
    np.testing.assert_allclose(open_table(open_sample(sample), "cells").values["T"], table["T"], rtol=1e-6)
    assert "already there" in run_miso(*words)[2]


def test_a_missing_file_and_one_without_values_are_refused(run_miso, sample, tmp_path):
    code, _, err = run_miso("add-table", sample, "--table", tmp_path / "no.csv", "--name", "cells")
    assert code == 2
    assert "no table at" in err
    (tmp_path / "bare.csv").write_text("spot\n1x1\n")
    code, _, err = run_miso("add-table", sample, "--table", tmp_path / "bare.csv", "--name", "cells")
    assert code == 2
    assert "no table" in err or "no values" in err


def test_spots_without_a_row_are_counted_and_too_many_refused(run_miso, sample, tmp_path):
    names = open_sample(sample).adata.obs_names
    table = pd.DataFrame({"T": np.linspace(0, 1, len(names))}, index=names)
    words = ("add-table", sample, "--table", tmp_path / "cells.csv", "--name")
    table.drop(names[[1, 3]]).to_csv(tmp_path / "cells.csv")
    code, _, told = run_miso(*words, "cells")
    assert code == 0
    assert f"2 of {len(names)} spots have no row" in told
    assert f"({names[1]}, {names[3]})" in told
    table.iloc[:2].to_csv(tmp_path / "cells.csv")
    code, _, told = run_miso(*words, "few")
    assert code == 2
    assert "--allow-missing" in told
    assert run_miso(*words, "few", "--allow-missing")[0] == 0
