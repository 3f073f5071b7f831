"""Who may see which file: everything a visitor uploads or is given belongs to that browser alone.

A browser is known by a random cookie; each of its open pages has a session of Gradio's, a folder
for its outputs and perhaps a job. When a page is closed its folder goes, as does what is left of
uploads that broke off; with a browser's last page goes what it uploaded.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import RLock

from enhancement.app.jobs import Job

COOKIE = "enhancement_visitor"
LONGEST_COOKIE = 100
ABANDONED = 600.0  # seconds without a byte, after which an upload has broken off


@dataclass
class Session:
    """One open page.

    Attributes:
        folder: For its outputs.
        job: The latest.
    """

    folder: Path
    job: Job | None = None

    def new_folder(self, kind: str) -> Path:
        """An empty folder under a new name; earlier ones of its kind are removed."""
        for old in self.folder.glob(f"{kind}-*"):
            shutil.rmtree(old, ignore_errors=True)
        folder = self.folder / f"{kind}-{secrets.token_hex(4)}"
        folder.mkdir()
        return folder

    def end_job(self) -> None:
        """Cancel the latest job and wait for its end."""
        if self.job:
            self.job.cancel()
            if self.job.ident is not None:  # it has been started
                self.job.join()


class Visitors:
    """The open pages and their files.

    Args:
        root: A folder that no other user of this machine can read, with nothing else in it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._sessions: dict[tuple[str, str], Session] = {}
        self._owners: dict[Path, set[str]] = defaultdict(set)
        self._lock = RLock()

    def session(self, browser: str, name: str) -> Session:
        """A browser's page by Gradio's name for it; a new one gets a folder of its own."""
        with self._lock:
            if (browser, name) not in self._sessions:
                folder = self.root / secrets.token_hex(16)
                folder.mkdir()
                self._sessions[browser, name] = Session(folder)
            return self._sessions[browser, name]

    def uploaded(self, browser: str, paths: Iterable[str]) -> None:
        """Note whose an upload is; of the same file uploaded twice, both are."""
        with self._lock:
            for path in paths:
                self._owners[_plain(path)].add(browser)

    def may_read(self, browser: str, path: str) -> bool:
        """Whether a file is a browser's upload, or lies in the folder of one of its pages."""
        wanted = _plain(path)
        with self._lock:
            own = {page.folder for (who, _), page in self._sessions.items() if who == browser}
            return browser in self._owners.get(wanted, ()) or not own.isdisjoint(wanted.parents)

    def leave(self, browser: str, name: str) -> None:
        """A page was closed: end its job, and remove what nobody can ask for any more."""
        with self._lock:
            page = self._sessions.pop((browser, name), None)
            last = all(who != browser for who, _ in self._sessions)
        if page is None:
            return
        page.end_job()
        shutil.rmtree(page.folder, ignore_errors=True)
        if last:
            self._forget_uploads(browser)
        self._forget_parts()

    def close(self) -> None:
        """The server ends: so do all jobs, before anything that they use."""
        with self._lock:
            pages = list(self._sessions)
        for browser, name in pages:
            self.leave(browser, name)

    def _forget_uploads(self, browser: str) -> None:
        with self._lock:
            for path, owners in list(self._owners.items()):
                owners.discard(browser)
                if not owners:
                    path.unlink(missing_ok=True)
                    del self._owners[path]

    def _forget_parts(self) -> None:
        """Remove what was written of uploads that broke off; whole ones lie in folders."""
        latest = time.time() - ABANDONED
        for part in self.root.iterdir():
            with suppress(FileNotFoundError):  # an upload that has become whole
                if part.is_file() and part.stat().st_mtime < latest:
                    part.unlink()


def new_cookie() -> str:
    """A browser's name that nobody can guess."""
    return secrets.token_urlsafe(32)


def _plain(path: str) -> Path:
    """An absolute path without `..`; links are not followed, for there are none."""
    return Path(os.path.abspath(path))  # noqa: PTH100
