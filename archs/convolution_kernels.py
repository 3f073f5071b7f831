"""Convolutions on the CPU, fused, compiled by numba and kept on disk.

3x3 convolutions go by Winograd's algorithm, F(6x6, 3x3) of Lavin and Gray 2016, eq. 10: 6x6 pixels
of output cost 8x8 products a pair of channels instead of 324. A worker takes some tiles at a time,
few enough that all it does with them stays in its cache: each tile of 8x8 pixels goes into
Winograd's domain, is multiplied there by the weights (64 matrix products), and comes back with
its bias and activation as a part of the output.

Images are (H, W, C) in memory, float32. What has to be fast is written as vectors of `LANES`
numbers, in LLVM's terms; numba compiles the loops around it together with that. No result depends
on the number of threads. All of it is in one file, for numba compiles anew when the file of a
kernel has changed, and looks no further.
"""

# an intrinsic's first argument does not come from its caller
# mypy: disable-error-code="call-arg"

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16  # floats of a vector
TILE, AROUND = 6, 8  # pixels of output and input along a side
DOMAIN = AROUND * AROUND
ROWS = 6  # of a matrix product that are kept in registers
COLUMNS = 32 if binding.get_host_cpu_features().get("avx512f") else 16
CHUNK = 48 * ROWS  # pixels of a 1x1 convolution that a thread takes at a time
PADDING = LANES  # between tiles, so that they do not share the cache's sets

POINTS = np.array([0, 1, -1, 2, -2, 0.5, -0.5])  # the polynomials' places; and infinity

INLINE: dict[str, Any] = {
    "nopython": True, "error_model": "numpy", "boundscheck": False, "nogil": True, "cache": True,
}  # fmt: skip
PARALLEL = {**INLINE, "parallel": True}


def cook_toom() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The matrices of output, input and weights: out ((weights g) * (into d)) convolves d by g.

    Returns:
        (6, 8), (8, 8) and (8, 3), exact but for the last.
    """
    out, into = np.zeros((TILE, AROUND)), np.zeros((AROUND, AROUND))
    weights = np.zeros((AROUND, 3))
    for i, point in enumerate(POINTS):
        others = np.delete(POINTS, i)
        out[:, i] = point ** np.arange(TILE)
        into[i, :-1] = np.poly(others)[::-1]
        weights[i] = point ** np.arange(3) / np.prod(point - others)
    out[-1, -1] = weights[-1, -1] = 1
    into[-1] = np.poly(POINTS)[::-1]
    return out, into, weights


OUT, INTO, WEIGHTS = cook_toom()

FLOATS, INT = ir.VectorType(ir.FloatType(), LANES), ir.IntType(64)
FUSED = ("contract",)  # a product and a sum become one instruction


def _at(context, builder, kind, array, index):
    """Where an array's element lies."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


def _further(builder, pointer, step, times, offset=None):
    """A pointer moved by times * step + offset."""
    moved = builder.mul(step, INT(times))
    return builder.gep(pointer, [builder.add(moved, offset) if offset else moved])


def _load(builder, pointer):
    vector = builder.load(builder.bitcast(pointer, FLOATS.as_pointer()))
    vector.align = 4
    return vector


def _store(builder, vector, pointer):
    builder.store(vector, builder.bitcast(pointer, FLOATS.as_pointer())).align = 4


def _spread(builder, number):
    """A vector of one number."""
    vector = builder.insert_element(FLOATS(ir.Undefined), number, ir.IntType(32)(0))
    return builder.shuffle_vector(
        vector, FLOATS(ir.Undefined), ir.VectorType(ir.IntType(32), LANES)(None)
    )


def _sum(builder, factors, vectors):
    """The sum of vectors times constants; None where all of these are 0."""
    total = None
    for factor, vector in zip(factors, vectors, strict=True):
        if factor:
            scale = FLOATS([factor] * LANES)
            term = vector if factor == 1 else builder.fmul(vector, scale, flags=FUSED)
            total = builder.fadd(total, term, flags=FUSED) if total else term
    return total


