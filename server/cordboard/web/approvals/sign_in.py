"""Signing in to look, and out again."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from cordboard.display import shown
from cordboard.errors import NotAllowed
from cordboard.web.approvals import desk as desks
from cordboard.web.approvals.desk import Desk, NotSignedIn
from cordboard.web.approvals.forms import read_form
from cordboard.web.approvals.rendering import page
from cordboard.web.site import status_of

_ELSEWHERE = ("cross-site", "same-site")


async def form(desk: Desk, request: Request) -> Response:
    """The sign-in form; whoever is signed in already goes on."""
    account, wanted = desk.account(request), request.query_params.get("next", "")
    try:
        await desk.session(request)
    except NotSignedIn:
        return await _form(desk, request, wanted)
    return desks.see_other(desks.place(wanted, account))


async def _form(
    desk: Desk,
    request: Request,
    wanted: str,
    *,
    name: str = "",
    problem: str = "",
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    account = desk.account(request)
    approvals = desk.approvals(account)
    visit = desk.sessions.visit(request)
    answer = page(
        "sign_in",
        status,
        headers,
        account=desks.told(account),
        action=desks.url("/sign-in", account),
        wanted=desks.place(wanted, account),
        name=shown(name, 64),
        problem=problem,
        token=desk.sessions.token(visit),
        enrolled=bool(await approvals.approvers.everyone()),
        command=approvals.command("approvers add NAME"),
    )
    desk.sessions.keep_visit(answer, visit)
    return answer


async def enter(desk: Desk, request: Request) -> Response:
    """Sign in with name and passphrase."""
    account = desk.account(request)
    fields = await read_form(request)
    wanted, name = fields.get("next", ""), fields.get("name", "").strip()
    visit = desk.sessions.visit(request)
    if not desk.sessions.is_token(visit, fields.get("token", "")):
        told = "This form was too old, or not made for this browser. Sign in once more."
        return await _form(desk, request, wanted, name=name, problem=told, status=403)
    approvals = desk.approvals(account)
    try:
        approver = await approvals.approvers.verify(name, fields.get("passphrase", ""))
    except NotAllowed as exc:
        wait = {"Retry-After": str(exc.retry_after)} if exc.retry_after else None
        told, status = f"{exc.what} {exc.remedy}", status_of(exc)
        return await _form(
            desk, request, wanted, name=name, problem=told, status=status, headers=wait
        )
    answer = desks.see_other(desks.place(wanted, account))
    enrolment = await approvals.enrolment(approver.name)
    desk.sessions.begin(answer, account, approver.name, enrolment)
    return answer


async def leave(desk: Desk, request: Request) -> Response:
    """Sign out."""
    session = await desk.session(request)
    desk.check(session, (await read_form(request)).get("token", ""))
    answer = desks.see_other(desks.url("/sign-in", session.account))
    desk.sessions.end(answer)
    return answer


def asked_for(desk: Desk, request: Request) -> Response:
    """What somebody who is not signed in gets instead: the way to the form, and back afterwards."""
    account = desk.account(request)
    plan_id = request.path_params.get("plan_id", "")
    path = f"/{plan_id}" if desks.is_plan_id(plan_id) else ""
    linked = request.headers.get("sec-fetch-site", "") in _ELSEWHERE
    if linked and request.method == "GET" and "arrived" not in request.query_params:
        # A browser that came by a link elsewhere kept our cookie back (SameSite=Strict); on the
        # next step, which is from us to us, it brings it.
        return page("arriving", where=desks.url(path, account, arrived=1))
    return desks.see_other(desks.url("/sign-in", account, next=desks.url(path, account)))
