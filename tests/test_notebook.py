"""docs/quickstart.ipynb runs from top to bottom, and is kept without outputs."""

import json
import subprocess
import sys

import pytest
from helpers import ROOT

CELLS = json.loads((ROOT / "docs/quickstart.ipynb").read_text())["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]


def test_the_notebook_holds_no_outputs():
    cells = [cell for cell in CELLS if cell["cell_type"] == "code"]
    assert len(cells) == len(CODE) > 3
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)


@pytest.mark.slow
def test_the_notebook_runs(tmp_path):
    better = "assert abs(bright.mean() - photograph.mean()) < abs(dark.mean() - photograph.mean())"
    script = tmp_path / "cells.py"
    script.write_text("\n\n".join([*CODE, better]) + "\n")
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    counts, clip, network = done.stdout.splitlines()[-3:]
    assert counts.startswith("{0.25: ")
    assert clip == "5 (512, 512, 3)"
    assert network.startswith("HDRNetUNet ")
    assert network.endswith(" (1, 3, 512, 512)")
