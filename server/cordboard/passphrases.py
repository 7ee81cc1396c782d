"""Passphrases: kept as Argon2id hashes (argon2-cffi, RFC 9106 defaults), and slow to guess.

After three wrong ones in a row the next try has to wait, 30 seconds at first, and twice as long
after each further one, up to 15 minutes: whoever guesses is slow, and whoever mistyped is soon back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import anyio

from cordboard.errors import NotAllowed

if TYPE_CHECKING:
    from argon2 import PasswordHasher

_FREE_TRIES = 3
_FIRST_WAIT = 30.0
_LONGEST_WAIT = 900.0

_MOST_STRANGERS = 8
_AGAIN_SECONDS = 5

# Each hash takes 64 MiB and most of a core for a while: strangers have one place, and a short
# queue, and none of the places of those who approve.
_hashing, _strangers_hashing = anyio.CapacityLimiter(2), anyio.CapacityLimiter(1)
_strangers = 0


@contextmanager
def place(*, stranger: bool) -> Iterator[None]:
    """Stand in the queue of those whose passphrase is checked. Raises: NotAllowed for a `stranger`
    who finds it full."""
    global _strangers  # noqa: PLW0603 - one queue for the process, on its one event loop
    if not stranger:
        yield
        return
    if _strangers >= _MOST_STRANGERS:
        told = f"Wait {_AGAIN_SECONDS} seconds, then try again."
        what = "Too many people sign in at this moment."
        raise NotAllowed(what, told, retry_after=_AGAIN_SECONDS)
    _strangers += 1
    try:
        yield
    finally:
        _strangers -= 1


def seconds_to_wait(failures: int, failed_at: str, now: datetime) -> int:
    """How long the next try has to wait after so many wrong ones in a row; 0: not at all.

    A last try that lies ahead is of another machine's clock, and is waited for. One that lies
    further ahead than the longest wait is of a clock that was set back since: nobody waits for that.
    """
    if failures < _FREE_TRIES:
        return 0
    wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(failures - _FREE_TRIES, 16))
    passed = seconds_since(failed_at, now)
    return max(0, math.ceil(wait - passed)) if passed >= -_LONGEST_WAIT else 0


def seconds_since(moment: str, now: datetime) -> float:
    """How long ago a stamp is."""
    return (now - datetime.fromisoformat(moment)).total_seconds()


async def hashed(passphrase: str) -> str:
    """What is kept of a passphrase."""
    hasher = _hasher()
    return await anyio.to_thread.run_sync(hasher.hash, passphrase, limiter=_hashing)


async def matches(kept: str, passphrase: str, *, stranger: bool = False) -> bool:
    """Whether this is the passphrase of which that was kept."""
    work = partial(_matches, kept, passphrase)
    limiter = _strangers_hashing if stranger else _hashing
    return await anyio.to_thread.run_sync(work, limiter=limiter)


def _matches(kept: str, passphrase: str) -> bool:
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return bool(_hasher().verify(kept, passphrase))
    except (VerificationError, InvalidHashError, UnicodeEncodeError):  # half a character, no hash
        return False


def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher  # not at import: it would cost every start

    return PasswordHasher()
