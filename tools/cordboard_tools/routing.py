"""Tools that change who answers, or on which pathway. Each makes a plan; the guard decides."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from cordboard.answers import ChangeResult
from cordboard.binding import Pathway
from cordboard.guard import Question
from cordboard.request import Asked
from cordboard.tool import Desk, Hints, Input, Tool
from cordboard_tools.fields import (
    AgentId,
    NodeId,
    Numbers,
    PathwayId,
    Provider,
    Reason,
    SomeNumbers,
    SomeSlugs,
)


class ByNumbersOrSlugs(Input):
    """Exactly one of two ways to name numbers; an empty list counts as absent."""

    agent: AgentId
    numbers: SomeNumbers = Field(default=[])
    number_slugs: SomeSlugs = Field(default=[])

    @model_validator(mode="after")
    def exactly_one(self) -> ByNumbersOrSlugs:
        if bool(self.numbers) == bool(self.number_slugs):
            raise ValueError("numbers, number_slugs: give exactly one of the two")
        return self


class AttachNumbers(ByNumbersOrSlugs):
    """Plan to attach numbers to an agent (inbound: it answers them; outbound: it calls from
    them). Never takes a number from another agent: that is move_numbers."""

    provider: Provider = ""
    reason: Reason = ""


class MoveNumbers(Input):
    """Plan to take numbers over from from_agent to to_agent. Ask the user first."""

    from_agent: AgentId
    to_agent: AgentId
    numbers: Numbers
    keep_pathway: bool = False
    reason: Reason = ""


class DetachNumbers(ByNumbersOrSlugs):
    """Plan to detach numbers from an agent: nobody answers them then, and their own pathway is
    cleared."""

    reason: Reason = ""


class SetNumberPathway(Input):
    """Plan to set the pathway of numbers held by agent; replaces id, version and node together."""

    agent: AgentId
    numbers: Numbers
    pathway_id: PathwayId
    pathway_version: Annotated[int, Field(ge=0, le=2**31, description="0 = newest")] = 0
    start_node_id: NodeId = ""
    reason: Reason = ""


class ClearNumberPathway(Input):
    """Plan to clear the numbers' own pathway: the agent's is used again."""

    agent: AgentId
    numbers: Numbers
    reason: Reason = ""


async def _attach(desk: Desk, given: AttachNumbers) -> ChangeResult | Question:
    asked = Asked(
        "attach",
        given.agent,
        numbers=tuple(given.numbers),
        slugs=tuple(given.number_slugs),
        provider=given.provider,
    )
    return await desk.service.changes.change(desk.caller, asked, given.reason)


async def _move(desk: Desk, given: MoveNumbers) -> ChangeResult | Question:
    asked = Asked(
        "move",
        given.to_agent,
        numbers=tuple(given.numbers),
        from_agent=given.from_agent,
        keep_pathway=given.keep_pathway,
    )
    return await desk.service.changes.change(desk.caller, asked, given.reason)


async def _detach(desk: Desk, given: DetachNumbers) -> ChangeResult | Question:
    asked = Asked("detach", given.agent, tuple(given.numbers), tuple(given.number_slugs))
    return await desk.service.changes.change(desk.caller, asked, given.reason)


async def _set_pathway(desk: Desk, given: SetNumberPathway) -> ChangeResult | Question:
    pathway = Pathway(given.pathway_id, given.pathway_version, given.start_node_id)
    asked = Asked("set_pathway", given.agent, tuple(given.numbers), pathway=pathway)
    return await desk.service.changes.change(desk.caller, asked, given.reason)


async def _clear_pathway(desk: Desk, given: ClearNumberPathway) -> ChangeResult | Question:
    asked = Asked("clear_pathway", given.agent, tuple(given.numbers))
    return await desk.service.changes.change(desk.caller, asked, given.reason)


_ADDS = Hints(read_only=False, destructive=False, idempotent=True)
_TAKES = Hints(read_only=False, destructive=True, idempotent=False)
_REPLACES = Hints(read_only=False, destructive=True, idempotent=True)

TOOLS = (
    Tool(
        "attach_numbers", "Attach numbers to an agent", AttachNumbers, ChangeResult, _ADDS, _attach
    ),
    Tool("move_numbers", "Move numbers between agents", MoveNumbers, ChangeResult, _TAKES, _move),
    Tool("detach_numbers", "Detach numbers", DetachNumbers, ChangeResult, _REPLACES, _detach),
    Tool(
        "set_number_pathway",
        "Set the pathway of numbers",
        SetNumberPathway,
        ChangeResult,
        _REPLACES,
        _set_pathway,
    ),
    Tool(
        "clear_number_pathway",
        "Clear the pathway of numbers",
        ClearNumberPathway,
        ChangeResult,
        _REPLACES,
        _clear_pathway,
    ),
)
