"""Pairs by name, and where a layout's folders are."""

import pytest
from dataset_blocks import paired
from helpers import make_pairs, picture

from enhancement.data.blocks import DatasetBlock
from enhancement.data.images import write_image
from enhancement.data.pairing import pair_key
from enhancement.errors import UserError


class TestPairing:
    def test_by_name_over_extensions(self, tmp_path):
        write_image(tmp_path / "low/b.png", picture(0) // 4)
        write_image(tmp_path / "low/a.bmp", picture(1) // 4)
        write_image(tmp_path / "high/a.png", picture(1))
        write_image(tmp_path / "high/b.tif", picture(0))
        dataset = paired(tmp_path)
        for sample in dataset:
            assert sample["lq_path"].split("/")[-1][0] == sample["gt_path"].split("/")[-1][0]
            ratio = sample["gt"].mean() / sample["lq"].mean()
            assert 3.5 < ratio < 4.5

    def test_lol_v2_reals_own_names(self, tmp_path):
        make_pairs(tmp_path, "low", "high", count=3)
        for i in range(3):
            (tmp_path / f"low/{i}.png").rename(tmp_path / f"low/low0000{i}.png")
            (tmp_path / f"high/{i}.png").rename(tmp_path / f"high/normal0000{i}.png")
        assert len(paired(tmp_path)) == 3

    @pytest.mark.parametrize(
        ("a", "b"),
        [("low00001.png", "normal00001.png"), ("x/low_7.png", "x/high_7.jpg"), ("A.PNG", "a.png")],
    )
    def test_keys_that_meet(self, a, b):
        assert pair_key(a) == pair_key(b)

    @pytest.mark.parametrize(("a", "b"), [("lowland.png", "land.png"), ("1.png", "11.png")])
    def test_keys_that_do_not(self, a, b):
        assert pair_key(a) != pair_key(b)

    def test_a_missing_partner_is_named(self, pairs):
        (pairs / "high/3.png").unlink()
        with pytest.raises(UserError, match=r"low/3\.png: has no partner of that name in .*high"):
            paired(pairs)

    def test_two_sizes_are_named(self, pairs):
        write_image(pairs / "low/2.png", picture(2, 40, 50))
        with pytest.raises(UserError, match=r"low/2\.png: is 50x40, but its partner .* is 64x48"):
            paired(pairs)

    def test_one_name_twice_is_named(self, pairs):
        write_image(pairs / "low/2.bmp", picture(2))
        with pytest.raises(UserError, match=r"2\.png: has the same pair name as 2\.bmp"):
            paired(pairs)

    def test_equal_names_win_over_roles(self, tmp_path):
        for i, name in enumerate(("dark-room", "room", "low-9")):
            write_image(tmp_path / f"low/{name}.png", picture(i) // 4)
            write_image(tmp_path / f"high/{name}.png", picture(i))
        assert len(paired(tmp_path)) == 3

    def test_an_empty_or_wrong_folder_is_named(self, pairs):
        (pairs / "empty").mkdir()
        with pytest.raises(UserError, match="empty: no images in this folder"):
            paired(pairs, dataroot_lq=str(pairs / "empty"))
        with pytest.raises(UserError, match="nowhere: no such folder; check the path"):
            paired(pairs, dataroot_lq=str(pairs / "nowhere"))
        with pytest.raises(UserError, match="a file, not a folder"):
            paired(pairs, dataroot_lq=str(pairs / "low/1.png"))

    def test_folders_and_layout_exclude_each_other(self, pairs):
        with pytest.raises(UserError, match=r"either layout .* or both dataroot_lq"):
            paired(pairs, layout="LOL_v1")


@pytest.mark.parametrize(
    ("layout", "split", "lq", "gt"),
    [
        ("LOL_v1", "train", "Train/input", "Train/target"),
        ("LOL_v1", "test", "eval15/low", "eval15/high"),
        ("LOL_v2_real", "test", "Test/Low", "Test/Normal"),
        ("LOL_v2_synthetic", "train", "Train/Low", "Train/Normal"),
        ("high_low", "test", "low", "high"),
        ("high_low", "val", "val/low", "val/high"),
    ],
)
def test_layouts(tmp_path, layout, split, lq, gt):
    make_pairs(tmp_path, lq, gt, count=2)
    block = {"type": "PairedDataset", "layout": layout, "dataroot": str(tmp_path), "split": split}
    assert len(DatasetBlock.of("test", block).build()) == 2
    with pytest.raises(UserError, match=r"expected \{"):
        DatasetBlock.of("test", {**block, "dataroot": str(tmp_path / "other")}).build()
