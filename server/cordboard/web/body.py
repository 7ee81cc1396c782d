"""The body of one request: taken in whole before anybody acts on it, within a size and a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import anyio

if TYPE_CHECKING:
    from starlette.types import Message, Receive

Taken = Literal["whole", "too large", "too slow", "no room", "left"]
_DISCARDED_BYTES = 32 * 1024 * 1024
_DISCARDED_SECONDS = 10.0


class Room:
    """How many bytes of all requests together may wait in memory: nobody has signed in yet."""

    def __init__(self, most: int) -> None:
        self.most, self.taken = most, 0


class Body:
    """What one request brings. `most`: bytes; `seconds`: from the first to the last of them."""

    def __init__(self, receive: Receive, most: int, seconds: float, room: Room) -> None:
        self._receive, self._most, self._seconds = receive, most, seconds
        self._room, self._mine = room, 0
        self._kept: list[Message] = []
        self._more = True

    async def take(self) -> Taken:
        """Receive all of it; `left`: the client did, before the end."""
        body = bytearray()
        with anyio.move_on_after(self._seconds):
            while self._more:
                message = await self._next()
                if message["type"] != "http.request":
                    return "left"
                more = message.get("body", b"")
                body += more
                self._mine += len(more)
                self._room.taken += len(more)
                if len(body) > self._most:
                    return "too large"
                if self._room.taken > self._room.most:
                    return "no room"
            self._kept.append({"type": "http.request", "body": bytes(body), "more_body": False})
            return "whole"
        return "too slow"

    async def again(self) -> Message:
        """What `take` received, and then whatever comes."""
        return self._kept.pop() if self._kept else await self._receive()

    def let_go(self) -> None:
        """The request is answered: its bytes take no room any more."""
        self._room.taken -= self._mine
        self._mine = 0

    async def discard(self) -> None:
        """Take in, for a while, what is not wanted: a client that still sends when the connection
        is closed does not get to read why."""
        left = _DISCARDED_BYTES
        with anyio.move_on_after(min(self._seconds, _DISCARDED_SECONDS)):
            while self._more and left > 0:
                left -= len((await self._next()).get("body", b""))

    async def _next(self) -> Message:
        message = await self._receive()
        self._more = message["type"] == "http.request" and message.get("more_body", False)
        return message
