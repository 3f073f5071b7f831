"""Numbers, bytes and seconds, as people write and read them."""

from __future__ import annotations

import re

from enhancement.errors import UserError

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
MOST = 1 << 63  # bytes


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


def counted(count: int, what: str) -> str:
    """How many there are of something: "1 image", "2 images"."""
    return f"{count} {what}" + "s" * (count != 1)


def readable_bytes(count: float) -> str:
    """Bytes as text: "1.5 GB"."""
    unit = "G" if count >= UNITS["G"] else "M"
    return f"{count / UNITS[unit]:.1f} {unit}B"


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
