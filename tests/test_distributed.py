"""Several processes of one run."""

import subprocess
import sys

import pytest
import torch
from conftest import ROOT, run, weights

from enhancement.errors import UserError


def test_a_launcher_without_its_environment_says_so(tiny):
    with pytest.raises(UserError, match=r"--launcher pytorch: RANK, .*torchrun"):
        run("--opt", tiny(), "--launcher", "pytorch")


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_batch(tiny):
    path = tiny(train={"total_iter": 3, "optim_g": {"type": "SGD", "lr": 0.1}})
    run("--opt", path, "--force_yml", "name=one")
    half = ["--force_yml", "name=two", "datasets:train:batch_size_per_gpu=1"]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2",
         "--master_port=29517", str(ROOT / "basicsr/train.py"), "--opt", path,
         "--launcher", "pytorch", *half],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    one, two = weights("one"), weights("two")
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=1e-5, rtol=0)
