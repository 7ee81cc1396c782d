"""What the tools answer: strict shapes that are schema, value and JSON at once.

Flat and small, because a model reads them: no unions, no `$ref`, no nullable. In lists a
binding's pathway fields are left out where empty; everywhere else "" and 0 stand for none.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

Status = Literal[
    "no_change", "confirmation_required", "awaiting_approval", "approved", "applying", "applied",
    "partly_applied", "unknown", "not_confirmed", "plan_rejected", "discarded", "frozen",
]  # fmt: skip


class Shape(BaseModel):
    """Base of every answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SideShape(Shape):
    """One end of a change."""

    direction: str
    agent: str
    pathway_id: str
    pathway_version: int
    start_node_id: str


class ChangeShape(Shape):
    """One number of a plan: before -> after, and what became of it."""

    number: str
    direction: str
    before: SideShape
    after: SideShape
    outcome: str
    detail: str


class CountsShape(Shape):
    """How many numbers ended in each outcome."""

    planned: int = 0
    unchanged: int = 0
    applied: int = 0
    not_applied: int = 0
    unknown: int = 0


class GuardShape(Shape):
    """Which level was required and which was used, by whom and why."""

    required: str = ""
    used: str = ""
    by: str = ""
    why: str = ""


class ApproveShape(Shape):
    """How the plan can be approved, if it waits for that."""

    how: str = ""
    url: str = ""
    command: str = ""
    expires_at: str = ""


class ChangeResult(Shape):
    """The one answer of every tool that changes or settles something."""

    status: Status
    message: str
    plan_id: str
    action: str
    changes: list[ChangeShape]
    counts: CountsShape
    warnings: list[str]
    guard: GuardShape
    approve: ApproveShape


class IncompleteShape(Shape):
    """A platform whose part of a listing is missing, and why."""

    platform: str
    why: str


class BindingShape(Shape):
    """A binding in a listing; empty pathway fields are left out."""

    direction: str
    agent: str
    pathway_id: str = ""
    pathway_version: int = 0
    start_node_id: str = ""

    @model_serializer(mode="wrap")
    def without_empty(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The fields that say something; `direction` and `agent` always do."""
        return {name: value for name, value in dump(self).items() if value}


class NumberShape(Shape):
    """A number of the account."""

    number: str
    platform: str
    provider: str
    label: str
    purpose: str
    tags: list[str]
    slug: str
    bindings: list[BindingShape]


class AgentShape(Shape):
    """An agent; `numbers` counts those bound to it, -1 where the platform does not tell."""

    agent: str
    name: str
    platform: str
    direction: str
    numbers: int
    pathway_id: str


class VersionShape(Shape):
    """One version of a pathway."""

    version: int
    nodes: list[str]


class PathwayShape(Shape):
    """A pathway a platform has recorded."""

    platform: str
    pathway_id: str
    name: str
    versions: list[VersionShape]


class ChangeRow(Shape):
    """One number of one plan, in the history."""

    at: str
    number: str
    action: str
    plan_id: str
    status: str
    by: str
    before: SideShape
    after: SideShape


class Listing(Shape):
    """What every listing carries beside its items."""

    next_cursor: str
    incomplete: list[IncompleteShape]
    message: str


class NumberList(Listing):
    numbers: list[NumberShape]


class AgentList(Listing):
    agents: list[AgentShape]


class PathwayList(Listing):
    pathways: list[PathwayShape]


class ChangeList(Listing):
    changes: list[ChangeRow]


class RouteShape(Shape):
    """What a call reaches through one binding now, and why; the pathway is the effective one."""

    agent: str
    name: str
    platform: str
    pathway_id: str
    pathway_version: int
    start_node_id: str
    why: str


class NumberRoute(Shape):
    """What answers a number now, on every platform and in both directions."""

    number: str
    inbound: list[RouteShape]
    outbound: list[RouteShape]
    provider: str
    label: str
    purpose: str
    open_plans: list[str]
    notes: list[str]
    message: str
