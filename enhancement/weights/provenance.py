"""Which code a file was written by."""

from __future__ import annotations

import subprocess
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def git_commit() -> str:
    """The checkout's commit, with "+" where files differ from it; "unknown" outside of one."""
    here = Path(__file__).parent

    def git(*command: str) -> str:
        done = subprocess.run(
            ["git", *command], cwd=here, capture_output=True, text=True, check=True, timeout=10
        )
        return done.stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "-s", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
