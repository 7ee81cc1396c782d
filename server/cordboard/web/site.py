"""What every room of the HTTP side stands on: the wired app, whose tokens count, who calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

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

_BEARER = "bearer "
Handler = Callable[[Request, Exception], Response]


class Verifier(Protocol):
    """Turns the text of a token into who it stands for."""

    async def verify(self, token: str) -> Identity | None:
        """The identity behind a token that counts now; None for any other.

        Raises: StoreUnavailable, PlatformUnreachable where that cannot be told.
        """
        ...

    def kept(self, token: str, moment: bytes) -> Identity | None:
        """As `verify`, from what is remembered at this moment of the store; None where that is not
        enough to tell."""
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

    def kept(self, token: str, moment: bytes) -> Identity | None:
        return next(filter(None, (kind.kept(token, moment) for kind in self.kinds)), None)


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
        return await self.known(bearer(said), given=bool(said))

    async def signed_in(self, connection: HTTPConnection) -> Identity:
        """Who calls `/mcp`. Raises: Unauthenticated; NotAllowed for a token that may do nothing there."""
        identity = await self.caller(connection)
        identity.require("numbers:read", "numbers:write", "changes:approve", "admin")
        return identity

    async def known(self, token: str, *, given: bool = True) -> Identity:
        """Who a token stands for. Raises: Unauthenticated."""
        identity = None
        if token:
            identity = self.verifier.kept(token, self.app.store.moment())
            identity = identity or await self.verifier.verify(token)
        if identity is None:
            raise Unauthenticated(given=given)
        return identity

    def challenge(self, *parameters: str) -> str:
        """The `WWW-Authenticate` of a 401 or 403, with where a client finds whom to ask for a token.

        That only with OAuth: a client that is told of metadata starts OAuth, and drops a static
        token.
        """
        every = list(parameters)
        if self.http.oauth is not None:
            where = f"{self.http.url}/.well-known/oauth-protected-resource/mcp"
            every.append(f'resource_metadata="{where}"')
        return f"Bearer {', '.join(every)}".rstrip()


def bearer(said: str) -> str:
    """The token in an `Authorization` header; "" where there is none."""
    return said[len(_BEARER) :].strip() if said[: len(_BEARER)].lower() == _BEARER else ""


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


def refusal(site: Site) -> Handler:
    """The handler that tells a refusal of ours as JSON: `{"error": {"code", "what", "remedy"}}`."""

    def answer(request: Request, exc: Exception) -> Response:
        del request
        if not isinstance(exc, CordboardError):
            raise exc
        said = {"code": exc.code, "what": exc.what, "remedy": exc.remedy}
        if isinstance(exc, StoreUnavailable):  # where it lies is no caller's business
            said |= {"what": "The store cannot be used now.", "remedy": exc.default_remedy}
        headers: dict[str, str] = {}
        if isinstance(exc, NotAllowed) and exc.retry_after:
            headers["Retry-After"] = str(exc.retry_after)
        if isinstance(exc, NotAllowed) and exc.scopes:  # RFC 6750, 3.1: how to get further
            missing = f'scope="{exc.scopes[0]}"'
            headers["WWW-Authenticate"] = site.challenge('error="insufficient_scope"', missing)
        return JSONResponse({"error": said}, status_of(exc), headers)

    return answer


def unauthenticated(site: Site) -> Handler:
    """The handler that answers 401 for `Unauthenticated`."""

    def answer(request: Request, exc: Exception) -> Response:
        del request
        given = isinstance(exc, Unauthenticated) and exc.given
        said = {
            "code": "UNAUTHENTICATED",
            "what": "The token is not valid, or expired." if given else "A token is needed.",
            "remedy": "Send `Authorization: Bearer TOKEN`; an operator makes one with "
            "`cordboard tokens create`.",
        }
        invalid = ('error="invalid_token"',) if given else ()
        headers = {"WWW-Authenticate": site.challenge(*invalid)}
        return JSONResponse({"error": said}, 401, headers)

    return answer
