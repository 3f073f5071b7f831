"""Fixtures of the whole suite."""

import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
import yaml
from helpers import make_pairs, tiny_options

from enhancement.paths import CACHE_VARIABLE, DATA_VARIABLE

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 2)))
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in a shell's background
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # started by nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """Converted graphs of the tests stay out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def real_data() -> Path:
    """The folder of real images; skips where it is not there."""
    folder = Path(os.environ.get(DATA_VARIABLE) or "datasets").resolve()
    if not folder.is_dir():
        pytest.skip(f"no real images: {DATA_VARIABLE} names no folder and there is no datasets/")
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser of the tests of pages; skips where it is not installed."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("there is no chromium to open the page in")
    return found


@pytest.fixture
def in_tmp(tmp_path, monkeypatch) -> Path:
    """An empty current folder, without the environment's data folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    return tmp_path


@pytest.fixture
def tiny(in_tmp):
    """Writes an option file with changes over tiny pairs; returns its path."""
    make_pairs(in_tmp / "datasets/high_low", "train/low", "train/high")
    make_pairs(in_tmp / "datasets/high_low", "test/low", "test/high", count=2)

    def write(file: str = "tiny.yml", **changes) -> str:
        (in_tmp / file).write_text(yaml.safe_dump(tiny_options(**changes)))
        return file

    return write


@pytest.fixture
def enhance(monkeypatch, capsys):
    """Run `enhance ...`; its exit status, output and errors."""

    from enhancement.commands import main as cli

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["enhance", *map(str, arguments)])
        try:
            status = cli.main()
        except SystemExit as exit_:
            status = exit_.code
        said = capsys.readouterr()
        return status, said.out, said.err

    return run
