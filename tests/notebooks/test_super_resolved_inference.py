"""The notebook runs from top to bottom on the phantom, shows its pictures, and is kept without outputs."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "super_resolved_inference.ipynb"
PICTURES = 5


@pytest.fixture(scope="module")
def kept() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_is_kept_without_outputs(kept: nbformat.NotebookNode) -> None:
    nbformat.validate(kept)
    for cell in kept.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.slow
def test_it_runs_and_shows_its_pictures(
    kept: nbformat.NotebookNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where it makes its cohort
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # threads that wait for each other are slower than one
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    for name in ("MISO_DATA", "MISO_NOTEBOOK_DEMO"):
        monkeypatch.delenv(name, raising=False)
    NotebookClient(kept, timeout=1200, kernel_name="python3").execute(cwd=str(tmp_path))
    outputs = [output for cell in kept.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == PICTURES
    said = "".join(output.get("text", "") for output in outputs)
    seams = {
        line.split(":")[0].strip(): float(line.split("seam index ")[1].split(",")[0])
        for line in said.splitlines()
        if "seam index" in line
    }
    assert list(seams) == ["side_by_side", "stride_112", "stride_56", "default"]
    assert seams["side_by_side"] > max(seams["stride_56"], seams["default"], 1.1)
    (made,) = tmp_path.glob("miso-notebook-*")
    assert {path.name for path in made.glob("*.zarr")} == {f"{name}.zarr" for name in seams}
    assert (made / "default.h5ad").is_file()
    assert (made / "stride_112.geojson").is_file()
