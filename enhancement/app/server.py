"""Serves the page from this machine, until Ctrl-C."""

from __future__ import annotations

import os
import socket
import tempfile
from ipaddress import ip_address
from pathlib import Path
from typing import NoReturn

import gradio as gr
import uvicorn
from fastapi import FastAPI
from gradio import processing_utils

from enhancement.app.guard import Guard
from enhancement.app.networks import Networks
from enhancement.app.page import build_page, theme_options
from enhancement.app.visitors import Visitors
from enhancement.app.workplace import Workplace
from enhancement.errors import UserError
from enhancement.units import parse_bytes

PATIENCE = 2  # seconds that open connections have at the end


def bind(host: str, port: int) -> socket.socket:
    """A socket that nobody else has.

    Raises:
        UserError: The port is taken or is none, or the host is not this machine.
    """
    if not 0 <= port < 1 << 16:  # getaddrinfo takes the remainder
        raise UserError(f"--port: expected 0 to 65535, but got {port}")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        taken = socket.socket(family)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
        taken.listen()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"{host}:{port}: the page cannot be served there ({reason}); choose another --port"
        ) from error
    return taken


def is_this_machine_alone(host: str) -> bool:
    """Whether nobody on another machine can reach a host of ours."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


async def _fetch_nothing(url: str) -> NoReturn:
    raise UserError(f"{url}: expected an upload; this server fetches no addresses")


def build_app(networks: Networks, root: Path, max_upload: str) -> Guard:
    """The whole server as an ASGI application.

    Args:
        networks: Those that the page offers.
        root: An empty folder of ours; uploads and outputs lie in it.
        max_upload: The largest upload, such as "200MB".
    """
    os.environ["GRADIO_TEMP_DIR"] = str(root)
    processing_utils.async_ssrf_protected_get = _fetch_nothing  # all its downloads use it
    visitors, limit = Visitors(root), parse_bytes(max_upload)
    app = gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        build_page(Workplace(networks, visitors), max_upload),
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=limit,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        **theme_options(),
    )
    return Guard(app, visitors)


def serve(networks: Networks, host: str, port: int, max_upload: str) -> None:
    """Serve the page until Ctrl-C; nothing of the visitors' remains.

    Raises:
        UserError: The port is taken, or the host is not this machine.
    """
    with bind(host, port) as listening, tempfile.TemporaryDirectory() as root:
        app = build_app(networks, Path(root).resolve(), max_upload)
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=PATIENCE)
        shown = f"[{host}]" if ":" in host else host
        print(
            f"The page: http://{shown}:{listening.getsockname()[1]}/ (Ctrl-C ends it)", flush=True
        )
        try:
            uvicorn.Server(config).run(sockets=[listening])
        finally:
            app.visitors.close()
