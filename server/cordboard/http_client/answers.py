"""What came back: read within bounds, secrets taken out, parsed; and how long to wait before asking again."""

from __future__ import annotations

import json
import random
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast
from urllib.parse import quote

import httpx

from cordboard.display import quoted

MAX_BODY = 32 * 1024 * 1024
"""Bytes of one answer, unpacked."""
MAX_TEXT = 500
LONGEST_WAIT = 10.0
"""Seconds between two tries, whatever the platform asks for."""

_FIRST_WAIT = 0.5
_REMOVED = "[secret removed]"
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", re.ASCII)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


_FOR_READERS = ("message", "detail", "error_description", "error")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer without secrets. `data`: the parsed JSON, None where `is_json` is False; `text`:
    its first 500 characters."""

    status: int
    data: Any
    text: str
    is_json: bool

    @property
    def said(self) -> str:
        """The platform's words as a sentence of our own, "" for none or a page of HTML."""
        words = self._sentence() or self.text.strip()
        return f" It said: {quoted(words)}." if words and not words.startswith("<") else ""

    def _sentence(self) -> str:
        """The one field of a JSON object that is for a reader, where it has one."""
        told = self.data if isinstance(self.data, dict) else {}
        found = [told[name] for name in _FOR_READERS if isinstance(told.get(name), str)]
        return found[0] if found else ""


class Unreadable(Exception):
    """An answer came that must not or cannot be read; the text goes on after "answered with"."""


class Secrets:
    """Takes the values of headers out of texts, as they stand and as JSON or an address spells them.

    The parts of a value ("Bearer x") are secrets too where they are long enough to be no word.
    Raises: ValueError for a value that cannot be sent; the message does not repeat it.
    """

    def __init__(self, name: str, headers: Mapping[str, str]) -> None:
        spellings: set[str] = set()
        for header, value in headers.items():
            # httpx and h11 would refuse such a value too, and print it.
            if (
                not value.isascii()
                or not value.isprintable()
                or value != value.strip()
                or not value
            ):
                what = "is empty, or has spaces at its ends or characters that cannot be sent"
                raise ValueError(f"{name}: the value for the header {header} {what}")
            for one in {value, *(part for part in value.split() if len(part) >= 8)}:
                escaped = json.dumps(one)[1:-1]
                spellings |= {one, escaped, escaped.replace("/", "\\/"), quote(one, safe="")}
        # The longest first, so that a part does not spoil the whole.
        self._spellings = sorted((s for s in spellings if len(s) > 3), key=len, reverse=True)

    def removed(self, text: str) -> str:
        """`text` without them."""
        for spelling in self._spellings:
            text = text.replace(spelling, _REMOVED)
        return text


async def body_of(response: httpx.Response) -> bytes:
    """The whole body, unpacked. Raises: Unreadable, httpx.TransportError.

    Not httpx's own reading: it unpacks a chunk whole before anyone can count, and codings within
    codings one after another, so that a few kilobytes could fill the memory.
    """
    coding = response.headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity", "gzip"):
        raise Unreadable("a compression that was not asked for")
    unpack = zlib.decompressobj(wbits=31) if coding == "gzip" else None
    body = bytearray()
    packed = False
    async for chunk in cast("httpx.AsyncByteStream", response.stream):
        room = MAX_BODY + 1 - len(body)
        try:
            body += unpack.decompress(chunk, room) if unpack else chunk
        except zlib.error:
            raise Unreadable("something that cannot be unpacked") from None
        packed = packed or bool(chunk)
        if len(body) > MAX_BODY:
            raise Unreadable(f"more than {MAX_BODY // 1024 // 1024} MiB")
    if unpack and packed and not unpack.eof:
        raise httpx.RemoteProtocolError("the compressed body broke off")
    return bytes(body)


def reply_of(status: int, body: bytes, secrets: Secrets) -> Reply:
    """The body as a Reply. JSON that no strict reader could pass on is no JSON."""
    text = secrets.removed(body.decode("utf-8-sig", "replace"))
    try:
        data = json.loads(text, parse_constant=_refuse)
        if _SURROGATE.search(text):  # half of a pair cannot be written as UTF-8 later
            json.dumps(data, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return Reply(status, None, text[:MAX_TEXT], is_json=False)
    return Reply(status, data, text[:MAX_TEXT], is_json=True)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def wait_before(tries: int, asked: float) -> float:
    """Seconds to wait after so many tries: what was asked for, or doubling; jittered and capped.

    The jitter keeps those who were turned away together from coming back together.
    """
    doubling = _FIRST_WAIT * 2.0 ** min(tries - 1, 9) * random.uniform(0.5, 1)  # noqa: S311 - no secret
    return min(LONGEST_WAIT, max(asked * random.uniform(1, 1.1), doubling))  # noqa: S311


def seconds_asked(
    retry_after: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> float:
    """A Retry-After header, in seconds from now; 0 where it is missing or makes no sense.

    RFC 9110, 10.2.3: whole seconds or an HTTP date. Fractions are seen in the wild.
    """
    if _SECONDS.fullmatch(retry_after.strip()):
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - now()).total_seconds())
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
