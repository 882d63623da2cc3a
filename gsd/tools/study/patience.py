"""HTTP with an end: a connection that says nothing, too little or reads too slowly is closed, as is one too many."""

from __future__ import annotations

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

ASKING_S = 10.0  # for a whole request, from when the connection was made or the last reply ended
READING_S = 120.0  # for the reply
ACCEPTED = 100  # connections that may be made before the first of them is counted
SPARE = ACCEPTED + 100  # file handles that are kept for the votes and the films


def most_connections() -> int:
    """So many are held at once; each takes a file handle, of which a process has a limited number."""
    return max(10, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE)


class Patient(H11Protocol):
    """uvicorn's own protocol, which waits for ever for a first request, a body and a reader."""

    _end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._until(ASKING_S)
        if len(self.connections) > most_connections():
            self.transport.abort()

    def handle_events(self) -> None:
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body:
            self._until(READING_S)

    def on_response_complete(self) -> None:
        self._until(ASKING_S)
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._end:
            self._end.cancel()

    def _until(self, seconds: float) -> None:
        if self._end:
            self._end.cancel()
        self._end = self.loop.call_later(seconds, self.transport.abort)
