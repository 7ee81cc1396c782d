"""Opaque tokens: their issuer is asked what they stand for (RFC 7662)."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import anyio

from cordboard.clock import Clock
from cordboard.config.http import OAuthSettings
from cordboard.errors import PlatformAuth, PlatformError, PlatformUnreachable
from cordboard.http_client import HttpClient
from cordboard.web.oauth.claims import Refused

_LOG = logging.getLogger(__name__)
_KEPT = timedelta(seconds=10)
"""How long an answer counts: a revoked token is refused so much later at most."""
_MOST_KEPT = 10_000
_STRANGERS_AT_ONCE = 8
"""Half of the way to the issuer: the rest is for tokens that were active before."""
_MOST_ASKED = 64


@dataclass(frozen=True, slots=True)
class _Answer:
    """What was said of a token, None where it is not active, and when that was."""

    claims: Mapping[str, Any] | None
    at: datetime


def credentials(oauth: OAuthSettings) -> dict[str, str]:
    """The header by which we are known to the authorization server (RFC 6749, 2.3.1)."""
    # A space as %20, which servers read that take `+` for itself, too.
    pair = f"{quote(oauth.client_id, safe='')}:{quote(oauth.client_secret, safe='')}"
    return {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


class Introspection:
    """Tokens that only their issuer can read; its answers count for a short while.

    Anybody may send any text as a token. Texts that never were active have a part of the way to the
    issuer only, and push no active one out of what is kept.
    """

    def __init__(self, http: HttpClient, path: str, issuer: str, clock: Clock) -> None:
        self._http, self._path, self._issuer, self._clock = http, path, issuer, clock
        self._active: OrderedDict[bytes, _Answer] = OrderedDict()
        self._others: OrderedDict[bytes, _Answer] = OrderedDict()
        self._asking: dict[bytes, anyio.Lock] = {}
        self._strangers = anyio.CapacityLimiter(_STRANGERS_AT_ONCE)

    async def claims(self, token: str) -> Mapping[str, Any]:
        """What the issuer says of a token it knows. Raises: Refused, PlatformUnreachable."""
        key = hashlib.sha256(token.encode()).digest()
        answer = self._kept(key) or await self._asked_once(key, token)
        if answer.claims is None:
            raise Refused("its issuer says that it is not active")
        return answer.claims

    def _kept(self, key: bytes) -> _Answer | None:
        answer = self._active.get(key) or self._others.get(key)
        return answer if answer and _still_counts(answer, self._clock()) else None

    async def _asked_once(self, key: bytes, token: str) -> _Answer:
        """The issuer's answer; who comes with the same token meanwhile waits for it."""
        known = key in self._active
        if not known and key not in self._asking and len(self._asking) >= _MOST_ASKED:
            raise PlatformUnreachable(
                "Too many tokens are being checked at this moment.", "Try again in a minute."
            )
        turn = self._asking.setdefault(key, anyio.Lock())
        try:
            async with turn, nullcontext() if known else self._strangers:
                answer = self._kept(key)
                if answer is None:
                    answer = _Answer(await self._ask(token), self._clock())
                    self._keep(key, answer)
                return answer
        finally:
            if not turn.locked():
                self._asking.pop(key, None)

    def _keep(self, key: bytes, answer: _Answer) -> None:
        self._active.pop(key, None)
        self._others.pop(key, None)
        kept = self._others if answer.claims is None else self._active
        kept[key] = answer
        if len(kept) > _MOST_KEPT:
            kept.popitem(last=False)

    async def _ask(self, token: str) -> Mapping[str, Any] | None:
        try:
            form = {"token": token, "token_type_hint": "access_token"}
            reply = await self._http.ask(self._path, form)
            if reply.status in (401, 403):
                raise PlatformAuth("the authorization server refused our own credentials.")
            if reply.status != 200 or not isinstance(reply.data, dict):
                raise PlatformError(f"the authorization server answered {reply.status}.")
        except PlatformError as exc:
            # Without the other side's own words, in which the token may stand.
            _LOG.warning("OAuth: %s", exc.what.partition(" It said:")[0])
            raise PlatformUnreachable(
                "The authorization server does not tell which tokens count.",
                "Try again in a minute; the server's log tells its operator more.",
            ) from None
        if reply.data.get("active") is not True:
            return None
        # Who answered is the issuer; it may leave its name out, but not give another.
        return {"iss": self._issuer, **reply.data}


def _still_counts(answer: _Answer, now: datetime) -> bool:
    if abs(now - answer.at) >= _KEPT:
        return False
    expires = (answer.claims or {}).get("exp")
    return not isinstance(expires, int | float) or now.timestamp() < expires
