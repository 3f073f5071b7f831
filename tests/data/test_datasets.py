"""Crops, caching and what happens to files that cannot be used."""

import cv2
import numpy as np
import pytest
import torch
from dataset_blocks import paired, paired_block, synthesis_block
from helpers import picture

from enhancement.data.images import write_image
from enhancement.data.loader import eval_loader, train_loader
from enhancement.data.sampler import SampleIndex
from enhancement.data.transforms import pad_to
from enhancement.errors import UserError


class TestCuts:
    def test_both_images_are_cut_flipped_and_turned_alike(self, tmp_path):
        for i in range(3):
            write_image(tmp_path / f"low/{i}.png", picture(i))
            write_image(tmp_path / f"high/{i}.png", picture(i))
        dataset = paired(tmp_path, "train", gt_size=24)
        seen = set()
        for epoch in range(20):
            sample = dataset[SampleIndex(1, epoch)]
            assert sample["lq"].shape == (3, 24, 24)
            assert torch.equal(sample["lq"], sample["gt"])
            seen.add(sample["lq"].sum().item())
        assert len(seen) > 15  # epochs differ

    def test_a_sample_is_fixed_by_seed_epoch_and_index(self, pairs):
        a, b, c = (paired(pairs, "train", gt_size=24, seed=s) for s in (1, 1, 2))
        index = SampleIndex(3, 5)
        assert torch.equal(a[index]["lq"], b[index]["lq"])
        assert not torch.equal(a[index]["lq"], c[index]["lq"])

    def test_small_images_are_reflect_padded(self, pairs):
        sample = paired(pairs, "train", gt_size=[80, 100], use_hflip=False, use_rot=False)[0]
        assert sample["lq"].shape == (3, 80, 100)
        padded, top, left = pad_to(np.arange(4, dtype=np.uint8).reshape(2, 2, 1), 4, 2)
        assert (top, left) == (1, 0)
        assert np.squeeze(padded)[0].tolist() == [2, 3]  # the second row, reflected

    def test_rotation_keeps_cuts_that_are_not_square(self, pairs):
        dataset = paired(pairs, "train", gt_size=[16, 40])
        shapes = {dataset[SampleIndex(0, e)]["gt"].shape for e in range(12)}
        assert shapes == {(3, 16, 40)}
        whole = paired(pairs, "train", gt_size=[48, 64])
        turned = {whole[SampleIndex(0, e)]["gt"].numpy().tobytes() for e in range(24)}
        assert len(turned) == 4  # as it is, mirrored, flipped, and upside down

    def test_images_are_enlarged_by_cubic_interpolation(self, pairs):
        image = paired(pairs)[0]["gt"].permute(1, 2, 0).numpy()
        expected = cv2.resize(image, (128, 96), interpolation=cv2.INTER_CUBIC).clip(0, 1)
        found = paired(pairs, resize=[96, 128])[0]["gt"].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(found, expected, atol=1 / 255)

    def test_resize_and_central_cut(self, pairs):
        assert paired(pairs, resize=[30, 44])[0]["gt"].shape == (3, 30, 44)
        whole, cut = paired(pairs)[0]["gt"], paired(pairs, gt_size=20)[0]["gt"]
        assert torch.equal(cut, whole[:, 14:34, 22:42])

    def test_batches_of_two_sizes_say_so(self, pairs):
        for side in ("low", "high"):
            write_image(pairs / side / "5.png", picture(5, 60, 70))
        block = paired_block(pairs, "train", batch_size_per_gpu=6)
        with pytest.raises(UserError, match=r"images of one batch must have one size.*set gt_size"):
            list(train_loader(block, 1, 0, 0, 0, 1))


class TestCacheAndErrors:
    def test_ram_decodes_once_and_changes_nothing(self, pairs):
        cold, warm = (paired(pairs, "train", gt_size=16, cache=c) for c in ("none", "ram"))
        for path in pairs.rglob("*.png"):
            path.rename(path.with_suffix(".gone"))
        expected = warm[2]["gt"]
        for path in pairs.rglob("*.gone"):
            path.rename(path.with_suffix(".png"))
        assert torch.equal(cold[2]["gt"], expected)

    def test_a_bad_file_can_be_skipped_and_is_counted(self, pairs, caplog):
        path = pairs / "low/2.png"
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(UserError, match=r"low/2\.png: cannot be read as an image"):
            paired(pairs, "train", cache="ram")
        dataset = paired(pairs, "train", on_error="skip")
        assert len(dataset) == 5
        assert len(dataset.skipped) == 1
        assert "Skipped 1 of 6 samples" in caplog.text
        assert "low/2.png" in caplog.text

    def test_a_missing_partner_and_a_dangling_link_are_skipped_too(self, pairs):
        (pairs / "high/3.png").unlink()
        (pairs / "low/4.png").unlink()
        (pairs / "low/4.png").symlink_to(pairs / "nowhere")
        dataset = paired(pairs, "train", on_error="skip")
        assert (len(dataset), len(dataset.skipped)) == (4, 2)

    @pytest.mark.parametrize("workers", [0, 2])
    def test_an_error_leaves_a_worker_in_one_line(self, pairs, workers):
        loading = {"batch_size_per_gpu": 6, "num_worker_per_gpu": workers}
        loader = train_loader(paired_block(pairs, "train", gt_size=16, **loading), 3, 0, 0, 0, 1)
        path = pairs / "low/2.png"
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(UserError, match=r"low/2\.png: cannot be read as an image") as caught:
            list(loader)
        assert "\n" not in str(caught.value)

    def test_workers_give_what_the_main_process_gives(self, pairs):
        one, two = (
            synthesis_block(pairs, gt_size=16, batch_size_per_gpu=4, num_worker_per_gpu=n)
            for n in (0, 2)
        )
        one, two = (list(train_loader(block, 5, 0, 7, 0, 1)) for block in (one, two))
        for a, b in zip(one, two, strict=True):
            assert torch.equal(a["lq"], b["lq"])
            assert a["lq_path"] == b["lq_path"]


def test_eval_loader_gives_whole_images_in_order(pairs):
    names = [batch["lq_path"][0].split("/")[-1] for batch in eval_loader(paired_block(pairs))]
    assert names == [f"{i}.png" for i in range(6)]
