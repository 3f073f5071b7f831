"""Everything that wants a GPU, on a machine that has one, PyTorch, and little else.

python benchmarks/gpu.py PACK OUT [--minutes 8.5] [--skip trainings] [--only retinexformer]

PACK is what benchmarks/gpu_pack.py made; no network is wanted. Runs the tests marked `gpu` (for at
most 60 % of the time), measures training and inference (gpu_speed.py, 25 %), and spends what is
left on the trainings of gpu.yml, each one its share; parts that are skipped leave their time to the
others. What comes of it goes to OUT as parts of one archive, each below 16 MB, what counts most
first: `cat OUT/part.* | tar x` unpacks it. With those parts as PACK/part.* the trainings go on
where they were stopped. Only Python's own library is imported here, since the rest is packed.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PART, MOST = 15 * 2**20, 60 * 2**20  # bytes of a part of the archive, and of all of them
ENDING = 20.0  # seconds that ending a process and writing the archive take
SHORTEST = 30.0  # seconds below which a training is not begun
RESUMABLE = 75  # the exit status of a training that was asked to end
# the tests that want no videos, the slow ones last
TESTS = ("tests/data/test_to_device.py", "tests/archs", "tests/gpu")
SHARES = {"tests": 0.6, "speed": 0.25, "trainings": 1.0}  # of the time that is left, at most
RECORDS = ("options.yml", "train.log")
STATE = ("latest.state", "checksums.json")
WITHOUT_VIDEO = '''"""Stands in for PyAV, which is larger than all the rest: no video is read."""


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (Exception,), {})
'''


def unpack(pack: Path, work: Path) -> dict[str, str]:
    """Unpack packages and earlier runs below `work`; the environment for the processes there."""
    site = work / "site"
    for wheel in sorted((pack / "wheels").glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    (site / "av.py").write_text(WITHOUT_VIDEO, encoding="utf-8")
    parts = b"".join(path.read_bytes() for path in sorted(pack.glob("part.*")))
    if parts:
        with tarfile.open(fileobj=io.BytesIO(parts)) as archive:
            archive.extractall(work / "before", filter="data")
        runs = work / "before" / "experiments"
        if runs.is_dir():
            runs.rename(work / "experiments")
    named = {
        "PYTHONPATH": str(site),
        "PYTHONSAFEPATH": "1",  # this checkout's folders must not hide what was unpacked
        "PYTHONUNBUFFERED": "1",
        "ENHANCEMENT_DATA": str((pack / "data").resolve()),
    }
    return {**os.environ, **named}


def run(command: list[str], log: Path, seconds: float, env: dict[str, str]) -> dict[str, Any]:
    """Run a command, its output to a file; after so many seconds it is asked to end.

    Returns:
        Its exit status, the seconds that it took, and the last lines of its output.
    """
    began = time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=env,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
        try:
            process.wait(max(1.0, seconds))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(ENDING)
        with suppress(ProcessLookupError):  # and what it has started
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-4:]
    print(log.stem, *lines, sep="\n", flush=True)
    spent = round(time.monotonic() - began, 1)
    return {"status": process.returncode, "seconds": spent, "output": lines}


def training(name: str, facts: dict[str, Any], runs: Path, given: argparse.Namespace) -> list[str]:
    """The command of a training."""
    force = [f"name={name}", f"path:experiments={runs}", "logger:save_checkpoint_freq=500"]
    force += facts["force"]
    if given.iterations:
        force += [f"train:total_iter={given.iterations}", f"val:val_freq={given.iterations}"]
    if given.device == "cpu":
        force += ["num_gpu=0", "datasets:train:num_worker_per_gpu=0"]
    command = ["basicsr/train.py", "--opt", str(ROOT / facts["opt"]), "--auto_resume"]
    return [*command, "--force_yml", *force]


def trainings(env: dict[str, str]) -> dict[str, dict[str, Any]]:
    """What gpu.yml says; PyYAML may be among the packages that were unpacked."""
    code = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))"
    command = [sys.executable, "-c", code, str(Path(__file__).with_suffix(".yml"))]
    found = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    facts: dict[str, dict[str, Any]] = json.loads(found.stdout)
    return facts


def write_archive(work: Path, out: Path, report: dict[str, Any]) -> list[str]:
    """Write what the processes have left to `out`: records, then best weights, then states.

    Returns:
        The files that found no room.
    """
    (work / "logs/report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    runs = work / "experiments"
    unfinished = [name for name, part in report.items() if part["status"] == RESUMABLE]
    files = sorted((work / "logs").iterdir())
    files += [path for path in sorted(runs.rglob("*")) if path.name in RECORDS]
    files += sorted(runs.glob("*/models/net_g_best.pth"))
    files += [runs / name / "training_states" / file for name in unfinished for file in STATE]
    content, left_out = io.BytesIO(), []
    with tarfile.open(fileobj=content, mode="w") as archive:
        for path in filter(Path.is_file, files):
            if content.tell() + path.stat().st_size > MOST:
                left_out.append(str(path.relative_to(work)))
            else:
                archive.add(path, str(path.relative_to(work)))
    data = content.getvalue()
    out.mkdir(parents=True, exist_ok=True)
    for stale in out.glob("part.*"):
        stale.unlink()
    for number, start in enumerate(range(0, len(data), PART)):
        (out / f"part.{number:03}").write_bytes(data[start : start + PART])
    return left_out


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("pack", type=Path, help="what gpu_pack.py made")
    add("out", type=Path, help="where the archive goes")
    add("--minutes", type=float, default=8.5, help="for everything; default: 8.5")
    add("--only", nargs="+", metavar="NAME", help="trainings of gpu.yml; default: all")
    add("--skip", nargs="+", choices=SHARES, default=[], help="not these")
    add("--iterations", type=int, help="of each training, to try this script")
    add("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: to try this script")
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    report: dict[str, Any] = {}

    def left() -> float:
        return end - time.monotonic() - ENDING

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        env = unpack(arguments.pack, work)
        print((arguments.pack / "commit").read_text(encoding="utf-8").strip(), flush=True)
        logs, chosen = work / "logs", trainings(env)
        if unknown := sorted(set(arguments.only or ()) - set(chosen)):
            named = ", ".join(unknown)
            parser.error(f"--only: expected names of {', '.join(chosen)}, but got {named}")
        names = [] if "trainings" in arguments.skip else arguments.only or list(chosen)
        if "tests" not in arguments.skip:
            tests = ["-m", "pytest", "-v", "--durations=10", "-m", "gpu", "-p", "no:cacheprovider"]
            share = SHARES["tests"] if names or "speed" not in arguments.skip else 1.0
            report["tests"] = run([*tests, *TESTS], logs / "tests.log", share * left(), env)
        if "speed" not in arguments.skip:
            seconds = (SHARES["speed"] if names else 1.0) * left()
            speed = ["benchmarks/gpu_speed.py", str(logs / "speed.json")]
            speed += ["--device", arguments.device, "--seconds", str(seconds)]
            speed += [] if arguments.device == "cuda" else ["--networks", "MobileIE"]
            report["speed"] = run(speed, logs / "speed.log", seconds, env)
        for number, name in enumerate(names):
            shares = [chosen[other]["share"] for other in names[number:]]
            seconds = left() * shares[0] / sum(shares) - ENDING
            if seconds < SHORTEST:
                print(f"{name}: no time is left", flush=True)
                continue
            command = training(name, chosen[name], work / "experiments", arguments)
            report[name] = run(command, logs / f"{name}.log", seconds, env)
            write_archive(work, arguments.out, report)
        for path in write_archive(work, arguments.out, report):
            print(f"no room in the archive: {path}", flush=True)
    failed = [name for name, part in report.items() if part["status"] not in (0, RESUMABLE)]
    if report.get("speed", {}).get("status") == -signal.SIGTERM:
        failed.remove("speed")  # what it has measured until then is there
    print(f"Written: {arguments.out}/part.*; failed: {', '.join(failed) or 'nothing'}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
