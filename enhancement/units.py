"""Numbers, bytes, sizes and seconds, as people write and read them."""

from __future__ import annotations

import re

from enhancement.errors import UserError

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
MOST = 1 << 63  # bytes
NAMED_SIZES = {"720p": (1280, 720), "1080p": (1920, 1080), "4K": (3840, 2160)}


def parse_bytes(text: str) -> int:
    """Bytes from "4GB", "500M", "1.5 GiB" or "1000000"; K, M and G are powers of 1024.

    Raises:
        UserError: None of these.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?)(?:i?B)?\s*", text, re.IGNORECASE)
    count = float(found[1]) * UNITS[found[2].upper()] if found else 0
    if not 1 <= count < MOST:
        raise UserError(f"expected memory as 4GB or 500MB, but got '{text}'")
    return int(count)


def parse_size(text: str, flag: str = "--sizes") -> tuple[int, int]:
    """Width and height of "1080p" or "640x480".

    Raises:
        UserError: Neither.
    """
    known = {name.lower(): size for name, size in NAMED_SIZES.items()}
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if text.lower() not in known and not found:
        raise UserError(
            f"{flag}: expected {', '.join(NAMED_SIZES)} or WIDTHxHEIGHT, but got '{text}'"
        )
    return (int(found[1]), int(found[2])) if found else known[text.lower()]


def counted(count: int, what: str) -> str:
    """How many there are of something: "1 image", "2 images"."""
    return f"{count} {what}" + "s" * (count != 1)


def readable_bytes(count: float) -> str:
    """Bytes as text: "1.5 GB", "4 bytes"."""
    unit = next((unit for unit in "GMK" if count >= UNITS[unit]), None)
    return f"{count / UNITS[unit]:.1f} {unit}B" if unit else f"{count:.0f} bytes"


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
