"""The list: plans that wait, under way, and lately settled."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from cordboard.stores.plans import NEWEST, UNDER_WAY, PlanRecord
from cordboard.web.approvals import desk as desks
from cordboard.web.approvals.desk import Desk
from cordboard.web.approvals.rendering import page
from cordboard.web.approvals.sessions import Session
from cordboard.web.approvals.views import Row, row

_WAITING_A_PAGE = 25
_SETTLED_BESIDE = 10


async def show(desk: Desk, request: Request) -> Response:
    """The plans of the account, newest first; `?q=` narrows them, `?show=settled` all the others."""
    session = await desk.session(request)
    if request.query_params.get("show") == "settled":
        return await _settled(desk, request, session)
    approvals, words = desk.approvals(session.account), desks.words(request)
    before = desks.whole(request, "before", 0) or NEWEST
    waiting = await approvals.matching(
        words, waiting=True, before=before, limit=_WAITING_A_PAGE + 1
    )
    first = before == NEWEST
    busy = await approvals.under_way() if first and not words else []
    settled = []
    if first:
        settled = await approvals.matching(words, waiting=False, limit=_SETTLED_BESIDE + 1)
    if not words:
        settled = [record for record in settled if record.state not in UNDER_WAY]
    older = _older(waiting, _WAITING_A_PAGE)
    return _page(
        desk,
        session,
        words,
        title="Plans",
        waiting=_rows(desk, session, waiting[:_WAITING_A_PAGE]),
        busy=_rows(desk, session, busy),
        settled=_rows(desk, session, settled[:_SETTLED_BESIDE]),
        first=first,
        show="",
        older_url=older and desks.url("", session.account, q=words, before=older),
    )


async def _settled(desk: Desk, request: Request, session: Session) -> Response:
    words = desks.words(request)
    before = desks.whole(request, "before", 0) or NEWEST
    found = await desk.approvals(session.account).matching(
        words, waiting=False, before=before, limit=_WAITING_A_PAGE + 1
    )
    older = _older(found, _WAITING_A_PAGE)
    return _page(
        desk,
        session,
        words,
        title="Settled plans",
        waiting=[],
        busy=[],
        settled=_rows(desk, session, found[:_WAITING_A_PAGE]),
        first=before == NEWEST,
        show="settled",
        older_url=older and desks.url("", session.account, q=words, show="settled", before=older),
    )


def _page(desk: Desk, session: Session, words: str, *, show: str, **told: Any) -> Response:
    account = session.account
    return page(
        "plans",
        browser=desks.browser(desk, session),
        words=words,
        show=show,
        account=desks.account_shown(account),
        list_url=desks.url("", account),
        settled_url=desks.url("", account, q=words, show="settled"),
        plain_url=desks.url("", account, show=show),
        **told,
    )


def _rows(desk: Desk, session: Session, records: list[PlanRecord]) -> list[Row]:
    account, now = session.account, desk.now
    return [row(r, now, desks.url(f"/{r.plan_id}", account)) for r in records]


def _older(records: list[PlanRecord], limit: int) -> int:
    """The ordinal to go on from; 0 at the end."""
    return records[limit - 1].ordinal if len(records) > limit else 0
