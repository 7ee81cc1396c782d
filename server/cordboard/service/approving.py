"""Approvals made outside MCP: by enrolled approvers, at a terminal or on the approvals page."""

from __future__ import annotations

from cordboard import facts, journal
from cordboard.answers import ChangeResult
from cordboard.approvers import Approvers, VerifiedApprover
from cordboard.canonical import digest
from cordboard.clock import Clock, stamp
from cordboard.engine import Engine, frozen
from cordboard.errors import InvalidArguments, NotAllowed, PlanNotFound, ReadOnly
from cordboard.guard import Clearance, Guard
from cordboard.journal import Event
from cordboard.results import Results
from cordboard.stores import Store, Transaction, listing, plans
from cordboard.stores.plans import NEWEST, PlanRecord


class Approvals:
    """Approve, reject, freeze and unfreeze, for people. One account."""

    def __init__(
        self,
        store: Store,
        account: str,
        approvers: Approvers,
        guard: Guard,
        engine: Engine,
        results: Results,
        clock: Clock,
        read_only: bool,
    ) -> None:
        self.approvers = approvers
        self._store, self._account, self._guard, self._engine = store, account, guard, engine
        self._results, self._clock, self._read_only = results, clock, read_only

    async def waiting(self) -> list[PlanRecord]:
        """Plans neither settled nor expired, newest first."""
        now = stamp(self._clock())
        return await self._store.read(lambda tx: plans.waiting(tx, self._account, now))

    async def newest(self, limit: int = 50) -> list[PlanRecord]:
        """Plans of any state, newest first."""
        return await self._store.read(lambda tx: plans.newest(tx, self._account, limit=limit))

    async def matching(
        self, query: str, *, waiting: bool, before: int = NEWEST, limit: int = 50
    ) -> list[PlanRecord]:
        """Plans that wait (else all others), newest first, of which the requester, a number or an
        agent contains `query`. `before`: the ordinal to go on from."""
        now = stamp(self._clock())
        return await self._store.read(
            lambda tx: listing.matching(
                tx, self._account, now, query, before, limit, waiting=waiting
            )
        )

    async def under_way(self, limit: int = 50) -> list[PlanRecord]:
        """Plans begun and not settled, newest first."""
        return await self._store.read(lambda tx: listing.under_way(tx, self._account, limit))

    async def find(self, plan_id: str) -> PlanRecord:
        """A plan by id. Raises: PlanNotFound."""
        record = await self._store.read(lambda tx: plans.find(tx, self._account, plan_id))
        if record is None:
            raise PlanNotFound(
                f"There is no plan {plan_id} in this store.", "`cordboard plans` lists them."
            )
        return record

    async def still_open(self, plan_id: str) -> PlanRecord:
        """The plan, closed as stale first if the routing moved under it: nobody approves in vain."""
        return await self._engine.recheck(await self.find(plan_id))

    def text(self, record: PlanRecord) -> str:
        """The facts a person reads before approving, the same as in the client's question."""
        return facts.question(record.plan, record.reason)

    async def moved(self, record: PlanRecord) -> list[str]:
        """What moved under an open plan, in sentences, as far as our own store tells. Writes nothing."""
        return await self._engine.moved(record)

    async def enrolment(self, name: str, session: str = "") -> str:
        """Which enrolment an approver's is: another text once removed and enrolled anew; "" for
        nobody's name, and where that session was signed out of."""

        def look(tx: Transaction) -> str:
            key = {"account": self._account}
            tx.prefetch(
                ("session_ended", key | {"nonce": session}), ("approver_get", key | {"name": name})
            )
            if session and tx.one("session_ended", account=self._account, nonce=session):
                return ""
            row = tx.one("approver_get", account=self._account, name=name)
            return "" if row is None else digest(f"{row['added_at']} {row['passphrase']}")

        return await self._store.glance(look)

    async def end_session(self, session: str, until: str) -> None:
        """Sign out of a session of the page; kept `until` it would have ended by itself."""
        now = stamp(self._clock())

        def work(tx: Transaction) -> None:
            tx.send("session_ends_forget", account=self._account, now=now)
            tx.send("session_end", account=self._account, nonce=session, until=until)

        await self._store.write(work)

    async def may(self, record: PlanRecord, name: str) -> None:
        """Whether this approver could approve it now, but for what approving itself finds out.
        Writes nothing. Raises: ReadOnly, Frozen, NotAllowed."""
        self.writable()
        await self._store.glance(lambda tx: frozen(tx, self._account))
        if not record.intact:
            raise NotAllowed(
                "The text of this plan is not the one it was made with: somebody edited it.",
                "Decline it, have the change asked for again, and run `cordboard journal verify`.",
            )
        for approver in await self.approvers.everyone():
            if approver.name == name:
                self._guard.other_eyes(record, approver.name, approver.people)

    async def approve(self, record: PlanRecord, approver: VerifiedApprover) -> ChangeResult:
        """Approve a plan, as a verified approver, and apply it at once.

        Raises: NotAllowed (four eyes, policy), Frozen, ReadOnly, StoreUnavailable.
        """
        clearance = await self._cleared(record, approver)
        return self._results.of(await self._engine.apply(clearance), stamp(self._clock()))

    async def begin(self, record: PlanRecord, approver: VerifiedApprover) -> PlanRecord:
        """Approve a plan, as `approve` does, and answer once it is begun: at a vendor it goes on."""
        return await self._engine.apply(await self._cleared(record, approver), stay=False)

    async def _cleared(self, record: PlanRecord, approver: VerifiedApprover) -> Clearance:
        self.writable()
        clearance = self._guard.by_approver(record, approver)
        if record.state == "approved":  # where it could not be applied; that approval stands
            return await self._engine.stored_clearance(record) or clearance
        return clearance

    def command(self, words: str) -> str:
        """A command of ours as it works at a terminal of this machine, for this account."""
        return self._results.at_terminal(words)

    async def ended(self, plan_id: str) -> ChangeResult:
        """What became of a plan that is under way, once it has ended; however long that takes. Where
        this process has no way to its platform, how it stands now."""
        record = await self.find(plan_id)
        while record.state == "applying":
            fresh = await self._engine.joined(record)
            if fresh is record:  # not waited for
                break
            record = fresh
        return self._results.of(record, stamp(self._clock()))

    async def reject(self, record: PlanRecord, by: str, why: str = "") -> ChangeResult:
        """Decline a plan for good; of one that is settled already, its result."""
        self.writable()
        now = stamp(self._clock())
        closed = await self._store.write(
            lambda tx: plans.close(tx, record, "declined", now, by, why)
        )
        return self._results.of(closed, now)

    async def unfreeze(self, approver: VerifiedApprover) -> None:
        """Lift a freeze, as a verified approver. Raises: InvalidArguments when nothing is frozen."""
        self.writable()
        now = stamp(self._clock())

        def work(tx: Transaction) -> None:
            state = tx.one("account_get", account=self._account)
            if state is None or not state["frozen_at"]:
                raise InvalidArguments("Nothing is frozen.", "There is nothing to lift.")
            journal.append(tx, self._account, now, Event("unfrozen", approver.name))
            tx.send("account_freeze", account=self._account, at="", by="", reason="")

        await self._store.write(work)

    def writable(self) -> None:
        """Raises: ReadOnly where this process was started read-only."""
        if self._read_only:
            raise ReadOnly("This Cordboard is read-only.")
