"""The HTTP side: MCP, approvals page, the seeds' REST, route lookup, health. One app, one edge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from cordboard.errors import CordboardError
from cordboard.web import health
from cordboard.web.site import Site, Unauthenticated, refusal, unauthenticated

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from cordboard.mcp_server import CordboardServer


def assembled(server: CordboardServer, site: Site) -> ASGIApp:
    """Everything that is served on one port."""
    from cordboard.mcp_server.http import endpoint

    http = site.http
    mcp, running = endpoint(
        server, site.signed_in, sessions=http.sessions, body_bytes=http.body_bytes
    )
    rooms: list[BaseRoute] = [mcp, *health.routes(site)]
    return Starlette(
        routes=rooms,
        exception_handlers={CordboardError: refusal, Unauthenticated: unauthenticated(site)},
        lifespan=lambda _: running(),
    )
