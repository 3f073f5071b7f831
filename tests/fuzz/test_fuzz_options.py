"""Mutations of the shipped option files: refused in plain lines, or sound enough to be built."""

from copy import deepcopy
from functools import cache

import pytest
import torch
import yaml
from helpers import ROOT
from hypothesis import given
from hypothesis import strategies as st

from enhancement.config.building import build_on_meta
from enhancement.config.files import OptionFile
from enhancement.config.load import load_config

SHIPPED = sorted((ROOT / "options").glob("*.yml")) + sorted(
    (ROOT / "options/capsule").glob("*.yml")
)
FILES = [path for path in SHIPPED if path.stem != "quickstart"]
NUMBERS = [0, -1, 1, 2, 3, 0.5, -0.5, 7, 1e-300, 1e300, 10**6, 2**31, 2**63 - 1, 2**63, 1e999]
TEXTS = [
    "",
    ".",
    "..",
    "/",
    "~nouser",
    "/dev/zero",
    "package:x",
    "{}",
    "a\0b",
    "n" * 300,
    "é",
    "null",
]
NAMES = ["Adam", "SGD", "Muon", "Adafactor", "Rprop", "StepLR", "OneCycleLR", "CyclicLR", "EDSR"]
NAMES += ["PolynomialLR", "SwinIR", "SpyNet", "EDVR", "L1Loss", "SSIMLoss", "SRModel", "HDRNet"]
NAMES += ["MultiStepLR", "CosineAnnealingRestartLR", "RIDNet", "PairedImageDataset", "Haze"]
SCALARS = st.sampled_from([None, True, False, float("nan"), *NUMBERS, *TEXTS, *NAMES])
VALUES = st.recursive(
    SCALARS | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
EDITS = ("replace", "replace", "remove", "rename", "add", "copy")
SYNTAX = [
    "&a ",
    "*a",
    "!!bool ",
    "!!set ",
    "[",
    "{",
    "}",
    "- ",
    ": ",
    "\n",
    "\t",
    "<<: ",
    "? ",
    "|",
    "%",
]


@cache
def merged(path):
    """A shipped file with all that it inherits and names."""
    return OptionFile(path).options


def places(options, at=()):
    """Every key of nested blocks."""
    for key, value in options.items():
        yield (*at, key)
        if isinstance(value, dict):
            yield from places(value, (*at, key))


@st.composite
def mutations(draw):
    """The options of a shipped file with one to three keys changed."""
    options = deepcopy(merged(draw(st.sampled_from(FILES))))
    for _ in range(draw(st.integers(1, 3))):
        known = sorted(places(options))
        *outer, key = draw(st.sampled_from(known))
        block = options
        for name in outer:
            block = block[name]
        edit = draw(st.sampled_from(EDITS))
        if edit == "replace":
            block[key] = draw(VALUES)
        elif edit == "remove":
            del block[key]
        elif edit == "rename":
            block[draw(st.text(max_size=6))] = block.pop(key)
        elif edit == "add":
            block[draw(st.sampled_from(known))[-1]] = draw(VALUES)
        else:
            block[key] = deepcopy(options.get(draw(st.sampled_from(sorted(options)))))
    return options


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An empty current folder."""
    root = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("ENHANCEMENT_DATA", raising=False)
        yield root


def check_and_build(path):
    """Check a file; what passes is built, as far as no memory is needed."""
    config = load_config(path, files_of=set())
    build_on_meta(config.network_g.build)
    for loss in config.training.losses.values():
        build_on_meta(loss.build)
    config.training.optim_g.build([torch.nn.Parameter(torch.zeros(1, 1))])
    assert config.resolved["name"] == config.name


@pytest.mark.slow
@given(options=mutations())
def test_values(folder, harmless, options):
    path = folder / "odd.yml"
    path.write_text(yaml.dump(options), encoding="utf-8", errors="surrogatepass")
    before = sorted(folder.rglob("*"))
    with harmless():
        check_and_build(path)
    assert sorted(folder.rglob("*")) == before


def write_damaged(data, path):
    """Write a shipped file with some characters cut out and others put in."""
    text = yaml.safe_dump(merged(data.draw(st.sampled_from(FILES))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 12))
        put = data.draw(st.sampled_from(SYNTAX) | st.text(max_size=5))
        text = text[:at] + put + text[at + cut :]
    path.write_text(text, encoding="utf-8", errors="surrogatepass")


@pytest.mark.slow
@given(data=st.data())
def test_text(folder, harmless, data):
    path = folder / "odd.yml"
    write_damaged(data, path)
    with harmless():
        check_and_build(path)


@pytest.mark.slow
@given(content=st.binary(max_size=200))
def test_bytes(folder, harmless, content):
    path = folder / "odd.yml"
    path.write_bytes(content)
    with harmless():
        check_and_build(path)
