"""Text and signals: names as they are printed, streams that are closed or full, SIGTERM."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import enhancement.errors
from enhancement.errors import UserError, command_line
from enhancement.files import write_text
from enhancement.terminal import printable

PACKAGE = str(Path(enhancement.errors.__file__).parent)
SCRIPT = f"""
import sys, types
package = sys.modules["enhancement"] = types.ModuleType("enhancement")
package.__path__ = [{PACKAGE!r}]  # without importing every network
import enhancement.errors
from enhancement.errors import UserError, command_line
@command_line
def main():
    BODY
sys.exit(main())
"""


def start(body, **streams):
    code = SCRIPT.replace("BODY", body.replace("\n", "\n    "))
    return subprocess.Popen([sys.executable, "-c", code], text=True, **streams)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain ä 日本.png", "plain ä 日本.png"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\x9b31mred", "\\x9b31mred"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        (os.fsdecode(b"o\xff"), "o\\xff"),
        ("a\rb\x07", "a\\x0db\\x07"),
    ],
)
def test_names_are_printed_without_their_control_characters(capsys, name, shown):
    @command_line
    def main():
        print(name)
        raise UserError(f"{name}: broken")

    assert main() == 2
    said = capsys.readouterr()
    assert said.out == f"{shown}\n"
    assert said.err == f"error: {shown}: broken\n"
    assert printable(name) == shown


def test_a_line_break_in_a_name_makes_no_line_of_ours(capsys):
    @command_line
    def main():
        raise UserError("a\u2028error: b\x0bc")

    main()
    assert capsys.readouterr().err == "error: a\\u2028error: b\\x0bc\n"


def test_a_text_with_such_a_name_is_written(tmp_path):
    write_text(tmp_path / "scores.csv", os.fsdecode(b"o\xff") + ",1\n")
    assert (tmp_path / "scores.csv").read_text() == "o\\udcff,1\n"


def test_any_fault_of_the_system_is_one_line(capsys, tmp_path):
    @command_line
    def main():
        (tmp_path / ("x" * 300)).read_text()

    assert main() == 2
    assert capsys.readouterr().err == f"error: {tmp_path / ('x' * 300)}: File name too long\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "MemoryError"),
        (MemoryError("Unable to allocate 8.00 TiB"), "Unable to allocate 8.00 TiB"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried\nframe #0"),
            "DefaultCPUAllocator: can't allocate memory: you tried",
        ),
    ],
)
def test_a_lack_of_memory_is_one_line(capsys, error, said):
    @command_line
    def main():
        raise error

    assert main() == 2
    assert capsys.readouterr().err == (
        f"error: out of memory ({said}); free some, or do less at a time\n"
    )


class TestStreams:
    @pytest.mark.parametrize(
        "body",
        ["print('x')", "import argparse\nargparse.ArgumentParser().parse_args(['--help'])"],
        ids=["text", "help"],
    )
    @pytest.mark.parametrize("buffered", ["", "1"])
    def test_a_full_one_is_one_line(self, monkeypatch, body, buffered):
        monkeypatch.setenv("PYTHONUNBUFFERED", buffered)
        with Path("/dev/full").open("w") as full:
            done = start(body, stdout=full, stderr=subprocess.PIPE)
            assert done.communicate()[1] == "error: standard output: No space left on device\n"
        assert done.returncode == 2

    @pytest.mark.parametrize("buffered", ["", "1"])
    def test_a_full_one_for_errors_leaves_the_status(self, monkeypatch, buffered):
        monkeypatch.setenv("PYTHONUNBUFFERED", buffered)
        with Path("/dev/full").open("w") as full:
            assert start("raise UserError('x')", stderr=full).wait(20) == 2

    def test_a_reader_that_has_gone_ends_it_silently(self):
        body = "while True: print('x' * 1000)"
        done = start(body, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        done.stdout.read(10)
        done.stdout.close()
        assert done.stderr.read() == ""
        assert done.wait(20) == 141

    def test_closed_ones_take_no_file_for_themselves(self, tmp_path):
        body = f"file = open({str(tmp_path / 'f')!r}, 'w')\nprint('x')\nassert file.fileno() > 2"
        code = SCRIPT.replace("BODY", body.replace("\n", "\n    "))
        done = subprocess.run(["sh", "-c", 'exec "$0" -c "$1" >&- 2>&- <&-', sys.executable, code])
        assert done.returncode == 0
        assert (tmp_path / "f").read_text() == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_lets_it_tidy_up(tmp_path, number):
    body = (
        "import time\n"
        "try:\n    print('begun', flush=True)\n    time.sleep(60)\n"
        f"finally:\n    open({str(tmp_path / 'tidy')!r}, 'w').close()"
    )
    done = start(body, stdout=subprocess.PIPE)
    assert done.stdout.readline() == "begun\n"
    done.send_signal(number)
    assert done.wait(20) == 128 + number
    assert (tmp_path / "tidy").exists()


def test_the_streams_and_signals_are_given_back():
    before = sys.stdout, sys.stderr, signal.getsignal(signal.SIGTERM)
    assert command_line(lambda: time.sleep(0))() == 0
    assert (sys.stdout, sys.stderr, signal.getsignal(signal.SIGTERM)) == before
