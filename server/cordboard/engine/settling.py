"""Settling a plan that was let go as `unknown`: by reading again, else by an approver's word.

Only the record changes: what reading finds halfway is told, and nothing is sent to mend it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Literal

import anyio

from cordboard.approvers import VerifiedApprover
from cordboard.binding_rules import held_by
from cordboard.clock import Clock, later, stamp
from cordboard.engine.book import Book
from cordboard.engine.holders import who_holds
from cordboard.engine.keeping import while_kept
from cordboard.engine.pace import Pace, Timer
from cordboard.engine.steps import Held, Path, path, told
from cordboard.engine.verdicts import after_quiet
from cordboard.errors import (
    InvalidArguments,
    NotAllowed,
    NumberHeld,
    PlatformError,
    StoreUnavailable,
    refusal,
)
from cordboard.platforms import RemotePlatform
from cordboard.stores import Store, Transaction, operations, plans
from cordboard.stores.operations import LostFence, Operation, Step
from cordboard.stores.plans import NEWEST, PlanRecord

Said = Literal["applied", "not_applied"]
"""What an approver found of a number: it is as the plan says, or it is not."""

_LOOKED_BACK = 100
"""How many of a number's newest changes are searched for one that came after the plan's."""


class Settling:
    """Settles the plans of one platform at a vendor."""

    def __init__(
        self, store: Store, platform: RemotePlatform, clock: Clock, pace: Pace, timer: Timer
    ) -> None:
        self._timer = timer
        self._store, self._platform, self._clock, self._pace = store, platform, clock, pace

    async def settle(
        self, record: PlanRecord, said: Mapping[str, Said], by: VerifiedApprover | None
    ) -> PlanRecord:
        """The record of an `unknown` plan, settled as far as that can be told.

        What the platform tells counts; `said`, by number, counts where it tells nothing, and needs
        `by`. Raises: NumberHeld while nothing can be told for sure, or where another plan has a
        number; InvalidArguments for a number that is not in question; NotAllowed; PlatformError
        where it cannot be read now and nothing was said.
        """
        mine, fresh = await self._store.write(lambda tx: self._take(tx, record, said, by))
        if mine is None:
            return fresh
        try:
            await self._settle(mine, fresh, said, by)
        except LostFence:
            what = f"Reading {self._platform.name} took so long that another process is at it now."
            raise NumberHeld(what, "Run it again.") from None
        except BaseException:
            with anyio.CancelScope(shield=True), suppress(StoreUnavailable, LostFence):
                await self._store.write(lambda tx: operations.end(tx, mine))
            raise
        return await self._store.read(lambda tx: plans.find_again(tx, fresh))

    def _take(
        self,
        tx: Transaction,
        record: PlanRecord,
        said: Mapping[str, Said],
        by: VerifiedApprover | None,
    ) -> tuple[Operation | None, PlanRecord]:
        """Hold the numbers in question anew; None where the plan was settled meanwhile."""
        fresh = plans.find_again(tx, record)
        if fresh.state != "unknown":
            return None, fresh
        _no_longer_held(tx, fresh)
        numbers = [_number(fresh, step) for step in _open(fresh)]
        _may_say(tx, fresh, numbers, said, by)
        account, name = fresh.plan.account, self._platform.name
        held = operations.holders(tx, account, name, numbers)
        if held:
            raise refusal([held_by(number, other) for number, other in held.items()])
        due = later(self._clock(), self._pace.lease_of(self._platform.abilities))
        mine = operations.add(tx, account, fresh.plan_id, name, stamp(self._clock()), due)
        operations.hold(tx, mine, numbers)
        return mine, fresh

    async def _settle(
        self,
        mine: Operation,
        record: PlanRecord,
        said: Mapping[str, Said],
        by: VerifiedApprover | None,
    ) -> None:
        book = self._book(mine, record)
        lease = self._pace.lease_of(self._platform.abilities)
        read = await while_kept(partial(self._read, record, bool(said)), book.keep, lease)
        if read:
            await book.settled("settled", *read)
        known = {step.position for step in read}
        left = [step for step in _open(record) if step.position not in known]
        worded = [step for step in left if _number(record, step) in said]
        if by is not None and worded:
            steps = [self._as_said(record, s, said[_number(record, s)], by.name) for s in worded]
            await self._book(mine, replace(record, closed_by=by.name)).settled("settled", *steps)
        await book.finish()

    def _book(self, mine: Operation, record: PlanRecord) -> Book:
        """`record.closed_by` is who stands in the journal beside what is settled."""
        return Book(self._store, self._platform, mine, record, self._clock, self._pace, self._timer)

    async def _read(self, record: PlanRecord, may_fail: bool) -> list[Step]:
        """The steps of which reading tells what became of them; none where the plan's text was
        edited, for it does not say any more what was sent."""
        if not record.intact:
            return []
        plan, steps = record.plan, _open(record)
        ways = [path(self._platform, plan, step) for step in steps]
        changed = await self._store.read(lambda tx: _changed_since(tx, record))
        try:
            seen = await who_holds(self._platform, plan.account, ways)
        except PlatformError:
            if not may_fail:
                raise
            return []
        now = stamp(self._clock())
        return [
            _as_read(step, way, held, now)
            for step, way, held in zip(steps, ways, seen, strict=True)
            if held is not None and way.change.number not in changed
        ]

    def _as_said(self, record: PlanRecord, step: Step, said: Said, name: str) -> Step:
        where = f"found so at {self._platform.name} by {name}"
        if said == "applied":
            why = f"not read back, {where}"
            there = replace(step, state="applied", back=False, detail=why, ended="word")
            return replace(there, done=path(self._platform, record.plan, there).end)
        why = f"not as planned, {where} ({_clause(step)})"
        return replace(step, state="not_applied", done=_done(step), detail=why)


def _as_read(step: Step, way: Path, held: Held, now: str) -> Step:
    """What reading shows, as the last word: what is halfway is not gone on with any more."""
    # For how long nobody answered is not known after so long, and so is not told.
    found = after_quiet(replace(step, bare_from=""), way, held, now, hopeful=True).step
    if found.state == "ready":
        why = f"only partly: {told(held, way.change)} holds it now ({_clause(step)})"
        found = replace(found, state="not_applied", done=_done(found), detail=why)
    return replace(found, bare_from=step.bare_from)


def _done(step: Step) -> int:
    """Its writes in effect by what is known; one that was being put back had been begun."""
    return max(step.done, 1) if step.back else step.done


def _clause(step: Step) -> str:
    return step.detail.rstrip(".")


def _open(record: PlanRecord) -> list[Step]:
    return [step for step in record.steps if step.state == "unknown"]


def _number(record: PlanRecord, step: Step) -> str:
    return record.plan.draft.changes[step.position].number


def _no_longer_held(tx: Transaction, record: PlanRecord) -> None:
    """Raises: NumberHeld."""
    found = operations.find(tx, record.plan.account, record.plan_id)
    if found is not None and found.due_at == operations.FREE:
        what = f"The numbers of plan {record.plan_id} are held: the change is to be gone on with."
        raise NumberHeld(what, "get_plan goes on with it; then run this again.")
    if found is not None:
        raise NumberHeld(
            f"The numbers of plan {record.plan_id} are held until {found.due_at}: until then what "
            "was sent may still take effect.",
            "Run it again after that; then they are read.",
        )


def _may_say(
    tx: Transaction,
    record: PlanRecord,
    numbers: Sequence[str],
    said: Mapping[str, Said],
    by: VerifiedApprover | None,
) -> None:
    """Raises: InvalidArguments, NotAllowed."""
    strange = sorted(said.keys() - set(numbers))
    if strange:
        raise InvalidArguments(
            f"What became of {', '.join(strange)} is no open question of plan {record.plan_id}.",
            f"Open are: {', '.join(numbers)}.",
        )
    if said and by is None:
        raise NotAllowed("What cannot be read is settled by an enrolled approver's word alone.")
    if by and tx.one("approver_get", account=record.plan.account, name=by.name) is None:
        raise NotAllowed(f"{by.name} is no longer enrolled as an approver.")


def _changed_since(tx: Transaction, record: PlanRecord) -> set[str]:
    """Numbers in question that another plan changed since this one was made, or may have: reading
    them tells of that one. By the journal's order: stamps are of clocks that differ."""
    account = record.plan.account
    rows = tx.all("plans_sent_since", account=account, after=record.ordinal)
    sent = {row["plan_id"] for row in rows} - {record.plan_id}
    numbers = [_number(record, step) for step in _open(record)] if sent else []
    return {
        number
        for number in numbers
        if any(_changed(record, other) for other in _others(tx, account, number, sent))
    }


def _others(tx: Transaction, account: str, number: str, sent: set[str]) -> Iterator[PlanRecord]:
    """Those of these plans that are among the newest to change this number."""
    key = {"account": account, "number": number, "agent": ""}
    newest = {"ordinal": NEWEST, "position": 0, "limit": _LOOKED_BACK}
    for row in tx.all("changes_page_of_number", **key, **newest):
        if row["plan_id"] in sent and (other := plans.find(tx, account, row["plan_id"])):
            yield other


def _changed(record: PlanRecord, other: PlanRecord) -> bool:
    same = other.plan.platform == record.plan.platform
    return same and other.state in ("applied", "partly_applied", "unknown")
