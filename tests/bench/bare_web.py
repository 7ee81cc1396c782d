"""The bare counterparts over HTTP, under the server that ours runs on: a Starlette route that answers
a constant as JSON, and an MCP server of one tool that does nothing. `python -m tests.bench.bare_web`
takes a free port of loopback and tells it in one line.
"""

from __future__ import annotations

import socket
import sys

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from tests.bench.bare_server import server

ANSWER = {
    "agent": "local:agent-1",
    "name": "Agent 1",
    "pathway_id": "",
    "pathway_version": 0,
    "resolved_version": 0,
    "start_node_id": "",
    "version": 1,
}


async def route(request: Request) -> JSONResponse:
    """What a route lookup answers, without looking."""
    return JSONResponse({"number": request.path_params["number"], **ANSWER})


def main() -> None:
    """Serve until it is ended."""
    app = server.streamable_http_app()
    app.router.routes.insert(0, Route("/v1/routes/{number}", route))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sys.stdout.write(f"{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        config = uvicorn.Config(
            app, http="httptools", loop="uvloop", ws="none", access_log=False, log_level="error"
        )
        uvicorn.Server(config).run([listening])


if __name__ == "__main__":
    main()
