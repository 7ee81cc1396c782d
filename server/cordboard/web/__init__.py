"""The HTTP side: MCP, approvals page, the seeds' REST, route lookup, health. One app, one edge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute

from cordboard.errors import CordboardError
from cordboard.web import approvals, compat, health, metadata, openapi, refusing
from cordboard.web.edge import Edge
from cordboard.web.lookup import Lookup
from cordboard.web.site import Site, Unauthenticated, refusal, unauthenticated
from cordboard.web.tracing import traced

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from cordboard.config.http import HttpSettings
    from cordboard.mcp_server import CordboardServer

_FROM_ELSEWHERE = (
    "Authorization", "Content-Type", "If-None-Match", "Last-Event-ID", "Mcp-Method", "Mcp-Name",
    "Mcp-Protocol-Version", "Mcp-Session-Id", "Traceparent",
)  # fmt: skip


def assembled(server: CordboardServer, site: Site) -> Edge:
    """Everything that is served on one port."""
    from cordboard.mcp_server.http import endpoint

    http = site.http
    mcp, running = endpoint(
        server, site.signed_in, sessions=http.sessions, body_bytes=http.body_bytes
    )
    looked_up = Lookup(site)
    rooms: list[BaseRoute] = [
        mcp,
        *approvals.routes(site),
        *compat.routes(site),
        *openapi.routes(site),
        *metadata.routes(site),
        *health.routes(site),
        looked_up.route,
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            async with running():
                yield
        finally:
            for let_go in site.at_end:
                await let_go()

    handlers = {CordboardError: refusal(site), Unauthenticated: unauthenticated(site)}
    app = Starlette(
        routes=rooms,
        exception_handlers={**refusing.handlers(), **handlers},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # a 404 is plainer than a redirect made of the path
    return Edge(traced(_for_pages_elsewhere(looked_up.before(app), http)), http)


def _for_pages_elsewhere(app: ASGIApp, http: HttpSettings) -> ASGIApp:
    """What pages of the allowed origins may read, with a token of their own; never with a cookie."""
    if not http.allowed_origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=http.allowed_origins,
        allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
        allow_headers=_FROM_ELSEWHERE,
        expose_headers=("Mcp-Session-Id", "WWW-Authenticate", "ETag", "Retry-After"),
    )
