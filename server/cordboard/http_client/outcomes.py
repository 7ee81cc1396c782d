"""What one try came to, and what that means: for a read, and for a write."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Container
from dataclasses import dataclass

import httpx

from cordboard.errors import AnswerLost, PlatformError, PlatformRateLimited, PlatformUnreachable
from cordboard.http_client.address import words_of
from cordboard.http_client.answers import Reply

_AGAIN = frozenset({429, 502, 503, 504})
_REDIRECTS = range(300, 400)
_NOT_DONE = frozenset({307, 308})  # the others may also follow something that was done
_LOST_REMEDY = "It may or may not have been done: only reading the numbers tells."


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. One try never takes longer than both together, however slowly bytes drip."""

    connect: float = 5.0
    read: float = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Something came back. `wait`: seconds that the platform asks for."""

    reply: Reply
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """No usable answer. `sent`: bytes may have left. `again`: a read may be tried again."""

    what: str
    sent: bool = True
    again: bool = True
    wait: float = 0.0


def trouble_of(name: str, timeouts: Timeouts, error: Exception) -> Trouble:
    """What an exception of httpx or of a socket means. Its own text is never used: it may show
    an address or a header."""
    unreached = f"{name} cannot be reached"
    match error:
        case httpx.ConnectTimeout():
            what = f"{unreached}: no connection within {timeouts.connect:g} s"
            return Trouble(what, sent=False)
        case httpx.PoolTimeout():
            return Trouble(f"{unreached}: no connection was free", sent=False)
        case httpx.ProxyError():
            return Trouble(f"{unreached}: the proxy opened no way to it", sent=False)
        case httpx.ConnectError():
            return Trouble(f"{unreached}: {_cause(error)}", sent=False)
        case httpx.TimeoutException():
            return Trouble(f"{name} did not answer within {timeouts.read:g} s")
        case _:
            return Trouble(f"The connection to {name} broke off")


def _cause(error: BaseException | None) -> str:
    while error is not None:
        match error:
            case ssl.SSLCertVerificationError():
                return "its certificate was not accepted"
            case ssl.SSLError():
                return "no TLS connection came about"
            case socket.gaierror():
                return "its host name was not found"
        error = error.__cause__ or error.__context__
    return "no connection"


def may_read_again(came: Answer | Trouble) -> bool:
    """Whether a read that came to this is worth another try."""
    return came.again if isinstance(came, Trouble) else came.reply.status in _AGAIN


def where(method: str, path: str, tries: int) -> str:
    """What was asked, for messages: "GET personas; tried 4 times"; no ids, no phone numbers."""
    asked = f"{method} {words_of(path)}".rstrip()
    return f"{asked}; tried {tries} times" if tries > 1 else asked


def of_read(name: str, came: Answer | Trouble, at: str) -> Reply:
    """The answer to a read. Raises: PlatformError and those below it."""
    if isinstance(came, Trouble):
        kind = PlatformUnreachable if came.again else PlatformError
        raise kind(f"{came.what} ({at}).")
    _check_turned_away(name, came.reply, at, _REDIRECTS)
    if came.reply.status < 200 or came.reply.status >= 500:
        raise PlatformError(f"{name} answered {came.reply.status} ({at}).{came.reply.said}")
    return came.reply


def of_write(name: str, came: Answer | Trouble, at: str) -> Reply:
    """The answer to a write. Raises: AnswerLost; PlatformError and those below it."""
    if isinstance(came, Trouble):
        if came.sent:
            raise AnswerLost(f"{came.what} ({at}).", _LOST_REMEDY)
        raise PlatformUnreachable(f"{came.what} ({at}).")
    _check_turned_away(name, came.reply, at, _NOT_DONE)
    status = came.reply.status
    # 408 may come from a proxy that stopped waiting for a vendor at work.
    if status < 200 or status in _REDIRECTS or status >= 500 or status == 408:
        what = f"{name} answered {status} ({at}).{came.reply.said}"
        raise AnswerLost(what, _LOST_REMEDY)
    return came.reply


def _check_turned_away(name: str, reply: Reply, at: str, redirects: Container[int]) -> None:
    if reply.status == 429:
        raise PlatformRateLimited(f"{name} asks to slow down ({at}).{reply.said}")
    if reply.status in redirects:
        what = f"{name} answered with a redirect, {reply.status}, which is never followed ({at})."
        raise PlatformError(what, "The operator must check this platform's base_url.")
