"""Fused slicing of bilateral grids on the CPU, compiled by numba and cached on disk.

All kernels are in one file because numba's cache notices changes of the kernel's own file alone.

A pixel of grid cell (x, d) reads T0 + fx T1 + fd T2 + fx fd T3, where the four terms of 16 numbers
(a 3x4 transform, column by column, each column padded to 4) are made once a row by interpolation
along y. Columns of 4 are what the compiler packs into one register.

Grids here are (Y, X, D, 16) with Y, X, D >= 2, images are rows of interleaved RGB or planes, and
all arithmetic is in the type of the grid, float32 or float64.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core import config

from .compiling import Cache

# packs the columns of 4; slicing takes three times as long without
config.SLP_VECTORIZE = 1  # type: ignore[attr-defined]

# sums may be reordered, but NaN stays NaN: a training run must notice it
FAST = {"reassoc", "contract", "arcp", "nsz"}
INLINE: dict[str, Any] = {
    "nopython": True,
    "fastmath": FAST,
    "error_model": "numpy",
    "boundscheck": False,
    "nogil": True,
    "cache": Cache.used,
}
PARALLEL = {**INLINE, "parallel": True}
CHUNKS = 32  # rows are shared out in this many parts; results do not depend on the threads


@numba.jit(**INLINE)
def _position(index, cells, size, real):
    """Place of a pixel along an axis of the grid: the cell before it, and how far it is past it."""
    where = (real(index) + real(0.5)) * real(cells) / real(size) - real(0.5)
    where = min(max(where, real(0)), real(cells - 1))
    cell = min(np.int32(where), np.int32(cells - 2))
    return cell, where - real(cell)


@numba.jit(**INLINE)
def _columns(cells, cell, past, real):
    """`_position` of every pixel of a row."""
    for x in range(cell.size):
        cell[x], past[x] = _position(x, cells, cell.size, real)


@numba.jit(**INLINE)
def _terms(lines, terms):
    """The four terms of every cell (x, d), (X - 1, D - 1, 4, 16), from grid lines (X, D, 16)."""
    for x in range(terms.shape[0]):
        for d in range(terms.shape[1]):
            near, right = lines[x, d], lines[x + 1, d]
            deep, both = lines[x, d + 1], lines[x + 1, d + 1]
            t = terms[x, d]
            for k in range(16):
                t[0, k] = near[k]
                t[1, k] = right[k] - near[k]
                t[2, k] = deep[k] - near[k]
                t[3, k] = both[k] - right[k] - deep[k] + near[k]


@numba.jit(**INLINE)
def _blend(a, b, past, out):
    """out = a + past b, all of one size."""
    a, b, out = a.ravel(), b.ravel(), out.ravel()
    for i in range(out.size):
        out[i] = a[i] + past * b[i]


@numba.jit(**INLINE)
def _depth(guide, depth, cell, past, real):
    """Place of every pixel of a row along the guidance."""
    last = real(depth - 1)
    for x in range(guide.size):
        where = min(max(guide[x] * real(depth) - real(0.5), real(0)), last)
        d = min(max(np.int32(where), np.int32(0)), np.int32(depth - 2))  # NaN becomes any number
        cell[x] = d
        past[x] = where - real(d) if guide[x] == guide[x] else guide[x]


@numba.jit(**INLINE)
def _row_of(t, i, fx, fd, fxd, r, g, b):
    """Row i of the interpolated transform, applied to a colour."""
    return (
        (t[0, i] + fx * t[1, i] + fd * t[2, i] + fxd * t[3, i]) * r
        + (t[0, 4 + i] + fx * t[1, 4 + i] + fd * t[2, 4 + i] + fxd * t[3, 4 + i]) * g
        + (t[0, 8 + i] + fx * t[1, 8 + i] + fd * t[2, 8 + i] + fxd * t[3, 8 + i]) * b
        + (t[0, 12 + i] + fx * t[1, 12 + i] + fd * t[2, 12 + i] + fxd * t[3, 12 + i])
    )


@numba.jit(**INLINE)
def _apply_row(terms, x_cell, x_past, d_cell, d_past, colours, out):
    """Slice and apply one row: colours (3, W) of any strides to out (3 W + 1), interleaved.

    The four lanes are stored at once; the next pixel covers the fourth.
    """
    for x in range(x_cell.size):
        t = terms[x_cell[x], d_cell[x]]
        fx, fd = x_past[x], d_past[x]
        fxd = fx * fd
        r, g, b = colours[0, x], colours[1, x], colours[2, x]
        o0 = _row_of(t, 0, fx, fd, fxd, r, g, b)
        o1 = _row_of(t, 1, fx, fd, fxd, r, g, b)
        o2 = _row_of(t, 2, fx, fd, fxd, r, g, b)
        o3 = _row_of(t, 3, fx, fd, fxd, r, g, b)
        out[3 * x] = o0
        out[3 * x + 1] = o1
        out[3 * x + 2] = o2
        out[3 * x + 3] = o3


@numba.jit(**PARALLEL)
def slice_apply(grid, guide, image, out):
    """S = A[:, :3] I + A[:, 3], with A read from the grid at every pixel.

    Args:
        grid: (B, Y, X, D, 16).
        guide: (B, H, W).
        image: (B, 3, H, W).
        out: (B, 3, H, W), filled.
    """
    real = grid.dtype.type
    batch, _, height, width = image.shape
    rows, columns, depth = grid.shape[1:4]
    x_cell, x_past = np.empty(width, np.int32), np.empty(width, grid.dtype)
    _columns(columns, x_cell, x_past, real)
    for part in numba.prange(batch * CHUNKS):
        b, chunk = part // CHUNKS, part % CHUNKS
        shape = (columns - 1, depth - 1, 4, 16)
        first, step = np.empty(shape, grid.dtype), np.empty(shape, grid.dtype)
        terms = np.empty(shape, grid.dtype)
        d_cell, d_past = np.empty(width, np.int32), np.empty(width, grid.dtype)
        result = np.empty(3 * width + 1, grid.dtype)
        at = -1
        for y in range(chunk * height // CHUNKS, (chunk + 1) * height // CHUNKS):
            y_cell, y_past = _position(y, rows, height, real)
            if y_cell != at:
                _terms(grid[b, y_cell], first)
                _terms(grid[b, y_cell + 1] - grid[b, y_cell], step)
                at = y_cell
            _blend(first, step, y_past, terms)
            _depth(guide[b, y], depth, d_cell, d_past, real)
            _apply_row(terms, x_cell, x_past, d_cell, d_past, image[b, :, y], result)
            for x in range(width):
                out[b, 0, y, x] = result[3 * x]
                out[b, 1, y, x] = result[3 * x + 1]
                out[b, 2, y, x] = result[3 * x + 2]


@numba.jit(**INLINE)
def _add_column(sums, t, j, fx, fd, fxd, r, g, b, c):
    """Gradient of column j of the four terms at one pixel; the share of this column in the guide's
    and the colour's gradients."""
    k = 4 * j
    g0, g1, g2 = r * c, g * c, b * c
    sums[0, k] += g0
    sums[0, k + 1] += g1
    sums[0, k + 2] += g2
    sums[1, k] += fx * g0
    sums[1, k + 1] += fx * g1
    sums[1, k + 2] += fx * g2
    sums[2, k] += fd * g0
    sums[2, k + 1] += fd * g1
    sums[2, k + 2] += fd * g2
    sums[3, k] += fxd * g0
    sums[3, k + 1] += fxd * g1
    sums[3, k + 2] += fxd * g2
    deep = (
        (t[2, k] + fx * t[3, k]) * g0
        + (t[2, k + 1] + fx * t[3, k + 1]) * g1
        + (t[2, k + 2] + fx * t[3, k + 2]) * g2
    )
    colour = (
        (t[0, k] + fx * t[1, k] + fd * t[2, k] + fxd * t[3, k]) * r
        + (t[0, k + 1] + fx * t[1, k + 1] + fd * t[2, k + 1] + fxd * t[3, k + 1]) * g
        + (t[0, k + 2] + fx * t[1, k + 2] + fd * t[2, k + 2] + fxd * t[3, k + 2]) * b
    )
    return deep, colour


