"""LMDBs that are cut off or overwritten end in a line, never in a signal."""

import os
import random
import subprocess
import sys

import pytest
from helpers import ROOT, picture

from enhancement.data.images import write_image
from enhancement.data.sources import LmdbSource
from enhancement.dataset_tools.lmdb import write_lmdb
from enhancement.errors import UserError

READING = """
import sys
from enhancement.data.sources import LmdbSource
from enhancement.errors import UserError
for folder in sys.argv[1:]:
    try:
        source = LmdbSource(folder)
        for name in source.names:
            try:
                source.encoded(name)
            except UserError as error:
                assert "\\n" not in str(error)
    except UserError as error:
        assert "\\n" not in str(error)
"""


@pytest.fixture
def lmdb(tmp_path):
    for i in range(6):
        write_image(tmp_path / f"in/{i}.png", picture(i))
    write_lmdb(str(tmp_path / "in"), tmp_path / "a.lmdb")
    return tmp_path / "a.lmdb"


def in_a_process(*folders):
    """Read LMDBs in a process of its own, which a signal would end."""
    command = [sys.executable, "-c", READING, *map(str, folders)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def copy_of(lmdb, name, data):
    """The same LMDB with other content."""
    folder = lmdb.with_name(name)
    folder.mkdir()
    (folder / "meta_info.txt").write_bytes((lmdb / "meta_info.txt").read_bytes())
    (folder / "data.mdb").write_bytes(data)
    return folder


def test_one_that_is_cut_off_is_named(lmdb):
    data = (lmdb / "data.mdb").read_bytes()
    cut = copy_of(lmdb, "cut.lmdb", data[: len(data) // 2 // 4096 * 4096])
    with pytest.raises(UserError, match=r"cut\.lmdb/data\.mdb: .*is cut off, \d+ bytes of"):
        LmdbSource(cut).read("5.png")


def damaged(whole, rng):
    """Cut off, a page of random bytes, or some bytes of a page's header, nodes or description."""
    data, page = bytearray(whole), 4096 * rng.randrange(len(whole) // 4096)
    kind = rng.randrange(3)
    if kind == 0:
        return bytes(data[: rng.randrange(len(data))])
    if kind == 1:
        data[page : page + 4096] = rng.randbytes(4096)
    for _ in range(4 if kind == 2 else 0):
        data[page + rng.randrange(256)] = rng.choice([0, 1, 0x7F, 0x80, 0xFF])
    return bytes(data)


def test_no_cut_and_no_changed_page_ends_the_process(lmdb):
    whole, rng = (lmdb / "data.mdb").read_bytes(), random.Random(0)
    folders = [copy_of(lmdb, f"{i}.lmdb", damaged(whole, rng)) for i in range(400)]
    done = in_a_process(*folders)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_none_is_named(lmdb):
    for name, content in (("b.lmdb", b""), ("c.lmdb", b"no LMDB" * 4000)):
        with pytest.raises(UserError, match=f"{name}/data.mdb: cannot be read as an LMDB"):
            LmdbSource(copy_of(lmdb, name, content)).read("0.png")
    (lmdb / "data.mdb").unlink()
    os.mkfifo(lmdb / "data.mdb")
    with pytest.raises(UserError, match=r"data\.mdb: is a pipe, a device or a socket"):
        LmdbSource(lmdb).read("0.png")


@pytest.mark.parametrize("name", [".png", "\udcff.png"])
def test_names_that_are_no_keys_are_named(lmdb, name):
    with pytest.raises(UserError, match=r"a\.lmdb/.*\.png: listed in meta_info\.txt but not in"):
        LmdbSource(lmdb).encoded(name)
