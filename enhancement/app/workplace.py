"""What the tabs of the page share: networks, visitors, and the way to say things."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import gradio as gr

from enhancement.app.jobs import Job
from enhancement.app.networks import Networks
from enhancement.app.visitors import COOKIE, Session, Visitors
from enhancement.errors import UserError

PRIVATE: dict[str, Any] = {
    "api_visibility": "private"
}  # of events: no list of them is given to anybody
WAITING = "Waiting for another job to end"


@dataclass(frozen=True)
class Workplace:
    """Where visitors have photographs and video enhanced.

    Attributes:
        networks: What there is to enhance with.
        visitors: Who is there.
        turn: Held by the job that works.
    """

    networks: Networks
    visitors: Visitors
    turn: Lock = field(default_factory=Lock)

    def page(self, request: gr.Request) -> Session:
        """The page that asks.

        Raises:
            UserError: Its browser keeps no cookie, by which its files are its own.
        """
        return self.visitors.session(_browser(request), str(request.session_hash))

    def own_files(self, request: gr.Request, files: Iterable[str]) -> list[Path]:
        """Uploads of the browser that asks.

        Raises:
            UserError: They are gone, or another's.
        """
        paths = list(files)
        if not all(self.visitors.may_read(_browser(request), path) for path in paths):
            raise UserError("the files are not here any more; drop them again")
        return [Path(path) for path in paths]

    def start(self, request: gr.Request, work: Callable[[Job], None]) -> Job:
        """A job of the page that asks, in the place of its earlier one; to be `followed`."""
        page = self.page(request)
        page.end_job()
        page.job = Job(work, self.turn)
        return page.job

    def stop(self, request: gr.Request) -> None:
        """Cancel the job of the page that asks."""
        job = self.page(request).job
        if job:
            job.cancel()

    def leave(self, request: gr.Request) -> None:
        """The page that asks was closed."""
        self.visitors.leave(_browser(request), str(request.session_hash))


def _browser(request: gr.Request) -> str:
    browser = request.cookies.get(COOKIE)
    if not browser:
        raise UserError("this page needs its cookie; allow it and load the page again")
    return str(browser)


def status(text: str, faults: Iterable[str] = (), share: float | None = None) -> str:
    """HTML that says how it goes, and what went wrong, a line each.

    Args:
        text: How it goes.
        faults: What went wrong.
        share: In [0, 1]: how much is done, as a bar; None for no bar.
    """
    lines = [f'<p role="status">{html.escape(text)}</p>'] if text else []
    if share is not None:
        lines.append(f'<progress value="{share:.3f}" max="1" aria-label="done"></progress>')
    lines += [f'<p role="alert" class="fault">{html.escape(fault)}</p>' for fault in faults]
    return "\n".join(lines)
