"""uvicorn's HTTP/1.1 connection, with the limits that it leaves open when it parses with httptools:
how long a head may take, how large it may be, and how much may stand around a body.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_TOO_MUCH = (
    "431 Request Header Fields Too Large",
    "HEADERS_TOO_LARGE",
    "The headers are too large.",
)
_MALFORMED = ("400 Bad Request", "BAD_REQUEST", "That is not HTTP/1.1.")
_HELD_BYTES = 16 * 1024
_TOO_LATE = ("408 Request Timeout", "REQUEST_TIMEOUT", "The request did not arrive in time.")


class _Joined:
    """A transport on which the head of an answer waits for what follows at once: uvicorn writes them
    one by one, and every write is a system call and a packet of its own."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._soon = transport, loop.call_soon
        self._held, self._flushing = b"", False
        self.pause_reading, self.resume_reading = transport.pause_reading, transport.resume_reading
        self.is_closing, self.get_extra_info = transport.is_closing, transport.get_extra_info

    def write(self, data: bytes) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held + data)
        elif len(data) > _HELD_BYTES:
            self._transport.write(data)
        else:
            self._held = data
            if not self._flushing:
                self._flushing = True
                self._soon(self._flush)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        self._flushing = False
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)


class Connection(HttpToolsProtocol):
    """One client's connection. What breaks a limit is answered shortly, and hung up on."""

    head_seconds = 15.0
    """From the connection, or from the first byte after an answer, to the end of the head."""
    head_bytes = 64 * 1024
    head_fields = 100

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._patience: asyncio.TimerHandle | None = None
        self._refused = self._heard = False
        self._around = self._inside = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(_Joined(transport, self.loop))  # type: ignore[arg-type]
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._heard = True
        self._around += len(data)
        super().data_received(data)
        # A field or a chunk's extension that never ends is told to nobody before its end.
        if self._around - self._inside > self.head_bytes + self._inside:
            self._refuse(*_TOO_MUCH)
        hung_up = self.transport.is_closing()
        if not hung_up and not self._answering and self.timeout_keep_alive_task is None:
            self._wait()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._around = self._inside = 0

    def on_headers_complete(self) -> None:
        self._wait_no_more()
        # RFC 9110, 5.5: white space behind a value is no part of it.
        self.headers[:] = [(name, value.rstrip(b" \t")) for name, value in self.headers]
        size = sum([len(name) + len(value) for name, value in self.headers])
        if len(self.headers) > self.head_fields or size > self.head_bytes:
            self._refuse(*_TOO_MUCH)
        if not self._refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._inside += len(body)
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        del msg
        if not self._refused:
            self._refuse(*_MALFORMED)

    def _unsupported_upgrade_warning(self) -> None:
        """The request is answered as if it had asked for no upgrade, which is worth no warning."""

    @property
    def _answering(self) -> bool:
        cycle: Any = self.cycle  # None before the first request, whatever its type says
        return cycle is not None and not cycle.response_complete

    def _wait(self) -> None:
        if self._patience is None:
            self._patience = self.loop.call_later(self.head_seconds, self._give_up)

    def _wait_no_more(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        if not self._heard:  # connected in advance, as browsers do, and not needed
            self.transport.close()
        elif not self.transport.is_closing():
            self._refuse(*_TOO_LATE)

    def _refuse(self, status: str, code: str, what: str) -> None:
        """Answer, unless an answer is under way, and hang up."""
        if self._refused:
            return
        self._refused = True
        if not self._answering or not self.cycle.response_started:
            body = json.dumps({"error": {"code": code, "what": what, "remedy": ""}})
            head = (
                f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\n"
                "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
            )
            self.transport.write((head + body).encode())
        self.transport.close()