def _linear(builder, matrix, vectors):
    """A matrix of constants times vectors.

    The points p and -p give pairs of rows or columns that differ in signs alone: their sums and
    differences are shared.
    """
    matrix, vectors = matrix.copy(), list(vectors)
    height, width = matrix.shape
    if height < width:
        for j in range(1, width - 1, 2):
            first, second = vectors[j : j + 2]
            vectors[j : j + 2] = builder.fadd(first, second), builder.fsub(first, second)
            matrix[:, j : j + 2] = matrix[:, j : j + 2] @ np.array([[0.5, 0.5], [0.5, -0.5]])
        return [_sum(builder, row, vectors) for row in matrix]
    results = [_sum(builder, matrix[0], vectors)]
    for first, second in zip(matrix[1:-1:2], matrix[2:-1:2], strict=True):
        alike = _sum(builder, (first + second) / 2, vectors)
        unlike = _sum(builder, (first - second) / 2, vectors)
        results += builder.fadd(alike, unlike), builder.fsub(alike, unlike)
    return [*results, _sum(builder, matrix[-1], vectors)]


def _activated(builder, vector, slope):
    """A leaky ReLU; NaN stays NaN."""
    active = builder.fcmp_ordered(">", vector, FLOATS([0.0] * LANES))
    return builder.select(active, vector, builder.fmul(vector, _spread(builder, slope)))


def _transform(matrix):
    """A kernel: output[to + i jump + k] = sum over j of matrix[i, j] source[at + j step + k].

    For k below `count`, a multiple of LANES.
    """

    @intrinsic
    def transform(_, source, at, step, output, to, jump, count):
        def emit(context, builder, signature, arguments):
            source, at, step, output, to, jump, count = arguments
            source = _at(context, builder, signature.args[0], source, at)
            output = _at(context, builder, signature.args[3], output, to)
            slices = cgutils.for_range_slice(builder, INT(0), count, INT(LANES), INT)
            with slices as (k, _):
                places = (_further(builder, source, step, j, k) for j in range(matrix.shape[1]))
                vectors = [_load(builder, place) for place in places]
                for i, vector in enumerate(_linear(builder, matrix, vectors)):
                    _store(builder, vector, _further(builder, output, jump, i, k))
            return context.get_dummy_value()

        return types.void(source, at, step, output, to, jump, count), emit

    return transform


_into, _out, _weigh = _transform(INTO), _transform(OUT), _transform(WEIGHTS)


@intrinsic
def _finish(_, source, at, bias, first, slope, output, to, jump):
    """`_out` of COLUMNS channels side by side, with a bias and a leaky ReLU behind it."""

    def emit(context, builder, signature, arguments):
        source, at, bias, first, slope, output, to, jump = arguments
        source = _at(context, builder, signature.args[0], source, at)
        bias = _at(context, builder, signature.args[2], bias, first)
        output = _at(context, builder, signature.args[5], output, to)
        for k in map(INT, range(0, COLUMNS, LANES)):
            places = (_further(builder, source, INT(COLUMNS), j, k) for j in range(AROUND))
            vectors = [_load(builder, place) for place in places]
            offset = _load(builder, builder.gep(bias, [k]))
            for i, vector in enumerate(_linear(builder, OUT, vectors)):
                value = _activated(builder, builder.fadd(vector, offset), slope)
                _store(builder, value, _further(builder, output, jump, i, k))
        return context.get_dummy_value()

    return types.void(source, at, bias, first, slope, output, to, jump), emit


@intrinsic
def _product(_, a, at, step, b, of, start, first, skip, slope, output, to, jump, depth):
    """output[to + i jump + k] = start[first + i skip + k]
    + sum over j of a[at + i step + j] b[of + j COLUMNS + k], through a leaky ReLU.

    For i below ROWS, j below `depth` and k below COLUMNS. A slope of None is no ReLU.
    """

    def emit(context, builder, signature, arguments):
        a, at, step, b, of, start, first, skip, slope, output, to, jump, depth = arguments
        a = _at(context, builder, signature.args[0], a, at)
        b = _at(context, builder, signature.args[3], b, of)
        start = _at(context, builder, signature.args[5], start, first)
        output = _at(context, builder, signature.args[9], output, to)
        slices = [INT(k) for k in range(0, COLUMNS, LANES)]
        sums = [[cgutils.alloca_once(builder, FLOATS) for _ in slices] for _ in range(ROWS)]
        for i, row in enumerate(sums):
            for k, total in zip(slices, row, strict=True):
                builder.store(_load(builder, _further(builder, start, skip, i, k)), total)
        with cgutils.for_range(builder, depth, intp=INT) as loop:
            right = [_load(builder, _further(builder, b, loop.index, COLUMNS, k)) for k in slices]
            for i, row in enumerate(sums):
                left = _spread(builder, builder.load(_further(builder, a, step, i, loop.index)))
                for total, vector in zip(row, right, strict=True):
                    term = builder.fmul(left, vector, flags=FUSED)
                    builder.store(builder.fadd(term, builder.load(total), flags=FUSED), total)
        for i, row in enumerate(sums):
            for k, total in zip(slices, row, strict=True):
                value = builder.load(total)
                if signature.args[8] != types.none:
                    value = _activated(builder, value, slope)
                _store(builder, value, _further(builder, output, jump, i, k))
        return context.get_dummy_value()

    return types.void(a, at, step, b, of, start, first, skip, slope, output, to, jump, depth), emit


