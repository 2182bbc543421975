"""A store that speaks S3, on this machine."""

import pytest

from .s3 import serve_s3


@pytest.fixture(scope="module")
def server():
    """Serve it for the tests of a file."""
    with serve_s3() as told:
        yield told
