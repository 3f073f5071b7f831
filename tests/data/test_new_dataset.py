"""A new dataset, layout or degradation is made known in one place."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

import numpy as np
import pytest
from helpers import make_pairs

from enhancement.config.load import load_config
from enhancement.config.signature import arguments_model
from enhancement.data.degradations import DEGRADATIONS
from enhancement.data.layouts import LAYOUTS, Layout
from enhancement.data.paired_dataset import PairedDataset, PairedOptions
from enhancement.errors import UserError
from enhancement.registry import DATASET_REGISTRY


@pytest.fixture(autouse=True)
def unread_signatures():
    """Signatures are read once; here what they allow changes in between."""
    arguments_model.cache_clear()
    yield
    arguments_model.cache_clear()


def built(path, key="test"):
    """A dataset of an option file that has passed its check."""
    return load_config(path).datasets[key].build()


def test_a_layout_is_one_entry(tiny, in_tmp, monkeypatch):
    splits = {"test": [("eval/hazy", "eval/clear")]}
    monkeypatch.setitem(LAYOUTS, "Mine", Layout("datasets/mine", splits))
    make_pairs(in_tmp / "datasets/mine", "eval/hazy", "eval/clear", count=3)
    assert len(built(tiny(datasets={"test": {"layout": "Mine"}}))) == 3
    with pytest.raises(UserError, match="layout Mine has no 'train' split; it has: test"):
        built(tiny(datasets={"test": {"layout": "Mine", "split": "train"}}))


def test_a_degradation_is_one_entry(tiny, monkeypatch):
    @dataclass(frozen=True)
    class Dimmer:
        factor: float = 0.5

        def __call__(self, gt, frame, rng):
            return gt * np.float32(self.factor), {"factor": self.factor}

    monkeypatch.setitem(DEGRADATIONS, "Dimmer", Dimmer)
    block = {"type": "SynthesisDataset", "dataroot_gt": "datasets/high_low/test/high"}
    block |= {"layout": None, "split": None, "degradation": {"type": "Dimmer", "factor": 0.25}}
    sample = built(tiny(datasets={"test": block}))[0]
    np.testing.assert_allclose(sample["lq"], sample["gt"] * 0.25)
    block["degradation"]["factr"] = 1
    with pytest.raises(UserError, match=r"degradation\.factr: unknown key; did you mean 'factor'"):
        built(tiny(datasets={"test": block}))


def test_a_class_is_one_registration(tiny, monkeypatch):
    @dataclass(frozen=True, kw_only=True)
    class EveryOtherOptions(PairedOptions):
        first: int = 0

    class EveryOther(PairedDataset):
        Options: ClassVar = EveryOtherOptions

        @classmethod
        def find(cls, options):
            sources, pairs, faults = super().find(options)
            return sources, pairs[options.first :: 2], faults

    monkeypatch.setitem(DATASET_REGISTRY._obj_map, "EveryOther", EveryOther)
    dataset = built(tiny(datasets={"test": {"type": "EveryOther", "first": 1}}))
    assert [PurePosixPath(sample["gt_path"]).name for sample in dataset] == ["1.png"]
    with pytest.raises(UserError, match=r"datasets\.test\.first: expected a valid integer"):
        built(tiny(datasets={"test": {"type": "EveryOther", "first": "second"}}))
