"""Several datasets as one."""

from dataclasses import replace

import pytest
import torch
from dataset_blocks import paired, synthesis
from helpers import make_pairs

from enhancement.config.dataset_keys import set_faults
from enhancement.config.datasets import (
    dataset_block,
    derive_sets,
    missing_files,
    validates_on_test,
)
from enhancement.data.blocks import DatasetBlock
from enhancement.data.loader import train_loader
from enhancement.data.sampler import SampleIndex


@pytest.fixture
def two(tmp_path):
    """Six pairs below one/ and four below two/."""
    make_pairs(tmp_path / "one", "low", "high", count=6)
    make_pairs(tmp_path / "two", "low", "high", count=4)
    return tmp_path


def parts(two, repeat=3):
    low, high = str(two / "one/low"), str(two / "one/high")
    real = {"type": "PairedDataset", "dataroot_lq": low, "dataroot_gt": high}
    made = {"type": "SynthesisDataset", "dataroot_gt": str(two / "two/high"), "repeat": repeat}
    return {"real": real, "made": made}


def mixed_block(two, phase="train", repeat=3, **options):
    block = {"type": "MixedDataset", "phase": phase, "parts": parts(two, repeat), **options}
    return DatasetBlock.of(phase, block)


def equal(a, b):
    return all(torch.equal(a[side], b[side]) for side in ("lq", "gt"))


def test_gives_what_its_parts_give(two):
    mixed = mixed_block(two, gt_size=16, seed=5).build()
    real = paired(two / "one", "train", gt_size=16, seed=5)
    made = synthesis(two / "two", gt_size=16, seed=5)
    assert len(mixed) == 6 + 3 * 4
    assert equal(mixed[SampleIndex(2, epoch=4)], real[SampleIndex(2, epoch=4)])
    # the second of three turns in epoch 4
    assert equal(mixed[SampleIndex(6 + 4 + 1, epoch=4)], made[SampleIndex(1, epoch=13)])


def test_a_repeated_image_is_degraded_anew(two):
    mixed = mixed_block(two, gt_size=16).build()
    first, second = mixed[6], mixed[6 + 4]
    assert first["name"] == second["name"]
    assert not equal(first, second)


def test_its_names_say_which_part_they_are_of(two):
    names = mixed_block(two).build().names
    assert names == [f"real/{i}.png" for i in range(6)] + [f"made/{i}.png" for i in range(4)]


def test_a_part_may_differ_from_what_all_share(two):
    block = mixed_block(two, gt_size=16, use_rot=False)
    block.options["parts"]["made"]["gt_size"] = 8
    mixed = block.build()
    assert [dataset.options.gt_size for dataset in mixed.datasets] == [16, 8]
    assert not any(dataset.options.use_rot for dataset in mixed.datasets)


def test_every_part_holds_out_its_share(two):
    def names(phase):
        held_out = mixed_block(two, phase, 1, val_fraction=0.5, subset=phase).build()
        return {held_out[i]["gt_path"] for i in range(len(held_out))}

    assert not names("train") & names("val")
    assert len(names("train") | names("val")) == 10


def test_batches_and_resuming(two):
    block = mixed_block(two, gt_size=16, batch_size_per_gpu=3)
    whole = list(train_loader(block, 8, 0, 0, 0, 1))
    rest = list(train_loader(block, 8, 5, 0, 0, 1))
    assert [batch["lq"].shape for batch in whole] == [(3, 3, 16, 16)] * 8
    assert all(equal(a, b) for a, b in zip(whole[5:], rest, strict=True))


def test_a_batch_has_what_all_of_its_images_have(two):
    """A part may have masks where another has none."""
    make_pairs(two, "masks", "unused", count=4)
    block = mixed_block(two, gt_size=16, batch_size_per_gpu=16, repeat=1)
    block.options["parts"]["made"]["dataroot_mask"] = str(two / "masks")
    (batch,) = train_loader(block, 1, 0, 0, 0, 1)
    assert batch["gt"].shape == (16, 3, 16, 16)
    assert "mask" not in batch
    masked_first = dict(reversed(block.options["parts"].items()))
    mixture = replace(block, options={**block.options, "parts": masked_first}).build()
    assert mixture.masks is None


def test_what_is_held_out_is_taken_once_and_whole(two):
    given = {"type": "MixedDataset", "name": "m", "val_fraction": 0.5, "gt_size": 16}
    given["parts"] = parts(two) | {"real": {**parts(two)["real"], "gt_size": 8}}
    val = dataset_block("val", derive_sets({"train": given})["val"]).build()
    assert len(val) == 5
    assert {tuple(val[i]["gt"].shape) for i in range(5)} == {(3, 48, 64)}


def test_a_part_is_not_split_by_itself(two):
    given = {"type": "MixedDataset", "gt_size": 16, "parts": parts(two)}
    given["parts"]["real"]["val_fraction"] = 0.5
    assert list(set_faults("train", given)) == [
        (("parts", "real", "val_fraction"), "a mixture is split as one; set it beside its `parts`")
    ]


def test_missing_files_are_told_by_their_part(two):
    block = mixed_block(two)
    block.options["parts"]["made"]["dataroot_gt"] = str(two / "gone")
    ((at, text),) = missing_files(block)
    assert at == ("parts", "made")
    assert "gone: no such folder" in text


def test_choosing_on_test_images_is_noticed_in_a_part(two):
    test = DatasetBlock.of("test", {**parts(two)["real"], "phase": "test"})
    assert validates_on_test({"val": mixed_block(two, "val"), "test": test})
