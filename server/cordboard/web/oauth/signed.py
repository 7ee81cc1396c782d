"""Tokens that are JWTs: the keys their issuer publishes, and the signature checked with them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import anyio
import jwt
from cryptography.exceptions import UnsupportedAlgorithm

from cordboard.clock import Clock
from cordboard.errors import PlatformError, PlatformUnreachable
from cordboard.http_client import HttpClient
from cordboard.web.oauth.claims import Refused

_LOG = logging.getLogger(__name__)

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
"""Never `none`, and none whose key is a shared secret: what verifies must not be able to sign."""
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_CURVES = {"P-256": ("ES256",), "Ed25519": ("EdDSA",)}
_MOST_KEYS = 100

_OLD_AFTER = timedelta(seconds=300)
_AT_MOST_EVERY = timedelta(seconds=30)
_PATIENCE = 2.0
"""Seconds that a request waits for newer keys where one is known that fits."""

_Keys = Mapping[tuple[str, str], jwt.PyJWK]


class SigningKeys:
    """The keys an issuer publishes (JWKS), read when one is asked for and kept.

    Read again when they are old, so that a withdrawn key counts no more, or when a key is not among
    them; at most every 30 seconds, and what is known still counts while the issuer is down.
    """

    def __init__(self, http: HttpClient, path: str, clock: Clock) -> None:
        self._http, self._path, self._clock = http, path, clock
        self._known: _Keys = {}
        self._read_at: datetime | None = None
        self._tried_at: datetime | None = None
        self._down = False
        self._turn = anyio.Lock()

    async def find(self, kid: str, algorithm: str) -> jwt.PyJWK | None:
        """The key of that id for that algorithm; "" where a token names none and only one fits.

        Raises: PlatformUnreachable where it is not known and the issuer cannot be asked.
        """
        found = self._pick(kid, algorithm)
        if found is None:
            await self._renew()
            found = self._pick(kid, algorithm)
            if found is None and self._down:
                raise PlatformUnreachable(
                    "The authorization server's keys cannot be read, so its tokens cannot be checked.",
                    "Try again in a minute; the server's log tells its operator more.",
                )
        elif self._passed(self._read_at, _OLD_AFTER) and not self._turn.locked():
            with anyio.move_on_after(_PATIENCE):
                await self._renew()
            found = self._pick(kid, algorithm)
        return found

    def _pick(self, kid: str, algorithm: str) -> jwt.PyJWK | None:
        if kid:
            return self._known.get((kid, algorithm))
        fit = [key for (_, fits), key in self._known.items() if fits == algorithm]
        return fit[0] if len(fit) == 1 else None

    async def _renew(self) -> None:
        async with self._turn:
            if not self._passed(self._tried_at, _AT_MOST_EVERY):
                return
            # Until it is known better: whoever asks may be cancelled, and nobody asks again so soon.
            self._tried_at, self._down = self._clock(), True
            try:
                self._known = await self._read()
            except PlatformError as exc:
                _LOG.warning("OAuth: %s", exc.what)
                return
            self._read_at, self._down = self._clock(), False
            if not self._known:
                _LOG.warning("OAuth: the authorization server publishes no key that can be used")

    async def _read(self) -> _Keys:
        reply = await self._http.get(self._path)
        keys = reply.data.get("keys") if isinstance(reply.data, dict) else None
        if reply.status != 200 or not isinstance(keys, list):
            raise PlatformError(f"the authorization server has no keys there ({reply.status}).")
        return {named: key for jwk in keys[:_MOST_KEYS] for named, key in _usable(jwk)}

    def _passed(self, since: datetime | None, span: timedelta) -> bool:
        # A clock that was set back must not keep old keys alive.
        return since is None or abs(self._clock() - since) >= span


def _usable(jwk: Any) -> Iterator[tuple[tuple[str, str], jwt.PyJWK]]:
    """A published key under its id and each algorithm it is for; none for what verifies nothing."""
    if not isinstance(jwk, dict) or "d" in jwk or jwk.get("use", "sig") != "sig":
        return
    uses = jwk.get("key_ops")
    if isinstance(uses, list) and "verify" not in uses:
        return
    fits = ("RS256", "PS256") if jwk.get("kty") == "RSA" else _CURVES.get(str(jwk.get("crv")), ())
    for algorithm in fits:
        if jwk.get("alg", algorithm) == algorithm:
            try:
                key = jwt.PyJWK(jwk, algorithm)
            except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, KeyError):
                continue
            yield (str(jwk.get("kid", "")), algorithm), key


class SignedTokens:
    """JWTs of an issuer whose keys are known."""

    def __init__(self, keys: SigningKeys) -> None:
        self._keys = keys
        self._jws = jwt.PyJWS(ALGORITHMS, {"enforce_minimum_key_length": True})

    async def claims(self, token: str) -> Mapping[str, Any]:
        """What a token says that its issuer signed. Raises: Refused, PlatformUnreachable."""
        kid, algorithm = self._header(token)
        key = await self._keys.find(kid, algorithm)
        if key is None:
            raise Refused("no key of the issuer's is the one it names")
        try:
            claims = json.loads(self._jws.decode(token, key, algorithms=[algorithm]))
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Refused("its signature is not the issuer's") from None
        if not isinstance(claims, dict):
            raise Refused("its claims are no JSON object")
        if "exp" not in claims:
            raise Refused("it never expires")
        return claims

    def _header(self, token: str) -> tuple[str, str]:
        """The key and the algorithm that a token names."""
        try:
            header = self._jws.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Refused("it is no JWT") from None
        if header.get("alg") not in ALGORITHMS:
            raise Refused("its algorithm is not allowed")
        if str(header.get("typ")).lower() not in _TYPES:
            raise Refused("its type is not that of an access token")
        return str(header.get("kid", "")), str(header["alg"])
