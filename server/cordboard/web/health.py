"""Is it there, and can it work: for whoever restarts it and whoever sends it traffic."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from cordboard.errors import StoreUnavailable
from cordboard.web.site import Site


def routes(site: Site) -> list[BaseRoute]:
    """`/healthz`: the process answers. `/readyz`: its store does too. Neither needs a token."""

    async def alive(request: Request) -> Response:
        del request
        return JSONResponse({"status": "ok"})

    async def ready(request: Request) -> Response:
        del request
        account = site.app.settings.account
        try:
            await site.app.store.read(lambda tx: tx.one("account_get", account=account))
        except StoreUnavailable:
            return JSONResponse({"status": "store unavailable"}, 503)
        return JSONResponse({"status": "ready"})

    return [Route("/healthz", alive, methods=["GET"]), Route("/readyz", ready, methods=["GET"])]
