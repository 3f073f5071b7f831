"""Where each value of an LMDB lies in its data.mdb, found by walking its tree of pages.

The library lmdb maps the file into memory and trusts what its pages say: one changed byte can end
the process with a signal, which nobody can catch. Here each number is checked before it is used.
The layout is that of LMDB 0.9 on 64-bit little-endian machines (https://www.openldap.org,
libraries/liblmdb/mdb.c: MDB_page, MDB_node, MDB_meta).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import IO, NamedTuple

from enhancement.errors import UserError

from .images import open_file

# its own number, flags, where its free space begins (behind the places of its nodes)
PAGE = Struct("<Q2x2H2x")
# the low and high half of a number, flags, the size of the key that follows
NODE = Struct("<4H")
# magic, version; page size; flags of the tree, its entries, its root; last page, transaction
DESCRIPTION = Struct("<2I16xI48xH26x4Q")
MAGIC, VERSION = 0xBEEFC0DE, 1
PAGE_SIZES = [2**n for n in range(8, 17)]  # bytes
NO_PAGE = 2**64 - 1  # the root of an empty tree
BRANCH, LEAF = 0x01, 0x02  # kinds of pages
ON_OWN_PAGES = 0x01  # flag of a node whose value is too large for its page
SEVERAL_VALUES = 0x04  # flag of a tree


class Place(NamedTuple):
    """Where a value lies in the file, in bytes."""

    offset: int
    size: int


class Tree(NamedTuple):
    """A file's description of itself, of which it holds two: the last one, and the one before."""

    page_size: int
    flags: int
    entries: int
    root: int
    last_page: int
    transaction: int


def find_values(path: Path) -> dict[bytes, Place]:
    """The place of each value, by its key; values themselves are not read.

    Args:
        path: A data.mdb that holds one value a key, as BasicSR writes it.

    Raises:
        UserError: It is no such file, is cut off, or is damaged.
    """
    with open_file(path) as file:
        try:
            tree = _newest_tree(file)
            size, needed = file.seek(0, 2), (tree.last_page + 1) * tree.page_size
            if size < needed:
                raise ValueError(f"is cut off, {size} bytes of {needed}")
            found = dict(_entries(file, tree))
        except (ValueError, struct.error) as error:
            raise UserError(f"{path}: cannot be read as an LMDB ({error}); write it anew") from None
    if len(found) != tree.entries:
        raise UserError(
            f"{path}: holds {len(found)} entries, but claims {tree.entries}; write it anew"
        )
    return found


def _newest_tree(file: IO[bytes]) -> Tree:
    first = _tree(file.read(PAGE.size + DESCRIPTION.size))
    file.seek(first.page_size)
    second = _tree(file.read(PAGE.size + DESCRIPTION.size))
    newest = max(first, second, key=lambda tree: tree.transaction)
    if newest.flags & SEVERAL_VALUES:
        raise ValueError("has several values a key")
    return newest


def _tree(data: bytes) -> Tree:
    magic, version, *described = DESCRIPTION.unpack_from(data, PAGE.size)
    tree = Tree(*described)
    if (magic, version) != (MAGIC, VERSION) or tree.page_size not in PAGE_SIZES:
        raise ValueError("not one of version 0.9")
    return tree


def _entries(file: IO[bytes], tree: Tree) -> Iterator[tuple[bytes, Place]]:
    """Each key and where its value lies."""
    waiting, seen = [] if tree.root == NO_PAGE else [tree.root], set()
    while waiting:
        number = waiting.pop()
        if number in seen or not 1 < number <= tree.last_page:
            raise ValueError(f"page {number} is not there, or in two places of the tree")
        seen.add(number)
        start = number * tree.page_size
        file.seek(start)
        page = file.read(tree.page_size)
        own, kind, free = PAGE.unpack_from(page)
        if own != number or kind not in (BRANCH, LEAF) or free > len(page):
            raise ValueError(f"page {number} is damaged")
        for size, flags, key, value in _nodes(page, free):
            if kind == BRANCH:
                waiting.append(size | flags << 32)
                continue
            place = Place(start + value, size)
            if flags == ON_OWN_PAGES:
                place = Place(_number_at(page, value) * tree.page_size + PAGE.size, size)
            elif flags:
                raise ValueError(f"page {number} has entries of another kind")
            if place.offset + size > (tree.last_page + 1) * tree.page_size:
                raise ValueError(f"page {number} has a value that is not there")
            yield key, place


def _nodes(page: bytes, free: int) -> Iterator[tuple[int, int, bytes, int]]:
    """Each node's size of the value, flags, key, and where in the page the value begins."""
    room = len(page) - free
    for (at,) in struct.iter_unpack("<H", page[PAGE.size : free]):
        low, high, flags, key_size = NODE.unpack_from(page, at)
        key, value = at + NODE.size, at + NODE.size + key_size
        room -= value - at
        if room < 0 or value > len(page):  # nodes that overlap could make much out of little
            raise ValueError("a page holds more than fits")
        yield low | high << 16, flags, page[key:value], value


def _number_at(page: bytes, at: int) -> int:
    return int.from_bytes(page[at : at + 8], "little")
