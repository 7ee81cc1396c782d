"""One plan: what it changes, for whose callers, what is to be known of it, and what became of it."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from cordboard import facts, outcomes
from cordboard.display import printable, shown
from cordboard.errors import GuardError, PlanNotFound, ReadOnly
from cordboard.stores.plans import PlanRecord
from cordboard.web.approvals import desk as desks
from cordboard.web.approvals import standing, views
from cordboard.web.approvals.desk import Desk
from cordboard.web.approvals.moments import ago
from cordboard.web.approvals.rendering import page
from cordboard.web.approvals.sessions import Session

_LIVE_SECONDS = 2
_LIVE = ("applying", "unknown")


async def show(desk: Desk, request: Request) -> Response:
    """The plan as it stands. Changes nothing, not even a plan that moved or expired."""
    session = await desk.session(request)
    return await answer(desk, request, session, await found(desk, request, session))


async def found(desk: Desk, request: Request, session: Session) -> PlanRecord:
    """The plan that the address names, of the session's account. Raises: PlanNotFound."""
    plan_id = request.path_params["plan_id"]
    if not desks.is_plan_id(plan_id):
        raise PlanNotFound("There is no such plan.", "The list shows those there are.")
    return await desk.approvals(session.account).find(plan_id)


async def answer(
    desk: Desk,
    request: Request,
    session: Session,
    record: PlanRecord,
    *,
    problem: str = "",
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    """The page of a plan. `problem`: why what was just asked for was not done."""
    now = desk.now
    words, still = desks.words(request), request.query_params.get("live", "") == "off"
    part = views.changes(record, now, words, desks.whole(request, "page", 1))
    live = record.state in _LIVE
    return page(
        "plan",
        status,
        headers,
        browser=desks.browser(desk, session),
        plan=_told(record, now),
        decision=await _decision(desk, session, record),
        part=part,
        problem=shown(problem, 600),
        live=live,
        still=still,
        refresh=_LIVE_SECONDS if live and not still else 0,
        urls=_urls(record, session.account, part, "off" if still else ""),
        outcome_words=views.OUTCOMES,
        guarded=facts.GUARDED,
    )


def _urls(record: PlanRecord, account: str, part: views.Shown, live: str) -> dict[str, str]:
    """Where the links and forms of the page lead."""
    path, words = f"/{record.plan_id}", part.words
    here: dict[str, Any] = {"q": words, "live": live}
    return {
        "list": desks.url("", account),
        "here": desks.url(path, account, **here, page=part.page if part.page > 1 else 0),
        "every": desks.url(path, account, live=live),
        "bare": desks.url(path, account),
        "still": desks.url(path, account, q=words, live="off"),
        "live": desks.url(path, account, q=words),
        "back": desks.url(path, account, **here, page=part.page - 1),
        "next": desks.url(path, account, **here, page=part.page + 1),
        "approve": desks.url(f"{path}/approve", account),
        "decline": desks.url(f"{path}/decline", account),
        "undoes": record.undoes and desks.url(f"/{record.undoes}", account),
        "undone": record.undone_by and desks.url(f"/{record.undone_by}", account),
    }


def _told(record: PlanRecord, now: str) -> dict[str, Any]:
    """What the page says of the plan as a whole."""
    plan, draft = record.plan, record.plan.draft
    kind, status = views.stands(record, now)
    kinds, more_kinds = views.kinds(plan)
    return {
        "plan_id": record.plan_id,
        "hash": record.hash,
        "headline": views.headline(plan),
        "requester": shown(plan.principal),
        "remark": views.remark(record.reason),
        "made": plan.created_at,
        "made_ago": ago(plan.created_at, now),
        "expires": plan.expires_at,
        "expires_in": ago(plan.expires_at, now),
        "waiting": views.is_waiting(record, now),
        "decided": record.closed_at,
        "decided_ago": record.closed_at and ago(record.closed_at, now),
        "kind": kind,
        "status": status,
        "said": standing.said(record, now),
        "moved": standing.moved(record),
        "their_remark": views.remark(record.closed_why) if record.state == "declined" else "",
        "way_back": standing.way_back(record),
        "undoes": printable(record.undoes),
        "undone_by": printable(record.undone_by),
        "level": plan.level,
        "level_means": views.LEVELS[plan.level],
        "why": shown(plan.why, 400),
        "purposes": facts.purposes(plan),
        "counted": _counted(record, now),
        "warnings": views.lines(facts.warnings(plan)),
        "unchecked": views.lines(draft.unchecked),
        "unchanged": len(draft.unchanged),
        "total": len(draft.changes),
        "kinds": kinds,
        "more_kinds": more_kinds,
        "counts": outcomes.counted(record, now),
    }


def _counted(record: PlanRecord, now: str) -> list[str]:
    """What the question of a big plan says in counts, while it waits for an answer."""
    big = len(record.plan.draft.changes) > facts.SHOWN_CHANGES
    return facts.counted(record.plan) if big and views.is_waiting(record, now) else []


async def _decision(desk: Desk, session: Session, record: PlanRecord) -> dict[str, Any]:
    """What can be decided here and now: which forms there are, or why there are none."""
    approvals = desk.approvals(session.account)
    waiting = views.is_waiting(record, desk.now)
    told: dict[str, Any] = {"approve": False, "decline": waiting, "hindrance": "", "moved": []}
    if not waiting:
        return told
    try:
        await approvals.may(record, session.approver)
    except GuardError as exc:
        told["hindrance"] = f"{exc.what} {exc.remedy}"
        told["decline"] = not isinstance(exc, ReadOnly)
    if record.state == "open":
        told["moved"] = views.lines(await approvals.moved(record))
        told["approve"] = not told["hindrance"] and not told["moved"]
    return told
