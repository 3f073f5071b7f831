"""What is read is a file, and what is written is whole or not there."""

import errno
import os
import threading
import time
from pathlib import Path

import lmdb
import numpy as np
import pytest
from helpers import picture

from enhancement import files
from enhancement.comparison.results import collect
from enhancement.data.images import write_image
from enhancement.data.sources import open_source
from enhancement.dataset_tools.lmdb import write_lmdb
from enhancement.errors import UserError
from enhancement.files import remove_temporaries, temporary_for
from enhancement.inference.jobs import plan
from enhancement.inference.onnx_network import OnnxNetwork

NO_FILE = "is a pipe, a device or a socket, not a file"


def soon(read):
    """What reading raises; fails where it is still waiting after some seconds."""
    raised = []

    def run():
        try:
            read()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "waits for ever"
    assert isinstance(raised[0], UserError)
    return str(raised[0])


class TestPipesAndDevices:
    """Item 14."""

    @pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
    def test_as_images_of_a_dataset(self, tmp_path, make):
        write_image(tmp_path / "a.png", picture(0))
        make(tmp_path / "b.png")
        source = open_source(tmp_path)
        assert NO_FILE in soon(lambda: source.size("b.png"))
        assert NO_FILE in soon(lambda: source.read("b.png"))

    def test_as_input_of_run(self, tmp_path):
        write_image(tmp_path / "in" / "a.png", picture(0))
        os.mkfifo(tmp_path / "in" / "b.png")
        assert [
            job.source.name for job in plan([str(tmp_path / "in")], str(tmp_path / "out")).jobs
        ] == ["a.png"]
        os.mkfifo(tmp_path / "in" / "[1].png")  # a name, no pattern
        for name in ("b.png", "[1].png"):
            given = [str(tmp_path / "in" / name)]
            assert NO_FILE in soon(lambda given=given: plan(given, str(tmp_path / "out")))

    @pytest.mark.parametrize("name", ["meta_info.txt", "data.mdb"])
    def test_as_parts_of_an_lmdb(self, tmp_path, name):
        write_image(tmp_path / "in" / "a.png", picture(0))
        write_lmdb(str(tmp_path / "in"), tmp_path / "a.lmdb")
        (tmp_path / "a.lmdb" / name).unlink()
        os.mkfifo(tmp_path / "a.lmdb" / name)
        assert NO_FILE in soon(lambda: open_source(tmp_path / "a.lmdb"))

    def test_as_an_onnx_file_and_as_scores(self, tmp_path):
        os.mkfifo(tmp_path / "w.onnx")
        os.mkfifo(tmp_path / "scores.json")
        assert NO_FILE in soon(lambda: OnnxNetwork(tmp_path / "w.onnx"))
        assert NO_FILE in soon(lambda: collect([tmp_path]))


class TestFullDisk:
    """Item 17: nothing half written keeps its name."""

    @pytest.fixture
    def full(self, monkeypatch):
        def flush(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(files, "flush_to_disk", flush)

    def test_an_image_is_there_whole_or_not(self, tmp_path, full):
        with pytest.raises(UserError, match="No space left on device"):
            write_image(tmp_path / "low" / "0.png", picture(0))
        assert list((tmp_path / "low").iterdir()) == []

    def test_an_image_before_is_kept(self, tmp_path, request):
        write_image(tmp_path / "0.png", picture(0))
        before = (tmp_path / "0.png").read_bytes()
        request.getfixturevalue("full")
        with pytest.raises(UserError):
            write_image(tmp_path / "0.png", picture(1))
        assert (tmp_path / "0.png").read_bytes() == before


def test_what_a_killed_process_left_is_removed_once_it_is_old(tmp_path):
    old, new, mine = (tmp_path / name for name in (".a.mp4.7.tmp.mp4", ".b.png.8.tmp.png", ".c"))
    for path in (old, new, mine):
        path.write_text("")
    os.utime(old, (time.time() - 7200,) * 2)
    remove_temporaries(tmp_path, 3600)
    assert sorted(tmp_path.iterdir()) == sorted([new, mine])
    assert temporary_for(tmp_path / "a.mp4").suffix == ".mp4"


@pytest.mark.parametrize(
    "name", ["a\nb.png", "a\u2028b.png", os.fsdecode(b"a\xff.png"), "\x1b.png"]
)
def test_a_name_that_an_lmdb_cannot_list_is_refused(tmp_path, name):
    """Item 20."""
    write_image(tmp_path / "in" / "a.png", picture(0))
    (tmp_path / "in" / "a.png").rename(tmp_path / "in" / name)
    with pytest.raises(UserError, match=r"which meta_info\.txt cannot list; rename it"):
        write_lmdb(str(tmp_path / "in"), tmp_path / "x.lmdb")
    assert not (tmp_path / "x.lmdb").exists()


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    """Item 21: its images are not left out silently."""
    write_image(tmp_path / "in" / "a.png", picture(0))
    (tmp_path / "in" / "locked").mkdir()
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    for read in (
        lambda: open_source(tmp_path / "in"),
        lambda: plan([str(tmp_path / "in")], str(tmp_path / "out")),
    ):
        with pytest.raises(UserError, match=r"in/locked: cannot be read \(Permission denied\)"):
            read()


def test_an_lmdb_comes_back_as_it_was_written(tmp_path):
    for name in ("a b (1).png", "ä.png"):
        write_image(tmp_path / "in" / name, picture(0))
    write_lmdb(str(tmp_path / "in"), tmp_path / "x.lmdb")
    source = open_source(tmp_path / "x.lmdb")
    assert source.names == ["a b (1).png", "ä.png"]
    assert np.array_equal(source.read("ä.png"), picture(0))
    assert lmdb.version() >= (0, 9)
