"""Memory: of the process, and what a container leaves."""

import pytest
import torch
from helpers import memory_in_use

from enhancement import memory
from enhancement.memory import free_in_container, free_memory, used_memory

MIB = 1 << 20


def tree(root, files):
    """Stand-in files of control groups."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{content}\n")
    return root


V2 = {"memory.max": 800 * MIB, "memory.current": 300 * MIB}
V1 = {
    "memory/memory.limit_in_bytes": 800 * MIB,
    "memory/memory.usage_in_bytes": 300 * MIB,
}


@pytest.mark.parametrize(
    ("files", "free"),
    [
        (V2, 500),
        (V1, 500),
        (V2 | {"memory.stat": f"anon 5\ninactive_file {40 * MIB}"}, 540),
        (V1 | {"memory/memory.stat": f"cache 5\ntotal_inactive_file {40 * MIB}"}, 540),
        (V2 | {"memory.current": 900 * MIB}, 0),
    ],
)
def test_a_containers_limit_leaves_what_is_not_used(tmp_path, files, free):
    assert free_in_container(tree(tmp_path, files), tmp_path / "none") == free * MIB


@pytest.mark.parametrize("files", [{}, V2 | {"memory.max": "max"}, {"memory.max": "5"}])
def test_there_may_be_no_limit(tmp_path, files):
    assert free_in_container(tree(tmp_path, files), tmp_path / "none") is None


def group(place, limit, used, version):
    """The files of one group."""
    names = {
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        2: ("memory.max", "memory.current"),
    }
    return dict(zip((f"{place}/{name}" for name in names[version]), (limit, used), strict=True))


@pytest.mark.parametrize(
    ("listed", "files", "free"),
    [
        (
            "0::/user.slice/run.scope",
            group("user.slice", 900 * MIB, 200 * MIB, 2)
            | group("user.slice/run.scope", "max", 100 * MIB, 2),
            700,
        ),
        (
            "4:memory:/docker/ab\n0::/",
            group("memory", 2**63 - 4096, 900 * MIB, 1)
            | group("memory/docker/ab", 512 * MIB, 12 * MIB, 1),
            500,
        ),
        ("5:cpu,memory:/elsewhere\n0::/", group("memory", 64 * MIB, 4 * MIB, 1), 60),
        ("0::/a/b", group("unified/a", 64 * MIB, 80 * MIB, 2), 0),
    ],
)
def test_the_groups_of_this_process_count_and_those_above(tmp_path, listed, files, free):
    tree(tmp_path, files | {"membership": listed})
    assert free_in_container(tmp_path, tmp_path / "membership") == free * MIB


def test_the_smaller_one_counts(tmp_path, monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr(memory, "free_in_container", lambda: None)
    whole = free_memory(cpu)
    monkeypatch.setattr(memory, "free_in_container", lambda: 5 * MIB)
    assert free_memory(cpu) == 5 * MIB
    monkeypatch.setattr(memory, "free_in_container", lambda: 1 << 60)
    assert free_memory(cpu) == pytest.approx(whole, rel=0.5)


def test_what_the_process_holds_grows_with_it():
    before = memory_in_use()
    held = torch.ones(64 * MIB // 4)
    assert used_memory() - before > 50 * MIB
    del held