@intrinsic
def _stencil(_, image, above, here, below, left, middle, right, kernel, of, bias, slope, output,
             to, count):  # fmt: skip
    """A pixel's depthwise 3x3 convolution, with a bias and a leaky ReLU behind it.

    output[to + k] from image[row + column + k] kernel[of + tap count + k], for the three rows,
    the three columns and k below `count`, a multiple of LANES.
    """

    def emit(context, builder, signature, arguments):
        image, above, here, below, left, middle, right = arguments[:7]
        kernel, of, bias, slope, output, to, count = arguments[7:]
        zero = INT(0)
        image = _at(context, builder, signature.args[0], image, zero)
        kernel = _at(context, builder, signature.args[7], kernel, of)
        bias = _at(context, builder, signature.args[9], bias, zero)
        output = _at(context, builder, signature.args[11], output, to)
        rows, columns = (above, here, below), (left, middle, right)
        places = [builder.add(row, column) for row in rows for column in columns]
        with cgutils.for_range_slice(builder, zero, count, INT(LANES), INT) as (k, _):
            total = _load(builder, builder.gep(bias, [k]))
            for tap, place in enumerate(places):
                pixel = _load(builder, builder.gep(image, [builder.add(place, k)]))
                weight = _load(builder, _further(builder, kernel, count, tap, k))
                term = builder.fmul(pixel, weight, flags=FUSED)
                total = builder.fadd(total, term, flags=FUSED)
            _store(builder, _activated(builder, total, slope), builder.gep(output, [k]))
        return context.get_dummy_value()

    return types.void(image, above, here, below, left, middle, right, kernel, of, bias, slope,
                      output, to, count), emit  # fmt: skip


@numba.jit(**INLINE)
def _take(image, top, left, dilation, pixels, half, domain, at, depth):
    """A tile into Winograd's domain: (8, 8, C) to domain[at + i depth ...], i below 64."""
    height, width, channels = image.shape
    flat, row = image.reshape(-1), AROUND * channels
    bottom, right = top + (AROUND - 1) * dilation, left + (AROUND - 1) * dilation
    if dilation == 1 and top >= 0 and left >= 0 and bottom < height and right < width:
        _into(flat, (top * width + left) * channels, width * channels, half, 0, row, row)
    else:
        for i in range(AROUND):
            for j in range(AROUND):
                y, x = top + i * dilation, left + j * dilation
                to = i * row + j * channels
                if 0 <= y < height and 0 <= x < width:
                    start = (y * width + x) * channels
                    pixels[to : to + channels] = flat[start : start + channels]
                else:
                    pixels[to : to + channels] = 0
        _into(pixels, 0, row, half, 0, row, row)
    for i in range(AROUND):
        _into(half, i * row, channels, domain, at + i * AROUND * depth, depth, channels)


@numba.jit(**INLINE)
def _give(domain, at, half, pixels, output, top, left, dilation, first, bias, slope):
    """A tile of COLUMNS channels out of Winograd's domain, into the output from `first` on."""
    height, width, channels = output.shape
    flat, row = output.reshape(-1), AROUND * COLUMNS
    count = min(COLUMNS, channels - first)
    _out(domain, at, row, half, 0, row, row)
    whole = dilation == 1 and left + TILE <= width and count == COLUMNS
    for i in range(TILE):
        y = top + i * dilation
        if y >= height:
            break
        start = (y * width + left) * channels + first
        if whole:
            _finish(half, i * row, bias, first, slope, flat, start, channels)
            continue
        _finish(half, i * row, bias, first, slope, pixels, 0, COLUMNS)
        for j in range(TILE):
            if left + j * dilation < width:
                to = start + j * dilation * channels
                flat[to : to + count] = pixels[j * COLUMNS : j * COLUMNS + count]


