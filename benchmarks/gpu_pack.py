"""Pack what benchmarks/gpu.py takes to a machine without a network: packages and images.

python benchmarks/gpu_pack.py PACK [--python 3.12] [--data LOLv1 BSDS500/train] [--quality 75]

Packages are this checkout's own and those that a machine for deep learning may lack, as
requirements.lock pins them, for x86-64 Linux. Images of ENHANCEMENT_DATA become AVIF without
subsampled colours, under their own names, so that a set divides as it does here; masks stay as they
are. They are for training: scores are measured on the originals, here.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement
from PIL import Image

from enhancement.data.images import is_image
from enhancement.errors import UserError, command_line
from enhancement.paths import DATA_FOLDER, locate
from enhancement.units import readable_bytes
from enhancement.weights.provenance import git_commit

ROOT = Path(__file__).resolve().parents[1]
PLATFORMS = [f"manylinux_2_{n}_x86_64" for n in (17, 24, 27, 28)] + ["manylinux2014_x86_64"]
WHEELS = (  # with what they ask for themselves
    *("addict", "annotated-types", "docstring-parser", "future", "imagehash", "lmdb", "lpips"),
    *("pillow", "platformdirs", "pydantic", "pydantic-core", "pywavelets", "setuptools", "shtab"),
    *("segmentation-models-pytorch", "spandrel", "tabulate", "typing-extensions"),
    *("typing-inspection", "yapf"),
)
BUILT = ("basicsr",)  # there is no wheel of it
DATA = ("LOLv1", "BSDS500/train", "KvasirSEG/images", "WCEBleedGen")
LARGEST = 54 * 2**20  # beside this checkout, where 64 MiB travel


def pinned(names: tuple[str, ...], python: str) -> list[str]:
    """Packages with their versions in requirements.lock, for a version of Python."""
    here = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
    found = {}
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines():
        wanted = Requirement(line)
        if not wanted.marker or wanted.marker.evaluate(here):
            found[wanted.name] = f"{wanted.name}{wanted.specifier}"
    return [found[name] for name in names]


def pack_packages(folder: Path, python: str) -> None:
    """Download and build wheels."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    platforms = [f"--platform={name}" for name in PLATFORMS]
    fetch = [*pip, "download", "--no-deps", "--only-binary=:all:", f"--python-version={python}"]
    subprocess.run([*fetch, *platforms, "-d", folder, *pinned(WHEELS, python)], check=True)
    shutil.rmtree(ROOT / "build/lib", ignore_errors=True)  # what an older checkout has left
    make = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder]
    subprocess.run([*make, *pinned(BUILT, python), ROOT], check=True)


def pack_images(folder: Path, source: Path, quality: int) -> None:
    """Copy a folder's images, smaller; masks as they are, and nothing else."""
    for path in sorted(source.rglob("*")):
        if not is_image(path):
            continue
        target = folder / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if "mask" in path.parent.name:
            shutil.copyfile(path, target)
            continue
        with Image.open(path) as image, target.open("wb") as file:
            image.convert("RGB").save(file, "AVIF", quality=quality, subsampling="4:4:4", speed=8)


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("pack", type=Path, help="a new folder")
    add("--python", default="3.12", help="that machine's; default: 3.12")
    add("--data", nargs="+", default=list(DATA), help=f"default: {' '.join(DATA)}")
    add("--quality", type=int, default=75, help="of the images, 1 to 100; default: 75")
    arguments = parser.parse_args()
    pack: Path = arguments.pack
    if pack.exists():
        raise UserError(f"{pack}: is there already; expected the name of a new folder")
    sources = {name: locate(f"{DATA_FOLDER}/{name}") for name in arguments.data}
    for source in sources.values():
        if not source.is_dir():
            raise UserError(f"{source}: no such folder; set ENHANCEMENT_DATA to what holds it")
    pack_packages(pack / "wheels", arguments.python)
    for name, source in sources.items():
        pack_images(pack / "data" / name, source, arguments.quality)
    (pack / "commit").write_text(f"packed at commit {git_commit()}\n", encoding="utf-8")
    sizes = {
        name: sum(path.stat().st_size for path in (pack / name).rglob("*") if path.is_file())
        for name in ("wheels", "data")
    }
    print(*(f"{name}: {readable_bytes(size)}" for name, size in sizes.items()), sep="\n")
    if sum(sizes.values()) > LARGEST:
        raise UserError(
            f"{pack}: more than {readable_bytes(LARGEST)}; pack fewer sets by --data, or take a "
            f"lower --quality"
        )
    print(f"room for part.* of an earlier call: {readable_bytes(LARGEST - sum(sizes.values()))}")


if __name__ == "__main__":
    main()
