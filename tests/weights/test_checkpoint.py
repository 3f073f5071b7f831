"""Files of weights: whole or not at all, read without running code."""

import contextlib
import os
import pickle

import pytest
import safetensors.torch
import torch

from enhancement import randomness
from enhancement.errors import UserError
from enhancement.registry import ARCH_REGISTRY, lookup
from enhancement.weights import networks, state_dicts, storage


def network():
    return lookup(ARCH_REGISTRY, "LNetGIE")()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"params": s},
        lambda s: {"params": {}, "params_ema": s},
        lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}, "epoch": 3},
    ],
)
def test_published_wrappings_are_understood(tmp_path, wrap):
    source, target = network(), network()
    source.e_conv1.weight.data.fill_(0.7)
    torch.save(wrap(source.state_dict()), tmp_path / "w.pth")
    state_dicts.load_weights(target, tmp_path / "w.pth")
    assert torch.equal(target.e_conv1.weight, source.e_conv1.weight)


def test_a_key_can_be_asked_for(tmp_path):
    torch.save(
        {"params": {"a": torch.ones(1)}, "params_ema": {"a": torch.zeros(1)}}, tmp_path / "w.pth"
    )
    assert state_dicts.read_weights(tmp_path / "w.pth")[0]["a"] == 0
    assert state_dicts.read_weights(tmp_path / "w.pth", "params")[0]["a"] == 1
    with pytest.raises(UserError, match="has no entry 'weights'; it has: params, params_ema"):
        state_dicts.read_weights(tmp_path / "w.pth", "weights")


class TestSafetensors:
    CONTENT = {
        "params": {"a.b": torch.arange(6.0).view(2, 3).t(), "n": torch.tensor(3)},
        "params_ema": {"a.b": torch.ones(3, 2), "n": torch.tensor(3)},
        "meta": {"network_g": {"type": "HDRNet", "grid_depth": 4}, "best": None},
    }

    def test_weights_and_meta_come_back(self, tmp_path):
        path = tmp_path / "w.safetensors"
        storage.save(path, self.CONTENT)
        for key in ("params", "params_ema", None):
            state, meta = state_dicts.read_weights(path, key)
            expected = self.CONTENT[key or "params_ema"]
            assert state.keys() == expected.keys()
            assert all(torch.equal(state[k], expected[k]) for k in expected)
            assert meta == self.CONTENT["meta"]
        with pytest.raises(UserError, match="has no entry 'x'; it has: meta, params, params_ema"):
            state_dicts.read_weights(path, "x")

    def test_a_network_is_rebuilt_from_it(self, tmp_path):
        source = network()
        content = {"params": source.state_dict(), "meta": {"network_g": {"type": "LNetGIE"}}}
        storage.save(tmp_path / "w.safetensors", content)
        rebuilt, _ = networks.build_from_file(tmp_path / "w.safetensors")
        assert torch.equal(rebuilt.e_conv1.weight, source.e_conv1.weight)

    def test_others_files_hold_a_bare_state_dict(self, tmp_path):
        path, state = tmp_path / "w.safetensors", network().state_dict()
        safetensors.torch.save_file(state, path, {"format": "pt"})
        assert state_dicts.load_weights(network(), path) == {}

    def test_a_damaged_one_is_one_line(self, tmp_path):
        path = tmp_path / "w.safetensors"
        storage.save(path, self.CONTENT)
        path.write_bytes(path.read_bytes()[:-3])
        with pytest.raises(UserError, match=r"w\.safetensors: is damaged: its checksum"):
            state_dicts.read_weights(path)
        (tmp_path / storage.CHECKSUMS).unlink()
        with pytest.raises(UserError, match=r"w\.safetensors: cannot be read as weights \(.*\)$"):
            state_dicts.read_weights(path)
        with pytest.raises(UserError, match=r"x\.safetensors: no such file"):
            state_dicts.read_weights(tmp_path / "x.safetensors")

    def test_a_failed_save_keeps_the_file_before(self, tmp_path, monkeypatch):
        path = tmp_path / "w.safetensors"
        storage.save(path, self.CONTENT)

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match="No space left"):
            storage.save(path, {"params": {}})
        assert state_dicts.read_weights(path)[0]
        assert sorted(p.name for p in tmp_path.iterdir()) == [storage.CHECKSUMS, path.name]


