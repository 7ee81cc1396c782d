"""Tools that settle plans: apply, look, discard, undo, history, and the freeze."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from cordboard.answers import ChangeList, ChangeResult, Status
from cordboard.guard import Question
from cordboard.identity import Scope
from cordboard.tool import READS, Desk, Hints, Input, Tool
from cordboard_tools.apps import PLAN_VIEW
from cordboard_tools.fields import AgentFilter, Cursor, Limit, NumberFilter, PlanId, Reason, said


class ApplyPlan(Input):
    """Apply a plan after the user agreed. At a higher guard level a person is asked, or
    the answer tells who must approve."""

    plan_id: PlanId


class GetPlan(Input):
    """What a plan would change, or what became of it."""

    plan_id: PlanId


class DiscardPlan(Input):
    """Drop a plan that was not applied."""

    plan_id: PlanId


class ApproveInApp(Input):
    """For the buttons of the view in the chat; a model has no ticket."""

    plan_id: PlanId
    ticket: Annotated[str, Field(max_length=100)]


class Told(BaseModel):
    """What the schema of the App's own tool tells of its ChangeResult: the list must stay small."""

    status: Status
    message: str
    plan_id: str


class UndoPlan(Input):
    """Reverse a plan that was already applied; to drop one not applied use discard_plan."""

    plan_id: PlanId
    reason: Reason = ""


class ListChanges(Input):
    """History: one row per number and plan, newest first, open plans too."""

    number: NumberFilter = ""
    agent: AgentFilter = ""
    limit: Limit = 20
    cursor: Cursor = ""


class FreezeChanges(Input):
    """Stop all routing changes at once (calls go on). No tool unfreezes: a person must."""

    reason: Annotated[str, Field(min_length=1, max_length=500), AfterValidator(said)]


async def _apply(desk: Desk, given: ApplyPlan) -> ChangeResult | Question:
    return await desk.service.changes.apply(desk.caller, given.plan_id)


async def _get(desk: Desk, given: GetPlan) -> ChangeResult:
    return await desk.service.changes.get(desk.caller, given.plan_id)


async def _discard(desk: Desk, given: DiscardPlan) -> ChangeResult:
    return await desk.service.changes.discard(desk.caller, given.plan_id)


async def _approve_in_app(desk: Desk, given: ApproveInApp) -> ChangeResult:
    return await desk.service.in_app.approve(desk.caller, given.plan_id, given.ticket)


async def _undo(desk: Desk, given: UndoPlan) -> ChangeResult | Question:
    return await desk.service.changes.undo(desk.caller, given.plan_id, given.reason)


async def _list_changes(desk: Desk, given: ListChanges) -> ChangeList:
    return await desk.service.lookups.list_changes(
        desk.account, given.number, given.agent, given.limit, given.cursor
    )


async def _freeze(desk: Desk, given: FreezeChanges) -> ChangeResult:
    return await desk.service.changes.freeze(desk.caller, given.reason)


_APPLIES = Hints(read_only=False, destructive=True, idempotent=True)
_UNDOES = Hints(read_only=False, destructive=True, idempotent=False)
_DROPS = Hints(read_only=False, destructive=False, idempotent=True)
_FREEZES = Hints(read_only=False, destructive=False, idempotent=False)

_OWN_PLANS: tuple[Scope, ...] = ("numbers:read", "numbers:write")
_MAY_STOP: tuple[Scope, ...] = ("changes:approve", "admin")

TOOLS = (
    Tool("apply_plan", "Apply a plan", ApplyPlan, ChangeResult, _APPLIES, _apply),
    Tool("get_plan", "Show a plan", GetPlan, ChangeResult, READS, _get, _OWN_PLANS),
    Tool("discard_plan", "Discard a plan", DiscardPlan, ChangeResult, _DROPS, _discard),
    Tool("undo_plan", "Undo an applied plan", UndoPlan, ChangeResult, _UNDOES, _undo),
    Tool("list_changes", "History of changes", ListChanges, ChangeList, READS, _list_changes),
    Tool(
        "freeze_changes",
        "Freeze all changes",
        FreezeChanges,
        ChangeResult,
        _FREEZES,
        _freeze,
        _MAY_STOP,
    ),
    Tool(
        "approve_in_app",
        "Apply a plan by the view's button",
        ApproveInApp,
        Told,
        _APPLIES,
        _approve_in_app,
        view=PLAN_VIEW,
        app_only=True,
    ),
)