@numba.jit(**PARALLEL)
def weights_into_domain(weight, domain):
    """Weights into Winograd's domain.

    Args:
        weight: (D, C, 3, 3).
        domain: (8, 8, blocks, C, COLUMNS), filled; 0 from D on.
    """
    channels, depth = weight.shape[:2]
    target, row = domain.reshape(-1), 3 * COLUMNS
    step = domain.shape[2] * depth * COLUMNS
    for first in numba.prange(domain.shape[2]):
        taps, half = np.zeros(3 * row, np.float32), np.empty(AROUND * row, np.float32)
        for j in range(depth):
            for k in range(min(COLUMNS, channels - first * COLUMNS)):
                for tap in range(9):
                    value = weight[first * COLUMNS + k, j, tap // 3, tap % 3]
                    taps[tap * COLUMNS + k] = value
            _weigh(taps, 0, row, half, 0, row, row)
            at = (first * depth + j) * COLUMNS
            for i in range(AROUND):
                _weigh(half, i * row, COLUMNS, target, at + i * AROUND * step, step, COLUMNS)


@numba.jit(**PARALLEL)
def convolve(first, second, weights, bias, slope, dilation, output, workers, tiles):
    """3x3 convolution of two images side by side, padded with zeros; with bias and leaky ReLU.

    Args:
        first: (H, W, C), C a multiple of LANES.
        second: (H, W, C'), likewise; C' may be 0.
        weights: (64, blocks, C + C', COLUMNS): the output's channels in blocks, in the domain.
        bias: (blocks COLUMNS,).
        slope: Of the leaky ReLU; 1 for none.
        dilation: Pixels between two taps; n means n x n interleaved images.
        output: (H, W, D), filled; D at most blocks COLUMNS.
        workers: Threads.
        tiles: Of a worker at a time, a multiple of ROWS.
    """
    height, width = output.shape[:2]
    fore, depth = first.shape[2], weights.shape[2]
    tall = (height + TILE * dilation - 1) // (TILE * dilation)
    wide = (width + TILE * dilation - 1) // (TILE * dilation)
    total = dilation * dilation * tall * wide
    blocks, flat, zeros = weights.shape[1], weights.reshape(-1), np.zeros(COLUMNS, np.float32)
    step, jump = DOMAIN * depth + PADDING, DOMAIN * COLUMNS + PADDING
    for worker in numba.prange(workers):
        inside, outside = np.zeros(tiles * step, np.float32), np.empty(tiles * jump, np.float32)
        pixels = np.empty(DOMAIN * max(depth, COLUMNS), np.float32)
        half = np.empty(DOMAIN * max(depth, COLUMNS), np.float32)
        places = np.empty((tiles, 2), np.int64)
        for start in range(worker * tiles, total, workers * tiles):
            count = min(tiles, total - start)
            for i in range(count):
                phase, tile = (start + i) // (tall * wide), (start + i) % (tall * wide)
                places[i, 0] = phase // dilation + tile // wide * TILE * dilation
                places[i, 1] = phase % dilation + tile % wide * TILE * dilation
                top, left = places[i, 0] - dilation, places[i, 1] - dilation
                _take(first, top, left, dilation, pixels, half, inside, i * step, depth)
                if depth > fore:
                    _take(second, top, left, dilation, pixels, half, inside, i * step + fore, depth)
            for block in range(blocks):
                for i in range(DOMAIN):
                    of = (i * blocks + block) * depth * COLUMNS
                    for tile in range(0, count, ROWS):
                        _product(
                            inside, tile * step + i * depth, step, flat, of, zeros, 0, 0, None,
                            outside, tile * jump + i * COLUMNS, jump, depth,
                        )  # fmt: skip
                for i in range(count):
                    top, left = places[i]
                    _give(outside, i * jump, half, pixels, output, top, left, dilation,
                          block * COLUMNS, bias, slope)  # fmt: skip


@numba.jit(**PARALLEL)
def mix(pixels, weights, bias, onto, slope, output):
    """1x1 convolution with a leaky ReLU behind it.

    Args:
        pixels: (N, C).
        weights: (blocks, C, COLUMNS): the output's channels in blocks.
        bias: (blocks COLUMNS,).
        onto: Whether the result is added to what the output holds, before the ReLU.
        slope: Of the leaky ReLU; 1 for none.
        output: (N, D), filled; D at most blocks COLUMNS.
    """
    count, depth = pixels.shape
    blocks, channels = weights.shape[0], output.shape[1]
    source, flat, target = pixels.reshape(-1), weights.reshape(-1), output.reshape(-1)
    for chunk in numba.prange((count + CHUNK - 1) // CHUNK):
        sums = np.empty(ROWS * COLUMNS, np.float32)
        rows = np.zeros(ROWS * depth, np.float32)
        for block in range(blocks):
            first, of = block * COLUMNS, block * depth * COLUMNS
            wide = min(COLUMNS, channels - first)
            for row in range(chunk * CHUNK, min(count, (chunk + 1) * CHUNK), ROWS):
                at, to = row * depth, row * channels + first
                tall = min(ROWS, count - row)
                if tall == ROWS and wide == COLUMNS:
                    if onto:
                        _product(source, at, depth, flat, of, target, to, channels, slope,
                                 target, to, channels, depth)  # fmt: skip
                    else:
                        _product(source, at, depth, flat, of, bias, first, 0, slope,
                                 target, to, channels, depth)  # fmt: skip
                    continue
                rows[: tall * depth] = source[at : at + tall * depth]
                for i in range(ROWS):
                    for k in range(COLUMNS):
                        known = onto and i < tall and k < wide
                        sums[i * COLUMNS + k] = (
                            target[to + i * channels + k] if known else bias[first + k]
                        )
                _product(rows, 0, depth, flat, of, sums, 0, COLUMNS, slope,
                         sums, 0, COLUMNS, depth)  # fmt: skip
                for i in range(tall):
                    for k in range(wide):
                        target[to + i * channels + k] = sums[i * COLUMNS + k]


@numba.jit(**PARALLEL)
def enlarge(image, weights, bias, output):
    """Transposed 2x2 convolution of stride 2: each pixel becomes four.

    Args:
        image: (H, W, C), W at least ROWS.
        weights: (2, 2, blocks, C, COLUMNS): the output's channels in blocks.
        bias: (blocks COLUMNS,).
        output: (2 H, 2 W, blocks COLUMNS), filled.
    """
    height, width, depth = image.shape
    source, flat, target = image.reshape(-1), weights.reshape(-1), output.reshape(-1)
    blocks, channels = weights.shape[2], output.shape[2]
    for y in numba.prange(height):
        for part in range(4 * blocks):
            corner, first = part // blocks, part % blocks * COLUMNS
            start = ((2 * y + corner // 2) * 2 * width + corner % 2) * channels + first
            for column in range(0, width, ROWS):
                x = min(column, width - ROWS)  # the last ones overlap
                _product(
                    source, (y * width + x) * depth, depth, flat, part * depth * COLUMNS, bias,
                    first, 0, None, target, start + 2 * x * channels, 2 * channels, depth,
                )  # fmt: skip


@numba.jit(**PARALLEL)
def depthwise(image, kernels, bias, slope, output):
    """Depthwise 3x3 convolution with a bias and a leaky ReLU behind it.

    Args:
        image: (H, W, C), H and W at least 2, C a multiple of LANES.
        kernels: (3, 3, 9, C): the first row's, the others' and the last row's pixels have their
            own, and so have the columns; where a tap lies outside, it sees the nearest pixel.
        bias: (C,).
        slope: Of the leaky ReLU; 1 for none.
        output: (H, W, C), filled.
    """
    height, width, channels = image.shape
    source, flat, target = image.reshape(-1), kernels.reshape(-1), output.reshape(-1)
    row = width * channels
    for y in numba.prange(height):
        kind = 0 if y == 0 else 2 if y == height - 1 else 1
        above, here, below = max(y - 1, 0) * row, y * row, min(y + 1, height - 1) * row
        for x in range(width):
            side = 0 if x == 0 else 2 if x == width - 1 else 1
            left, right = max(x - 1, 0) * channels, min(x + 1, width - 1) * channels
            _stencil(
                source, above, here, below, left, x * channels, right, flat,
                (kind * 3 + side) * 9 * channels, bias, slope, target, here + x * channels,
                channels,
            )  # fmt: skip
