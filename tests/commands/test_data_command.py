"""`enhance data`: checking, LMDBs, darkening and splitting."""

import json
import shutil

import numpy as np
import pytest
import yaml
from basicsr.data.paired_image_dataset import PairedImageDataset
from basicsr.utils.file_client import FileClient, LmdbBackend
from helpers import make_pairs, picture, tiny_options

from enhancement.data import near_duplicates
from enhancement.data.images import read_image, write_image
from enhancement.data.near_duplicates import SAME_SCENE, fingerprint, near_pairs, scenes_of
from enhancement.data.paired_dataset import PairedDataset
from enhancement.data.sources import LmdbSource
from enhancement.dataset_tools.image_sets import find_sets
from enhancement.errors import UserError


def their_dataset():
    """BasicSR's own class on two LMDBs."""
    return PairedImageDataset(
        {
            "io_backend": {"type": "lmdb"},
            "dataroot_lq": "low.lmdb",
            "dataroot_gt": "high.lmdb",
            "phase": "val",
            "scale": 1,
        }
    )


def noisy(image):
    noise = np.random.default_rng(0).normal(0, 6, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def pairs(in_tmp):
    """Three pairs to train on and two other ones to test on."""
    for split, seeds in (("train", range(3)), ("test", range(10, 12))):
        for seed in seeds:
            bright = picture(seed, height=96, width=128)
            write_image(in_tmp / f"set/{split}/high/{seed}.png", bright)
            write_image(in_tmp / f"set/{split}/low/{seed}.png", bright // 8)
    return in_tmp / "set"


class TestNearDuplicates:
    @pytest.mark.parametrize(
        "change",
        [
            lambda x: x // 2,
            lambda x: x.astype(np.uint16) * 257,
            noisy,
            lambda x: x[::2, ::2],
            lambda x: (255 * (x / 255) ** 0.5).astype(np.uint8),
        ],
        ids=["darker", "16 bits", "noise", "half the size", "gamma"],
    )
    def test_retakes_are_near(self, change):
        image = np.asarray(picture(3, height=96, width=128))
        pairs = list(near_pairs([fingerprint(image)], [fingerprint(change(image))]))
        assert [p[:2] for p in pairs] == [(0, 0)]
        assert pairs[0][2] <= SAME_SCENE

    def test_other_pictures_are_not(self):
        hashes = [fingerprint(picture(i, height=96, width=128)) for i in range(8)]
        assert [(i, j) for i, j, _ in near_pairs(hashes, hashes)] == [(i, i) for i in range(8)]
        assert not list(near_pairs([], hashes))

    @pytest.mark.parametrize("at_once", [1, 7, 100])
    def test_scenes_found_by_parts_are_those_of_the_whole(self, monkeypatch, at_once):
        rng = np.random.default_rng(0)
        places = np.where(rng.random((6, 256)) < 0.5, 1, -1).astype(np.float32)
        changes = np.where(rng.random((4, 256)) < 0.05, -1, 1).astype(np.float32)
        hashes = [place * change for place in places for change in changes]
        order = rng.permutation(24)
        monkeypatch.setattr(near_duplicates, "AT_ONCE", at_once)
        found = scenes_of([hashes[i] for i in order])
        known = {}
        assert found == [known.setdefault(i // 4, len(known)) for i in order]
        assert scenes_of([]) == []

    def test_scenes_are_linked_by_what_lies_between(self):
        a = np.ones(256, np.float32)
        b, c = a.copy(), a.copy()
        b[:40] = -1
        c[:80] = -1
        assert scenes_of([a, c]) == [0, 1]
        assert scenes_of([a, b, c, -a]) == [0, 0, 0, 1]

    @pytest.mark.slow
    @pytest.mark.data
    def test_lol_v1s_test_scenes_in_its_training_set(self, real_data, enhance):
        if not (real_data / "LOLv1/Test/target").is_dir():
            pytest.skip("LOLv1 is not there")
        status, out, _ = enhance("data", "check", real_data / "LOLv1", "--json")
        found = {leak["image"].split(".")[0] for leak in json.loads(out)["leaks"]}
        everything = {"1", "22", "23", "55", "79", "111", "146", "493", "547", "665", "669"}
        assert (status, found) == (1, everything)


class TestCheck:
    def test_a_sound_set(self, pairs, enhance):
        status, out, _ = enhance("data", "check", "set", "--histogram", "h.png")
        assert status == 0
        assert "train: 3 pairs, 3 scenes\n  lq     PNG 8-bit RGB  128x96" in out
        assert "test: 2 pairs, 2 scenes" in out
        assert out.endswith("No problem found\n")
        assert read_image("h.png").shape[2] == 3

    def test_every_fault_is_named(self, pairs, enhance):
        (pairs / "train/low/0.png").unlink()
        write_image(pairs / "train/low/1.png", picture(1, height=20))
        (pairs / "test/high/10.png").write_bytes((pairs / "test/high/10.png").read_bytes()[:-300])
        shutil.copy(pairs / "test/high/11.png", pairs / "test/high/12.png")
        shutil.copy(pairs / "test/low/11.png", pairs / "test/low/12.png")
        retake = picture(2, height=96, width=128) // 2
        write_image(pairs / "test/high/13.png", retake)
        write_image(pairs / "test/low/13.png", retake // 8)
        status, out, _ = enhance("data", "check", "set")
        assert status == 1
        for line in (
            "set/train/high/0.png: has no partner of that name in set/train/low",
            "set/train/low/1.png: is 64x20, but its partner set/train/high/1.png is 128x96",
            "set/test/high/10.png: cannot be read as an image (",
            "12.png: is a copy of 11.png (test)",
            "13.png (test): shows the scene of 2.png (train), ",
            "Problems: 5",
        ):
            assert line in out

    def test_json_holds_what_the_text_says(self, pairs, enhance):
        status, out, _ = enhance("data", "check", "set", "--json")
        report = json.loads(out)
        assert (status, report["problems"]) == (0, 0)
        train = report["sets"][0]
        assert train["sizes"] == {"lq": {"128x96": 3}, "gt": {"128x96": 3}}
        bright = train["brightness"]["gt"]
        expected = np.mean(
            [picture(i, height=96, width=128) @ (0.299, 0.587, 0.114) for i in range(3)]
        )
        assert bright["mean"] == pytest.approx(expected, abs=0.5)
        assert sum(bright["histogram"]) == pytest.approx(1)

    def test_types_and_bits_of_a_plain_folder(self, in_tmp, enhance):
        write_image(in_tmp / "mixed/a.png", picture(0))
        write_image(in_tmp / "mixed/b.png", picture(1).astype(np.uint16) * 257)
        write_image(in_tmp / "mixed/c.jpg", picture(2))
        _, out, _ = enhance("data", "check", "mixed")
        for kind in ("PNG 8-bit RGB (1)", "PNG 16-bit RGB (1)", "JPEG 8-bit RGB (1)"):
            assert kind in out

    def test_an_option_files_sets(self, tiny, enhance):
        status, out, _ = enhance("data", "check", "--opt", tiny())
        assert status == 1  # the tiny test pictures are among those to train on
        assert "train+val: 4 pairs" in out
        assert "0.png (test): shows the scene of 0.png (train+val), 0 of 256 bits differ" in out

    def test_training_on_the_test_folder_is_found(self, tiny, enhance):
        option_file = tiny(datasets={"train": {"split": "test", "val_fraction": None}})
        status, out, _ = enhance("data", "check", "--opt", option_file)
        assert status == 1
        assert "Problems: 2" in out

    def test_nothing_readable(self, in_tmp, enhance):
        (in_tmp / "bad").mkdir()
        (in_tmp / "bad/a.png").write_text("no image")
        status, out, _ = enhance("data", "check", "bad")
        assert status == 1
        assert "bad/a.png: cannot be read as an image" in out
        status, _, err = enhance("data", "check", "bad", "--histogram", "h.png")
        assert status == 2
        assert "there is no histogram to draw" in err

    def test_mistakes(self, in_tmp, enhance):
        status, _, err = enhance("data", "check", "nowhere")
        assert (status, err) == (2, "error: nowhere: no such folder; check the path\n")
        status, _, err = enhance("data", "check")
        assert status == 2
        status, _, err = enhance("data", "check", "--opt", "nowhere.yml")
        assert status == 2
        assert "nowhere.yml: no such option file" in err


class TestLmdb:
    def test_basicsrs_own_dataset_reads_it_checked(self, in_tmp, enhance):
        make_pairs(in_tmp, "low", "high", count=3)
        for side in ("low", "high"):
            assert enhance("data", "lmdb", side, "-o", f"{side}.lmdb")[0] == 0
        dataset = their_dataset()
        np.testing.assert_allclose(
            dataset[1]["gt"].permute(1, 2, 0) * 255, read_image("high/1.png"), atol=1e-3
        )
        with (in_tmp / "low.lmdb/data.mdb").open("r+b") as file:
            file.truncate(6000)
        with pytest.raises(UserError, match=r"low\.lmdb/data\.mdb: .* cut off"):
            their_dataset()[1]

    def test_basicsr_and_we_read_it(self, in_tmp, enhance, monkeypatch):
        monkeypatch.setitem(FileClient._backends, "lmdb", LmdbBackend)  # not ours
        make_pairs(in_tmp, "low", "high", count=3)
        for side in ("low", "high"):
            assert enhance("data", "lmdb", side, "-o", f"{side}.lmdb")[0] == 0
        theirs = their_dataset()
        np.testing.assert_allclose(
            theirs[1]["gt"].permute(1, 2, 0) * 255, read_image("high/1.png"), atol=1e-3
        )
        for opened in theirs.file_client.client._client.values():
            opened.close()
        source = LmdbSource("low.lmdb")
        assert source.names == ["0.png", "1.png", "2.png"]
        np.testing.assert_array_equal(source.read("1.png"), read_image("low/1.png"))
        assert "(48,64,3)" in (in_tmp / "low.lmdb/meta_info.txt").read_text()

    @pytest.mark.parametrize(
        ("names", "output", "line"),
        [
            (["a.png", "a.jpg"], "x.lmdb", "in/a.png: has the same key as a.jpg; rename one"),
            (["a.b.png"], "x.lmdb", "in/a.b.png: BasicSR reads an LMDB's keys up to the first dot"),
            (["a.png"], "x", "x: expected a name that ends in .lmdb"),
            (["a.png"], "in.lmdb", "in.lmdb: is there already, and not empty; name a new folder"),
        ],
    )
    def test_mistakes(self, in_tmp, enhance, names, output, line):
        for name in names:
            write_image(in_tmp / "in" / name, picture(0))
        write_image(in_tmp / "in.lmdb/a.png", picture(0))
        status, _, err = enhance("data", "lmdb", "in", "-o", output)
        assert status == 2
        assert line in err
        assert not (in_tmp / "x.lmdb").exists()

    def test_an_unreadable_image_leaves_nothing_behind(self, in_tmp, enhance):
        write_image(in_tmp / "in/a.png", picture(0))
        (in_tmp / "in/b.png").write_text("no image")
        status, _, err = enhance("data", "lmdb", "in", "-o", "x.lmdb")
        assert status == 2
        assert "in/b.png: cannot be read as an image" in err
        assert [p.name for p in in_tmp.iterdir()] == ["in"]


class TestDarken:
    def test_a_plain_folder(self, in_tmp, enhance):
        for i in range(3):
            write_image(in_tmp / f"bright/{i}.png", picture(i))
        dark = (
            "data",
            "darken",
            "bright",
            "--exposure",
            "0.1",
            "--gamma",
            "1",
            "2",
            "--count",
            "2",
        )
        status, out, _ = enhance(*dark, "-o", "dark", "--count", "2")
        assert status == 0
        assert "Written: dark/{low,high}" in out
        data = PairedDataset(
            {"phase": "test", "layout": "high_low", "dataroot": "dark", "split": "test"}
        )
        assert len(data) == 2
        assert data[0]["lq"].mean() < 0.6 * data[0]["gt"].mean()
        rows = (in_tmp / "dark/parameters.csv").read_text().splitlines()
        assert rows[1].split(",")[rows[0].split(",").index("exposure")] == "0.1"
        enhance(*dark, "-o", "again")
        enhance(*dark, "-o", "other", "--seed", "1")
        first, again, other = (read_image(f"{d}/low/0.png") for d in ("dark", "again", "other"))
        assert (first == again).all()
        assert (first != other).any()

    def test_an_option_file(self, in_tmp, enhance):
        for i in range(3):
            write_image(in_tmp / f"bright/{i}.png", picture(i))
        options = tiny_options()
        options["datasets"] = {
            "train": {
                "type": "SynthesisDataset",
                "dataroot_gt": "bright",
                "gt_size": 32,
            }
        }
        (in_tmp / "dark.yml").write_text(yaml.safe_dump(options))
        status, _, err = enhance("data", "darken", "--opt", "dark.yml", "-o", "x", "--seed", "7")
        assert (status, "--seed does not go with --opt" in err) == (2, True)
        assert enhance("data", "darken", "--opt", "dark.yml", "-o", "dark")[0] == 0
        assert len(list((in_tmp / "dark/train/low").iterdir())) == 3
        status, _, err = enhance("data", "darken", "--opt", "dark.yml", "-o", "d", "--gamma", "2")
        assert status == 2
        assert "--gamma does not go with --opt; set it in dark.yml" in err

    @pytest.mark.parametrize(
        ("more", "line"),
        [
            (("--falloff", "2"), "Expected `falloff` to be [low, high] from 0 up to 1"),
            (("--gamma", "1", "2", "3"), "--gamma: expected one or two values, but got 3"),
            (("--count", "0"), "--count: expected at least 1, but got 0"),
        ],
    )
    def test_mistakes(self, in_tmp, enhance, more, line):
        write_image(in_tmp / "bright/0.png", picture(0))
        status, _, err = enhance("data", "darken", "bright", "-o", "dark", *more)
        assert status == 2
        assert line in err
        assert not (in_tmp / "dark").exists()


class TestSplit:
    @pytest.fixture
    def masked(self, in_tmp):
        """Six scenes of two retakes each, with masks."""
        for i in range(6):
            image = picture(i, height=96, width=128)
            for j, factor in enumerate((1, 2)):
                write_image(in_tmp / f"set/images/{i}_{j}.png", image // factor)
                write_image(in_tmp / f"set/masks/{i}_{j}.png", image // 200 * 255)
        return in_tmp / "set"

    @pytest.mark.parametrize("link", [False, True])
    def test_scenes_stay_together_and_masks_move_along(self, masked, in_tmp, enhance, link):
        more = ["--link"] if link else []
        status, out, _ = enhance(
            "data", "split", "set", "-o", "out", "--val", ".17", "--test", ".17", *more
        )
        assert status == 0
        assert out == "Written: out: test 2, val 2, train 8\n"
        found = {s.name: s for s in find_sets("out")}
        assert [len(found[k].samples) for k in ("train", "val", "test")] == [8, 2, 2]
        assert not any(s.faults for s in found.values())
        scenes = [{n.split("_")[0] for n in s.scene_names} for s in found.values()]
        assert sum(map(len, scenes)) == len(set.union(*scenes)) == 6
        assert (in_tmp / "out/test/images").is_dir()
        name = found["test"].scene_names[0]
        assert (in_tmp / "out/test/masks" / name).is_symlink() == link
        np.testing.assert_array_equal(
            read_image(in_tmp / "out/test/masks" / name), read_image(masked / "masks" / name)
        )
        assert len((in_tmp / "out/split.csv").read_text().splitlines()) == 13
        assert enhance("data", "check", "out")[0] == 0

    def test_masks_beside_pairs_move_along(self, in_tmp, enhance, tiny):
        for i in range(6):
            image = picture(i, height=96, width=128)
            for side in ("low", "high", "masks"):
                write_image(in_tmp / f"set/{side}/{i}.png", image)
        assert enhance("data", "split", "set", "-o", "out", "--val", ".2", "--test", ".2")[0] == 0
        names = [
            sorted(p.name for p in (in_tmp / "out/train" / side).iterdir())
            for side in ("low", "high", "masks")
        ]
        assert names[0] == names[1] == names[2] != []
        (in_tmp / "set/masks/3.png").unlink()
        block = {"dataroot_lq": "set/low", "dataroot_gt": "set/high", "dataroot_mask": "set/masks"}
        options = tiny(datasets={"train": {"layout": None, "val_fraction": None, **block}})
        for asked in (["set"], ["--opt", options]):
            status, out, _ = enhance("data", "check", *asked)
            assert status == 1
            assert "set/high/3.png: has no mask of that name in" in out

    @pytest.mark.parametrize(
        ("more", "line"),
        [
            (("--val", "0.6", "--test", "0.5"), "expected shares from 0 that leave something"),
            (("--val", "-0.1"), "expected shares from 0 that leave something"),
            (("--val", "0", "--test", "0"), "expected shares from 0 that leave something"),
            (("--val", "0.001"), "12 images leave none for 'val'"),
        ],
    )
    def test_mistakes(self, masked, in_tmp, enhance, more, line):
        status, _, err = enhance("data", "split", "set", "-o", "out", *more)
        assert status == 2
        assert line in err
        assert not (in_tmp / "out").exists()

    def test_an_lmdb_is_refused(self, masked, in_tmp, enhance):
        enhance("data", "lmdb", "set/images", "-o", "x.lmdb")
        status, _, err = enhance("data", "split", "x.lmdb", "-o", "out")
        assert status == 2
        assert "x.lmdb: an LMDB or videos cannot be divided; name a folder" in err

    def test_what_is_divided_already(self, pairs, enhance):
        status, _, err = enhance("data", "split", "set", "-o", "out")
        assert status == 2
        assert "set: is divided already; name one of set/train, set/test" in err

    def test_faults_come_first(self, masked, in_tmp, enhance):
        (masked / "masks/0_0.png").unlink()
        status, _, err = enhance("data", "split", "set", "-o", "out")
        assert status == 2
        assert "set/images/0_0.png: has no partner of that name in set/masks" in err
        assert not (in_tmp / "out").exists()
