"""What the three vendors' rooms share: who calls, a change in one go, and a no in the vendor's shape.

A room says how its clients send the key, what our errors are called there, and how a refusal is
written. Everything else that may go wrong (no token, no route, a crash) is told in that shape too.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from cordboard.answers import ChangeResult
from cordboard.errors import ApprovalRequired, CordboardError, NotAllowed, StoreUnavailable
from cordboard.identity import Identity, Scope
from cordboard.request import Asked
from cordboard.service import Caller
from cordboard.stores import Transaction
from cordboard.web.refusing import log_crash
from cordboard.web.site import Site, Unauthenticated, status_of

T = TypeVar("T")
_ENCODED = (b"%2f", b"%5c", b"%00")
"""What is decoded before a route is found, and would then lead to another path than was meant."""
_ROUTING = {
    404: ("NOT_FOUND", "There is nothing at this path."),
    405: ("METHOD_NOT_ALLOWED", "This path does not take that method."),
}


class Refusal(Exception):
    """A no, in words for the vendor's client. `code`: symbolic, for vendors that have codes.

    `plan`: the plan that a person must approve first.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        plan: ChangeResult | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.plan, self.headers = plan, dict(headers or {})

    @property
    def waiting(self) -> dict[str, Any]:
        """`{plan_id, plan}` where a person must approve; else nothing."""
        if self.plan is None:
            return {}
        return {"plan_id": self.plan.plan_id, "plan": self.plan.model_dump(mode="json")}


def refused(exc: CordboardError) -> Refusal:
    """One of our errors as it is where the vendor has no words of its own for it."""
    remedy = "" if exc.remedy == exc.default_remedy else f" {exc.remedy}"
    wait = exc.retry_after if isinstance(exc, NotAllowed) else 0
    headers = {"Retry-After": str(wait)} if wait else {}
    message = without_platform(f"{exc.what.strip()}{remedy}")
    if isinstance(exc, StoreUnavailable):  # its own words name files of this machine
        message = (
            "The store cannot be used now. Try again later; `cordboard doctor` tells more there."
        )
    return Refusal(status_of(exc), exc.code, message, headers=headers)


def without_platform(text: str) -> str:
    """A text of ours with agents named as the vendor's clients know them."""
    return text.replace("local:", "")


@dataclass(frozen=True)
class Vendor:
    """A vendor's manners. `key`: what came as the key, None where none did."""

    name: str
    base: str
    key: Callable[[Headers], str | None]
    refused: Callable[[CordboardError], Refusal]
    body: Callable[[Site, Refusal], Mapping[str, Any]]


@dataclass(frozen=True)
class Desk:
    """What an endpoint works with: the site, and who calls."""

    vendor: Vendor
    site: Site
    identity: Identity

    @property
    def account(self) -> str:
        return self.identity.account

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Read the local platform's records on one consistent state."""
        return await self.site.app.store.read(work)

    async def change(self, asked: Asked) -> ChangeResult:
        """Plan a change and apply it. Raises: CordboardError; Refusal where a person must approve
        it first, and where the routing moved in the same moment."""
        changes = self.site.app.service_of(self.account).changes
        reason = f"asked through the REST interface in {self.vendor.name}'s shape"
        try:
            result = await changes.outright(self.identity, asked, reason)
        except ApprovalRequired as exc:
            plan = await changes.get(Caller(self.identity), exc.plan_id)
            said = refused(exc)
            raise Refusal(said.status, said.code, said.message, plan=plan) from None
        if result.status not in ("applied", "no_change"):
            raise Refusal(409, "CONFLICT", without_platform(result.message))
        return result


Work = Callable[[Desk, Request], Awaitable[Any]]


@dataclass(frozen=True)
class Endpoint:
    """One operation: `work` answers what becomes JSON, or a whole response."""

    method: str
    path: str
    scope: Scope
    work: Work


def mounted_at(vendor: Vendor, site: Site, endpoints: Sequence[Endpoint]) -> Mount:
    """A vendor's routes beneath its base."""

    async def lost(request: Request, exc: Exception) -> Response:
        del request
        told = cast(HTTPException, exc)
        code, message = _ROUTING.get(told.status_code, ("INVALID_REQUEST", told.detail))
        return _said(vendor, site, Refusal(told.status_code, code, message, headers=told.headers))

    routes = [
        Route(one.path, _answering(vendor, site, one), methods=[one.method]) for one in endpoints
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: lost})
    app.router.redirect_slashes = False
    mount = Mount(vendor.base, app=app)
    # A path with a line break in it is this vendor's too, and so is the 404 for it.
    mount.path_regex = re.compile(mount.path_regex.pattern, re.DOTALL)
    return mount


def _answering(
    vendor: Vendor, site: Site, endpoint: Endpoint
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return await _answer(vendor, site, endpoint, request)
        except HTTPException:
            raise
        except Exception as exc:  # noqa: BLE001 - the last stop at which the vendor's shape is known
            return _said(vendor, site, _refusal_of(vendor, site, request, exc))

    return answer


async def _answer(vendor: Vendor, site: Site, endpoint: Endpoint, request: Request) -> Response:
    raw = request.scope.get("raw_path", b"").lower()
    if any(sign in raw for sign in _ENCODED):
        raise HTTPException(404)
    key = vendor.key(request.headers)
    identity = await site.known(key or "", given=key is not None)
    identity.require(endpoint.scope)
    found = await endpoint.work(Desk(vendor, site, identity), request)
    return found if isinstance(found, Response) else JSONResponse(found)


def _refusal_of(vendor: Vendor, site: Site, request: Request, exc: Exception) -> Refusal:
    match exc:
        case Refusal():
            return exc
        case CordboardError():
            return vendor.refused(exc)
        case Unauthenticated():
            headers = {"WWW-Authenticate": site.challenge()}
            message = "The key is not valid, or expired." if exc.given else "A key is needed."
            return Refusal(401, "UNAUTHENTICATED", message, headers=headers)
    log_crash(request.scope, exc)
    return Refusal(500, "INTERNAL_ERROR", "Something went wrong here; the server's log tells what.")


def _said(vendor: Vendor, site: Site, refusal: Refusal) -> Response:
    return JSONResponse(vendor.body(site, refusal), refusal.status, refusal.headers)
