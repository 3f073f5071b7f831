"""`enhance compare`: runs side by side, as a table, on a page, or in TensorBoard."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from enhancement.comparison.costs import SIDE, measure
from enhancement.comparison.page import build_page
from enhancement.comparison.results import RUNS, Result, collect
from enhancement.comparison.tables import as_csv, as_markdown, as_text
from enhancement.device import add_threads, get_device, resolve_num_gpu
from enhancement.errors import UserError
from enhancement.files import check_place, write_text, writing
from enhancement.scoring.protocols import PROTOCOLS

HELP = "compare runs: a table, a page with curves and pictures, TensorBoard"
EXAMPLES = """
enhance compare experiments/hdrnet_lol_v1 experiments/iat_lol_v1
enhance compare experiments/* --html comparison.html --markdown table.md --latency
enhance compare results/hdrnet_lol_v1 results/theirs --dataset LOL_v1 --protocol basicsr
enhance compare experiments/* --tensorboard
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The runs, which scores to take, what to write."""
    a_run = "a run's folder (experiments/NAME), or a folder of results"
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help=a_run)
    parser.add_argument("--dataset", metavar="NAME", help="take the scores on this dataset")
    by_this = f"take the scores by this one: {', '.join(PROTOCOLS)}, pyiqa"
    parser.add_argument("--protocol", choices=[*PROTOCOLS, "pyiqa"], metavar="P", help=by_this)
    scored = "where runs were scored; default: results"
    parser.add_argument("--result_dir", type=Path, default=Path("results"), help=scored)
    here = f"measure it here, on {SIDE}x{SIDE} pixels"
    parser.add_argument("--latency", action="store_true", help=here)
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained page")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the table in plain numbers")
    parser.add_argument(
        "--tensorboard", action="store_true", help="start TensorBoard on these runs afterwards"
    )
    parser.add_argument("--port", type=int, default=6006, help="TensorBoard's; default: 6006")
    add_threads(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compare."""
    wanted = {"markdown": as_markdown, "csv": as_csv, "html": build_page}
    given = [path for option in wanted if (path := getattr(arguments, option))]
    for path in given:
        check_place(path)
        if given.count(path) > 1:
            raise UserError(f"{path}: is to hold several tables; name a file for each")
    rows = collect(arguments.runs, arguments.result_dir, arguments.dataset, arguments.protocol)
    device = None
    if arguments.latency:
        print(resolve_num_gpu("auto")[1])
        device = get_device("auto")
    measure(rows, device)
    print(as_text(rows))
    for option, build in wanted.items():
        if path := getattr(arguments, option):
            write(path, build(rows))
    return start_tensorboard(rows, arguments.port) if arguments.tensorboard else 0


def write(path: Path, text: str) -> None:
    """Write a file, and say so.

    Raises:
        UserError: It cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    print(f"Written: {path}")


def start_tensorboard(rows: list[Result], port: int) -> int:
    """Run TensorBoard on the runs' folders until it ends or Ctrl-C is pressed; its exit status.

    Raises:
        UserError: No run's folder is known.
    """
    folders = {row.run.resolve() for row in rows if row.run}
    if not folders:
        raise UserError(f"--tensorboard: no run's folder is known; name runs by {RUNS}/NAME")
    with tempfile.TemporaryDirectory() as root:
        names = Counter(folder.name for folder in folders)
        for folder in folders:
            alone = names[folder.name] == 1
            name = folder.name if alone else f"{folder.parent.name}_{folder.name}"
            (Path(root) / name).symlink_to(folder)
        print(f"TensorBoard: http://localhost:{port}/ (Ctrl-C ends it)", flush=True)
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", root, "--port", str(port)]
        return subprocess.run(command, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}).returncode
