"""Testing in several processes: the scores and files are those of one."""

import pytest
import torch
from helpers import ROOT, make_pairs
from processes import two

from enhancement.errors import UserError
from enhancement.registry import ARCH_REGISTRY, lookup
from enhancement.testing import command as tester
from enhancement.testing.plan import make_plan

SCRIPT = str(ROOT / "enhancement/test_from_dataset.py")
COMPARED = ("scores.csv", "comparison.png", "brightness.csv", "brightness.png")


@pytest.fixture
def flags(tiny, in_tmp):
    """Five pairs, weights, and what to score by them."""
    make_pairs(in_tmp / "datasets/high_low", "test/low", "test/high", count=5)
    torch.manual_seed(0)
    torch.save({"params": lookup(ARCH_REGISTRY, "AODNet")().state_dict()}, "w.pth")
    return ["--opt", tiny(), "--weights", "w.pth", "--brightness_levels", "0.1", "0.5"]


def test_more_processes_than_images_are_refused(flags):
    arguments = tester.parse(flags)
    assert len(make_plan(arguments, 1, 5).loader) == 1
    with pytest.raises(UserError, match="5 images for 6 processes"):
        make_plan(arguments, 0, 6)


@pytest.mark.slow
def test_two_processes_give_the_scores_and_files_of_one(flags, in_tmp):
    _, folder = tester.test(tester.parse([*flags, "--save_images", "one"]))
    whole = {name: (folder / name).read_bytes() for name in COMPARED}
    for name in COMPARED:
        (folder / name).unlink()
    done = two(SCRIPT, *flags, "--save_images", "two", "--launcher", "pytorch")
    for rank, (status, out, err) in enumerate(done):
        assert status == 0, err
        assert out.count("Protocol basicsr") == (0 if rank else 2)
    assert {name: (folder / name).read_bytes() for name in COMPARED} == whole
    for path in in_tmp.glob("one/*"):
        assert path.read_bytes() == (in_tmp / "two" / path.name).read_bytes()
    assert len(list(in_tmp.glob("two/*"))) == 5


@pytest.mark.slow
def test_an_image_that_one_cannot_read_ends_both(flags, in_tmp):
    damaged = in_tmp / "datasets/high_low/test/low/3.png"
    damaged.write_bytes(damaged.read_bytes()[:-60])
    (first, _, said), (second, _, reason) = two(SCRIPT, *flags, "--launcher", "pytorch")
    assert (first, second) == (2, 2)
    assert "another process of this run has failed" in said
    assert "3.png" in reason
