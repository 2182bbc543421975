"""Files are whole or absent, whatever happens while they are written."""

import pytest

from miso.storage import replace_folder, write_path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_finished_and_not_before(tmp_path):
    target = tmp_path / "new" / "table.csv"
    with write_path(target) as temporary:
        temporary.write_text("half")
        assert temporary.suffix == ".csv"
        assert temporary.parent == target.parent
        assert not target.exists()
    assert target.read_text() == "half"
    assert names(target.parent) == ["table.csv"]


@pytest.mark.parametrize("kind", ["file", "folder", "nothing"])
def test_a_failure_leaves_the_earlier_file_and_no_litter(tmp_path, kind):
    target = tmp_path / "table.csv"
    target.write_text("earlier")

    def write():
        with write_path(target) as temporary:
            if kind == "file":
                temporary.write_text("half")
            elif kind == "folder":
                temporary.mkdir()
                (temporary / "part").write_text("half")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        write()
    assert target.read_text() == "earlier"
    assert names(tmp_path) == ["table.csv"]


def test_a_finished_folder_takes_an_absent_or_an_empty_place(tmp_path):
    for name in ("absent", "empty"):
        finished = tmp_path / f"finished-{name}"
        finished.mkdir()
        (finished / "part").write_text("done")
        (tmp_path / "empty").mkdir(exist_ok=True)
        replace_folder(finished, tmp_path / name)
        assert (tmp_path / name / "part").read_text() == "done"
        assert not finished.exists()


def test_a_finished_folder_never_replaces_one_that_holds_something(tmp_path):
    finished, target = tmp_path / "finished", tmp_path / "target"
    for folder in (finished, target):
        folder.mkdir()
        (folder / folder.name).write_text("mine")
    with pytest.raises(OSError, match="not empty"):
        replace_folder(finished, target)
    assert names(target) == ["target"]
    assert names(finished) == ["finished"]
