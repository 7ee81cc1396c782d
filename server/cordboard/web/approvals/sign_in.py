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
    account, visit = desk.account(request), desk.sessions.visit(request)
    answer = page(
        "sign_in",
        status,
        headers,
        account=desks.account_shown(account),
        action=desks.url("/sign-in", account),
        wanted=desks.place(wanted, account),
        name=shown(name, 64),
        problem=problem,
        token=desk.sessions.token(visit),
        command=await _first_approver(desk, account),
    )
    desk.sessions.keep_visit(answer, visit)
    return answer


async def _first_approver(desk: Desk, account: str) -> str:
    """The command that enrols the first approver, while there is none; else "".

    Strangers are told of this server's own account only, and where its store lies only from this
    very machine.
    """
    if account != desk.site.app.settings.account:
        return ""
    approvals = desk.approvals(account)
    if await approvals.approvers.everyone():
        return ""
    words = "approvers add NAME"
    nearby = desk.site.http.is_loopback and not desk.site.http.public_url
    return approvals.command(words) if nearby else f"cordboard {words}"


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
        approver = await approvals.approvers.verify(name, fields.get("passphrase", ""), "sign-in")
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
    await desk.approvals(session.account).end_session(session.nonce, session.until)
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
