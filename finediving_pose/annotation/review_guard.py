"""Guard of the review page's server: it answers its own page alone, opened with the token
of this start, on this computer."""

from __future__ import annotations

import hashlib
import re
import secrets
from html import escape
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from finediving_pose import console

TOKEN_HEADER = "x-fdpose-token"
MAX_BODY = 256 * 2**10
"""Bytes a request may have: a label with its comment takes a few thousand."""

PICTURE_PATH = "/api/picture"
PUBLIC_PREFIX = "/web/"
"""The page's own program, the same for everybody: it needs no token."""

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

_OWN_HOST = re.compile(r"(?:127\.0\.0\.1|localhost)(?::\d{1,5})?", re.IGNORECASE)
"""Any port: behind ``ssh -L 9000:127.0.0.1:8765`` the browser says 9000."""

_LENGTH = re.compile(r"[0-9]{1,9}")


def new_token() -> str:
    """Return what is written into the address and nobody can guess."""
    return secrets.token_urlsafe(24)


def name_cookie(token: str) -> str:
    """Return the cookie's name. Cookies are shared by all ports of a computer, so each
    start has its own."""
    return f"fdpose_{hashlib.sha256(token.encode()).hexdigest()[:12]}"


class Guard:
    """ASGI middleware: refuses every request that is not our page's, and sets the
    security headers of every answer.

    The host must be this computer's (another name that resolves to it is somebody's
    rebinding), a write must come from our own origin, and everything but the page's
    program needs the token: in the address for the page, in a header for calls, in a
    cookie for images, which only the page itself may embed.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self.token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        request = Request(scope)
        refusal = self._find_refusal(request)
        target = self.app
        if refusal is not None:
            target = _answer_refusal(request, *refusal)
        try:
            await target(scope, receive, send_with_headers)
        except ClientDisconnect:
            console.log.debug("%s: the browser hung up", request.url.path)
        # It is answered with 500 already, and one bad request never ends the review.
        except Exception as error:  # noqa: BLE001
            console.log.error(
                "internal error at %s: %s: %s",
                request.url.path,
                type(error).__name__,
                error,
            )
            console.log.debug("where", exc_info=True)

    def _find_refusal(self, request: Request) -> tuple[int, str] | None:
        """Return the status and the message of a refusal; None where there is none."""
        host = request.headers.get("host", "")
        if not _OWN_HOST.fullmatch(host):
            message = (
                f"Host is {host!r}, expected 127.0.0.1 or localhost: open the address "
                "that fdpose printed"
            )
            return 403, message
        if request.method not in {"GET", "HEAD"}:
            origin = request.headers.get("origin", "")
            if not _is_page_of(host, origin):
                message = (
                    f"Origin is {origin!r}, expected http://{host}: only the review page "
                    "itself may write"
                )
                return 403, message
            length = request.headers.get("content-length", "")
            if not _LENGTH.fullmatch(length) or int(length) > MAX_BODY:
                message = (
                    f"expected a request of at most {MAX_BODY} bytes that says how long "
                    "it is"
                )
                return 413, message
        is_public = request.url.path.startswith(PUBLIC_PREFIX)
        if not is_public and not self._has_token(request):
            message = (
                "the address lacks the token of this start, or has an earlier one's"
            )
            return 403, message
        return None

    def _has_token(self, request: Request) -> bool:
        given = [request.headers.get(TOKEN_HEADER)]
        if request.url.path == "/":
            given.append(request.query_params.get("token"))
        if request.url.path == PICTURE_PATH:
            given.append(request.cookies.get(name_cookie(self.token)))
        # Compared in constant time, so that answers tell nothing of the token.
        for text in given:
            if text and secrets.compare_digest(text.encode(), self.token.encode()):
                return True
        return False


def _is_page_of(host: str, origin: str) -> bool:
    """Whether an Origin, which may be any text, is that of our page on a host."""
    try:
        address = urlsplit(origin)
    except ValueError:
        return False
    return address.scheme == "http" and address.netloc.lower() == host.lower()


def _answer_refusal(request: Request, status: int, message: str) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"message": message}, status)
    return HTMLResponse(_PAGE.format(message=escape(message)), status)


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>fdpose review: not opened</title>
<link rel="stylesheet" href="/web/review.css">
<body class="refused"><main>
<h1>This address does not open the review</h1>
<p>{message}.</p>
<p>Each start of <code>fdpose review</code> prints its own address, with a new token. Open that one; a tab of an earlier
start can be closed. Work that was not saved there is kept in this browser and comes back with its image.</p>
</main></body></html>
"""
