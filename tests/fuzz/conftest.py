"""What every fuzzer shares: how many examples, from which seed, and how long one may take."""

import os
import time
from contextlib import contextmanager
from unicodedata import category

import pytest
from hypothesis import HealthCheck, settings

from enhancement.errors import UserError

EXAMPLES = "FUZZ_EXAMPLES"  # how many; by default few, the same ones in every run
SLOWEST = 20  # seconds of computing

settings.register_profile(
    "fuzz",
    max_examples=int(os.environ.get(EXAMPLES, 60)),
    derandomize=EXAMPLES not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("fuzz")


@contextmanager
def _harmless():
    """What runs inside ends well or in a UserError of plain lines, and in bounded time."""
    began, said = time.process_time(), ""
    try:
        yield
    except UserError as error:
        said = str(error)
    assert all(c.isprintable() or category(c) == "Zs" for c in said.replace("\n", "")), said
    assert time.process_time() - began < SLOWEST


@pytest.fixture(scope="session")
def harmless():
    """A context that lets only a UserError pass, and at most SLOWEST seconds of computing."""
    return _harmless
