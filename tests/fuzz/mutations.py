"""Files of ours with something changed, drawn by hypothesis: what nobody has thought of."""

import struct
from copy import deepcopy

import torch
from hypothesis import strategies as st

NUMBERS = st.one_of(
    st.integers(-3, 70),
    st.sampled_from([2**16, 2**31, 2**63, 10**400, -(2**63)]),
    st.floats(),
    st.booleans(),
)
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["..", "/etc/passwd", "../../x", "hf-hub:a/b", "a\0b", "\x1b[2J", "\udcff"]),
)
LEAVES = st.one_of(st.none(), NUMBERS, TEXTS)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4)
)


def places(content, at=()):
    """Every place in nested dictionaries and lists, as the keys that lead there."""
    yield at
    inner = content.items() if isinstance(content, dict) else ()
    inner = enumerate(content) if isinstance(content, list) else inner
    for key, value in inner:
        yield from places(value, (*at, key))


@st.composite
def mutated(draw, content, values=VALUES, types=()):
    """Nested values with one to three places replaced or removed; names of `types` put in."""
    content = deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.sampled_from(list(places(content))))
        if not at:
            if draw(st.integers(0, 9)) == 0:
                return draw(values)
            continue
        *path, last = at
        inside = content
        for key in path:
            inside = inside[key]
        if last == "type" and types:
            inside[last] = draw(st.sampled_from(types))
        elif draw(st.booleans()):
            inside[last] = draw(values)
        else:
            del inside[last]
    return content


TENSORS = st.sampled_from(
    [
        torch.zeros(1),
        torch.zeros(()),
        torch.zeros(0),
        torch.full((3, 3, 3, 3), float("nan")),
        torch.zeros(2, 2).to_sparse(),
        torch.zeros(2, dtype=torch.complex64),
        torch.zeros(3, 3, dtype=torch.int64),
        torch.zeros(1).expand(10**6, 10**6),
    ]
)


@st.composite
def damaged(draw, data):
    """Bytes cut off, or with some of them changed."""
    data = bytearray(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)
    for _ in range(draw(st.integers(0, 4)) if data else 0):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


@st.composite
def with_odd_numbers(draw, data):
    """Numbers of a header, or of the directory behind the pixels, replaced by extreme ones."""
    made = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        width = draw(st.sampled_from("BHI"))
        at = draw(st.integers(0, 200)) % (len(made) - 4)
        at = at if draw(st.booleans()) else len(made) - 4 - at
        number = draw(st.sampled_from(EXTREMES)) % 256 ** struct.calcsize(width)
        struct.pack_into(draw(st.sampled_from("<>")) + width, made, at, number)
    return bytes(made)
