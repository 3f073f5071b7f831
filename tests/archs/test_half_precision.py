"""Every network in bf16 and fp16, where it says that it can be computed so."""

import pytest
import torch
from networks import OURS, build, image

from enhancement.archs.darkir_arch import DilatedBranch
from enhancement.archs.parts.fourier_blocks import from_polar, half_spectrum
from enhancement.archs.snrnet_arch import HIDDEN_MASK, Attention
from enhancement.inference.run import autocast, enhance
from enhancement.registry import ARCH_REGISTRY, lookup

ON_A_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = [
    pytest.param("cpu", marks=pytest.mark.slow),
    pytest.param("cuda", marks=[pytest.mark.gpu, ON_A_GPU]),
]


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("device", DEVICES)
def test_half_precision_comes_near(name, precision, device):
    if precision == "fp16" and not lookup(ARCH_REGISTRY, name).fp16:
        pytest.skip(f"{name} overflows in fp16, and says so")
    network, x = build(name).eval().to(device), image(48, 56).to(device)
    with torch.inference_mode():
        expected = enhance(network, x)
        with autocast(x.device, precision):
            found = enhance(network, x).float()
    assert found.isfinite().all()
    assert (found.clamp(0, 1) - expected.clamp(0, 1)).abs().mean() < 0.03


def test_spectra_of_half_precision_are_computed_in_full():
    x = torch.rand(1, 2, 6, 8).bfloat16()
    spectrum = half_spectrum(x)
    assert spectrum.dtype == torch.complex64
    again = from_polar(spectrum.abs().bfloat16(), spectrum.angle().bfloat16())
    assert again.dtype == torch.complex64
    torch.testing.assert_close(again, spectrum, atol=0.3, rtol=0.05)
    assert half_spectrum(x.double()).dtype == torch.complex128


def test_patches_that_are_all_hidden_are_attended_to_alike_in_fp16():
    """SNR-Net hides patches by -1e9, which fp16 has not; in a dark image it hides all of them."""
    torch.manual_seed(0)
    attention, x = Attention(64), torch.randn(1, 16, 64)
    hidden = torch.full((1, 1, 1, 16), HIDDEN_MASK)
    with torch.inference_mode():
        expected = attention(x, hidden) - x
        with autocast(x.device, "fp16"):
            found = attention(x, hidden).float() - x
    assert (found - expected).norm() < 0.02 * expected.norm()


def test_dilated_convolutions_have_their_gradients_in_bf16():
    """PyTorch's own are wrong on a CPU where the memory is channels last."""
    branch = DilatedBranch(64, 4)
    x = torch.randn(1, 64, 64, 64).contiguous(memory_format=torch.channels_last)
    gradients = []
    for precision in ("fp32", "bf16"):
        with autocast(x.device, precision):
            given = x.bfloat16() if precision == "bf16" else x
            loss = branch(given).float().square().mean()
        gradients += torch.autograd.grad(loss, branch.branch[0].weight)
    exact, low = gradients
    assert (low - exact).norm() < 0.1 * exact.norm()
