"""Connections on which an answer is not waited for for ever, and what became of connecting.

A server that stands still keeps its connections up: nothing but a clock here finds that out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import errors
from psycopg.abc import RV, PQGen

_CALL_OFF_SECONDS = 1.0
"""How long the server may take to be told that a statement is called off."""


class Attempts:
    """How it went to connect to one database, told by those who try."""

    def __init__(self) -> None:
        self._failed: psycopg.Error | None = None
        self._under_way = set[object]()

    @contextmanager
    def one(self) -> Iterator[None]:
        """An attempt, which raises psycopg.Error where it fails."""
        this = object()
        self._under_way.add(this)
        try:
            yield
        except psycopg.Error as exc:
            self._failed = exc
            raise
        else:
            self._failed = None
        finally:
            self._under_way.discard(this)

    def why(self) -> psycopg.Error | None:
        """Why nobody gets in, if so: what the newest attempt was told, or that it hears nothing."""
        if self._failed is None and self._under_way:
            return psycopg.OperationalError("timed out")
        return self._failed


class _Late(Exception):
    """No answer came in time."""


def _in_time(steps: PQGen[RV], seconds: float) -> PQGen[RV]:
    """These steps of psycopg's, for so long: it says ten times a second that nothing has arrived.

    Costs a fraction of what a timer of the event loop does. Raises: _Late.
    """
    end = time.monotonic() + seconds
    try:
        wanted = next(steps)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > end:
                raise _Late
            wanted = steps.send(ready)
    except StopIteration as done:
        result: RV = done.value
        return result


class Line(psycopg.Connection[dict[str, Any]]):
    """A connection. `patience`: seconds for the answer to a statement, after which it is called off
    and the connection closed, with QueryCanceled; None: it is waited for. `is_standby`: what is there
    may be of any age; a primary that becomes one hangs up, so it was asked when it was connected."""

    patience: float | None = None
    is_standby = False

    @classmethod
    def connect(cls, *given: Any, **settings: Any) -> Any:
        """As psycopg's. `attempts`: the Attempts that this is one of."""
        with settings.pop("attempts").one():
            return super().connect(*given, **settings)

    def wait(self, gen: PQGen[RV], *given: Any, **settings: Any) -> RV:
        if self.patience is None:
            return super().wait(gen, *given, **settings)
        try:
            return super().wait(_in_time(gen, self.patience), *given, **settings)
        except _Late:
            with suppress(psycopg.Error):
                self.cancel_safe(timeout=_CALL_OFF_SECONDS)
            self.close()
            raise errors.QueryCanceled("no answer in time") from None


class SoonLine(psycopg.AsyncConnection[dict[str, Any]]):
    """As `Line`, for an event loop."""

    patience: float | None = None
    is_standby = False

    @classmethod
    async def connect(cls, *given: Any, **settings: Any) -> Any:
        with settings.pop("attempts").one():
            return await super().connect(*given, **settings)

    async def wait(self, gen: PQGen[RV], *given: Any, **settings: Any) -> RV:
        if self.patience is None:
            return await super().wait(gen, *given, **settings)
        try:
            return await super().wait(_in_time(gen, self.patience), *given, **settings)
        except _Late:
            with suppress(psycopg.Error):
                await self.cancel_safe(timeout=_CALL_OFF_SECONDS)
            await self.close()
            raise errors.QueryCanceled("no answer in time") from None
