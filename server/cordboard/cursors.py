"""Cursors of listings: opaque, authenticated, good for the one query they came from."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

from cordboard.canonical import canonical
from cordboard.errors import InvalidArguments

_TAG_BYTES = 16


class Cursors:
    """Makes and opens cursors under the key that lies beside the store."""

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.sha256(b"cordboard cursors\0" + key).digest()

    def seal(self, query: Mapping[str, str], after: str) -> str:
        """A cursor to go on after that key with the same query; "" for "" (the end)."""
        if not after:
            return ""
        tag = self._tag(query, after)
        return base64.urlsafe_b64encode(tag + after.encode()).decode().rstrip("=")

    def open(self, query: Mapping[str, str], cursor: str) -> str:
        """The key to go on after; "" for "".

        Raises: InvalidArguments for a cursor that was made up, altered, or made for another query.
        """
        if not cursor:
            return ""
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            after = raw[_TAG_BYTES:].decode()
        except (binascii.Error, ValueError):
            raise _bad() from None
        # The whole text, not the tag: base64 has several spellings for the same bytes.
        if not hmac.compare_digest(self.seal(query, after).encode(), cursor.encode()):
            raise _bad()
        return after

    def _tag(self, query: Mapping[str, str], after: str) -> bytes:
        text = canonical({"query": dict(query), "after": after})
        return hmac.new(self._key, text.encode(), hashlib.sha256).digest()[:_TAG_BYTES]


def _bad() -> InvalidArguments:
    return InvalidArguments(
        "cursor: this is not a cursor of this query.",
        "Take next_cursor of the last answer and keep every other argument the same, or leave cursor out.",
    )