class Evil:
    def __reduce__(self):
        return (open, ("made", "w"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_code_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pth").write_bytes(pickle.dumps({"a": Evil()}))
    torch.save({"a": Evil()}, "v.pth")
    for name, named in (("w.pth", ""), ("v.pth", r" \(it names io\.open\)")):
        with pytest.raises(UserError, match=rf"^{name}: .* is no weights file{named}$"):
            storage.read(name)
    assert not (tmp_path / "made").exists()


def test_other_content_is_named(tmp_path):
    torch.save([1], tmp_path / "list.pth")
    with pytest.raises(UserError, match="expected a dictionary of tensors, got list"):
        storage.read(tmp_path / "list.pth")
    torch.save({"epoch": 3}, tmp_path / "e.pth")
    with pytest.raises(UserError, match="expected tensors by name; it has: epoch"):
        state_dicts.read_weights(tmp_path / "e.pth")


def test_mismatches_are_counted():
    state = network().state_dict()
    state["e_conv1.bias"] = torch.zeros(2)
    state["extra"] = state.pop("e_conv2.weight")
    faults = state_dicts.mismatches(network(), state)
    assert faults == [
        "lacks 1 of the network's entries (e_conv2.weight)",
        "has 1 unknown entries (extra)",
        "e_conv1.bias has shape (2,), expected (1,)",
    ]
    assert state_dicts.mismatches(network(), state, strict=False) == faults[2:]


def test_a_tensors_name_stays_on_its_line():
    state = {**network().state_dict(), "\x1b[31mred\nerror: forged": torch.zeros(1)}
    (fault,) = state_dicts.mismatches(network(), state)
    assert fault == "has 1 unknown entries (\\x1b[31mred\\nerror: forged)"


def test_a_failed_save_says_so_and_keeps_the_file_before(tmp_path, monkeypatch):
    path = tmp_path / "w.pth"
    storage.save(path, {"a": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"w\.pth: cannot be written .*No space left.* is whole"):
        storage.save(path, {"a": 2})
    assert storage.read(path) == {"a": 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == [storage.CHECKSUMS, "w.pth"]


def test_a_changed_file_is_damaged_and_the_one_before_can_be_kept(tmp_path):
    path, before = tmp_path / "w.pth", tmp_path / "before.pth"
    for value in (1, 2, 3):
        storage.save(path, {"a": value}, previous=before)
    assert storage.read(path) == {"a": 3}
    assert storage.read(before) == {"a": 2}
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"w\.pth: is damaged: its checksum is not the one in"):
        storage.read(path)
    assert storage.read(before) == {"a": 2}


def test_saves_that_fail_again_and_again_leave_both_files_known(tmp_path, monkeypatch):
    path, before = tmp_path / "w.pth", tmp_path / "before.pth"
    for value in (1, 2):
        storage.save(path, {"a": value}, previous=before)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "keep_as", full)
    for value in (3, 4, 5):
        with pytest.raises(UserError, match="No space left"):
            storage.save(path, {"a": value}, previous=before)
    assert storage.read(path) == {"a": 2}
    assert storage.read(before) == {"a": 1}
    monkeypatch.undo()
    storage.save(path, {"a": 6}, previous=before)
    assert storage.read(before) == {"a": 2}


def test_a_damaged_file_does_not_take_the_place_of_the_one_before(tmp_path):
    path, before = tmp_path / "w.pth", tmp_path / "before.pth"
    for value in (1, 2):
        storage.save(path, {"a": value}, previous=before)
    path.write_bytes(b"half")
    storage.save(path, {"a": 3}, previous=before)
    assert storage.read(before) == {"a": 1}
    assert storage.read(path) == {"a": 3}


@pytest.mark.parametrize("link", [True, False])
@pytest.mark.parametrize("at", range(6))
def test_a_kill_at_any_point_of_a_save_leaves_a_whole_file(tmp_path, monkeypatch, at, link):
    """The process ends at the `at`-th change to the folder."""
    path, before = tmp_path / "w.pth", tmp_path / "before.pth"
    for value in (1, 2):
        storage.save(path, {"a": value}, previous=before)
    calls = iter(range(100))

    class KilledError(BaseException):
        pass

    def dying(function):
        def run(*arguments, **options):
            if next(calls) == at:
                raise KilledError
            return function(*arguments, **options)

        return run

    def no_links(*_):
        raise OSError

    monkeypatch.setattr(storage.Path, "replace", dying(storage.Path.replace))
    monkeypatch.setattr(storage, "flush_to_disk", dying(storage.flush_to_disk))
    monkeypatch.setattr(os, "link", os.link if link else no_links)
    with contextlib.suppress(KilledError):
        storage.save(path, {"a": 3}, previous=before)
    assert storage.read(path)["a"] in (2, 3)
    assert storage.read(before)["a"] in (1, 2)


def test_random_states_come_back(tmp_path):
    import random

    import numpy as np

    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    storage.save(tmp_path / "s", randomness.random_states())
    first = draw()
    randomness.restore_random_states(storage.read(tmp_path / "s"))
    assert draw() == first


@pytest.mark.parametrize(
    ("meta", "text"),
    [
        ([1], "neither names its network"),
        ({"network_g": "HDRNet"}, r"its metadata is not as training writes it \(meta.network_g: "),
        ({"network_g": {"grid_depth": 8}}, r"its network_g cannot be built \(it names no type\)"),
        ({"network_g": {"type": "AODNet", "newer": 1}}, "its network_g cannot be built .*newer"),
        ({"network_g": {"type": "AODnet"}}, "its network_g cannot .*did you mean 'AODNet'"),
    ],
)
def test_a_file_that_describes_no_network_is_told(tmp_path, meta, text):
    torch.save({"params": {"a": torch.zeros(1)}, "meta": meta}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=rf"w\.pth: {text}"):
        networks.build_from_file(tmp_path / "w.pth")


def test_what_is_no_weights_file_is_told(tmp_path):
    (tmp_path / "text.pth").write_text("epochs: 3\n")
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "graph.onnx").write_bytes(b"")
    with pytest.raises(UserError, match=r"graph\.onnx: is a graph; expected the weights"):
        storage.read(tmp_path / "graph.onnx")
    for name in ("text", "empty"):
        with pytest.raises(UserError, match=rf"{name}\.pth: (is no weights file|holds more than)"):
            storage.read(tmp_path / f"{name}.pth")
    with pytest.raises(UserError, match=r"cannot be read as weights \(Is a directory\)"):
        storage.read(tmp_path)
