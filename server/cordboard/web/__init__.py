"""The HTTP side: MCP, approvals page, the seeds' REST, route lookup, health. One app, one edge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from cordboard.errors import CordboardError
from cordboard.web import approvals, compat, health, lookup, metadata, openapi, refusing
from cordboard.web.edge import Edge
from cordboard.web.site import Site, Unauthenticated, refusal, unauthenticated
from cordboard.web.tracing import traced

if TYPE_CHECKING:
    from cordboard.mcp_server import CordboardServer


def assembled(server: CordboardServer, site: Site) -> Edge:
    """Everything that is served on one port."""
    from cordboard.mcp_server.http import endpoint

    http = site.http
    mcp, running = endpoint(
        server, site.signed_in, sessions=http.sessions, body_bytes=http.body_bytes
    )
    rooms: list[BaseRoute] = [
        *lookup.routes(site),  # first: a call waits for it
        mcp,
        *approvals.routes(site),
        *compat.routes(site),
        *openapi.routes(site),
        *metadata.routes(site),
        *health.routes(site),
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with running():
            yield
        for let_go in site.at_end:
            await let_go()

    handlers = {CordboardError: refusal, Unauthenticated: unauthenticated(site)}
    app = Starlette(
        routes=rooms,
        exception_handlers={**refusing.handlers(), **handlers},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # a 404 is plainer than a redirect made of the path
    return Edge(traced(app), http)
