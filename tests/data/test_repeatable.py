"""BasicSR's datasets: a continued run sees what the uninterrupted one would have seen."""

import random

import numpy as np
import pytest
import torch

from enhancement.data.blocks import DatasetBlock
from enhancement.data.loader import eval_loader, train_loader
from enhancement.data.repeatable import RepeatableDataset, seeded
from enhancement.errors import DataError, UserError


def basicsr_block(root, phase="train", **options):
    block = {"type": "PairedImageDataset", "scale": 1, "io_backend": {"type": "disk"}}
    block |= {"dataroot_lq": str(root / "low"), "dataroot_gt": str(root / "high")}
    block |= {"gt_size": 16, "use_hflip": True, "use_rot": True, "batch_size_per_gpu": 4}
    return DatasetBlock.of(phase, {**block, **options})


def batches(root, start=0, seed=5, **options):
    return list(train_loader(basicsr_block(root, **options), 6, start, seed, 0, 1))


def same(a, b):
    return len(a) == len(b) and all(
        x["lq_path"] == y["lq_path"] and all(torch.equal(x[k], y[k]) for k in ("lq", "gt"))
        for x, y in zip(a, b, strict=True)
    )


def draws():
    """A number from each global generator."""
    return random.random(), np.random.rand(), torch.rand(()).item()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_continued_run_sees_the_same_crops(pairs, workers):
    whole = batches(pairs, num_worker_per_gpu=workers)
    random.seed(99)  # whatever the new process has drawn by then
    np.random.seed(99)
    torch.manual_seed(99)
    assert same(whole[4:], batches(pairs, start=4, num_worker_per_gpu=workers))


def test_workers_change_nothing_but_seeds_and_epochs_do(pairs):
    whole = batches(pairs)
    assert same(whole, batches(pairs, num_worker_per_gpu=2))
    assert not same(whole, batches(pairs, seed=6))
    crops: dict[str, set[float]] = {}
    for batch in whole:
        for path, lq in zip(batch["lq_path"], batch["lq"], strict=True):
            crops.setdefault(path, set()).add(lq.sum().item())
    assert min(map(len, crops.values())) > 1  # 24 samples are four epochs of six images


def test_the_models_randomness_is_untouched(pairs):
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(3)
    expected = draws()
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(3)
    batches(pairs)
    list(eval_loader(basicsr_block(pairs, "val")))
    assert draws() == expected


def test_the_generators_are_restored_after_an_error():
    before = random.getstate()
    with pytest.raises(KeyError), seeded(1, 2, 3):
        {}[draws()]
    assert random.getstate() == before
    with seeded(1, 2, 3):
        one = draws()
    with seeded(1, 2, 3):
        assert draws() == one
    with seeded(1, 2, 4):
        assert all(a != b for a, b in zip(draws(), one, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_is_too_small_is_one_line(pairs, workers):
    text = (
        r"low/\d\.png: cannot be used by PairedImageDataset \(ValueError: LQ \(48, 64\) is smaller"
    )
    with pytest.raises(DataError, match=text) as caught:
        batches(pairs, gt_size=100, num_worker_per_gpu=workers)
    assert "\n" not in str(caught.value)


def test_a_damaged_image_is_named(pairs):
    (pairs / "low/3.png").write_text("not an image")
    with pytest.raises(DataError, match=r"low/3\.png: cannot be used by PairedImageDataset"):
        list(eval_loader(basicsr_block(pairs, "val")))


def test_an_empty_image_is_named(pairs):
    next((pairs / "low").iterdir()).write_bytes(b"")
    with pytest.raises(DataError, match=r"low/\d+.png: cannot be used by PairedImageDataset"):
        batches(pairs)


def test_a_dataset_without_a_list_of_files_gives_the_number():
    class Remote:
        def __getitem__(self, index):
            raise OSError("connection lost")

    with pytest.raises(UserError, match=r"^sample 7: .* by Remote \(OSError: connection lost\)$"):
        _ = RepeatableDataset(Remote(), 0)[7]
