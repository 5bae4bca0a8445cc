"""Connections of the review page's server, each of which is given up when the browser
at its other end takes too long."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS = 20.0
"""The longest that a browser may take to send a request, once it is connected."""

LOOK_SECONDS = 5.0
"""How often a connection is looked at."""

STUCK_SECONDS = 60.0
"""The longest that a browser may take no byte of an answer."""


class ImpatientProtocol(H11Protocol):
    """HTTP as uvicorn speaks it, but for clients that stop amid a request or an answer:
    uvicorn waits for them for ever, and each keeps a file open and holds up the end."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to look at the connection."""
        super().connection_made(transport)
        self._unread = 0
        self._waiting_since = self._unread_since = self.loop.time()
        self._next_look = self.loop.call_later(LOOK_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """End looking at it."""
        self._next_look.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next request from now on."""
        self._waiting_since = self.loop.time()
        super().on_response_complete()

    def shutdown(self) -> None:
        """End the connection, at once where the browser still owes something."""
        if self._is_client_to_act():
            self.transport.abort()
        else:
            super().shutdown()

    def _look(self) -> None:
        now = self.loop.time()
        unread = self.transport.get_write_buffer_size()
        if unread != self._unread or not unread:
            self._unread, self._unread_since = unread, now
        is_late = (
            self._is_client_to_act() and now - self._waiting_since > REQUEST_SECONDS
        )
        is_stuck = now - self._unread_since > STUCK_SECONDS
        if is_late or is_stuck:
            self.transport.abort()
        else:
            self._next_look = self.loop.call_later(LOOK_SECONDS, self._look)

    def _is_client_to_act(self) -> bool:
        """Whether no request is here whole that is not answered."""
        cycle: Any = self.cycle
        return cycle is None or cycle.response_complete or cycle.more_body
