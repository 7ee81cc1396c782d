"""Opaque tokens: their issuer is asked what they stand for (RFC 7662)."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from cordboard.clock import Clock
from cordboard.config.http import OAuthSettings
from cordboard.errors import PlatformAuth, PlatformError, PlatformUnreachable
from cordboard.http_client import HttpClient
from cordboard.web.oauth.claims import Refused

_LOG = logging.getLogger(__name__)
_KEPT = timedelta(seconds=10)
"""How long an answer counts: a revoked token is refused so much later at most."""
_MOST_KEPT = 10_000


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
    """Tokens that only their issuer can read; its answers count for a short while."""

    def __init__(self, http: HttpClient, path: str, issuer: str, clock: Clock) -> None:
        self._http, self._path, self._issuer, self._clock = http, path, issuer, clock
        self._kept: OrderedDict[bytes, _Answer] = OrderedDict()

    async def claims(self, token: str) -> Mapping[str, Any]:
        """What the issuer says of a token it knows. Raises: Refused, PlatformUnreachable."""
        key = hashlib.sha256(token.encode()).digest()
        now = self._clock()
        answer = self._kept.get(key)
        if answer is None or not _still_counts(answer, now):
            answer = _Answer(await self._ask(token), now)
            self._kept[key] = answer
            self._kept.move_to_end(key)
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        if answer.claims is None:
            raise Refused("its issuer says that it is not active")
        return answer.claims

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
