"""Where requests go: checked base addresses, safe path segments, and paths as messages name them."""

from __future__ import annotations

import ipaddress
import re
import socket
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import httpx

from cordboard.display import quoted
from cordboard.errors import InvalidArguments

_WORD = re.compile(r"[A-Za-z][A-Za-z_-]{0,39}")


def segment(text: str) -> str:
    """One segment of a path, percent-encoded: `+` and `/` too.

    Raises: InvalidArguments for "", "." and "..", which lead to another path in any encoding.
    """
    if text in ("", ".", ".."):
        raise InvalidArguments(f"{quoted(text)} cannot be an id.")
    return quote(text, safe="")


def give_up_after(seconds: float, connection: Any) -> None:
    """Have the kernel drop what it could not deliver in so many seconds (TCP_USER_TIMEOUT, Linux).

    Without it a request of a process that ended long ago may still be sent again for minutes.
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        with suppress(OSError, AttributeError):  # asyncio hands out what only resembles a socket
            connection.setsockopt(socket.IPPROTO_TCP, option, round(seconds * 1000))


def words_of(path: str) -> str:
    """What of a path may stand in a message: its words, without ids and phone numbers."""
    return " ".join(part for part in path.split("/") if _WORD.fullmatch(part))


def checked(name: str, base_url: str) -> tuple[httpx.URL, bool]:
    """The base address, and whether it is on this machine.

    Raises: ValueError. The message does not repeat the address: it may hold a password.
    """
    try:
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, ValueError):
        raise ValueError(f"{name}: base_url is no address") from None
    if (url.port or 0) > 65535:
        raise ValueError(f"{name}: base_url has a port that there is not")
    loopback = _is_loopback(url.host)
    if not url.host or not (url.scheme == "https" or (url.scheme == "http" and loopback)):
        why = "http:// is for this machine alone (localhost, 127.0.0.1, [::1])"
        raise ValueError(f"{name}: base_url must begin with https:// and a host; {why}")
    if url.userinfo or url.query or url.fragment or " " in base_url:
        what = "must not hold a user name, password, query, fragment or space"
        raise ValueError(f"{name}: base_url {what}")
    return url, loopback


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
