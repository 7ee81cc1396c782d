"""What every room of the HTTP side stands on: the wired app, whose tokens count, who calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from cordboard.app import App
from cordboard.config.http import HttpSettings
from cordboard.errors import (
    AgentNotFound,
    CordboardError,
    DuplicateNumber,
    GuardError,
    InvalidNumberFormat,
    LimitExceeded,
    NotAllowed,
    NumberNotFound,
    NumberRefused,
    PathwayNotFound,
    PlanNotFound,
    PlatformError,
    PlatformUnreachable,
    RequestError,
    StoreUnavailable,
)
from cordboard.identity import Identity

BEARER = "bearer "


class Verifier(Protocol):
    """Turns the text of a token into who it stands for."""

    async def verify(self, token: str) -> Identity | None:
        """The identity behind a token that counts now; None for any other.

        Raises: StoreUnavailable, PlatformUnreachable where that cannot be told.
        """
        ...


class Unauthenticated(Exception):
    """No token that counts came with the request. `given`: one came, and does not count."""

    def __init__(self, *, given: bool) -> None:
        super().__init__("not signed in")
        self.given = given


@dataclass(frozen=True)
class Verifiers:
    """Several kinds of token: the first that knows one decides."""

    kinds: Sequence[Verifier]

    async def verify(self, token: str) -> Identity | None:
        for kind in self.kinds:
            identity = await kind.verify(token)
            if identity is not None:
                return identity
        return None


@dataclass(frozen=True)
class Site:
    """A server on the network."""

    app: App
    http: HttpSettings
    verifier: Verifier
    at_end: Sequence[Callable[[], Awaitable[None]]] = ()
    """What lets go of connections when the serving ends."""

    async def caller(self, connection: HTTPConnection) -> Identity:
        """Who calls, by the bearer token of the request. Raises: Unauthenticated."""
        said = connection.headers.get("authorization", "")
        token = said[len(BEARER) :].strip() if said.lower().startswith(BEARER) else ""
        return await self.known(token, given=bool(said))

    async def signed_in(self, connection: HTTPConnection) -> Identity:
        """Who calls `/mcp`. Raises: Unauthenticated; NotAllowed for a token that may do nothing there."""
        identity = await self.caller(connection)
        identity.require("numbers:read", "numbers:write", "changes:approve", "admin")
        return identity

    async def known(self, token: str, *, given: bool = True) -> Identity:
        """Who a token stands for. Raises: Unauthenticated."""
        identity = await self.verifier.verify(token) if token else None
        if identity is None:
            raise Unauthenticated(given=given)
        return identity

    @property
    def challenge(self) -> str:
        """The `WWW-Authenticate` of an answer 401: where a client finds whom to ask for a token.

        Only with OAuth: a client that is told of metadata starts OAuth, and drops a static token.
        """
        if self.http.oauth is None:
            return "Bearer"
        return (
            f'Bearer resource_metadata="{self.http.url}/.well-known/oauth-protected-resource/mcp"'
        )


# The first that fits an error decides.
_STATUS: tuple[tuple[type[CordboardError], int], ...] = (
    (LimitExceeded, 413),
    (GuardError, 403),
    (InvalidNumberFormat, 400),
    (DuplicateNumber, 400),
    (NumberNotFound, 404),
    (NumberRefused, 409),
    (AgentNotFound, 404),
    (PathwayNotFound, 404),
    (PlanNotFound, 404),
    (RequestError, 400),
    (PlatformUnreachable, 503),
    (PlatformError, 502),
    (StoreUnavailable, 503),
)


def status_of(exc: CordboardError) -> int:
    """The HTTP status that says what kind of refusal this is."""
    if isinstance(exc, NotAllowed) and exc.retry_after:
        return 429
    return next((status for kind, status in _STATUS if isinstance(exc, kind)), 500)


def refusal(request: Request, exc: Exception) -> Response:
    """A refusal of ours as JSON: `{"error": {"code", "what", "remedy"}}`."""
    del request
    if not isinstance(exc, CordboardError):
        raise exc
    said = {"code": exc.code, "what": exc.what, "remedy": exc.remedy}
    if isinstance(exc, StoreUnavailable):  # where it lies is no caller's business
        said["what"] = "The store cannot be used now."
        said["remedy"] = exc.default_remedy
    wait = exc.retry_after if isinstance(exc, NotAllowed) else 0
    headers = {"Retry-After": str(wait)} if wait else {}
    return JSONResponse({"error": said}, status_of(exc), headers)


def unauthenticated(site: Site) -> Any:
    """The handler that answers 401 for `Unauthenticated`."""

    def answer(request: Request, exc: Exception) -> Response:
        del request
        given = isinstance(exc, Unauthenticated) and exc.given
        what = "The token is not valid, or expired." if given else "A token is needed."
        said = {
            "code": "UNAUTHENTICATED",
            "what": what,
            "remedy": "Send `Authorization: Bearer TOKEN`; an operator makes one with `cordboard tokens create`.",
        }
        headers = {
            "WWW-Authenticate": site.challenge
            + (', error="invalid_token"' if given and site.http.oauth else "")
        }
        return JSONResponse({"error": said}, 401, headers)

    return answer
