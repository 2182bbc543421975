"""The command line, run in this process."""

import sys
from collections.abc import Callable, Iterator

import pytest

from miso import cli

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def in_process() -> Iterator[Callable[[tuple[object, ...]], int]]:
    """Run `miso` with some words; gives the exit code, whatever was printed left where it was."""
    with pytest.MonkeyPatch.context() as patch:

        def run(words: tuple[object, ...]) -> int:
            patch.setattr(sys, "argv", ["miso", *map(str, words)])
            with pytest.raises(SystemExit) as ended:
                cli.main()
            return int(ended.value.code or 0)

        yield run


@pytest.fixture
def run_miso(in_process: Callable[[tuple[object, ...]], int], capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `miso`; gives the exit code, stdout and stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = in_process(words)
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        return code, shown.out, shown.err

    return run
