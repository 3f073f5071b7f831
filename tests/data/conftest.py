"""Fixtures of the tests of data/."""

import pytest
from helpers import make_pairs


@pytest.fixture
def pairs(tmp_path):
    """A folder with six pairs of 48 x 64 pixels in low/ and high/."""
    make_pairs(tmp_path, "low", "high", count=6)
    return tmp_path
