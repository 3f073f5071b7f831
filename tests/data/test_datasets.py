"""Pairing, layouts, splits, cuts, caching and synthesis."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from basicsr.utils.lmdb_util import make_lmdb_from_imgs
from helpers import make_pairs, picture

from enhancement.data.haze import Haze
from enhancement.data.images import read_image, write_image
from enhancement.data.loader import build_dataset, eval_loader, train_loader
from enhancement.data.low_light import LowLight, linear_to_srgb, srgb_to_linear
from enhancement.data.pairing import pair_key
from enhancement.data.sampler import IterationSampler, SampleIndex, Stage
from enhancement.data.sources import FolderSource
from enhancement.data.splits import split_by_scene
from enhancement.data.transforms import Frame, pad_to
from enhancement.errors import UserError
from enhancement.paths import locate


def paired(root, phase="test", **options):
    return build_dataset(
        {
            "type": "PairedDataset",
            "dataroot_lq": str(root / "low"),
            "dataroot_gt": str(root / "high"),
            "phase": phase,
            **options,
        }
    )


def synthesis(root, phase="train", **options):
    return build_dataset(
        {
            "type": "SynthesisDataset",
            "dataroot_gt": str(root / "high"),
            "phase": phase,
            "degradation": {"type": "LowLight"},
            **options,
        }
    )


@pytest.fixture
def pairs(tmp_path):
    make_pairs(tmp_path, "low", "high", count=6)
    return tmp_path


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
    ],
)
def test_layouts(tmp_path, layout, split, lq, gt):
    make_pairs(tmp_path, lq, gt, count=2)
    block = {"type": "PairedDataset", "layout": layout, "dataroot": str(tmp_path), "split": split}
    assert len(build_dataset({**block, "phase": "test"})) == 2
    with pytest.raises(UserError, match=r"expected \{"):
        build_dataset({**block, "dataroot": str(tmp_path / "other"), "phase": "test"})


def test_lmdb_reads_like_the_folder(pairs):
    for side in ("low", "high"):
        names = [f"{i}" for i in range(6)]
        make_lmdb_from_imgs(
            str(pairs / side), str(pairs / f"{side}.lmdb"), [f"{n}.png" for n in names], names
        )
    roots = {f"dataroot_{k}": str(pairs / f"{v}.lmdb") for k, v in (("lq", "low"), ("gt", "high"))}
    for a, b in zip(paired(pairs), paired(pairs, **roots), strict=True):
        assert torch.equal(a["lq"], b["lq"])
        assert torch.equal(a["gt"], b["gt"])


class TestLmdb:
    @pytest.fixture
    def lmdb(self, pairs):
        names = [f"{i}" for i in range(6)]
        for side in ("low", "high"):
            files = [f"{n}.png" for n in names]
            make_lmdb_from_imgs(str(pairs / side), str(pairs / f"{side}.lmdb"), files, names)
        return {"dataroot_lq": str(pairs / "low.lmdb"), "dataroot_gt": str(pairs / "high.lmdb")}

    def test_two_datasets_share_it(self, pairs, lmdb):
        parts = [paired(pairs, "val", **lmdb, val_fraction=0.3, subset=s) for s in ("train", "val")]
        assert sum(map(len, parts)) == 6
        assert {s["name"] for part in parts for s in part} == {f"{i}.png" for i in range(6)}

    @pytest.mark.parametrize("workers", [0, 2])
    def test_workers_open_their_own(self, pairs, lmdb, workers):
        block = {**paired(pairs, "train", **lmdb, gt_size=16).opt, "batch_size_per_gpu": 3}
        paired(pairs, **lmdb)[0]  # opened before the fork
        assert len(list(train_loader({**block, "num_worker_per_gpu": workers}, 4, 0, 0, 0, 1))) == 4

    def test_it_fills_the_ram_cache(self, pairs, lmdb):
        dataset = synthesis(pairs, "val", dataroot_gt=lmdb["dataroot_gt"], cache="ram")
        assert torch.equal(dataset[3]["gt"], paired(pairs)[3]["gt"])

    def test_what_is_none_is_named(self, tmp_path):
        (tmp_path / "a.lmdb").mkdir()
        with pytest.raises(UserError, match=r"a\.lmdb/meta_info\.txt: no such file"):
            synthesis(tmp_path, dataroot_gt=str(tmp_path / "a.lmdb"))


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

    def test_resize_and_central_cut(self, pairs):
        assert paired(pairs, resize=[30, 44])[0]["gt"].shape == (3, 30, 44)
        whole, cut = paired(pairs)[0]["gt"], paired(pairs, gt_size=20)[0]["gt"]
        assert torch.equal(cut, whole[:, 14:34, 22:42])

    def test_batches_of_two_sizes_say_so(self, pairs):
        for side in ("low", "high"):
            write_image(pairs / side / "5.png", picture(5, 60, 70))
        block = {**paired(pairs, "train").opt, "batch_size_per_gpu": 6, "num_worker_per_gpu": 0}
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
        block = {**paired(pairs, "train", gt_size=16).opt, "batch_size_per_gpu": 6}
        loader = train_loader({**block, "num_worker_per_gpu": workers}, 3, 0, 0, 0, 1)
        path = pairs / "low/2.png"
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(UserError, match=r"low/2\.png: cannot be read as an image") as caught:
            list(loader)
        assert "\n" not in str(caught.value)

    def test_workers_give_what_the_main_process_gives(self, pairs):
        block = {**synthesis(pairs, gt_size=16).opt, "batch_size_per_gpu": 4}
        one, two = (
            list(train_loader({**block, "num_worker_per_gpu": n}, 5, 0, 7, 0, 1)) for n in (0, 2)
        )
        for a, b in zip(one, two, strict=True):
            assert torch.equal(a["lq"], b["lq"])
            assert a["lq_path"] == b["lq_path"]


class TestSubsets:
    def scenes(self, root):
        """Eight scenes of two near-duplicates each."""
        rng = np.random.default_rng(0)
        for i in range(8):
            base = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
            image = np.kron(base, np.ones((8, 8, 1), np.uint8))
            write_image(root / f"high/{i}a.png", image)
            write_image(root / f"high/{i}b.png", np.roll(image, 1, 1))
        return root

    def test_near_duplicates_stay_together_and_nothing_is_lost(self, tmp_path):
        source = FolderSource(self.scenes(tmp_path) / "high")
        subsets = split_by_scene(source, source.names, {"test": 0.25, "val": 0.25})
        assert sorted(i for part in subsets.values() for i in part) == list(range(16))
        assert {k: len(v) for k, v in subsets.items()} == {"test": 4, "val": 4, "train": 8}
        for part in subsets.values():
            names = [source.names[i] for i in part]
            assert {n[0] + "a.png" for n in names} | {n[0] + "b.png" for n in names} == set(names)

    def test_another_process_divides_alike(self, tmp_path):
        root = self.scenes(tmp_path)
        options = {"val_fraction": 0.3, "subset": "val"}
        here = [s["gt_path"] for s in synthesis(root, "val", **options)]
        code = (
            "import enhancement; from enhancement.data.loader import build_dataset as b\n"
            f"d = b({{'type': 'SynthesisDataset', 'dataroot_gt': {str(root / 'high')!r},"
            f"'phase': 'val', 'val_fraction': 0.3, 'subset': 'val'}})\n"
            "print(*[s['gt_path'] for s in d], sep='\\n')"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={"PYTHONHASHSEED": "5"},
        )  # fmt: skip
        assert done.stdout.split() == here

    def test_an_empty_subset_says_so(self, pairs):
        with pytest.raises(UserError, match="6 images leave none for 'val'"):
            synthesis(pairs, "val", val_fraction=0.01, subset="val")

    def test_include_takes_names_with_or_without_extension(self, pairs):
        dataset = synthesis(pairs, include=["1", "4.png"])
        assert [s["gt_path"].split("/")[-1] for s in dataset] == ["1.png", "4.png"]
        with pytest.raises(UserError, match=r"no image '11'; did you mean '1'"):
            synthesis(pairs, include=["11"])

    @pytest.mark.data
    def test_lol_v1_leaves_a_tenth_of_its_scenes_out(self, real_data):
        from enhancement.data.splits import scenes

        folder = real_data / "LOLv1"
        block = {"type": "PairedDataset", "layout": "LOL_v1", "dataroot": str(folder),
                 "split": "train", "val_fraction": 0.1, "phase": "val"}  # fmt: skip
        parts = [build_dataset({**block, "subset": s}).samples for s in ("train", "val")]
        assert sum(map(len, parts)) == 350
        assert 35 <= len(parts[1]) <= 45
        source = FolderSource(folder / "Train/target")
        names = [gt for part in parts for _, gt in part]
        numbers = scenes(source, names)
        cut = len(parts[0])
        assert not set(numbers[:cut]) & set(numbers[cut:])


class TestSampler:
    def test_epochs_are_permutations_and_batches_run_on(self):
        batches = list(IterationSampler(5, [Stage(3)], total_iter=10, seed=1))
        flat = [i for batch in batches for i in batch]
        assert sorted(flat[:5]) == sorted(flat[5:10]) == list(range(5))
        assert [i.epoch for i in flat[:10]] == [0] * 5 + [1] * 5
        assert flat[:5] != flat[5:10]

    def test_resuming_continues_the_same_order(self):
        whole = list(IterationSampler(7, [Stage(2)], total_iter=20, seed=3))
        rest = list(IterationSampler(7, [Stage(2)], total_iter=20, start_iter=13, seed=3))
        assert whole[13:] == rest
        assert [i.epoch for b in whole[13:] for i in b] == [i.epoch for b in rest for i in b]

    def test_processes_share_each_global_batch(self):
        whole = list(IterationSampler(8, [Stage(4)], total_iter=6))
        parts = [list(IterationSampler(8, [Stage(2)], 6, rank=r, world_size=2)) for r in (0, 1)]
        assert [a + b for a, b in zip(*parts, strict=True)] == whole

    def test_without_shuffling_the_order_is_the_datasets(self):
        batches = list(IterationSampler(3, [Stage(2)], total_iter=3, shuffle=False))
        assert batches == [[0, 1], [2, 0], [1, 2]]

    def test_progressive_patches_switch_at_the_right_iteration(self):
        stages = [Stage(4, 8, 3), Stage(2, 16, 2), Stage(1, 32, 1)]
        batches = list(IterationSampler(50, stages, total_iter=8, seed=1))
        assert [(len(b), b[0].gt_size) for b in batches] == (
            [(4, 8)] * 3 + [(2, 16)] * 2 + [(1, 32)] * 3
        )
        flat = [i for batch in batches for i in batch]
        assert len(set(flat)) == len(flat)  # no sample twice in an epoch
        assert list(IterationSampler(50, stages, 8, start_iter=4, seed=1)) == batches[4:]

    def test_progressive_patches_reach_the_batches(self, pairs):
        block = {**paired(pairs, "train", gt_size=40).opt, "gt_sizes": [16, 24], "iters": [1, 1],
                 "mini_batch_sizes": [3, 2], "batch_size_per_gpu": 4}  # fmt: skip
        shapes = [tuple(b["lq"].shape) for b in train_loader(block, 3, 0, 0, 0, 1)]
        assert shapes == [(3, 3, 16, 16), (2, 3, 24, 24), (2, 3, 24, 24)]


class TestSynthesis:
    frame = Frame(0, 0, 48, 64)

    def image(self):
        return picture(0).astype(np.float32) / 255

    def test_srgb_there_and_back(self):
        x = np.linspace(0, 1, 1001, dtype=np.float32)
        np.testing.assert_allclose(linear_to_srgb(srgb_to_linear(x)), x, atol=1e-5)
        assert srgb_to_linear(np.float32([0.5]))[0] == pytest.approx(0.21404, abs=1e-5)

    def test_low_light_by_hand(self):
        degrade = LowLight((1.5, 1.5), (0.1, 0.1), (0, 0), (0, 0))
        dark = degrade(self.image(), self.frame, np.random.default_rng(0))[0]
        light = 0.1 * srgb_to_linear(self.image()) ** 1.5
        np.testing.assert_allclose(dark, linear_to_srgb(light), atol=0.5 / 255 + 1e-6)
        np.testing.assert_allclose(dark * 255, np.round(dark * 255), atol=1e-4)

    def test_noise_has_the_promised_variance(self):
        degrade = LowLight((1, 1), (0.5, 0.5), (0.01, 0.01), (0.02, 0.02))
        flat = np.full((400, 400, 3), 0.8, np.float32)
        noisy = degrade(flat, Frame(0, 0, 400, 400), np.random.default_rng(0))[0]
        light = srgb_to_linear(noisy)
        mean = 0.5 * srgb_to_linear(flat)[0, 0, 0]
        assert light.mean() == pytest.approx(mean, rel=0.01)
        assert light.var() == pytest.approx(0.01 * mean + 0.02**2, rel=0.05)

    def test_falloff_darkens_the_sides_wherever_the_cut_lies(self):
        degrade = LowLight((1, 1), (1, 1), (0, 0), (0, 0), falloff=(0.9, 0.9))
        flat = np.full((40, 60, 3), 0.9, np.float32)
        rng = np.random.default_rng(0)
        whole = degrade(flat, Frame(0, 0, 40, 60), rng)[0]
        assert whole[20, 30, 0] == pytest.approx(0.9, abs=0.01)
        assert whole[0, 0, 0] < 0.4
        cut = degrade(flat[5:15, 7:27], Frame(5, 7, 40, 60), rng)[0]
        np.testing.assert_allclose(cut, whole[5:15, 7:27], atol=1e-6)

    def test_haze_by_hand(self):
        degrade = Haze((0.4, 0.4), (0.8, 0.8), tint=0)
        hazy = degrade(self.image(), self.frame, np.random.default_rng(0))[0]
        np.testing.assert_allclose(hazy, 0.4 * self.image() + 0.8 * 0.6, atol=0.5 / 255 + 1e-6)

    def test_haze_is_smooth_and_keeps_its_place(self):
        degrade, black = Haze((0.2, 0.9), (1, 1), tint=0), np.zeros((48, 64, 3), np.float32)
        whole = degrade(black, self.frame, np.random.default_rng(3))[0]
        assert whole.max() - whole.min() > 0.1
        assert np.abs(np.diff(whole[..., 0], axis=1)).max() < 0.1
        cut = degrade(black[10:20, 5:25], Frame(10, 5, 48, 64), np.random.default_rng(3))[0]
        np.testing.assert_allclose(cut, whole[10:20, 5:25], atol=1e-6)

    @pytest.mark.parametrize(
        ("kind", "arguments", "text"),
        [
            (LowLight, {"exposure": (0.5, 0.1)}, r"`exposure` to be \[low, high\] above 0"),
            (LowLight, {"falloff": (0, 1.5)}, "`falloff`"),
            (Haze, {"airlight": (0.2, 1.2)}, "`airlight` to be .* within 0 and 1"),
            (Haze, {"cells": 0}, "`cells` above 0"),
        ],
    )
    def test_bad_ranges_are_named(self, kind, arguments, text):
        with pytest.raises(ValueError, match=text):
            kind(**arguments)

    @pytest.mark.parametrize("kind", ["LowLight", "Haze"])
    def test_degradations_are_fixed_and_change_by_epoch(self, pairs, kind):
        train = synthesis(pairs, gt_size=24, degradation={"type": kind})
        again = synthesis(pairs, gt_size=24, degradation={"type": kind})
        index = SampleIndex(2, 4)
        assert torch.equal(train[index]["lq"], again[index]["lq"])
        assert not torch.equal(train[index]["lq"], train[SampleIndex(2, 5)]["lq"])
        val = synthesis(pairs, "val", degradation={"type": kind})
        assert torch.equal(val[1]["lq"], val[1]["lq"])
        assert torch.equal(val[1]["gt"], paired(pairs)[1]["gt"])


def test_package_folders_and_the_data_variable(monkeypatch, tmp_path):
    assert (locate("package:skimage/data") / "astronaut.png").is_file()
    with pytest.raises(UserError, match="package 'nowhere' is not installed"):
        locate("package:nowhere/data")
    monkeypatch.setenv("ENHANCEMENT_DATA", str(tmp_path))
    assert locate("datasets/LOLv1") == tmp_path / "LOLv1"
    assert str(locate("other/LOLv1")) == "other/LOLv1"
    monkeypatch.delenv("ENHANCEMENT_DATA")
    assert str(locate("datasets/LOLv1")) == "datasets/LOLv1"


def test_eval_loader_gives_whole_images_in_order(pairs):
    names = [batch["lq_path"][0].split("/")[-1] for batch in eval_loader(paired(pairs).opt)]
    assert names == [f"{i}.png" for i in range(6)]


@pytest.mark.data
def test_real_files_of_every_kind_read(real_data):
    for name in ("LOLv1/Train/input/10.webp", "LOLv1/Test/input/1.png"):
        assert read_image(real_data / name).shape == (400, 600, 3)
    frame = next((real_data / "KvasirSEG/images").iterdir())
    assert read_image(frame).ndim == 3