@numba.jit(**INLINE)
def _add_lines(sums, lines):
    """The gradient of grid lines (X, D, 16) from that of their terms; the transpose of `_terms`."""
    for x in range(sums.shape[0]):
        for d in range(sums.shape[1]):
            s = sums[x, d]
            for k in range(16):
                lines[x, d, k] += s[0, k] - s[1, k] - s[2, k] + s[3, k]
                lines[x + 1, d, k] += s[1, k] - s[3, k]
                lines[x, d + 1, k] += s[2, k] - s[3, k]
                lines[x + 1, d + 1, k] += s[3, k]


@numba.jit(**PARALLEL)
def slice_apply_backward(grid, guide, image, grad, grid_grad, guide_grad, image_grad):
    """Gradients of `slice_apply`.

    Args:
        grid, guide, image: As there.
        grad: (B, 3, H, W), of the result.
        grid_grad: (B, Y - 1, 2, X, D, 16) of zeros, filled: what each band of rows adds to the
            grid's rows before and after it.
        guide_grad, image_grad: Like guide and image, filled.
    """
    real = grid.dtype.type
    batch, _, height, width = image.shape
    rows, columns, depth = grid.shape[1:4]
    x_cell, x_past = np.empty(width, np.int32), np.empty(width, grid.dtype)
    _columns(columns, x_cell, x_past, real)
    for part in numba.prange(batch * (rows - 1)):
        b, band = part // (rows - 1), part % (rows - 1)
        shape = (columns - 1, depth - 1, 4, 16)
        first, step = np.empty(shape, grid.dtype), np.empty(shape, grid.dtype)
        terms, sums = np.empty(shape, grid.dtype), np.empty(shape, grid.dtype)
        plain, weighted = np.zeros(shape, grid.dtype), np.zeros(shape, grid.dtype)
        d_cell, d_past = np.empty(width, np.int32), np.empty(width, grid.dtype)
        _terms(grid[b, band], first)
        _terms(grid[b, band + 1] - grid[b, band], step)
        for y in range(height):
            y_cell, y_past = _position(y, rows, height, real)
            if y_cell != band:
                continue
            _blend(first, step, y_past, terms)
            _depth(guide[b, y], depth, d_cell, d_past, real)
            sums[:] = 0
            for x in range(width):
                t, s = terms[x_cell[x], d_cell[x]], sums[x_cell[x], d_cell[x]]
                fx, fd = x_past[x], d_past[x]
                fxd = fx * fd
                r, g, bl = grad[b, 0, y, x], grad[b, 1, y, x], grad[b, 2, y, x]
                deep = real(0)
                for j in range(3):
                    share, colour = _add_column(s, t, j, fx, fd, fxd, r, g, bl, image[b, j, y, x])
                    deep += share
                    image_grad[b, j, y, x] = colour
                share, _ = _add_column(s, t, 3, fx, fd, fxd, r, g, bl, real(1))
                where = guide[b, y, x] * real(depth) - real(0.5)
                inside = where > real(0) and where < real(depth - 1)
                guide_grad[b, y, x] = (deep + share) * real(depth) if inside else real(0)
            _blend(plain, sums, real(1), plain)
            _blend(weighted, sums, y_past, weighted)
        _add_lines(weighted, grid_grad[b, band, 1])
        _add_lines(plain - weighted, grid_grad[b, band, 0])


