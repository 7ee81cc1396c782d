"""MCP over streamable HTTP: who sent a request travels with it, into every tool and resource."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, cast

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import HTTPConnection
from starlette.routing import Route

from cordboard.identity import Identity
from cordboard.mcp_server.answered import AnsweredOnce
from cordboard.mcp_server.messages import WellFormed

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from cordboard.mcp_server import CordboardServer

_CARRIED = "cordboard.identity"
Authenticate = Callable[[HTTPConnection], Awaitable[Identity]]


def carried(request: object) -> Identity:
    """Whose request this is, as `endpoint` found it. Raises: TypeError for any other request."""
    found = request.scope.get(_CARRIED) if isinstance(request, HTTPConnection) else None
    if not isinstance(found, Identity):
        raise TypeError("a request that nobody signed in for")
    return found


def endpoint(
    server: CordboardServer, authenticate: Authenticate, *, sessions: bool, body_bytes: int
) -> tuple[Route, Callable[[], AbstractAsyncContextManager[None]]]:
    """The route of `/mcp`, and what must be entered while it serves.

    `sessions`: clients of protocol 2025-11-25 get one each, so that they can be asked; all their
    requests must then reach this process. `authenticate` raises where nobody is signed in.
    """
    # Host and Origin are checked for the whole app, not for this route alone.
    unchecked = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    made = server.streamable_http_app(
        stateless_http=not sessions,
        max_request_body_size=body_bytes,
        transport_security=unchecked,
    )
    inner = cast(Route, made.routes[0]).app
    return Route(
        "/mcp", _SignedIn(WellFormed(AnsweredOnce(inner)), authenticate)
    ), server.session_manager.run


class _SignedIn:
    """Lets nobody through who is not signed in; the SDK binds sessions and questions to them."""

    def __init__(self, app: ASGIApp, authenticate: Authenticate) -> None:
        self._app, self._authenticate = app, authenticate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        identity = await self._authenticate(HTTPConnection(scope))
        carried: dict[str, Any] = {_CARRIED: identity, "user": _user(identity)}
        await self._app({**scope, **carried}, receive, send)


def _user(identity: Identity) -> AuthenticatedUser:
    """The same person in the SDK's terms. The token itself goes no further than the sign-in."""
    return AuthenticatedUser(
        AccessToken(
            token="",
            client_id=identity.client,
            scopes=sorted(identity.scopes),
            subject=identity.principal,
            claims={"iss": identity.account},
        )
    )
