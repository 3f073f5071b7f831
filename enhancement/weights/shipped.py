"""The weights that come with this package, by name."""

from __future__ import annotations

from pathlib import Path

from enhancement.errors import UserError, hint
from enhancement.paths import SHIPPED_WEIGHTS

KINDS = (".pth", ".safetensors")
DEFAULT = "photo"  # what enhances where no weights are named
DEFAULT_FOR_VIDEO = "video"
PURPOSES = {
    "photo": "any photograph, dark or not, with its noise removed; the default",
    "video": "video and photographs, dark or not, in real time; the default for video",
    "hdrnet_lol_v1": "the benchmark, in real time",
    "ded_net_lol_v1": "the benchmark, by DED-Net",
    "lol_v1_small": "the benchmark, by 45 thousand parameters",
    "endoscopy": "gastroscopy and capsule frames, dark or not",
    "surgery": "video of laparoscopic surgery, in real time",
    "gastroscopy": "haze in gastroscopy, in real time",
    "lnet_gie_gastroscopy": "haze in gastroscopy, by 14 parameters",
    "aod_net_gastroscopy": "haze in gastroscopy, by 1,761 parameters",
}


def shipped_weights() -> dict[str, Path]:
    """The files by their names, without extension."""
    files = sorted(path for kind in KINDS for path in SHIPPED_WEIGHTS.glob(f"*{kind}"))
    return {path.stem: path for path in files}


def find_weights(given: str | Path) -> Path:
    """A file or folder of weights: a path, or the name of what comes with this package.

    A known name goes first, so that no folder that happens to be called `photo` takes its place;
    `./photo` is a path.

    Raises:
        UserError: Neither a path's form nor a known name; lists the names.
    """
    path, known = Path(given), shipped_weights()
    if str(given) in known:
        return known[str(given)]
    if path.exists() or path.name != str(given) or path.suffix:
        return path
    raise UserError(
        f"{given}: no such file, and no weights of that name come with this package; "
        f"{hint(path.name, known)}"
    )