@numba.jit(**INLINE)
def _feature_row(colours, weights, feature):
    """One linear feature of the colours (3, W) of a row."""
    r, g, b, offset = weights[0], weights[1], weights[2], weights[3]
    for x in range(feature.size):
        feature[x] = r * colours[0, x] + g * colours[1, x] + b * colours[2, x] + offset


@numba.jit(**INLINE)
def _guide_row(colours, features, hinges, bias, feature, guide, real):
    """Guidance of a row before its activation: hinges on linear features of the colours, summed."""
    for x in range(guide.size):
        guide[x] = bias
    for f in range(features.shape[0]):
        _feature_row(colours, features[f], feature)
        count = hinges.shape[1]
        whole = count - count % 4
        for h in range(0, whole, 4):
            four = hinges[f, h : h + 4]
            s0, s1, s2, s3 = four[0, 0], four[1, 0], four[2, 0], four[3, 0]
            t0, t1, t2, t3 = four[0, 1], four[1, 1], four[2, 1], four[3, 1]
            for x in range(guide.size):
                u = feature[x]
                low = s0 * max(u - t0, real(0)) + s1 * max(u - t1, real(0))
                high = s2 * max(u - t2, real(0)) + s3 * max(u - t3, real(0))
                guide[x] += low + high
        for h in range(whole, count):
            s, t = hinges[f, h, 0], hinges[f, h, 1]
            for x in range(guide.size):
                guide[x] += s * max(feature[x] - t, real(0))


