"""HDRNet's kernels where numba's cache has no place, or is damaged: compiled, and said once."""

import os
import shutil
import subprocess
import sys

import pytest
from helpers import ROOT

KERNEL = """
import numba
from .compiling import Cache

@numba.njit(cache=Cache.used)
def double(x):
    x *= 2
"""  # stands in for kernels.py, which takes half a minute to compile
CALLS = """
import numpy as np
import enhancement.archs.bilateral as package
package.__path__[:] = ["{package}"]
from enhancement.archs.bilateral.launch import run_kernel
x = np.ones(3)
for _ in range(3):
    run_kernel("double", x)
assert x.tolist() == [8, 8, 8]
"""


@pytest.fixture
def package(tmp_path):
    """A copy of the package of kernels, with a kernel that compiles in no time."""
    made = tmp_path / "bilateral"
    shutil.copytree(ROOT / "archs/bilateral", made, ignore=shutil.ignore_patterns("__pycache__"))
    (made / "kernels.py").write_text(KERNEL)
    return made


def run(package, cache=None):
    """Run the kernel in a process without a home folder; what is said."""
    nowhere = "/dev/null/home"
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    environment |= {"HOME": nowhere, "XDG_CACHE_HOME": nowhere}
    environment |= {"NUMBA_CACHE_DIR": str(cache)} if cache else {}
    command = [sys.executable, "-c", CALLS.format(package=package)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_without_a_place_for_the_cache_kernels_run(package):
    (package / "__pycache__").write_text("a file, so that no folder can be made here")
    said = run(package)
    assert said.count("\n") == 1
    assert "Kernels are compiled anew in each run, since their cache cannot be used" in said
    assert "set NUMBA_CACHE_DIR to a folder that can be written" in said


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
def test_a_damaged_cache_is_said_once_with_what_to_delete(package, tmp_path, suffix):
    cache = tmp_path / "cache"
    assert run(package, cache) == ""
    files = list(cache.rglob(f"kernels.*.{suffix}"))
    for file in files:
        file.write_bytes(b"damaged")
    said = run(package, cache)
    assert said.count("\n") == 1
    place = files[0].parent
    assert f"delete {place}/kernels.*.nbi and kernels.*.nbc there" in said
