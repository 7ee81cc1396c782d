"""The approvals page: where an enrolled approver reads a plan, and says yes or no.

Pages for people, without JavaScript. A GET changes nothing. A session shows; only the passphrase,
asked for every time, approves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from cordboard.errors import CordboardError, StoreUnavailable
from cordboard.web.approvals import deciding, plan_list, plan_page, sign_in
from cordboard.web.approvals.desk import ROOT, BadToken, Desk, NotSignedIn, is_plan_id, url
from cordboard.web.approvals.rendering import asset, page
from cordboard.web.site import Site, status_of

_BAD_REQUEST, _NOT_FOUND = 400, 404
Room = Callable[[Desk, Request], Awaitable[Response]]
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


async def _style(desk: Desk, request: Request) -> Response:
    del desk
    return asset(request, "style.css")


async def _icon(desk: Desk, request: Request) -> Response:
    del desk
    return asset(request, "icon.svg")


_ROOMS: Mapping[str, Mapping[str, Room]] = {
    "": {"GET": plan_list.show},
    "/sign-in": {"GET": sign_in.form, "POST": sign_in.enter},
    "/sign-out": {"POST": sign_in.leave},
    "/style.css": {"GET": _style},
    "/icon.svg": {"GET": _icon},
    "/{plan_id}": {"GET": plan_page.show},
    "/{plan_id}/approve": {"POST": deciding.approve},
    "/{plan_id}/decline": {"POST": deciding.decline},
}


def routes(site: Site) -> list[BaseRoute]:
    """`/approvals`, `/approvals/{plan_id}`, and what belongs to them."""
    desk = Desk(site)
    return [
        Route(ROOT + path, partial(_answer, desk, rooms), methods=_METHODS)
        for path, rooms in _ROOMS.items()
    ]


async def _answer(desk: Desk, rooms: Mapping[str, Room], request: Request) -> Response:
    """The answer of a room; what it refuses becomes a page too."""
    room = rooms.get("GET" if request.method == "HEAD" else request.method)
    if room is None:
        allowed = {"Allow": ", ".join([*rooms, "HEAD"] if "GET" in rooms else rooms)}
        return _told(request, 405, "This page does not take that.", "Go back.", allowed)
    try:
        return await room(desk, request)
    except NotSignedIn:
        return sign_in.asked_for(desk, request)
    except BadToken:
        remedy = "Nothing was changed. Open the plan again and decide there."
        return _told(request, 403, "This form was not made for your session.", remedy)
    except HTTPException as exc:
        return _told(request, exc.status_code, exc.detail, "Nothing was changed.")
    except StoreUnavailable as exc:  # where it lies is nobody's business here
        return _told(request, status_of(exc), "The store cannot be used now.", exc.default_remedy)
    except CordboardError as exc:
        return _told(request, status_of(exc), exc.what, f"{exc.remedy} {exc.aftermath}")


def _told(
    request: Request, status: int, what: str, remedy: str, headers: dict[str, str] | None = None
) -> Response:
    """A page that says what is wrong, and leads back."""
    plan_id = request.path_params.get("plan_id", "")
    to_plan = status != _NOT_FOUND and is_plan_id(plan_id)
    account = request.query_params.get("account", "") if status != _BAD_REQUEST else ""
    back = url(f"/{plan_id}" if to_plan else "", account)
    return page(
        "told", status, headers, code=status, what=what, remedy=remedy, back=back, to_plan=to_plan
    )
