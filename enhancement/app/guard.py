"""The middleware in front of the page: checks who owns a file, and sets security headers."""

from __future__ import annotations

import json
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from enhancement.app.visitors import COOKIE, LONGEST_COOKIE, Visitors, new_cookie

FILES, UPLOAD = ("/gradio_api/file=", "/gradio_api/file/"), "/gradio_api/upload"
COOKIE_RULES = "Path=/; HttpOnly; SameSite=Strict"
OWN = "'self' data: blob:"
POLICY = "; ".join(
    (
        f"default-src {OWN}",
        f"script-src {OWN} 'unsafe-inline' 'unsafe-eval'",  # as Gradio's page is made
        f"style-src {OWN} 'unsafe-inline'",
        "object-src 'none'",
        "form-action 'self'",
        "base-uri 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Serves files only to the browser that owns them, and tells browsers to ask no other host.

    Args:
        app: Gradio's.
        visitors: Whose files are whose.
    """

    def __init__(self, app: ASGIApp, visitors: Visitors) -> None:
        self.app, self.visitors = app, visitors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        known = browser_of(Headers(scope=scope))
        browser = known or new_cookie()
        path: str = scope["path"]
        file = next((path.removeprefix(f) for f in FILES if path.startswith(f)), None)
        if file is not None and not self.visitors.may_read(browser, file):
            await PlainTextResponse("not found", 404)(scope, receive, send)
            return
        answer: bytearray | None = None
        if path == UPLOAD:
            answer = bytearray()
            scope = _uncompressed(scope)

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                if file is not None:
                    headers["Cache-Control"] = "private, no-store"
                if known is None:
                    headers.append("Set-Cookie", f"{COOKIE}={browser}; {COOKIE_RULES}")
            elif answer is not None:
                answer.extend(message.get("body", b""))
                if not message.get("more_body"):
                    self.visitors.uploaded(browser, _paths_in(bytes(answer)))
            await send(message)

        await self.app(scope, receive, sent)


def browser_of(headers: Headers) -> str | None:
    """The cookie that a browser brings, if it does."""
    cookies: SimpleCookie = SimpleCookie()
    try:
        cookies.load(headers.get("cookie", ""))
    except CookieError:
        return None
    value = cookies[COOKIE].value if COOKIE in cookies else ""
    return value if 0 < len(value) <= LONGEST_COOKIE else None


def _uncompressed(scope: Scope) -> Scope:
    """The request without `Accept-Encoding`: its answer is to be read here."""
    kept = [(k, v) for k, v in scope["headers"] if k.lower() != b"accept-encoding"]
    return {**scope, "headers": kept}


def _paths_in(answer: bytes) -> list[str]:
    """The paths that Gradio gives to uploads; none if it refused them."""
    try:
        found: Any = json.loads(answer)
    except ValueError:
        return []
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
