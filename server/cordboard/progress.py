"""Telling a waiting caller how far something long is. Who listens is the business of the call.

Whoever works says `tell(done, total, what)`; it costs nothing where nobody listens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[float, float, str], Awaitable[None]]
"""Told how much is done, of how much (0: not known), and of what, in words without numbers or names."""

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def heard_by(listener: Listener | None) -> Iterator[None]:
    """Within, `tell` speaks to this listener."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


async def tell(done: float, total: float, what: str) -> None:
    """Say how far the work is."""
    listener = _listener.get()
    if listener is not None:
        await listener(done, total, what)
