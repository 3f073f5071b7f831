"""Weights files and scores.json of any content end in a network or table, or in one UserError.

`FUZZ_CASES=5000 pytest tests/fuzz` tries as many of each; without it the same few are tried always.
"""

import contextlib
import io
import json
import os
import socket

import pytest
import torch
from fuzz.mutations import TENSORS, VALUES, damaged, mutated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enhancement.comparison import page, results, tables
from enhancement.comparison.costs import measure
from enhancement.errors import UserError
from enhancement.registry import ARCH_REGISTRY, lookup, registered
from enhancement.weights.networks import build_from_file

CASES = int(os.environ.get("FUZZ_CASES", "0"))
FUZZED = settings(
    max_examples=CASES or 60,
    deadline=None,
    derandomize=not CASES,
    database=None,
    suppress_health_check=list(HealthCheck),
)
TYPES = registered(ARCH_REGISTRY)
NETWORKS = [
    {"type": "LNetGIE", "width_multiplier": 0.5, "resolution_multiplier": 0.5},
    {"type": "HDRNet", "low_resolution": 64, "grid_depth": 4, "width_multiplier": 0.25},
    {"type": "DEDNet", "n_feat": 4, "num_blocks": [1, 1, 1]},
    {"type": "SwinIR", "embed_dim": 12, "depths": [1], "num_heads": [2], "window_size": 8},
    {"type": "SegmentationNet", "encoder": "resnet18", "encoder_weights": "pretrained"},
]
BEST = {"metric": "psnr", "value": 20.0, "protocol": "basicsr", "dataset": "d", "iteration": 1}
META = {"name": "x", "iteration": 1, "protocol": "basicsr", "best": {**BEST, "on_test_set": False}}
META |= {"frozen": {"segmentation": {"file": "w.pth", "sha256": "0"}}, "selected": "best"}
SCORES = {
    "protocol": "basicsr",
    "dataset": "d",
    "name": "x",
    "parameters": 14,
    "weights": "experiments/x/models/net_g_best.pth",
    "trained": {"name": "x"},
    "notes": ["n"],
    "images": [
        {"name": n, "output": {"psnr": 20.0, "ssim": 0.5}, "input": {"psnr": 8.0, "ssim": 0.1}}
        for n in ("a.png", "b.png")
    ],
}


@pytest.fixture
def confined(tmp_path, monkeypatch):
    """A folder to work in, offline; afterwards nothing else has been written below its parent."""

    def refused(*_):
        raise AssertionError("went online")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    yield work
    assert list(tmp_path.iterdir()) == [work]


def weights_of(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def read_weights_file(path, data):
    """A network, or one line."""
    path.write_bytes(data)
    with contextlib.suppress(UserError):
        assert isinstance(build_from_file(path)[0], torch.nn.Module)


@FUZZED
@given(data=st.data())
def test_described_networks(confined, data):
    """Files of no weights: what `network_g` says decides what is built."""
    network_g = data.draw(mutated(data.draw(st.sampled_from(NETWORKS)), types=TYPES))
    content = {"params": {"a": torch.zeros(1)}, "meta": {**META, "network_g": network_g}}
    read_weights_file(confined / "w.pth", weights_of(content))


@FUZZED
@given(data=st.data())
def test_state_dicts_and_metadata(confined, data):
    state = lookup(ARCH_REGISTRY, "LNetGIE")().state_dict()
    content = {"params": dict(state), "meta": {**META, "network_g": NETWORKS[0]}}
    content = data.draw(mutated(content, values=VALUES | TENSORS, types=TYPES))
    read_weights_file(confined / "w.pth", weights_of(content))


@FUZZED
@given(data=st.data())
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_damaged_files(confined, data, suffix):
    from enhancement.weights.tensor_files import pack

    state = lookup(ARCH_REGISTRY, "LNetGIE")().state_dict()
    content = {"params": state, "meta": {**META, "network_g": NETWORKS[0]}}
    whole = pack(content) if suffix == "safetensors" else weights_of(content)
    read_weights_file(confined / f"w.{suffix}", data.draw(damaged(whole)))


@FUZZED
@given(data=st.data())
def test_scores(confined, data):
    """A table, a page and costs; or one line."""
    network_g = data.draw(st.sampled_from(NETWORKS[:2]))
    content = data.draw(mutated({**SCORES, "network_g": network_g}, types=TYPES))
    text = json.dumps(content).encode()
    text = data.draw(damaged(text)) if data.draw(st.integers(0, 4)) == 0 else text
    (confined / results.SCORES_FILE).write_bytes(text)
    with contextlib.suppress(UserError):
        rows = results.collect([confined])
        measure(rows)
        tables.as_text(rows), tables.as_markdown(rows), tables.as_csv(rows)
        page.build_page(rows)
