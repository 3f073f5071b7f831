"""Batches on their way to the device."""

import pytest
import torch

from enhancement.data.blocks import DatasetBlock
from enhancement.data.loader import train_loader
from enhancement.data.to_device import OnDevice, one_ahead
from enhancement.errors import DataError


def test_each_item_is_asked_for_before_the_one_ahead_is_handed_out():
    asked = []

    def source():
        for number in range(3):
            asked.append(number)
            yield number

    seen = [(item, list(asked)) for item in one_ahead(source())]
    assert seen == [(0, [0, 1]), (1, [0, 1, 2]), (2, [0, 1, 2])]
    assert list(one_ahead([])) == []
    assert list(one_ahead([5])) == [5]


def test_an_error_comes_where_its_item_would_have():
    def source():
        yield 0
        yield 1
        raise DataError("no")

    items = one_ahead(source())
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(DataError, match="no"):
        next(items)


def batches(workers, device):
    loading = {"batch_size_per_gpu": 2, "num_worker_per_gpu": workers}
    options = {"type": "PairedDataset", "layout": "high_low", "split": "train", "gt_size": 16}
    block = DatasetBlock.of("train", {**options, **loading})
    return OnDevice(train_loader(block, 5, 0, seed=0, rank=0, world_size=1), torch.device(device))


def test_the_cpus_batches_are_handed_through(tiny):
    loader = batches(0, "cpu")
    for found, expected in zip(loader, loader.loader, strict=True):
        assert found["lq_path"] == expected["lq_path"]
        assert torch.equal(found["lq"], expected["lq"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_gpus_batches_equal_the_cpus(tiny, workers):
    for found, expected in zip(batches(workers, "cuda"), batches(0, "cpu"), strict=True):
        assert found["lq"].is_cuda
        for key in ("lq", "gt"):
            assert torch.equal(found[key].cpu(), expected[key])
