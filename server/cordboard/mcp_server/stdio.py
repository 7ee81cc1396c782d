"""Standard input and output as a transport that tells what it skips."""

from __future__ import annotations

import logging
from typing import Any, Self

logger = logging.getLogger("cordboard")


class NotedLines:
    """The SDK's stream of messages, with one line of log for each line that was none.

    The SDK hands on what it could not read as an exception, and drops it unseen; what the line
    said is not repeated, it may hold numbers.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> bool | None:
        ended: bool | None = await self._stream.__aexit__(*exc_info)
        return ended

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await self._next(self._stream.__anext__)

    async def receive(self) -> Any:
        return await self._next(self._stream.receive)

    async def _next(self, take: Any) -> Any:
        while isinstance(item := await take(), Exception):
            logger.warning(
                "A line on standard input is no JSON-RPC message (%s); it was skipped.",
                type(item).__name__,
            )
        return item
