"""Telling a waiting caller how far something long is. Who listens is the business of the call.

Whoever works says `tell(done, total, what)`; it costs nothing where nobody listens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[float, float, str], Awaitable[None]]
"""Told how much is done, of how much (0: not known), and of what, in words without numbers or names."""


class _Call:
    """One call that may be listening. Work that outlives the call keeps this, not the listener."""

    def __init__(self, listener: Listener | None) -> None:
        self.listener = listener


_call: ContextVar[_Call | None] = ContextVar("call", default=None)


@contextmanager
def heard_by(listener: Listener | None) -> Iterator[None]:
    """Within, `tell` speaks to this listener; afterwards nothing does, also not what goes on."""
    call = _Call(listener)
    token = _call.set(call)
    try:
        yield
    finally:
        call.listener = None
        _call.reset(token)


async def tell(done: float, total: float, what: str) -> None:
    """Say how far the work is."""
    call = _call.get()
    if call is not None and call.listener is not None:
        await call.listener(done, total, what)
