"""The record of one operation: every commit a worker makes, each only while it has the fence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from cordboard import journal
from cordboard.clock import Clock, later, stamp
from cordboard.engine.pace import Pace, Timer
from cordboard.engine.permission import frozen
from cordboard.engine.verdicts import SOON_SECONDS
from cordboard.journal import Event
from cordboard.platforms import Call, RemotePlatform
from cordboard.stores import Store, T, Transaction, operations, plans
from cordboard.stores.operations import FREE, SETTLED, Operation, Step
from cordboard.stores.plans import PlanRecord, State


class Book:
    """What one worker writes down about its operation. Every method raises LostFence."""

    def __init__(
        self,
        store: Store,
        platform: RemotePlatform,
        operation: Operation,
        record: PlanRecord,
        clock: Clock,
        pace: Pace,
        timer: Timer,
        since: float | None = None,
    ) -> None:
        """`since`: from when on nobody else sent anything of it, as `Watch.since` tells."""
        self._timer, self._since = timer, since
        self._store, self._operation, self._clock, self._pace = store, operation, clock, pace
        self._abilities = platform.abilities
        self.record, self.started_at = record, operation.started_at

    async def _write(self, work: Callable[[Transaction], T]) -> T:
        def kept(tx: Transaction) -> T:
            operations.keep(tx, self._operation, self._lease())
            return work(tx)

        return await self._store.write(kept)

    def _lease(self) -> str:
        return later(self._clock(), self._pace.lease_of(self._abilities))

    def now(self) -> str:
        """The present moment."""
        return stamp(self._clock())

    async def keep(self) -> None:
        """Hold on to the operation."""
        due = self._lease()
        await self._store.write(lambda tx: operations.keep(tx, self._operation, due))

    async def steps(self) -> list[Step]:
        """Every step as it is recorded."""
        record = self.record
        account, plan_id = record.plan.account, record.plan_id
        return await self._store.read(lambda tx: operations.steps(tx, account, plan_id))

    async def sending(self, steps: Sequence[Step], call: Call) -> list[Step]:
        """Before the socket opens: these numbers may be changed from now on. Raises: Frozen."""
        quiet = self._pace.window_of(self._abilities) + self._pace.quiet_of(self._abilities)
        settle_at = later(self._clock(), quiet)
        for step in steps:
            self._timer.begin(self.record.plan_id, step.position, quiet, settle_at)
        marked = [
            replace(s, state="sending", settle_at=settle_at, tries=s.tries + 1) for s in steps
        ]

        def work(tx: Transaction) -> None:
            if not any(
                step.done or step.back for step in steps
            ):  # a number on the move is seen through
                frozen(tx, self.record.plan.account)
            data: dict[str, object] = {"write": call.kind, "agent": call.agent}
            self._put(tx, "sending", marked, data)

        await self._write(work)
        return marked

    async def settled(self, event: str, *steps: Step) -> None:
        """What is known of these numbers now; those that are settled are let go."""
        for step in steps:
            if step.state == "unknown" and step.settle_at:
                seconds = (datetime.fromisoformat(step.settle_at) - self._clock()).total_seconds()
                self._timer.begin(self.record.plan_id, step.position, seconds, step.settle_at)

        def work(tx: Transaction) -> None:
            self._put(tx, event, steps, {})
            for step in steps:
                if step.state in SETTLED:
                    operations.release(tx, self._operation, self._number(step))

        await self._write(work)

    def is_due(self, step: Step) -> bool:
        """Whether reading settles this unknown step now."""
        if step.state != "unknown" or not step.settle_at:
            return False
        by_the_clock = step.settle_at <= self.now() or self._is_own(step)
        return by_the_clock and self._timer.over(self.record.plan_id, step.position)

    def is_left(self, step: Step) -> bool:
        """Whether somebody else sent it and says nothing more, or it waits for a moment that tells
        nothing here: of another machine's clock, or one that was set back since."""
        if step.state != "unknown" or not step.settle_at:
            return step.state == "sending"
        if step.settle_at > later(self._clock(), self._pace.longest_of(self._abilities)):
            return True
        return self._since is not None and not self._is_own(step)

    def _is_own(self, step: Step) -> bool:
        """Whether its moment is of this process, which then knows by its steady clock when it is."""
        return self._timer.is_own(self.record.plan_id, step.position, step.settle_at)

    async def taken_over(self, steps: Sequence[Step]) -> None:
        """These were left by somebody: they are settled when nothing can come of them any more."""
        why = "whoever sent it gave no answer"
        told = [
            replace(
                step,
                state="unknown",
                detail=why if step.state == "sending" else step.detail,
                settle_at=self._settle_at(step),
            )
            for step in steps
        ]
        await self.settled("lost", *told)

    def _settle_at(self, step: Step) -> str:
        """When nothing can come any more of what somebody else sent."""
        pace, abilities, now = self._pace, self._abilities, self._clock()
        quiet, window = pace.quiet_of(abilities), pace.window_of(abilities)
        sent = step.state == "sending"
        if self._since is not None:
            over = self._since + quiet + (window if sent else 0.0)
            return later(now, max(0.0, over - self._timer.steady()))
        if sent:  # it may have been a moment ago, whatever the clock was set to meanwhile
            return max(step.settle_at, later(now, pace.request + window))
        return later(now, quiet)

    async def lost(self, steps: Sequence[Step], *, sent: bool = True) -> None:
        """No usable answer came: the numbers stay held until reading decides. `sent` false: nothing
        left, so reading may decide soon."""
        quiet = self._pace.quiet_of(self._abilities)
        settle_at = later(self._clock(), quiet if sent else min(quiet, SOON_SECONDS))
        told = [replace(s, state="unknown", settle_at=settle_at) for s in steps]
        await self.settled("lost", *told)

    async def gone_on(self) -> None:
        """What was unknown is known, and the rest is sent."""

        def work(tx: Transaction) -> PlanRecord:
            record = plans.find_again(tx, self.record)
            return plans.move_on(tx, record, "applying", "", "", {})

        self.record = await self._write(work)

    async def let_go(self, steps: Sequence[Step]) -> None:
        """The plan's text is not the one that was cleared: a person must find out what was done."""
        why = "the plan's text was edited after it was approved"
        told = [replace(s, state="unknown", detail=why, settle_at="") for s in steps]
        await self.settled("released", *told)

    async def finish(self) -> None:
        """Close the plan where every step is settled; else say from when the rest can be."""

        def work(tx: Transaction) -> None:
            record = plans.find_again(tx, self.record)
            waiting = [s.settle_at for s in record.steps if s.state == "unknown" and s.settle_at]
            if any(step.state in ("ready", "sending") for step in record.steps):
                operations.keep(tx, self._operation, FREE)
            elif waiting:
                plans.move_on(tx, record, "unknown", "", "", _outcomes(record))
                operations.keep(tx, self._operation, min(waiting))
            else:
                self._close(tx, record)

        await self._write(work)

    def _close(self, tx: Transaction, record: PlanRecord) -> None:
        state = _ended(record.steps)
        why = next((s.detail for s in record.steps if s.state == "not_applied"), "")
        plans.move_on(tx, record, state, self.now(), why, _outcomes(record))
        left = sum(s.state == "not_applied" and not s.done and not s.back for s in record.steps)
        if left:  # all were counted at the beginning, so that nobody outruns the budget
            plan = record.plan
            key = {"account": plan.account, "principal": plan.principal, "plan_id": plan.plan_id}
            tx.send("spent_correct", **key, numbers=len(record.steps) - left)
        if state == "applied":
            plans.mark_applied(tx, record, [0] * len(record.steps))
        operations.end(tx, self._operation)
        self._timer.forget(record.plan_id)

    def _put(
        self, tx: Transaction, event: str, steps: Sequence[Step], data: dict[str, object]
    ) -> None:
        record = self.record
        operations.put(tx, record.plan.account, record.plan_id, *steps)
        by, plan_id = record.closed_by, record.plan_id
        rows = [Event(event, by, plan_id, record.hash, data | self._told(s)) for s in steps]
        journal.append(tx, record.plan.account, self.now(), *rows)

    def _told(self, step: Step) -> dict[str, object]:
        change = self.record.plan.draft.changes[step.position]
        said: dict[str, object] = {
            "number": change.number,
            "before": change.before.as_json(),
            "after": change.after.as_json(),
        }
        if step.state != "sending":
            said |= {"outcome": step.state, "detail": step.detail}
        return said

    def _number(self, step: Step) -> str:
        return self.record.plan.draft.changes[step.position].number


def _ended(steps: Sequence[Step]) -> State:
    """What became of a plan by its steps."""
    states = {step.state for step in steps}
    if "unknown" in states:
        return "unknown"
    if states == {"applied"}:
        return "applied"
    touched = "applied" in states or any(step.done for step in steps)
    return "partly_applied" if touched else "failed"


def _outcomes(record: PlanRecord) -> dict[str, object]:
    """What the journal keeps of a plan's end: how many numbers ended how."""
    states = [step.state for step in record.steps]
    return {"level": record.used, "numbers": {s: states.count(s) for s in sorted(set(states))}}
