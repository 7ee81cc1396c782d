"""Changes: ask, plan, pass the guard, apply, undo. What the write tools call."""

from __future__ import annotations

from dataclasses import replace

from cordboard import binding_rules, journal, preconditions, restoring
from cordboard.answers import ChangeResult, Status
from cordboard.clock import Clock, stamp
from cordboard.engine import Engine
from cordboard.errors import ApprovalRequired, NotAllowed, PlanNotFound
from cordboard.facts import SHOWN_CHANGES
from cordboard.guard import Answer, Clearance, Guard, Question, Verdict
from cordboard.identity import Identity
from cordboard.journal import Event
from cordboard.request import Asked, Restore, few_enough
from cordboard.results import Results
from cordboard.service.planning import Caller, Planner
from cordboard.stores import Store, Transaction, plans
from cordboard.stores.plans import PlanRecord


class Changes:
    """The verbs that change routing. Each answers a ChangeResult, or the Question still open."""

    def __init__(
        self,
        store: Store,
        planner: Planner,
        guard: Guard,
        engine: Engine,
        results: Results,
        clock: Clock,
    ) -> None:
        self._store, self._planner, self._guard, self._engine = store, planner, guard, engine
        self._results, self._clock = results, clock

    async def change(self, caller: Caller, asked: Asked, reason: str) -> ChangeResult | Question:
        """Plan a change and take it as far as the guard lets this call go.

        Raises: every RequestError and GuardError of errors.py; nothing was changed then.
        """
        if caller.answer is not None:
            return await self._settle(caller, caller.answer)
        self._planner.writable()
        binding_rules.one_platform(asked)
        few_enough(len(asked.numbers) + len(asked.slugs))
        self._planner.ready(asked)
        draft = await self._planner.drawn_up(caller.account, asked)
        if not draft.changes:
            return self._results.no_change(asked.action, draft)
        return await self._go_on(caller, await self._planner.plan(caller, asked, draft, reason))

    async def outright(self, identity: Identity, asked: Asked, reason: str) -> ChangeResult:
        """Plan a change and apply it in one go, for callers of REST, who are asked nothing.

        Raises: ApprovalRequired with the plan, where the token may not approve what it asks for;
        and as `change` does.
        """
        result = await self.change(Caller(identity), asked, reason)
        if isinstance(result, Question):
            raise TypeError("a caller who cannot be asked was asked")
        if not result.plan_id or result.status not in (
            "confirmation_required",
            "awaiting_approval",
        ):
            return result
        record = await self.find(identity.account, result.plan_id)
        try:
            clearance = self._guard.by_token(record, identity)
        except NotAllowed as exc:
            how = result.approve
            told = f"Nothing was changed yet: plan {result.plan_id} waits for a person. {exc.what}"
            remedy = (
                f"A person opens {how.url}, or runs `{how.command}`."
                if how.url
                else f"A person runs `{how.command}`."
            )
            raise ApprovalRequired(
                told, remedy, plan_id=result.plan_id, url=how.url, command=how.command
            ) from None
        return self._result(await self._engine.apply(clearance))

    async def undo(self, caller: Caller, plan_id: str, reason: str) -> ChangeResult | Question:
        """Plan the reverse of what a plan did, whole or not at all."""
        if caller.answer is not None:
            return await self._settle(caller, caller.answer)
        record, versions = await self._store.read(
            lambda tx: _with_versions(tx, caller.account, plan_id)
        )
        original = record.plan.asked
        asked = Asked("undo", original.agent, from_agent=original.from_agent, undoes=plan_id)
        self._planner.ready(asked)
        refused = _not_undoable(record, stamp(self._clock()))
        draft = None
        if not refused:
            asked = replace(asked, restore=_restores(record, versions))
            seen = await self._planner.observed(caller.account, asked)
            drawn, against = restoring.restore(asked, seen)
            draft = self._planner.named(seen, drawn)
            refused = preconditions.in_short(against)
        if draft is None or refused:
            text = (
                f"Plan {plan_id} cannot be undone: {refused}. Nothing was changed. get_number_route "
                "shows how it stands; plan what is wanted from there."
            )
            return self._results.bare("plan_rejected", text, plan_id=plan_id, action="undo")
        self._planner.supported(asked, draft)
        return await self._go_on(caller, await self._planner.plan(caller, asked, draft, reason))

    async def apply(self, caller: Caller, plan_id: str) -> ChangeResult | Question:
        """Apply a plan at level `plan`; at a higher level go on to whoever must approve."""
        if caller.answer is not None:
            return await self._settle(caller, caller.answer)
        self._planner.writable()
        record = await self._engine.caught_up(await self.find(caller.account, plan_id))
        if record.state == "discarded":
            return self._result(record, status="plan_rejected")
        if record.state not in plans.WAITING or record.expired(stamp(self._clock())):
            return self._result(await self._engine.joined(record))
        clearance = await self._clearance(caller, record)
        if clearance is not None:
            return self._result(await self._engine.apply(clearance))
        await self._planner.not_frozen(caller.account)
        self._guard.same_requester(record, caller.principal)
        return await self._go_on(caller, await self._engine.recheck(record))

    async def _clearance(self, caller: Caller, record: PlanRecord) -> Clearance | None:
        """What this call may be applied on: the second call itself, or an approval kept for it."""
        if record.state == "approved":
            return await self._engine.stored_clearance(record)
        if record.plan.level != "plan":
            return None
        return self._guard.by_second_call(record, caller.principal)

    async def get(self, caller: Caller, plan_id: str, *, most: int = SHOWN_CHANGES) -> ChangeResult:
        """What became of a plan; of its changes at most so many."""
        record = await self._engine.caught_up(await self.find(caller.account, plan_id))
        in_chat = caller.asker.shows_app and record.plan.principal == caller.principal
        return self._results.of(record, stamp(self._clock()), most=most, in_chat=in_chat)

    async def discard(self, caller: Caller, plan_id: str) -> ChangeResult:
        """Drop a plan that was not applied; of an applied one, its result.

        Raises: NotAllowed for a plan of somebody else, without the right to approve.
        """
        self._planner.writable()

        def work(tx: Transaction) -> PlanRecord:
            record = _found(tx, caller.account, plan_id)
            if record.state not in plans.WAITING:
                return record
            if not caller.identity.may("changes:approve", "admin"):
                self._guard.same_requester(record, caller.principal)
            return plans.close(tx, record, "discarded", stamp(self._clock()), caller.principal)

        return self._result(await self._store.write(work))

    async def freeze(self, caller: Caller, reason: str) -> ChangeResult:
        """Stop every change of the account until an approver lifts it."""
        self._planner.writable()
        now = stamp(self._clock())

        def work(tx: Transaction) -> tuple[str, str]:
            state = tx.one("account_get", account=caller.account)
            if state is not None and state["frozen_at"]:
                return state["frozen_at"], state["frozen_by"]
            journal.append(
                tx, caller.account, now, Event("frozen", caller.principal, data={"reason": reason})
            )
            tx.send(
                "account_freeze", account=caller.account, at=now, by=caller.principal, reason=reason
            )
            return now, caller.principal

        at, by = await self._store.write(work)
        return self._results.bare(
            "frozen",
            f"All routing changes are frozen since {at} by {by}. No tool lifts it: an enrolled approver "
            "runs `cordboard unfreeze` at a terminal. Callers still reach the agents they reached before.",
        )

    async def find(self, account: str, plan_id: str) -> PlanRecord:
        """A stored plan. Raises: PlanNotFound."""
        return await self._store.glance(lambda tx: _found(tx, account, plan_id))

    def _result(
        self,
        record: PlanRecord,
        *,
        status: Status | None = None,
        note: str = "",
        in_chat: bool = False,
    ) -> ChangeResult:
        now = stamp(self._clock())
        return self._results.of(record, now, status=status, note=note, in_chat=in_chat)

    async def _go_on(self, caller: Caller, record: PlanRecord) -> ChangeResult | Question:
        """As far as this call can go: ask where the client can, else say what is missing."""
        told = self._result(record, in_chat=caller.asker.shows_app)
        way = caller.asker.way(record.plan.level, told.approve.url)
        if record.state != "open" or not way:
            return told
        question = self._guard.question(record, told.approve.url if way == "url" else "")
        event = Event("asked", caller.principal, record.plan_id, record.hash)
        now = stamp(self._clock())
        await self._store.write(lambda tx: journal.append(tx, caller.account, now, event))
        verdict = await caller.asker.ask(question)
        if verdict is None:
            return question
        return await self._settle(caller, Answer(record.plan_id, record.hash, verdict))

    async def _settle(self, caller: Caller, answer: Answer) -> ChangeResult:
        """What an answer does to the plan it was given for, never to a newer one."""
        self._planner.writable()
        record = await self._engine.caught_up(await self.find(caller.account, answer.plan_id))
        self._guard.same_requester(record, caller.principal)
        if record.state != "open" or record.expired(stamp(self._clock())):
            told: Status | None = "plan_rejected" if record.state == "discarded" else None
            return self._result(await self._engine.joined(record), status=told)
        if answer.verdict is Verdict.APPROVED:
            clearance = self._guard.by_answer(record, answer, caller.principal)
            return self._result(await self._engine.apply(clearance))
        if answer.verdict is Verdict.DECLINED:
            now = stamp(self._clock())
            closed = await self._store.write(
                lambda tx: plans.close(tx, record, "declined", now, caller.principal)
            )
            if closed.state != "declined":  # settled by somebody else in the same moment
                return self._result(closed)
            return self._result(closed, status="not_confirmed", note="The person declined.")
        if answer.verdict in _WAITS:
            return self._result(record, note=_WAITS[answer.verdict])
        note = _NO_ANSWER[answer.verdict]
        return self._result(record, status="not_confirmed", note=note)


