"""LMDBs with damaged pages end in the bytes that they hold, or in one UserError."""

import contextlib

import lmdb
import pytest
from fuzz.mutations import damaged, with_odd_numbers
from hypothesis import given
from hypothesis import strategies as st

from enhancement.data.sources import LmdbSource
from enhancement.errors import UserError

KEYS = [f"{i:03}" for i in range(60)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A file with a branch page, leaves, small values and values on pages of their own."""
    folder = tmp_path_factory.mktemp("lmdb")
    with lmdb.open(str(folder)) as environment, environment.begin(write=True) as transaction:
        for key in KEYS:
            transaction.put(key.encode(), key.encode() * (900 if key == "007" else 50))
    return (folder / "data.mdb").read_bytes()


@given(drawn=st.data())
def test_damaged_lmdbs(harmless, tmp_path_factory, whole, drawn):
    folder = tmp_path_factory.getbasetemp() / "x.lmdb"
    folder.mkdir(exist_ok=True)
    at = 4096 * drawn.draw(st.integers(0, len(whole) // 4096 - 1))
    page = drawn.draw(with_odd_numbers(whole[at : at + 4096]))
    data = drawn.draw(st.just(whole[:at] + page + whole[at + 4096 :]) | damaged(whole))
    (folder / "data.mdb").write_bytes(data)
    (folder / "meta_info.txt").write_text("".join(f"{key}.png (4,4,3) 1\n" for key in KEYS))
    with harmless():
        source = LmdbSource(folder)
        for name in source.names:
            with contextlib.suppress(UserError):
                assert source.encoded(name) is not None