@numba.jit(**PARALLEL)
def hinge_guide(image, features, hinges, bias, out):
    """sum over f, n of slope max(w_f (r, g, b, 1) - place, 0), plus a bias.

    Args:
        image: (B, 3, H, W).
        features: (F, 4), the w_f.
        hinges: (F, N, 2), slope and place.
        bias: (1,).
        out: (B, H, W), filled.
    """
    batch, _, height, width = image.shape
    for part in numba.prange(batch * CHUNKS):
        b, chunk = part // CHUNKS, part % CHUNKS
        feature = np.empty(width, image.dtype)
        for y in range(chunk * height // CHUNKS, (chunk + 1) * height // CHUNKS):
            _guide_row(
                image[b, :, y], features, hinges, bias[0], feature, out[b, y], image.dtype.type
            )


@numba.jit(**PARALLEL)
def hinge_guide_backward(image, features, hinges, grad, features_grad, hinges_grad, image_grad):
    """Gradients of `hinge_guide`.

    Args:
        image, features, hinges: As there.
        grad: (B, H, W), of the result.
        features_grad, hinges_grad: Like features and hinges behind an axis of B * CHUNKS, zeros;
            filled with what every chunk of rows adds.
        image_grad: Like image, zeros, filled.
    """
    real = image.dtype.type
    batch, _, height, width = image.shape
    for part in numba.prange(batch * CHUNKS):
        b, chunk = part // CHUNKS, part % CHUNKS
        feature, slope = np.empty(width, image.dtype), np.empty(width, image.dtype)
        for y in range(chunk * height // CHUNKS, (chunk + 1) * height // CHUNKS):
            colours, given = image[b, :, y], grad[b, y]
            for f in range(features.shape[0]):
                _feature_row(colours, features[f], feature)
                slope[:] = 0
                for h in range(hinges.shape[1]):
                    s, t = hinges[f, h, 0], hinges[f, h, 1]
                    by_slope, past = real(0), real(0)
                    for x in range(width):
                        u = feature[x] - t
                        share = given[x] if u > real(0) else real(0)
                        by_slope += share * u
                        past += share
                        slope[x] += s * share
                    hinges_grad[part, f, h, 0] += by_slope
                    hinges_grad[part, f, h, 1] -= s * past
                for c in range(3):
                    total, weight = real(0), features[f, c]
                    for x in range(width):
                        total += slope[x] * colours[c, x]
                        image_grad[b, c, y, x] += slope[x] * weight
                    features_grad[part, f, c] += total
                features_grad[part, f, 3] += slope.sum()


@numba.jit(**PARALLEL)
def enhance_frame(
    frame, grid, features, hinges, bias, sigmoid, illumination, floor, levels, half, out
):
    """Guide, slice, apply and divide in one pass over a frame.

    Args:
        frame: (H, W, 3) of uint8, uint16 or float32.
        grid: (Y, X, D, 16), float32.
        features, hinges: As for `hinge_guide`.
        bias: A number.
        sigmoid: Whether the sum goes through a sigmoid; it is clamped to [0, 1] in any case.
        illumination: Whether the result is I / S rather than S.
        floor: The least illumination, for black pixels.
        levels: What 1.0 is in the frame: 255, 65535 or 1.
        half: 0.5 to round to whole levels, 0 for floats.
        out: Like the frame, filled.
    """
    real = np.float32
    height, width, _ = frame.shape
    rows, columns, depth = grid.shape[:3]
    x_cell, x_past = np.empty(width, np.int32), np.empty(width, np.float32)
    _columns(columns, x_cell, x_past, real)
    inverse = real(1) / real(levels)
    for chunk in numba.prange(CHUNKS):
        shape = (columns - 1, depth - 1, 4, 16)
        first, step = np.empty(shape, np.float32), np.empty(shape, np.float32)
        terms = np.empty(shape, np.float32)
        d_cell, d_past = np.empty(width, np.int32), np.empty(width, np.float32)
        guide, feature = np.empty(width, np.float32), np.empty(width, np.float32)
        colours, planes = np.empty(3 * width, np.float32), np.empty((3, width), np.float32)
        result = np.empty(3 * width + 1, np.float32)
        at = -1
        for y in range(chunk * height // CHUNKS, (chunk + 1) * height // CHUNKS):
            y_cell, y_past = _position(y, rows, height, real)
            if y_cell != at:
                _terms(grid[y_cell], first)
                _terms(grid[y_cell + 1] - grid[y_cell], step)
                at = y_cell
            _blend(first, step, y_past, terms)
            row, target = frame[y].ravel(), out[y].ravel()
            for i in range(row.size):
                colours[i] = real(row[i]) * inverse
            for x in range(width):
                r, g, b = colours[3 * x], colours[3 * x + 1], colours[3 * x + 2]
                planes[0, x], planes[1, x], planes[2, x] = r, g, b
            _guide_row(planes, features, hinges, bias, feature, guide, real)
            if sigmoid:
                for x in range(width):
                    guide[x] = real(1) / (real(1) + np.exp(-guide[x]))
            _depth(guide, depth, d_cell, d_past, real)
            _apply_row(terms, x_cell, x_past, d_cell, d_past, planes, result)
            if illumination:
                for i in range(target.size):
                    light = min(max(result[i], max(colours[i], floor)), real(1))
                    result[i] = colours[i] / light
            for i in range(target.size):
                value = min(max(result[i], real(0)), real(1))
                target[i] = value * levels + half


@numba.jit(**PARALLEL)
def shrink(frame, levels, out):
    """Bilinear, as `F.interpolate`: (H, W, 3) to float32 (3, h, w) in [0, 1]."""
    height, width, _ = frame.shape
    _, h, w = out.shape
    inverse = np.float32(1) / np.float32(levels)
    for y in numba.prange(h):
        top = max((y + 0.5) * height / h - 0.5, 0.0)
        y0 = int(top)
        y1, fy = min(y0 + 1, height - 1), np.float32(top - y0)
        for x in range(w):
            left = max((x + 0.5) * width / w - 0.5, 0.0)
            x0 = int(left)
            x1, fx = min(x0 + 1, width - 1), np.float32(left - x0)
            for c in range(3):
                a, b = np.float32(frame[y0, x0, c]), np.float32(frame[y0, x1, c])
                d, e = np.float32(frame[y1, x0, c]), np.float32(frame[y1, x1, c])
                upper, lower = a + fx * (b - a), d + fx * (e - d)
                out[c, y, x] = (upper + fy * (lower - upper)) * inverse
