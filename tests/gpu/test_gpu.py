"""What only a GPU can show. benchmarks/gpu.py takes these tests to a machine that has one."""

import copy
import gc
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers import ROOT, picture, run, run_until, weights
from networks import OURS, build, image, perturbed
from processes import free_port
from torch import nn

from enhancement.data.to_device import OnDevice
from enhancement.inference.frames import FrameEnhancer
from enhancement.inference.run import enhance, pad_for
from enhancement.inference.tiles import BoundedMemory

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
OF_PHASES = ("FECNet", "FLOL", "FourLLIE")  # devices agree only roughly: fourier_blocks.py
GPU, EXACT = {"num_gpu": 1}, {"optim_g": {"type": "SGD", "lr": 0.05, "betas": None}}


@pytest.fixture(autouse=True, scope="module")
def exact_arithmetic():
    """Full precision in matrix products and convolutions: TF32 differs by more than 1e-3."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False, deterministic=True):
        yield  # of matrix products it is PyTorch's default


@pytest.mark.parametrize("name", OURS)
def test_a_network_equals_its_cpu_output(name):
    network, x = perturbed(build(name)).eval(), image(96, 112)
    with torch.inference_mode():
        expected = enhance(network, x)
        found = enhance(network.cuda(), x.cuda())
    assert found.is_cuda
    differences = (found.cpu() - expected).abs()
    if name in OF_PHASES:
        assert differences.mean() < 1e-2
    else:
        assert differences.max() < 1e-3 * max(1, expected.abs().max())


@pytest.mark.parametrize("name", [name for name in OURS if name not in OF_PHASES])
def test_a_networks_gradients_equal_those_of_the_cpu(name):
    if not any(p.requires_grad for p in build(name).parameters()):
        pytest.skip(f"{name} has nothing to train")
    x, gradients = image(96, 112), []
    for device in ("cpu", "cuda"):
        network = perturbed(build(name)).to(device)
        network.eval()  # no dropped paths, and running statistics as they are
        given = x.to(device)
        output = network(pad_for(network, given))[..., : x.shape[-2], : x.shape[-1]]
        (output - 0.5).abs().mean().backward()
        gradients.append(
            torch.cat([p.grad.flatten().cpu() for p in network.parameters() if p.grad is not None])
        )
    one, other = gradients
    assert (one - other).norm() <= 1e-2 * one.norm()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_training_in_half_precision_stays_finite_and_resumes(tiny, precision):
    run("--opt", tiny(train={"total_iter": 4, "precision": precision}, **GPU))
    assert all(value.isfinite().all() for value in weights().values())
    more = ["train:total_iter=8"]
    assert run("--opt", "tiny.yml", "--auto_resume", "--extend", "--force_yml", *more) == 0


def test_a_resumed_run_equals_an_uninterrupted_one(tiny):
    path = tiny(train={"total_iter": 6}, **GPU)
    run("--opt", path, "--force_yml", "name=whole")
    run_until(path, "parts", 3)
    assert run("--opt", path, "--auto_resume", "--force_yml", "name=parts") == 0
    whole, parts = weights("whole"), weights("parts")
    for key, value in whole.items():
        assert torch.equal(parts[key], value)


def test_a_launcher_of_one_process_equals_none(tiny):
    """nccl starts, and broadcasts weights."""
    path = tiny(train={"total_iter": 4, **EXACT}, **GPU)
    run("--opt", path, "--force_yml", "name=alone")
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=1"]
    launch += [f"--master_port={free_port()}", str(ROOT / "basicsr/train.py")]
    launch += ["--launcher", "pytorch", "--opt", path, "--force_yml", "name=nccl"]
    exact = {**os.environ, "NVIDIA_TF32_OVERRIDE": "0"}
    done = subprocess.run(launch, capture_output=True, text=True, timeout=300, env=exact)
    assert done.returncode == 0, done.stderr
    alone, nccl = weights("alone"), weights("nccl")
    for key, value in alone.items():
        torch.testing.assert_close(nccl[key], value, atol=1e-5, rtol=0)


def test_nccl_averages_gradients_of_one_process(tmp_path):
    store = f"file://{tmp_path / 'store'}"
    torch.distributed.init_process_group("nccl", init_method=store, rank=0, world_size=1)
    try:
        plain, x = perturbed(build("HDRNet")).cuda(), image(96, 112).cuda()
        wrapped = nn.parallel.DistributedDataParallel(copy.deepcopy(plain), device_ids=[0])
        for network in (plain, wrapped):
            network(x).square().mean().backward()
        for one, other in zip(plain.parameters(), wrapped.parameters(), strict=True):
            torch.testing.assert_close(other.grad, one.grad, atol=1e-5, rtol=1e-3)
    finally:
        torch.distributed.destroy_process_group()


class Pinned(list):
    """Batches in memory that a GPU copies from while it computes."""

    num_workers = 1


def test_batches_that_are_copied_ahead_are_whole():
    pinned = Pinned({"lq": torch.full((4, 3, 512, 512), float(n)).pin_memory()} for n in range(4))
    seen = []
    for batch in OnDevice(pinned, torch.device("cuda")):
        torch.cuda._sleep(50_000_000)  # the device is busy while the next one is on its way
        seen.append(batch["lq"].mean())
    assert [value.item() for value in seen] == [0.0, 1.0, 2.0, 3.0]


def test_a_gpu_without_enough_memory_takes_tiles():
    gc.collect()
    network, x, sizes = build("RetinexFormer").eval().cuda(), image(768, 1024, batch=1).cuda(), []
    with torch.inference_mode():
        torch.cuda.reset_peak_memory_stats()
        expected = enhance(network, x)
        peak = torch.cuda.max_memory_allocated()
        torch.cuda.empty_cache()
        network.register_forward_pre_hook(lambda _, given: sizes.append(given[0].shape[-1]))
        share = 0.4 * peak / torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(share)
        try:
            found = BoundedMemory(network)(x)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
    assert sizes[-1] < x.shape[-1]
    mse = (found.clamp(0, 1) - expected.clamp(0, 1)).square().mean()
    assert -10 * mse.log10() > 40


def test_a_frame_equals_the_cpus():
    frame = picture(1, 240, 320)
    for name in ("HDRNet", "MobileIE"):
        network = perturbed(build(name)).eval()
        expected = FrameEnhancer(network)(frame).astype(int)
        found = FrameEnhancer(network.cuda())(frame)
        assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("how", [{"channels_last": True}, {"compile": True}], ids=str)
@pytest.mark.parametrize("network", ["HDRNet", "MobileIE", "RetinexFormer"])
def test_how_it_is_computed_does_not_change_what_is_learnt(tiny, network, how):
    small = {"type": network, **({"low_resolution": 64} if network == "HDRNet" else {})}
    options = {"network_g": small, **GPU}
    for name, more in (("plain", {}), ("other", how)):
        run("--opt", tiny(name=name, train={"total_iter": 4, **EXACT, **more}, **options))
    plain, other = weights("plain"), weights("other")
    for key, value in plain.items():
        torch.testing.assert_close(other[key], value, atol=2e-3, rtol=1e-2)
