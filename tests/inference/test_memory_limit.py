"""`--max_memory` on a CPU: files are admitted by their headers, one after the other."""

from pathlib import Path

import pytest
import torch
from helpers import memory_in_use, picture

from enhancement.archs.bilateral import launch, slicing
from enhancement.data.images import write_image
from enhancement.errors import UserError
from enhancement.inference import frames, pictures
from enhancement.inference.frames import FrameEnhancer
from enhancement.inference.image_files import enhance_images
from enhancement.inference.jobs import Job
from enhancement.inference.memory_limit import MemoryLimit
from enhancement.registry import ARCH_REGISTRY, lookup

MIB = 1 << 20


def enhancer(limit, name="LNetGIE"):
    torch.manual_seed(0)
    return FrameEnhancer(lookup(ARCH_REGISTRY, name)(), max_memory=limit)


def test_too_large_an_image_is_refused_before_decoding(in_tmp, monkeypatch):
    write_image("large.png", picture(0, 1500, 2000))
    write_image("small.png", picture(1))
    decoded = []
    decode = pictures.decode_pixels
    monkeypatch.setattr(
        pictures, "decode_pixels", lambda *given: decoded.append(1) or decode(*given)
    )
    made = enhancer(memory_in_use() + 150 * MIB)
    jobs = [Job(Path(name), Path("out") / name) for name in ("large.png", "small.png")]
    faults = enhance_images(jobs, made, limit=MemoryLimit(made))
    assert len(faults) == 1
    assert faults[0].startswith("large.png: 2000x1500 pixels: needs about ")
    assert "but --max_memory is " in faults[0]
    assert len(decoded) == 1
    assert Path("out/small.png").exists()


def test_what_passes_alone_passes_among_others(in_tmp):
    for i in range(4):
        write_image(f"{i}.png", picture(i, 1000, 1000))
    made = enhancer(memory_in_use() + 250 * MIB)
    jobs = [Job(Path(f"{i}.png"), Path(f"out/{i}.png")) for i in range(4)]
    assert enhance_images(jobs, made, batch=4, limit=MemoryLimit(made)) == []


def test_less_than_the_network_holds_is_refused():
    for name in ("LNetGIE", "HDRNet"):
        with pytest.raises(UserError, match=r"needs .* but --max_memory is 50\.0 MB"):
            MemoryLimit(enhancer(50 * MIB, name))


@pytest.mark.parametrize("name", ["HDRNet", "HDRNetUNet"])
def test_kernels_are_refused_before_they_are_compiled(monkeypatch, name):
    def compiled(*_):
        raise AssertionError("compiled")

    made = enhancer(memory_in_use() + 100 * MIB, name)
    monkeypatch.setattr(launch._Process, "used", False)
    for module in (frames, slicing):
        monkeypatch.setattr(module, "run_kernel", compiled)
    with pytest.raises(UserError, match="the network with its compiled kernels: needs about"):
        MemoryLimit(made)
