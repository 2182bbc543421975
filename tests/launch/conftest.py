"""Units that other processes can import too."""

import importlib
import os
from pathlib import Path

import pytest

from .s3 import serve_s3

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def server():
    """A store that speaks S3."""
    with serve_s3() as told:
        yield told


@pytest.fixture
def chores(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))
    return importlib.import_module("chores")
