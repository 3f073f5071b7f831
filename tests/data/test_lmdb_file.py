"""What our reader of an LMDB's pages finds is what the library lmdb finds."""

import random
import struct

import lmdb
import pytest

from enhancement.data.lmdb_file import PAGE, find_values
from enhancement.errors import UserError

SIZES = (0, 1, 100, 2030, 2040, 5000, 40000)  # within a page, at its limit, on pages of their own


def write(folder, changes):
    """An LMDB after transactions of (key, value) pairs; the value None deletes."""
    with lmdb.open(str(folder), map_size=1 << 28) as environment:
        for pairs in changes:
            with environment.begin(write=True) as transaction:
                for key, value in pairs:
                    if value is None:
                        transaction.delete(key)
                    else:
                        transaction.put(key, value)
        with environment.begin() as transaction:
            return dict(transaction.cursor())


def values_of(folder):
    data = (folder / "data.mdb").read_bytes()
    places = find_values(folder / "data.mdb").items()
    return {key: data[place.offset : place.offset + place.size] for key, place in places}


@pytest.mark.parametrize("seed", range(8))
def test_the_same_entries_as_the_library_finds(tmp_path, seed):
    rng = random.Random(seed)

    def pair():
        key = rng.choice([rng.randbytes(rng.randint(1, 511)), b"a%d" % rng.randrange(300)])
        return key, rng.choice([None, *(rng.randbytes(size) for size in SIZES)])

    changes = [[pair() for _ in range(rng.randint(0, 300))] for _ in range(seed)]
    assert write(tmp_path, changes) == values_of(tmp_path)


def test_several_databases_in_one_are_refused(tmp_path):
    with (
        lmdb.open(str(tmp_path), max_dbs=2) as environment,
        environment.begin(write=True) as transaction,
    ):
        transaction.put(b"k", b"v", db=environment.open_db(b"named", transaction))
    with pytest.raises(UserError, match="entries of another kind"):
        find_values(tmp_path / "data.mdb")


def test_nodes_that_overlap_are_refused(tmp_path):
    """A page whose nodes are all one, a long key, would make gigabytes out of megabytes."""
    write(tmp_path, [[(b"k" * 500, b"v")]])
    data = bytearray((tmp_path / "data.mdb").read_bytes())
    page = next(
        at for at in range(8192, len(data), 4096) if PAGE.unpack_from(data, at)[1:] == (2, 18)
    )
    (node,) = struct.unpack_from("<H", data, page + PAGE.size)
    struct.pack_into("<H", data, page + 12, PAGE.size + 2 * 100)
    struct.pack_into("<100H", data, page + PAGE.size, *[node] * 100)
    (tmp_path / "data.mdb").write_bytes(data)
    with pytest.raises(UserError, match="a page holds more than fits"):
        find_values(tmp_path / "data.mdb")
