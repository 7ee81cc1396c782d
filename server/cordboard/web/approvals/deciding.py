"""The two forms that decide a plan: approve it, with the passphrase every time, or decline it."""

from __future__ import annotations

import hmac

from starlette.requests import Request
from starlette.responses import Response

from cordboard.errors import CordboardError, GuardError, InvalidArguments, NotAllowed
from cordboard.stores.plans import PlanRecord
from cordboard.web.approvals import desk as desks
from cordboard.web.approvals import plan_page, views
from cordboard.web.approvals.desk import Desk
from cordboard.web.approvals.forms import read_form
from cordboard.web.approvals.sessions import Session
from cordboard.web.site import status_of

_LONGEST_REMARK = 500
_BEGUN = ("approved", "applying", "unknown", "applied", "partly_applied", "failed")
_DECLINED = ("declined",)


async def approve(desk: Desk, request: Request) -> Response:
    """Approve what was shown; it is begun, and the plan's page tells the rest."""
    session = await desk.session(request)
    form = await read_form(request)
    desk.check(session, form.get("token", ""))
    record = await plan_page.found(desk, request, session)
    if record.state != "open" or record.expired(desk.now):
        return await _decided(desk, request, session, record, _BEGUN)
    if not hmac.compare_digest(form.get("hash", "").encode(), record.hash.encode()):
        told = "This is not the plan you were shown. Nothing was approved: read it again."
        return await plan_page.answer(desk, request, session, record, problem=told, status=409)
    approvals = desk.approvals(session.account)
    try:
        approver = await approvals.approvers.verify(
            session.approver, form.get("passphrase", ""), "session"
        )
    except NotAllowed as exc:
        wrong = NotAllowed(f"That is not the passphrase of {session.approver}.", "Try again.")
        return await _refused(desk, request, session, exc if exc.retry_after else wrong)
    try:
        record = await approvals.begin(record, approver)
    except CordboardError as exc:
        return await _refused(desk, request, session, exc)
    return await _decided(desk, request, session, record, _BEGUN)


async def decline(desk: Desk, request: Request) -> Response:
    """Decline the plan for good: the safe direction, for which a session is enough."""
    session = await desk.session(request)
    form = await read_form(request)
    desk.check(session, form.get("token", ""))
    record = await plan_page.found(desk, request, session)
    try:
        if views.is_waiting(record, desk.now):
            remark = _remark(form.get("remark", ""))
            await desk.approvals(session.account).reject(record, session.approver, remark)
    except CordboardError as exc:
        return await _refused(desk, request, session, exc)
    record = await plan_page.found(desk, request, session)
    return await _decided(desk, request, session, record, _DECLINED)


def _remark(text: str) -> str:
    remark = text.strip()
    if len(remark) > _LONGEST_REMARK:
        what = f"A remark has at most {_LONGEST_REMARK} characters."
        raise InvalidArguments(what, "Shorten it and decline again.")
    return remark


async def _decided(
    desk: Desk, request: Request, session: Session, record: PlanRecord, wanted: tuple[str, ...]
) -> Response:
    """On to the plan's page where it is decided as wanted; else that page, saying that it is not."""
    if record.state in wanted:
        return desks.see_other(desks.url(f"/{record.plan_id}", session.account))
    told = "Nothing was approved." if wanted is _BEGUN else "Too late to decline it."
    return await plan_page.answer(desk, request, session, record, problem=told, status=409)


async def _refused(desk: Desk, request: Request, session: Session, exc: CordboardError) -> Response:
    record = await plan_page.found(desk, request, session)
    wait = exc.retry_after if isinstance(exc, NotAllowed) else 0
    headers = {"Retry-After": str(wait)} if wait else None
    # What a model is told to do by default is not for the person who decides.
    remedy = "" if exc.remedy == GuardError.default_remedy else exc.remedy
    told = " ".join(part for part in (exc.what, remedy, exc.aftermath) if part)
    return await plan_page.answer(
        desk, request, session, record, problem=told, status=status_of(exc), headers=headers
    )
