"""Dataset blocks, and options of the wrong kind."""

import pytest
from dataset_blocks import paired_block, synthesis, synthesis_block

from enhancement.data.base_dataset import EnhancementDataset
from enhancement.data.blocks import DatasetBlock, Loading
from enhancement.data.loader import eval_loader
from enhancement.data.sampler import Stage
from enhancement.errors import UserError


def test_a_block_holds_its_class_options_and_loading(pairs):
    block = paired_block(pairs, "test", batch_size_per_gpu=3, num_worker_per_gpu=1)
    assert issubclass(block.kind, EnhancementDataset)
    assert block.loading == Loading(batch_size_per_gpu=3, num_worker_per_gpu=1)
    assert (block.key, block.name, block.phase) == ("test", "test", "test")
    assert block.options["dataroot_lq"] == str(pairs / "low")
    assert eval_loader(block).name == "test"


def test_name_and_phase_are_the_blocks_own_or_its_keys(pairs):
    options = {"type": "PairedDataset", "name": "LOL"}
    assert DatasetBlock.of("val_2", options).name == "LOL"
    assert DatasetBlock.of("val_2", options).phase == "val"
    assert DatasetBlock.of("test", {**options, "phase": "train"}).phase == "train"


def test_building_leaves_the_options_alone(pairs):
    block = synthesis_block(pairs)
    before = {**block.options, "degradation": dict(block.options["degradation"])}
    block.build()
    assert block.options == before


def test_basicsrs_folders_are_located(pairs, monkeypatch):
    monkeypatch.setenv("ENHANCEMENT_DATA", str(pairs))
    roots = {"dataroot_lq": "datasets/low", "dataroot_gt": "datasets/high"}
    block = {"type": "PairedImageDataset", "scale": 1, "io_backend": {"type": "disk"}}
    assert len(DatasetBlock.of("test", {**block, **roots}).build()) == 6


def test_an_unknown_class_is_named():
    with pytest.raises(UserError, match=r"'PairedDatset'; did you mean 'PairedDataset'"):
        DatasetBlock.of("train", {"type": "PairedDatset"})


def test_stages_are_progressive_where_iterations_are_listed():
    assert Loading(batch_size_per_gpu=4).stages == [Stage(4)]
    assert Loading(batch_size_per_gpu=4, iters=[5, 6]).stages == [
        Stage(4, None, 5),
        Stage(4, None, 6),
    ]
    both = Loading(iters=[5], gt_sizes=[16], mini_batch_sizes=[2])
    assert both.stages == [Stage(2, 16, 5)]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"dataroot_gt": 3}, r"^dataroot_gt: expected a valid string, but got 3$"),
        ({"dataroot_gt": None}, r"^dataroot_gt: missing; expected a value$"),
        ({"dataroot_gt": ["a"]}, r"^dataroot_gt: expected a valid string, but got \['a'\]$"),
        ({"dataroot_gt": "~nobody-here/x"}, r"^~nobody-here/x: no such user; check the path$"),
        ({"dataroot_gt": "package:/data"}, r"^package:/data: package '' is not installed"),
        ({"dataroot_gt": "x" * 300}, r"cannot be read \(File name too long\)$"),
        ({"dataroot_mask": 3}, r"^dataroot_mask: expected a valid string, but got 3$"),
        ({"include": "1.png"}, r"^include: expected a valid (array|list), but got '1.png'$"),
        ({"include": [1, 2]}, r"^include: expected a valid string at \[0\] or a valid string at"),
        ({"gt_size": "big"}, r"^gt_size: expected .*valid integer.*, but got 'big'$"),
        ({"gt_size": 0}, r"^gt_size and resize must be above 0 and at most 16384$"),
        ({"seed": -1}, r"^seed must be at least 0, but got -1$"),
        ({"phase": "training"}, r"^phase: expected 'train', 'val' or 'test', but got 'training'$"),
        ({"cache": True, "seed": "a"}, r"^cache: .*\nseed: expected a valid integer, but got 'a'$"),
        ({"degradation": "LowLight"}, r"^degradation: expected .*, but got 'LowLight'$"),
        ({"degradation": {}}, r"^degradation: unknown type 'None'; valid: Haze, LowLight"),
        ({"degradation": {"type": "LowLigth"}}, r"did you mean 'LowLight'"),
        ({"degradation": {"type": "Haze", "fog": 1}}, r"^degradation: .*'fog'"),
        (
            {"degradation": {"type": "Haze", "cells": 0}},
            r"^degradation: Expected `cells` to be at least 1",
        ),
        ({"degradation": {"type": "Haze", "airlight": "a"}}, r"^degradation: "),
    ],
)
def test_an_option_of_the_wrong_kind_is_one_line(pairs, options, text):
    with pytest.raises(UserError, match=text):
        synthesis(pairs, **options)


def test_an_unknown_layout_names_the_known_ones():
    block = {"type": "PairedDataset", "layout": "LOL_v3"}
    with pytest.raises(UserError, match=r"^layout: expected 'LOL_v1', .* but got 'LOL_v3'$"):
        DatasetBlock.of("test", block).build()


@pytest.mark.parametrize("key", ["dataroot_lq", "dataroot_gt"])
def test_a_pair_needs_both_folders(pairs, key):
    block = paired_block(pairs, **{key: None})
    with pytest.raises(UserError, match="both dataroot_lq and dataroot_gt"):
        block.build()
