"""From what is asked for to one plan: which numbers are meant, and whether it is under way already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from cordboard import facts, progress
from cordboard.answers import ChangeResult
from cordboard.app import App
from cordboard.binding import Side
from cordboard.binding_rules import change_of
from cordboard.cli import approvals
from cordboard.cli.bulk.choosing import Chosen, Inventory, Match
from cordboard.cli.bulk.number_file import read_numbers
from cordboard.cli.plans import caller
from cordboard.display import quoted, shown
from cordboard.errors import AgentNotFound, InvalidArguments, NumberRefused
from cordboard.guard import Question
from cordboard.plan import Change
from cordboard.platforms import TransactionalPlatform
from cordboard.request import Asked, Look
from cordboard.stores import operations
from cordboard.stores.plans import PlanRecord


@dataclass(frozen=True)
class Wanted:
    """What is asked for: whom the numbers are for, and where they are found."""

    asked: Asked
    source: str
    match: Match
    reason: str

    @classmethod
    def of(cls, agent: str, source: str, words: list[str], provider: str, reason: str) -> Wanted:
        """Raises: InvalidArguments, AgentNotFound."""
        if not source and not words:
            what = "Numbers come from --from FILE, from --match, or from both."
            raise InvalidArguments(what, "Give one of them.")
        if ":" not in agent:
            raise AgentNotFound(
                f"--agent {quoted(agent)} names no platform.",
                f"Write local:{shown(agent, 60)}; `cordboard agents` lists them.",
            )
        approvals.short_enough("--reason", reason)
        return cls(Asked("attach", agent, provider=provider), source, Match.of(words), reason)

    async def chosen(self, app: App) -> Chosen:
        """The numbers. Raises: AgentNotFound, InvalidArguments, LimitExceeded, PlatformError."""
        if not self.source:
            return await (await Inventory.at(app, self.asked.agent)).matching(self.match)
        chosen = Chosen.of_file(read_numbers(self.source))
        if not self.match.words:
            return chosen
        return await (await Inventory.at(app, self.asked.agent)).narrowed(chosen, self.match)


@dataclass(frozen=True)
class Made:
    """What asking for it came to. `record`: None where all of it is so already, and `unchanged` is
    how; `command`: makes a command of ours of its words, as it works at a terminal here."""

    result: ChangeResult
    remarks: tuple[str, ...]
    command: Callable[[str], str]
    record: PlanRecord | None = None
    unchanged: tuple[Change, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """Every number of the plan, those that are left alone last."""
        if self.record is None:
            return self.unchanged
        draft = self.record.plan.draft
        return (*draft.changes, *draft.unchanged)

    def as_json(self) -> dict[str, Any]:
        counts = facts.tally(self.record.plan) if self.record else {}
        return self.result.model_dump(mode="json") | counts | {"remarks": self.remarks}


async def planned(wanted: Wanted, app: App) -> tuple[ChangeResult, Chosen]:
    """One plan for all of the numbers, or the one for the same that is there already."""
    changes = app.service.changes
    app.service.approvals.writable()
    chosen = await wanted.chosen(app)
    await progress.tell(len(chosen.numbers), 0, "numbers")
    asked = replace(wanted.asked, numbers=chosen.numbers)
    begun = await _begun(app, asked, part=wanted.match.state != "any", there=chosen.there)
    if begun is not None:
        return await changes.get(caller(app), begun.plan_id), chosen
    try:
        result = await changes.change(approvals.caller_of_a_person(app), asked, wanted.reason)
    except NumberRefused as exc:
        raise chosen.refused(exc) from None
    if isinstance(result, Question):
        raise TypeError("a caller who cannot be asked was asked")
    return result, chosen


async def _begun(app: App, asked: Asked, *, part: bool, there: bool) -> PlanRecord | None:
    """The plan for the same that is under way at a platform: it holds its numbers, so that no other
    could be made, and goes on by itself. `part`: what is done of it may be chosen no more; `there`:
    the agent has all of them, those of this plan and others."""
    account, platform = app.settings.account, asked.agent.partition(":")[0]
    if isinstance(app.platforms.get(platform), TransactionalPlatform):  # it never holds anything
        return None
    held = await app.store.read(lambda tx: operations.holders(tx, account, platform, asked.numbers))
    if len(set(held.values())) != 1:
        return None
    record = await app.service.approvals.find(next(iter(held.values())))
    plan, wanted = record.plan.asked, set(asked.numbers)
    same = (plan.action, plan.agent, plan.provider) == ("attach", asked.agent, asked.provider)
    draft = record.plan.draft
    its = {change.number for change in (*draft.changes, *draft.unchanged)}
    covers = there or (wanted <= its if part else wanted == its)
    return record if same and covers else None


async def found(
    result: ChangeResult, chosen: Chosen, agent: str, with_unchanged: bool, app: App
) -> Made:
    """The plan that was made; where none was, the numbers as they are, if they are wanted."""
    command = app.service.approvals.command
    if result.plan_id:
        record = await app.service.approvals.find(result.plan_id)
        return Made(result, chosen.remarks, command, record)
    unchanged = await _unchanged(app, agent, chosen.numbers) if with_unchanged else ()
    return Made(result, chosen.remarks, command, unchanged=unchanged)


async def _unchanged(app: App, agent: str, numbers: tuple[str, ...]) -> tuple[Change, ...]:
    """How these numbers stand at the agent that has them all."""
    platform = app.platforms[agent.partition(":")[0]]
    seen = await platform.observe(app.settings.account, Look(numbers=numbers))
    return tuple(
        change_of(owned, side, side, "already attached")
        for owned in seen.numbers.values()
        for side in (Side.held(bound) for bound in owned.bindings if bound.agent == agent)
    )
