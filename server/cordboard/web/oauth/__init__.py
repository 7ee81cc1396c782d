"""An OAuth 2.1 resource server: tokens of one authorization server count here, for one audience.

They are JWTs that its published keys verify, or opaque ones that it is asked about. No token is
logged, kept, or sent to anybody but the server that issued it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlsplit

import anyio

from cordboard.clock import Clock
from cordboard.config.http import OAuthSettings
from cordboard.errors import ConfigError
from cordboard.http_client import HttpClient, Timeouts, Transport
from cordboard.identity import Identity
from cordboard.tokens import PREFIX
from cordboard.web.oauth import introspection
from cordboard.web.oauth.claims import Refused, identity_of
from cordboard.web.oauth.introspection import Introspection
from cordboard.web.oauth.signed import SignedTokens, SigningKeys

__all__ = ["OAuthVerifier"]

_LOG = logging.getLogger(__name__)
_LONGEST_TOKEN = 16 * 1024
_TOLD_EVERY = timedelta(seconds=60)
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)  # RFC 6750, 2.1
_TIMEOUTS = Timeouts(connect=3.0, read=5.0)  # somebody's request waits for it


class _Source(Protocol):
    async def claims(self, token: str) -> Mapping[str, Any]:
        """What the authorization server vouches for. Raises: Refused, PlatformUnreachable."""
        ...


class OAuthVerifier:
    """The tokens of an authorization server. A `Verifier`.

    `account`: whose the tokens are where no claim says it. Raises: ConfigError.
    """

    def __init__(
        self,
        oauth: OAuthSettings,
        account: str,
        clock: Clock,
        *,
        transport: Transport | None = None,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._oauth, self._account, self._clock = oauth, account, clock
        self._told: dict[str, datetime] = {}
        headers = {} if oauth.jwks_url else introspection.credentials(oauth)
        try:
            parts = urlsplit(oauth.jwks_url or oauth.introspection_url)
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            self._http = HttpClient(
                "the authorization server",
                f"{parts.scheme}://{parts.netloc}",
                headers,
                timeouts=_TIMEOUTS,
                at_once=16,
                transport=transport,
                sleep=sleep,
                read_tries=2,
            )
        except ValueError as exc:
            raise ConfigError(f"oauth: {exc}.") from None
        self._source: _Source = (
            SignedTokens(SigningKeys(self._http, path, clock))
            if oauth.jwks_url
            else Introspection(self._http, path, oauth.issuer, clock)
        )

    async def verify(self, token: str) -> Identity | None:
        """Whom a token stands for; None for one that does not count, and the log says why.

        Raises: PlatformUnreachable where the authorization server is needed to tell, and is down.
        """
        # A static token of ours is no business of the authorization server's.
        if token.startswith(PREFIX) or len(token) > _LONGEST_TOKEN or not _BEARER.fullmatch(token):
            return None
        try:
            claims = await self._source.claims(token)
            return identity_of(claims, self._oauth, self._account, self._clock())
        except Refused as exc:
            self._tell(str(exc))
            return None

    def kept(self, token: str, moment: bytes) -> None:
        """Nothing: the store knows nothing of these."""

    def _tell(self, why: str) -> None:
        """A refusal in the log: a warning, for whoever sets this up, once a minute for each reason."""
        now = self._clock()
        last = self._told.get(why)
        if last is None or abs(now - last) >= _TOLD_EVERY:
            self._told[why] = now
            _LOG.warning("OAuth: a token was refused: %s", why)

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()
