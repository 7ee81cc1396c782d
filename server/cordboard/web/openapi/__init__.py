"""The published description of the REST side, OpenAPI 3.1, at `/openapi.json`; no token is needed.

It has the vendors' REST, the route lookup and health; MCP describes itself, and pages are for
people. Every status that can come stands in it, and tests hold every answer against it.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from cordboard.web.openapi import bland, own, parts, synthflow, unleashx
from cordboard.web.site import Site

_ABOUT = (
    "The REST of the vendors on Cordboard's local platform, each beneath a base of its own: "
    "`/compat/bland`, `/compat/unleashx`, `/compat/synthflow/v2`. A vendor's id of an agent is the "
    "local agent's id without `local:`; the key is a Cordboard token. Reads need the scope "
    "`numbers:read`, changes `numbers:write`. Every change is planned, guarded and journalled; where "
    "policy asks for more than a plan, the token needs `changes:approve` too, else the answer is 403 "
    "with the plan to be approved. Unknown fields are refused."
)


def document() -> dict[str, Any]:
    """The whole document."""
    rooms = (own, bland, unleashx, synthflow)
    schemes = {name: one for room in rooms for name, one in room.SECURITY.items()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Cordboard",
            "version": version("cordboard"),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in ("Cordboard", "Bland", "UnleashX", "Synthflow")],
        "paths": {path: one for room in rooms for path, one in room.paths().items()},
        "components": {
            "securitySchemes": schemes,
            "schemas": parts.schemas() | bland.SCHEMAS,
            "responses": parts.RESPONSES | bland.RESPONSES | synthflow.RESPONSES,
        },
    }


def routes(site: Site) -> list[BaseRoute]:
    """`/openapi.json`."""
    del site
    told = JSONResponse(document()).body

    async def publish(request: Request) -> Response:
        del request
        return Response(told, media_type="application/json")

    return [Route("/openapi.json", publish, methods=["GET"])]
