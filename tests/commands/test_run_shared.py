"""`enhance run` in several processes: files shared out, resumed by another number, summed up."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import make_clip, picture

from enhancement.data.images import write_image
from enhancement.distributed import Place
from enhancement.inference.jobs import Job
from enhancement.inference.sharing import Part, Parts, share, worth_converting
from enhancement.registry import ARCH_REGISTRY, lookup
from enhancement.weights import storage

IMAGES = 7


@pytest.fixture
def folder(in_tmp):
    """Small pictures of several sizes, and a network's weights beside them."""
    torch.manual_seed(0)
    network = lookup(ARCH_REGISTRY, "LNetGIE")()
    content = {"params": network.state_dict(), "meta": {"network_g": {"type": "LNetGIE"}}}
    storage.save(in_tmp / "w.pth", content)
    for i in range(IMAGES):
        write_image(in_tmp / f"in/{i % 2}/{i}.png", picture(i, height=30 + 8 * (i % 3)))
    return in_tmp


@pytest.fixture
def process(folder, enhance, monkeypatch):
    """Run one of several processes, as a launcher would start it."""

    def run(rank, world_size, *arguments, launcher="pytorch"):
        names = {
            "pytorch": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
            "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
        }[launcher]
        for name, value in zip(names, (rank, world_size, rank), strict=True):
            monkeypatch.setenv(name, str(value))
        flags = "--weights", "w.pth", "--launcher", launcher
        return enhance("run", "in", "-o", "out", *flags, *arguments)

    return run


def outputs(folder):
    return {p.relative_to(folder): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


@pytest.mark.parametrize("world_size", [1, 2, 3, 10])
def test_each_file_goes_to_one_process(world_size):
    jobs = [Job(Path(name), Path("out", name)) for name in ("a.png", "b.mp4", "c.png", "d.mkv")]
    shares = [share(jobs, Place(rank, world_size)) for rank in range(world_size)]
    assert sorted(job.source.name for part in shares for job in part) == [
        job.source.name for job in jobs
    ]
    if world_size == 2:  # a video each
        assert [sum(job.is_video for job in part) for part in shares] == [1, 1]


@pytest.mark.parametrize("launcher", ["pytorch", "slurm"])
def test_all_together_do_what_one_does_and_the_last_sums_up(process, enhance, launcher):
    assert enhance("run", "in", "-o", "one", "--weights", "w.pth")[0] == 0
    for rank, own in enumerate((3, 2, 2)):
        status, out, err = process(rank, 3, launcher=launcher)
        lines = out.splitlines()
        assert (status, err) == (0, "")
        assert lines[0].startswith(f"{own} of {own} files in ")
        assert f", rank {rank} of 3" in lines[0]
        assert ("All processes:" in lines) == (rank == 2)
    assert lines[-1].startswith(f"{IMAGES} of {IMAGES} files in ")
    assert "PyTorch in 3 processes: out" in lines[-1]
    assert outputs("one") == outputs("out")  # and no other files


def test_the_last_one_tells_of_all_faults_and_has_the_status(process, folder):
    (folder / "in/0/0.png").write_bytes(b"no image")
    (folder / "in/x.nef").write_bytes(b"raw")
    status, _, err = process(0, 2)
    assert status == 0  # with another a launcher would end the others
    assert "0.png: cannot be read" in err
    status, out, err = process(1, 2)
    assert status == 1
    assert f"{IMAGES - 1} of {IMAGES + 1} files in " in out
    assert "2 could not be enhanced:" in err
    assert "0.png: cannot be read" in err
    assert "x.nef: is a camera's raw file" in err


def test_after_a_death_another_number_of_processes_does_the_rest(process, folder, enhance):
    assert enhance("run", "in", "-o", "one", "--weights", "w.pth")[0] == 0
    assert process(0, 3)[0] == 0
    assert "All processes:" not in process(2, 3)[1]  # 1 has died, over a file half written
    (folder / "out/0/.4.png.1234.tmp.png").write_bytes(b"half")
    before = {path: Path("out", path).stat().st_mtime_ns for path in outputs("out")}
    for rank in range(2):
        status, out, _ = process(rank, 2, "--resume")
        assert status == 0
    assert f"2 of {IMAGES} files in " in out
    assert "5 there already" in out
    made = outputs("out")
    assert {path: made[path] for path in outputs("one")} == outputs("one")
    finished = [path for path in before if not path.name.startswith(".")]
    assert len(finished) == 5
    assert all(Path("out", path).stat().st_mtime_ns == before[path] for path in finished)


def test_a_rank_without_files_has_nothing_to_do(process):
    assert "0 of 0 files" in process(8, 9)[1]


@pytest.mark.parametrize(
    ("given", "out", "said"),
    [
        ("in/0/0.png", "-", "stands for one image; run it in one process"),
        ("0", "camera.mp4", "camera 0: only one process can read a camera"),
    ],
)
def test_what_is_for_one_process_alone(process, enhance, given, out, said):
    process(0, 2)
    flags = "--weights", "w.pth", "--launcher", "pytorch"
    status, _, err = enhance("run", given, "-o", out, *flags)
    assert status == 2
    assert said in err


def test_one_of_two_that_finish_at_once_sums_up(in_tmp):
    both = [Parts(in_tmp, Place(rank, 2)) for rank in range(2)]
    for parts in both:
        parts.leave(Part(1, 1, 0, 2.0, "PyTorch"))
    found = [parts.sum() for parts in both]
    assert found == [Part(2, 2, 0, 2.0, "PyTorch"), None]
    assert not list(in_tmp.iterdir())


def test_whether_to_convert_depends_on_all_files_together(in_tmp):
    def jobs(*names):
        return [Job(Path(name), Path("out", name)) for name in names]

    for i in range(4):
        write_image(in_tmp / f"{i}.png", np.zeros((128, 128, 3), np.uint8))
    (in_tmp / "bad.png").write_bytes(b"no image")
    names = [f"{i}.png" for i in range(4)]
    assert worth_converting(jobs("bad.png", *names))
    assert not worth_converting(jobs("bad.png", *names[1:]))
    make_clip(in_tmp / "c.mp4", [picture(0)] * 16)
    assert not worth_converting(jobs("c.mp4"))  # 16 x 64 x 48
    assert worth_converting(jobs("c.mp4", "0.png"))


@pytest.mark.slow
def test_torchrun_is_recognised(folder, enhance):
    assert enhance("run", "in", "-o", "one", "--weights", "w.pth")[0] == 0
    launch = "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"
    command = sys.executable, *launch, "-m", "enhancement", "run", "in", "-o", "out"
    done = subprocess.run(
        [*command, "--weights", folder / "w.pth"], capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("All processes:") == 1
    assert f"{IMAGES} of {IMAGES} files in " in done.stdout
    assert outputs("one") == outputs("out")
