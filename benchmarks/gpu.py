"""Everything that wants a GPU, on a machine that has one, PyTorch, and little else.

python benchmarks/gpu.py PACK OUT [--minutes 8.5] [--only retinexformer]

PACK is what benchmarks/gpu_pack.py made; no network is wanted. Runs the tests marked `gpu`, times
training and inference (gpu_speed.py), and spends what is left on the trainings of gpu.yml, each one
its share. What comes of it goes to OUT as parts of one archive, each below 16 MB: `cat OUT/part.* |
tar x` unpacks it. With those parts as PACK/part.* the trainings go on where they were stopped.
Nothing but Python's own library is imported here, since the rest is still packed.
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
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PART = 15 * 2**20  # bytes of a part of the archive
SAVING = 25.0  # seconds that ending a training and writing the archive take
TESTS = ("tests/gpu", "tests/archs", "tests/data/test_to_device.py")  # the others want videos
TESTING, TIMING = 0.35, 0.15  # the most of the time that tests and timing may take
RESUMABLE = 75  # the exit status of a training that was asked to end
LEFT_OUT = ("previous.state", ".lock")  # of a run's folder
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
            archive.extractall(work, filter="data")
    named = {"PYTHONPATH": str(site), "ENHANCEMENT_DATA": str((pack / "data").resolve())}
    return {**os.environ, **named, "PYTHONUNBUFFERED": "1"}


def run(command: list[str], log: Path, seconds: float, env: dict[str, str]) -> dict[str, Any]:
    """Run a command, its output to a file; after so many seconds it is asked to end.

    Returns:
        Its exit status, the seconds that it took, and the last lines of its output.
    """
    began = time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        # -P: this checkout's folders must not hide the packages that were unpacked
        process = subprocess.Popen(
            [sys.executable, "-P", *command], cwd=ROOT, env=env, stdout=file, stderr=file
        )
        try:
            process.wait(max(1.0, seconds))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(SAVING)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-4:]
    print(*lines, sep="\n", flush=True)
    spent = round(time.monotonic() - began, 1)
    return {"status": process.returncode, "seconds": spent, "output": lines}


def training(name: str, facts: dict[str, Any], runs: Path, iterations: int | None) -> list[str]:
    """The command of a training."""
    force = [f"name={name}", f"path:experiments={runs}", "logger:save_checkpoint_freq=500"]
    force += facts["force"]
    if iterations:
        force += [f"train:total_iter={iterations}", f"val:val_freq={iterations}"]
    command = ["basicsr/train.py", "--opt", str(ROOT / facts["opt"]), "--auto_resume"]
    return [*command, "--force_yml", *force]


def archive(work: Path, out: Path) -> None:
    """Write logs, tables and runs to `out` as parts of one archive."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as file:
        for folder in ("logs", "experiments"):
            for path in sorted((work / folder).rglob("*")):
                if path.is_file() and path.name not in LEFT_OUT:
                    file.add(path, str(path.relative_to(work)))
    out.mkdir(parents=True, exist_ok=True)
    data = content.getvalue()
    for number, start in enumerate(range(0, len(data), PART)):
        (out / f"part.{number:03}").write_bytes(data[start : start + PART])
    print(f"Written: {out}/part.* ({len(data) / 2**20:.1f} MB)", flush=True)


def trainings(env: dict[str, str]) -> dict[str, dict[str, Any]]:
    """What gpu.yml says; PyYAML may be among the packages that were unpacked."""
    code = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))"
    found = subprocess.run(
        [sys.executable, "-P", "-c", code, str(Path(__file__).with_suffix(".yml"))],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    facts: dict[str, dict[str, Any]] = json.loads(found.stdout)
    return facts


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("pack", type=Path, help="what gpu_pack.py made")
    add("out", type=Path, help="where the archive goes")
    add("--minutes", type=float, default=8.5, help="for everything; default: 8.5")
    add("--only", nargs="+", metavar="NAME", help="trainings of gpu.yml; default: all")
    add("--iterations", type=int, help="of each training, to try this script")
    add("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: to try this script")
    add("--skip", nargs="+", choices=("tests", "speed"), default=[], help="not these")
    arguments = parser.parse_args()
    began, seconds = time.monotonic(), 60 * arguments.minutes
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        env = unpack(arguments.pack, work)
        logs = work / "logs"
        chosen = trainings(env)
        if unknown := set(arguments.only or ()) - set(chosen):
            parser.error(f"--only: expected names of {', '.join(chosen)}, but got {unknown}")
        if "tests" not in arguments.skip:
            tests = ["-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *TESTS]
            report["tests"] = run(tests, logs / "tests.log", TESTING * seconds, env)
        if "speed" not in arguments.skip:
            speed = ["benchmarks/gpu_speed.py", str(logs / "speed.json")]
            speed += ["--device", arguments.device, "--seconds", str(TIMING * seconds)]
            speed += [] if arguments.device == "cuda" else ["--networks", "MobileIE"]
            report["speed"] = run(speed, logs / "speed.log", TIMING * seconds + SAVING, env)
        names = arguments.only or list(chosen)
        for number, name in enumerate(names):
            shares = [chosen[other]["share"] for other in names[number:]]
            left = seconds - (time.monotonic() - began) - SAVING * len(shares)
            command = training(name, chosen[name], work / "experiments", arguments.iterations)
            force = [] if arguments.device == "cuda" else ["num_gpu=0"]
            share = left * shares[0] / sum(shares)
            report[name] = run([*command, *force], logs / f"{name}.log", share, env)
        (logs / "report.json").write_text(json.dumps(report, indent=2) + "\n")
        archive(work, arguments.out)
    fine = {0, RESUMABLE}
    failed = [name for name, part in report.items() if part["status"] not in fine]
    if report.get("speed", {}).get("status") == -signal.SIGTERM:
        failed.remove("speed")  # what it has measured until then is there
    print(f"{time.monotonic() - began:.0f} s; failed: {', '.join(failed) or 'nothing'}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
