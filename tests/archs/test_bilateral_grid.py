"""The fused kernels against grid_sample: values, gradients, edges."""

from unittest import mock

import pytest
import torch

from enhancement.archs.bilateral import slicing
from enhancement.archs.bilateral.slicing import (
    apply_affine,
    hinge_guide,
    slice_and_apply,
    slice_grid,
)


def inputs(batch=2, cells=(4, 3, 5), size=(9, 11), dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.rand(*shape, dtype=dtype, generator=generator)

    guide = random(batch, 1, *size)
    guide[0, 0, :3, 0] = torch.tensor([0.0, 1.0, 0.5])
    return [
        t.requires_grad_()
        for t in (random(batch, 12, *cells) - 0.5, guide, random(batch, 3, *size))
    ]


def hinges(features=3, per_feature=6, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    shapes = ((features, 4), (features, per_feature, 2), (1,))
    return [torch.randn(s, dtype=dtype, generator=generator).requires_grad_() for s in shapes]


def by_tensors(function, *arguments):
    with mock.patch.object(slicing, "can_fuse", return_value=False):
        return function(*arguments)


@pytest.mark.parametrize(
    ("cells", "size"), [((8, 16, 16), (37, 53)), ((1, 1, 1), (5, 7)), ((2, 3, 1), (40, 1))]
)
def test_fused_slicing_equals_grid_sample(cells, size):
    tensors = inputs(cells=cells, size=size, dtype=torch.float32)
    fused, expected = slice_and_apply(*tensors), by_tensors(slice_and_apply, *tensors)
    torch.testing.assert_close(fused, expected, atol=1e-5, rtol=0)
    weights = torch.rand_like(fused)
    for ours, theirs in zip(
        torch.autograd.grad(fused, tensors, weights),
        torch.autograd.grad(expected, tensors, weights),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_the_reference_is_the_two_operators():
    grid, guide, image = inputs()
    expected = apply_affine(slice_grid(grid, guide), image)
    torch.testing.assert_close(by_tensors(slice_and_apply, grid, guide, image), expected)


def test_gradients_of_slicing():
    assert torch.autograd.gradcheck(slice_and_apply, inputs(cells=(2, 3, 2), size=(5, 6)))


def test_gradients_of_the_guide():
    image = inputs(size=(4, 5))[2]
    assert torch.autograd.gradcheck(hinge_guide, (image, *hinges(2, 5)))


def test_fused_guide_equals_tensor_operators():
    image = inputs(size=(37, 53), dtype=torch.float32)[2]
    arguments = [image, *hinges(16, 1, torch.float32)]
    fused, expected = hinge_guide(*arguments), by_tensors(hinge_guide, *arguments)
    torch.testing.assert_close(fused, expected, atol=1e-5, rtol=1e-5)
    for ours, theirs in zip(
        torch.autograd.grad(fused.square().sum(), arguments),
        torch.autograd.grad(expected.square().sum(), arguments),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-4)


def test_strided_and_half_precision_inputs():
    grid, guide, image = (t.detach() for t in inputs(size=(12, 10), dtype=torch.float32))
    expected = slice_and_apply(grid, guide, image)
    last = image.to(memory_format=torch.channels_last)
    torch.testing.assert_close(slice_and_apply(grid, guide, last), expected)
    half = slice_and_apply(grid.bfloat16(), guide.bfloat16(), image.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, atol=0.05, rtol=0.05)


def test_results_do_not_depend_on_the_number_of_threads():
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            tensors = inputs(size=(40, 30), dtype=torch.float32)
            gradients = torch.autograd.grad(slice_and_apply(*tensors).sum(), tensors)
            image = tensors[2]
            guide = hinges(dtype=torch.float32)
            gradients += torch.autograd.grad(hinge_guide(image, *guide).sum(), (image, *guide))
            found.append(gradients)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_not_a_number_stays_one_and_touches_nothing_else():
    grid, guide, image = inputs(dtype=torch.float32)
    guide.data[0, 0, 2, 3] = torch.nan
    image.data[1, 0, 4, 5] = torch.nan
    out = slice_and_apply(grid, guide, image)
    expected = torch.zeros(out.shape, dtype=torch.bool)
    expected[0, :, 2, 3] = expected[1, :, 4, 5] = True
    assert torch.equal(out.isnan(), expected)
    out.sum().backward()
    assert grid.grad.isnan().any()
    arguments = hinges(dtype=torch.float32)
    assert hinge_guide(image, *arguments)[1, 0, 4, 5].isnan()


def test_kernels_leave_pytorchs_threads_alone():
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)  # more than numba may have
        slice_and_apply(*inputs())
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


@pytest.mark.filterwarnings("ignore:`torch.jit.trace` is deprecated")
def test_a_traced_graph_holds_no_kernel():
    tensors = [t.detach() for t in inputs(dtype=torch.float32)]
    traced = torch.jit.trace(slice_and_apply, tensors)
    torch.testing.assert_close(traced(*tensors), slice_and_apply(*tensors), atol=1e-5, rtol=0)
    assert "grid_sampler" in str(traced.inlined_graph)
