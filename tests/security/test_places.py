"""No name in a file chooses a place outside the folder that the user named."""

import sys
from pathlib import Path

import lmdb
import numpy as np
import pytest
import torch
import yaml
from helpers import make_clip, make_pairs, picture, run, tiny_options

from enhancement.comparison.results import collect
from enhancement.data.clips import ClipSource
from enhancement.data.images import write_image
from enhancement.data.sources import open_source
from enhancement.dataset_tools.synthesize import folder_block, synthesize
from enhancement.errors import UserError
from enhancement.inference.video_source import VideoSource
from enhancement.paths import DATA_VARIABLE, inside, locate
from enhancement.registry import ARCH_REGISTRY, lookup
from enhancement.testing import command
from enhancement.training.run_folder import locked

NO_NAME = "(is no name of a file or folder inside|names a folder)"
CLIMBING = ["../../x", "/etc/x", ".", "..", "", "a/../../x", "a//b", "./a", "a/", "a\0b"]


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    """A folder two levels down, so that what climbs out of it is still the test's own."""
    here = tmp_path / "home" / "work"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    return here


def files_below(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def write_weights(path, **meta):
    network = lookup(ARCH_REGISTRY, "LNetGIE")()
    meta = {"network_g": {"type": "LNetGIE"}, **meta}
    torch.save({"params": network.state_dict(), "meta": meta}, path)
    return path


def write_options(path, **changes):
    make_pairs(path.parent / "datasets/high_low/train", "low", "high")
    make_pairs(path.parent / "datasets/high_low/test", "low", "high", count=1)
    path.write_text(yaml.safe_dump(tiny_options(**changes)))
    return path


def write_lmdb(folder, name):
    """An LMDB that lists one image under a name of choice."""
    with (
        lmdb.open(str(folder), map_size=1 << 24) as environment,
        environment.begin(write=True) as t,
    ):
        write_image(folder.parent / "image.png", picture(0))
        t.put(name.rsplit(".", 1)[0].encode(), (folder.parent / "image.png").read_bytes())
    (folder / "meta_info.txt").write_text(f"{name} (48,64,3) 1\n")
    return folder


@pytest.mark.parametrize("name", CLIMBING)
def test_a_name_that_leads_elsewhere_is_refused(name):
    with pytest.raises(UserError, match=NO_NAME):
        inside("results", "fine", name)


@pytest.mark.parametrize("name", ["a", "a/b.png", "..a", "a..b/c", "~", "a b", "ä"])
def test_any_other_name_is_taken_as_it_is(tmp_path, name):
    assert inside(tmp_path, name) == tmp_path / name


class TestResults:
    """Items 1 and 3: the run's name in weights, and a dataset's name."""

    @pytest.mark.parametrize("name", ["../../escaped", ".."])
    def test_weights_do_not_choose_where_results_go(self, in_tmp, name):
        write_options(in_tmp / "o.yml")
        weights = write_weights(in_tmp / "w.pth", name=name)
        arguments = ["--weights", str(weights), "--dataset", "high_low"]
        before = files_below(in_tmp.parent)
        with pytest.raises(UserError, match=NO_NAME):
            command.test(command.parse(arguments))
        assert files_below(in_tmp.parent) == before

    def test_an_absolute_name_neither(self, in_tmp):
        write_options(in_tmp / "o.yml")
        weights = write_weights(in_tmp / "w.pth", name=str(in_tmp.parent / "escaped"))
        with pytest.raises(UserError, match=NO_NAME):
            command.test(command.parse(["--weights", str(weights), "--dataset", "high_low"]))
        assert not (in_tmp.parent / "escaped").exists()

    def test_nor_does_a_datasets_name(self, in_tmp):
        sets = {"test": {"name": "../../escaped"}}
        path = write_options(in_tmp / "o.yml", datasets=sets, network_g={"type": "LNetGIE"})
        weights = write_weights(in_tmp / "w.pth")
        before = files_below(in_tmp.parent)
        with pytest.raises(UserError, match=NO_NAME):
            command.test(command.parse(["--opt", str(path), "--weights", str(weights)]))
        assert files_below(in_tmp.parent) == before

    def test_nor_where_validation_keeps_its_images(self, in_tmp):
        sets = {"train": {"val_fraction": None}, "val": {"name": "../../../escaped"}}
        sets["val"] |= {"type": "PairedDataset", "layout": "high_low", "split": "train"}
        path = write_options(in_tmp / "o.yml", datasets=sets, val={"save_img": True})
        with pytest.raises(UserError, match=NO_NAME):
            run("--opt", path)
        assert not any("escaped" in name for name in files_below(in_tmp.parent.parent))


class TestLmdb:
    """Item 2: the names in meta_info.txt."""

    @pytest.mark.parametrize("name", ["../../../x.png", "/tmp/x.png", "a/../../x.png"])
    def test_a_name_that_leads_elsewhere_is_refused(self, in_tmp, name):
        folder = write_lmdb(in_tmp / "images.lmdb", name)
        before = files_below(in_tmp.parent)
        with pytest.raises(UserError, match=r"images.lmdb/meta_info.txt: .*" + NO_NAME):
            synthesize({"": folder_block(str(folder), {}, 0)}, in_tmp / "dark", None)
        assert files_below(in_tmp.parent) == before

    def test_a_name_with_a_parenthesis_is_read_whole(self, in_tmp):
        source = open_source(write_lmdb(in_tmp / "images.lmdb", "a (1).png"))
        assert source.names == ["a (1).png"]
        assert source.read("a (1).png").shape == (48, 64, 3)


class TestRuns:
    """Item 4: a run's name, and what is cleaned up in its folder."""

    @pytest.mark.parametrize("name", [".", ".."])
    def test_a_run_is_not_the_current_folder(self, in_tmp, name):
        keep = in_tmp / "keep" / ".mine.tmp"
        keep.parent.mkdir()
        keep.write_text("mine")
        path = write_options(in_tmp / "o.yml", name=name)
        with pytest.raises(UserError, match=NO_NAME):
            run("--opt", path)
        assert keep.read_text() == "mine"
        assert not (in_tmp / "models").exists()

    def test_only_our_own_temporaries_are_removed(self, in_tmp):
        folder = in_tmp / "experiments" / "tiny"
        mine = [
            folder / "keep/.mine.tmp",
            folder / "keep/.x.pth.7.tmp.pth",
            folder / "models/.a.tmp",
        ]
        ours = [folder / "models/.net_g_best.pth.7.tmp.pth", folder / ".options.yml.7.tmp.yml"]
        for path in mine + ours:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        with locked(folder):
            assert [path.exists() for path in mine + ours] == [True] * 3 + [False] * 2


class TestPackages:
    """Item 5: `package:` neither runs a package's code nor leads out of its folder."""

    @pytest.mark.parametrize("text", ["package:pwn.sub/x", "package:pwn.sub", "package:pwn/x"])
    def test_nothing_is_imported(self, in_tmp, monkeypatch, text):
        (in_tmp / "pwn/sub").mkdir(parents=True)
        for folder in ("pwn", "pwn/sub"):
            (in_tmp / folder / "__init__.py").write_text("open('ran', 'w').close()")
        monkeypatch.syspath_prepend(str(in_tmp))
        if "." in text:
            with pytest.raises(UserError, match=r"package 'pwn\.sub' is not installed"):
                locate(text)
        else:
            assert locate(text) == in_tmp / "pwn/x"
        assert not (in_tmp / "ran").exists()
        assert "pwn" not in sys.modules

    @pytest.mark.parametrize("text", ["package:skimage/../..", "package:skimage//etc"])
    def test_a_path_stays_in_its_package(self, text):
        with pytest.raises(UserError, match=NO_NAME):
            locate(text)

    def test_a_module_that_runs_is_not_a_package(self):
        with pytest.raises(UserError, match="package '__main__' is not installed"):
            locate("package:__main__/x")


def test_scores_name_no_run_outside(in_tmp):
    """A hostile scores.json must not put another folder's curves on a page."""
    secret = in_tmp.parent / "secret"
    secret.mkdir()
    (secret / "options.yml").write_text("{}")
    folder = in_tmp / "results"
    folder.mkdir()
    row = '{"name": "a", "output": {"psnr": 1}, "input": {}}'
    for name, weights in [("../../secret", ""), ("x", f"{secret}/models/w.pth")]:
        (folder / "scores.json").write_text(
            f'{{"name": "{name}", "weights": "{weights}", "dataset": "d", "protocol": "basicsr", '
            f'"images": [{row}]}}'
        )
        assert collect([folder])[0].run is None


def test_a_frozen_network_is_only_read_where_it_lies_here(in_tmp, capsys):
    """The weights name the segmentation network that they were trained through."""
    make_pairs(in_tmp / "datasets/high_low/test", "low", "high", count=1)
    write_image(in_tmp / "datasets/high_low/mask/0.png", np.full((48, 64, 3), 255, np.uint8))
    frozen = {"segmentation": {"file": "/etc/passwd", "sha256": "0"}}
    weights = write_weights(in_tmp / "w.pth", frozen=frozen)
    options = tiny_options(datasets={"test": {"dataroot_mask": "datasets/high_low/mask"}})
    options["datasets"].pop("train")
    (in_tmp / "o.yml").write_text(yaml.safe_dump(options | {"network_g": {"type": "LNetGIE"}}))
    command.test(command.parse(["--opt", "o.yml", "--weights", str(weights)]))
    assert "no masks are scored: '/etc/passwd' is no name of a file" in capsys.readouterr().out


class TestVideos:
    """A playlist in a video's clothes, or a name like an address, opens nothing else."""

    @pytest.fixture
    def folder(self, in_tmp):
        make_clip(in_tmp / "other/secret.mp4", [picture(i) for i in range(4)])
        playlists = {
            "concat": "ffconcat version 1.0\nfile other/secret.mp4\n",
            "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nother/secret.mp4\n",
            "address": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
            "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        }
        for name, text in playlists.items():
            (in_tmp / name).mkdir()
            (in_tmp / name / "a.mp4").write_text(text)
        return in_tmp

    @pytest.mark.parametrize("name", ["concat", "hls", "address"])
    def test_a_playlist_is_no_video(self, folder, name):
        for read in (
            lambda: ClipSource(folder / name),
            lambda: VideoSource(folder / name / "a.mp4"),
        ):
            with pytest.raises(UserError, match=r"a\.mp4: cannot be read as a video"):
                read()

    def test_a_name_is_no_address(self, folder):
        name = Path("concat:other/secret.mp4")  # relative, as a shell's pattern gives it
        name.parent.mkdir()
        (folder / "other/secret.mp4").rename(name)
        assert len(list(VideoSource(name))) == 4
