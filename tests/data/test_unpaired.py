"""Dark images alone: from folders, videos, or darkened on the way."""

from multiprocessing import get_context

import numpy as np
import pytest
import torch
from dataset_blocks import synthesis
from helpers import make_clip, make_pairs, picture

from enhancement.data.blocks import DatasetBlock
from enhancement.data.loader import eval_loader, train_loader
from enhancement.data.sources import open_source
from enhancement.data.synthesis_dataset import SynthesisDataset
from enhancement.data.unpaired_dataset import UnpairedDataset
from enhancement.errors import UserError

DARK = {"type": "LowLight", "exposure": [0.1, 0.2]}


def unpaired_block(root, phase="train", **options):
    block = {"type": "UnpairedDataset", "dataroot_lq": str(root), "phase": phase, **options}
    return DatasetBlock.of(phase, block)


@pytest.fixture
def clips(tmp_path):
    """Two videos of 10 frames of 32 x 48 pixels."""
    for clip in range(2):
        frames = [picture(10 * clip + i, 32, 48) for i in range(10)]
        make_clip(tmp_path / f"clips/{clip}.mp4", frames)
    return tmp_path / "clips"


def test_a_sample_has_no_ground_truth(pairs):
    block = unpaired_block(pairs / "low", gt_size=16, batch_size_per_gpu=2)
    assert not block.gives_truth
    assert block.build()[0].keys() == {"lq", "name", "lq_path"}
    batch = next(iter(train_loader(block, 1, 0, 0, 0, 1)))
    assert batch["lq"].shape == (2, 3, 16, 16)
    assert not eval_loader(unpaired_block(pairs / "low", "val")).gives_truth


def test_crops_are_drawn_as_those_of_pairs_are(pairs):
    dark = unpaired_block(pairs / "high", gt_size=24, degradation=DARK, cache="ram").build()
    both = synthesis(pairs, gt_size=24, degradation=DARK)
    for alone, pair in zip(dark, both, strict=True):
        assert torch.equal(alone["lq"], pair["lq"])


def test_held_out_images_are_those_of_pairs(pairs):
    shares = {"val_fraction": 0.2, "test_fraction": 0.3}
    names = []
    for subset in ("train", "val", "test"):
        alone = unpaired_block(pairs / "high", subset=subset, **shares).build()
        both = synthesis(pairs, subset=subset, **shares)
        assert alone.samples == both.samples
        names += alone.samples
    assert len(set(names)) == len(names) == 6


def test_frames_of_videos_are_images(clips):
    source = open_source(clips, frame_step=4)
    assert source.names == [f"{c}.mp4/{i:06d}.png" for c in range(2) for i in (0, 4, 8)]
    for name in reversed(source.names):
        clip, number = int(name[0]), int(name[6:12])
        error = source.read(name).astype(float) - picture(10 * clip + number, 32, 48)
        assert np.abs(error).mean() < 3
    assert source.size(source.names[1]) == (32, 48)
    dataset = unpaired_block(clips, frame_step=5, cache="ram").build()
    assert (len(dataset), dataset[3]["name"]) == (4, "1.mp4/000005.png")


def first_level(source, name, found):
    found.put(source.read(name)[0, 0].tolist())


def test_a_forked_process_reads_on_where_its_parent_has_begun(clips):
    source = open_source(clips)
    expected = [source.read(name)[0, 0].tolist() for name in source.names[:3]]
    context = get_context("fork")
    found = context.Queue()
    for name in source.names[1:3]:
        child = context.Process(target=first_level, args=(source, name, found))
        child.start()
        child.join(30)
        assert child.exitcode == 0
        assert found.get(timeout=5) == expected[source.names.index(name)]
    assert source.read(source.names[2])[0, 0].tolist() == expected[2]


def test_frames_pair_by_clip_and_number(tmp_path):
    for side, factor in (("low", 4), ("high", 1)):
        frames = [picture(i, 32, 48) // factor for i in range(3)]
        make_clip(tmp_path / side / "a.mp4", frames)
    options = {"type": "PairedDataset", "dataroot_lq": str(tmp_path / "low"), "frame_step": 2}
    dataset = DatasetBlock.of("test", {**options, "dataroot_gt": str(tmp_path / "high")}).build()
    assert [sample["name"] for sample in dataset] == ["a.mp4/000000.png", "a.mp4/000002.png"]
    assert (dataset[1]["gt"] - 4 * dataset[1]["lq"]).abs().mean() < 0.03


def check(root, **options):
    return UnpairedDataset.check({"dataroot_lq": str(root), **options})


def test_mistakes_are_told_in_one_line(clips, pairs, tmp_path):
    assert (
        "val_fraction and test_fraction would divide a video's" in check(clips, val_fraction=0.5)[0]
    )
    made = SynthesisDataset.check({"dataroot_gt": str(clips), "val_fraction": 0.5})
    assert "val_fraction and test_fraction would divide a video's" in made[0]
    (text,) = check(pairs / "low", dataroot_mask="masks")
    assert text == "dataroot_mask: unpaired images have no masks; leave it out"
    assert check(pairs / "low", frame_step=0) == ["frame_step must be above 0, but got 0"]
    with pytest.raises(UserError, match="degradation: unknown type 'Fog'"):
        unpaired_block(pairs / "low", degradation={"type": "Fog"}).build()
    (clips / "2.mp4").write_bytes(b"no video")
    assert "2.mp4: cannot be read as a video" in check(clips)[0]


def test_a_folder_of_images_and_videos_is_refused(clips):
    make_pairs(clips, "low", "high", count=1)
    with pytest.raises(UserError, match=r"clips: holds both images \(.*png, ...\) and videos"):
        open_source(clips)
