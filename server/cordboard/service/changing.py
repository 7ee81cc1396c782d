"""Changes: ask, plan, pass the guard, apply, undo. What the write tools call."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cordboard import binding_rules, journal
from cordboard.answers import ChangeResult, Status
from cordboard.clock import Clock, later, stamp
from cordboard.display import shown
from cordboard.engine import Engine, spent
from cordboard.errors import AgentNotFound, Frozen, NotSupported, PlanNotFound, ReadOnly
from cordboard.guard import Answer, Asker, Guard, NobodyToAsk, Question, Verdict
from cordboard.journal import Event
from cordboard.plan import Draft, Plan
from cordboard.platforms import Platform
from cordboard.request import Asked, Look, Restore
from cordboard.results import Results
from cordboard.stores import Store, Transaction, plans
from cordboard.stores.plans import PlanRecord


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, for which account, and how a person can be asked through their client.

    `answer`: a verdict that came with this call, to a question this server asked before.
    """

    account: str
    principal: str
    asker: Asker = field(default_factory=NobodyToAsk)
    answer: Answer | None = None


@dataclass(frozen=True)
class Times:
    """How long a plan stands, in seconds: at level plan or client, and where a person approves."""

    plan: float = 30 * 60
    person: float = 24 * 3600


class Changes:
    """The verbs that change routing. Each answers a ChangeResult, or the Question still open."""

    def __init__(
        self,
        store: Store,
        platforms: Mapping[str, Platform],
        guard: Guard,
        engine: Engine,
        results: Results,
        clock: Clock,
        times: Times,
        read_only: bool,
    ) -> None:
        self._store, self._platforms, self._guard, self._engine = store, platforms, guard, engine
        self._results, self._clock, self._times, self._read_only = results, clock, times, read_only

    async def change(self, caller: Caller, asked: Asked, reason: str) -> ChangeResult | Question:
        """Plan a change and take it as far as the guard lets this call go.

        Raises: every RequestError and GuardError of errors.py; nothing was changed then.
        """
        if caller.answer is not None:
            return await self._settle(caller, caller.answer)
        self._writable()
        binding_rules.one_platform(asked)
        platform = await self._ready(caller, asked.agent)
        seen = await platform.observe(caller.account, Look.at(asked))
        draft = binding_rules.draw_up(asked, seen)
        if not draft.changes:
            return self._results.no_change(asked.action, draft)
        record = await self._plan(caller, asked, draft, reason)
        return await self._go_on(caller, record)

    async def undo(self, caller: Caller, plan_id: str, reason: str) -> ChangeResult | Question:
        """Plan the reverse of an applied plan, whole or not at all."""
        if caller.answer is not None:
            return await self._settle(caller, caller.answer)
        record, versions = await self._store.read(
            lambda tx: _with_versions(tx, caller.account, plan_id)
        )
        original = record.plan.asked
        platform = await self._ready(caller, original.agent)
        refused = _not_undoable(record, stamp(self._clock()))
        asked = Asked("undo", original.agent, from_agent=original.from_agent, undoes=plan_id)
        draft = None
        if not refused:
            restore = tuple(
                Restore(c.number, c.after, c.before, version)
                for c, version in zip(record.plan.draft.changes, versions, strict=True)
            )
            asked = replace(asked, restore=restore)
            seen = await platform.observe(caller.account, Look.at(asked))
            draft, against = binding_rules.restore(asked, seen)
            refused = "; ".join(against)
        if draft is None or refused:
            text = (
                f"Plan {plan_id} cannot be undone: {refused}. Nothing was changed. get_number_route "
                "shows how it stands; plan what is wanted from there."
            )
            return self._results.bare("plan_rejected", text, plan_id=plan_id, action="undo")
        return await self._go_on(caller, await self._plan(caller, asked, draft, reason))

    async def apply(self, caller: Caller, plan_id: str) -> ChangeResult | Question:
        """Apply a plan at level `plan`; at a higher level go on to whoever must approve."""
        if caller.answer is not None:
            return await self._settle(caller, caller.answer)
        self._writable()
        record = await self.find(caller.account, plan_id)
        if record.state == "applied":
            return self._result(record)
        if record.state == "discarded":
            return self._result(record, status="plan_rejected")
        if record.state not in ("open", "approved") or record.expired(stamp(self._clock())):
            return self._result(record)
        if record.plan.level == "plan":
            clearance = self._guard.by_second_call(record, caller.principal)
            return self._result(await self._engine.apply(clearance))
        await self._ready(caller, record.plan.asked.agent)
        self._guard.same_requester(record, caller.principal)
        return await self._go_on(caller, await self._engine.recheck(record))

    async def get(self, caller: Caller, plan_id: str, *, every: bool = False) -> ChangeResult:
        """What became of a plan."""
        record = await self.find(caller.account, plan_id)
        return self._results.of(record, stamp(self._clock()), every=every)

    async def discard(self, caller: Caller, plan_id: str) -> ChangeResult:
        """Drop a plan that was not applied; of an applied one, its result."""
        self._writable()

        def work(tx: Transaction) -> PlanRecord:
            record = _found(tx, caller.account, plan_id)
            if record.state not in ("open", "approved"):
                return record
            return plans.close(tx, record, "discarded", stamp(self._clock()), caller.principal)

        return self._result(await self._store.write(work))

    async def freeze(self, caller: Caller, reason: str) -> ChangeResult:
        """Stop every change of the account until an approver lifts it."""
        self._writable()
        now = stamp(self._clock())

        def work(tx: Transaction) -> tuple[str, str]:
            state = tx.one("account_get", account=caller.account)
            if state is not None and state["frozen_at"]:
                return state["frozen_at"], state["frozen_by"]
            journal.append(
                tx, caller.account, now, Event("frozen", caller.principal, data={"reason": reason})
            )
            tx.run(
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
        self, record: PlanRecord, *, status: Status | None = None, note: str = ""
    ) -> ChangeResult:
        return self._results.of(record, stamp(self._clock()), status=status, note=note)

    def _writable(self) -> None:
        if self._read_only:
            raise ReadOnly("This Cordboard is read-only.")

    async def _ready(self, caller: Caller, agent: str) -> Platform:
        """The agent's platform, once it is clear that changes are possible at all."""
        self._writable()
        name = agent.partition(":")[0]
        platform = self._platforms.get(name)
        if platform is None:
            known = ", ".join(self._platforms)
            raise AgentNotFound(
                f"{agent}: the platform {name} is not configured here (there is {known})."
            )
        if not platform.abilities.attach:
            raise NotSupported(f"The platform {name} cannot attach numbers.")
        state = await self._store.glance(lambda tx: tx.one("account_get", account=caller.account))
        if state is not None and state["frozen_at"]:
            why = f' ("{shown(state["frozen_reason"])}")' if state["frozen_reason"] else ""
            raise Frozen(
                f"Changes are frozen since {state['frozen_at']} by {state['frozen_by']}{why}."
            )
        return platform

    async def _plan(self, caller: Caller, asked: Asked, draft: Draft, reason: str) -> PlanRecord:
        def work(tx: Transaction) -> PlanRecord:
            now = self._clock()
            hour = spent(tx, caller.account, caller.principal, later(now, -3600))
            platform = asked.agent.partition(":")[0]
            need = self._guard.level(asked.action, platform, draft, hour, caller.asker.can_ask)
            if need.level == "frozen":
                raise Frozen(f"Policy freezes this change ({need.why}).", "Ask the operator.")
            seconds = self._times.person if need.level == "person" else self._times.plan
            plan = Plan(
                plan_id=f"plan_{secrets.token_hex(12)}",
                account=caller.account,
                principal=caller.principal,
                asked=asked,
                draft=draft,
                level=need.level,
                why=need.why,
                policy_hash=self._guard.policy.digest,
                four_eyes=self._guard.policy.four_eyes,
                created_at=stamp(now),
                expires_at=later(now, seconds),
            )
            return plans.save(tx, plan, reason)

        return await self._store.write(work)

    async def _go_on(self, caller: Caller, record: PlanRecord) -> ChangeResult | Question:
        """As far as this call can go: ask at `client` where the client can, else say what is missing."""
        if record.state != "open" or record.plan.level != "client" or not caller.asker.can_ask:
            return self._result(record)
        question = self._guard.question(record)
        event = Event("asked", caller.principal, record.plan_id, record.hash)
        now = stamp(self._clock())
        await self._store.write(lambda tx: journal.append(tx, caller.account, now, event))
        verdict = await caller.asker.ask(question)
        if verdict is None:
            return question
        return await self._settle(caller, Answer(record.plan_id, record.hash, verdict))

    async def _settle(self, caller: Caller, answer: Answer) -> ChangeResult:
        """What an answer does to the plan it was given for, never to a newer one."""
        self._writable()
        record = await self.find(caller.account, answer.plan_id)
        self._guard.same_requester(record, caller.principal)
        if record.state != "open" or record.expired(stamp(self._clock())):
            told: Status | None = "plan_rejected" if record.state == "discarded" else None
            return self._result(record, status=told)
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
        if answer.verdict is Verdict.SILENT:
            return self._result(record, note="Nobody answered the question in the client.")
        note = _NO_ANSWER[answer.verdict]
        return self._result(record, status="not_confirmed", note=note)


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


def _not_undoable(record: PlanRecord, now: str) -> str:
    if record.expired(now):
        return "it was not applied (it is expired)"
    if record.state != "applied":
        return f"it was not applied (it is {record.state})"
    return f"it was already undone by {record.undone_by}" if record.undone_by else ""