_WAITS = {
    Verdict.SILENT: "Nobody answered the question in the client.",
    Verdict.OPENED: "The user was sent to the approvals page; nobody has decided there yet.",
}
_NO_ANSWER = {
    Verdict.CANCELLED: "The question was cancelled; the plan stays open, ask again to be asked again.",
    Verdict.MALFORMED: "The client's answer was not a clear yes or no; the plan stays open.",
}


def _found(tx: Transaction, account: str, plan_id: str) -> PlanRecord:
    record = plans.find(tx, account, plan_id)
    if record is None:
        raise PlanNotFound(f"There is no plan {plan_id}.")
    return record


def _with_versions(tx: Transaction, account: str, plan_id: str) -> tuple[PlanRecord, list[int]]:
    record = _found(tx, account, plan_id)
    return record, plans.versions_left(tx, record)


def _restores(record: PlanRecord, versions: list[int]) -> tuple[Restore, ...]:
    """What an undo brings back: every change, or of a plan done in part those that were."""
    changes = zip(record.plan.draft.changes, versions, strict=True)
    whole = not record.steps
    return tuple(
        Restore(change.number, change.after, change.before, version)
        for position, (change, version) in enumerate(changes)
        if whole or record.steps[position].state == "applied"
    )


def _not_undoable(record: PlanRecord, now: str) -> str:
    if record.expired(now):
        return "it was not applied (it is expired)"
    if record.state in plans.UNDER_WAY:
        return "it is not settled yet; get_plan tells when it is"
    if record.state == "failed":
        return "it was not applied (the platform did not do it)"
    if record.state not in ("applied", "partly_applied"):
        return f"it was not applied (it is {record.state})"
    if record.steps and not any(step.state == "applied" for step in record.steps):
        return "none of its numbers is as it planned"
    return f"it was already undone by {record.undone_by}" if record.undone_by else ""
