"""A wire between a store and its PostgreSQL that a test may cut at the moment of a commit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal
from urllib.parse import urlsplit

import anyio
from anyio.abc import SocketAttribute, SocketStream

_COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
_DONE = b"Z\x00\x00\x00\x05I"  # ready for the next, and in no transaction

Cut = Literal["", "before", "after", "mute", "stuck"]
"""before: the commit never leaves, the connection ends. after: the server commits, the connection
ends before anybody is told. mute: the server commits, nobody is told, the connection stays. stuck:
the commit never leaves, and both ends believe that the connection stands."""


class Wire:
    """Carries bytes from `url` to a server. `cut`: what becomes of the next commit, once; with
    `goes_with_it` nobody can connect any more from then on. `spare`: so many commits pass before."""

    def __init__(self, url: str, port: int) -> None:
        there = urlsplit(url)
        assert there.hostname and there.port, "a URL with host and port"
        self._host, self._port = there.hostname, there.port
        self.url = url.replace(f"{there.hostname}:{there.port}", f"127.0.0.1:{port}", 1)
        self.cut: Cut = ""
        self.spare = 0
        self.goes_with_it = False
        self.is_up = True

    def fate(self, data: bytes) -> Cut:
        """What is to become of what the store sends."""
        if not self.cut or _COMMIT not in data:
            return ""
        if self.spare:
            self.spare -= 1
            return ""
        fate, self.cut = self.cut, ""
        self.is_up = not self.goes_with_it
        return fate

    async def carry(self, near: SocketStream) -> None:
        """One connection, to its end."""
        async with near:
            if not self.is_up:
                return
            with suppress(OSError):  # the server is down
                async with await anyio.connect_tcp(self._host, self._port) as far:
                    await _Line(self, near, far).carry()


class _Line:
    """One connection, with its two ends."""

    def __init__(self, wire: Wire, near: SocketStream, far: SocketStream) -> None:
        self._wire, self._near, self._far = wire, near, far
        self._fate: Cut = ""

    async def carry(self) -> None:
        async with anyio.create_task_group() as both:
            both.start_soon(self._up, both.cancel_scope)
            both.start_soon(self._down, both.cancel_scope)

    async def _up(self, over: anyio.CancelScope) -> None:
        with suppress(anyio.BrokenResourceError, anyio.EndOfStream):
            while True:
                data = await self._near.receive()
                self._fate = self._wire.fate(data) or self._fate
                if self._fate == "stuck":
                    return  # and whether the store hangs up is not seen either
                if self._fate == "before":
                    break
                await self._far.send(data)
        over.cancel()

    async def _down(self, over: anyio.CancelScope) -> None:
        with suppress(anyio.BrokenResourceError, anyio.EndOfStream):
            while True:
                data = await self._far.receive()
                if self._fate == "after" and data.endswith(_DONE):
                    break
                if self._fate not in ("after", "mute"):
                    await self._near.send(data)
        over.cancel()


@asynccontextmanager
async def wire(url: str) -> AsyncIterator[Wire]:
    """A wire to the server of this URL; its own `url` is what a store connects to."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django here
    async with listener, anyio.create_task_group() as group:
        made = Wire(url, port)
        group.start_soon(listener.serve, made.carry)
        yield made
        group.cancel_scope.cancel()
