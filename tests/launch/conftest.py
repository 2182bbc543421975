"""Units that other processes can import too."""

import importlib
import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def chores(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))
    return importlib.import_module("chores")
