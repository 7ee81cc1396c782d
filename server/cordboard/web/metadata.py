"""Where a client finds whom to ask for a token (RFC 9728), only where OAuth is configured.

A client that finds it starts OAuth, and drops the static token its user gave it.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from cordboard.identity import SCOPES
from cordboard.web.site import Site

_PATH = "/.well-known/oauth-protected-resource"


def routes(site: Site) -> list[BaseRoute]:
    """The metadata of `/mcp`; at the root too, where some clients look."""
    oauth = site.http.oauth
    if oauth is None:
        return []
    said = {
        "resource": f"{site.http.url}/mcp",
        "authorization_servers": [oauth.issuer],
        "scopes_supported": list(SCOPES),
        "bearer_methods_supported": ["header"],
        "resource_name": "Cordboard",
    }

    async def metadata(request: Request) -> Response:
        del request
        return JSONResponse(said)

    return [Route(path, metadata, methods=["GET"]) for path in (f"{_PATH}/mcp", _PATH)]
