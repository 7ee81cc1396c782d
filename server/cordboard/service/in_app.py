"""Plans settled by the buttons of our MCP App: a person's yes, pressed in their own client."""

from __future__ import annotations

from cordboard.answers import ChangeResult, Status
from cordboard.clock import Clock, stamp
from cordboard.engine import Engine
from cordboard.guard import Guard, not_from_the_app
from cordboard.results import Results
from cordboard.service.planning import Caller, Planner
from cordboard.stores import Store, plans
from cordboard.stores.plans import PlanRecord


class InApp:
    """Gives the App its ticket for a plan, and takes it back with the press of a button."""

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

    async def ticket(self, caller: Caller, plan_id: str) -> str:
        """What this caller's App may apply the plan with; "" where no button can.

        Raises: ReadOnly, StoreUnavailable.
        """
        if not caller.asker.shows_app:
            return ""
        self._planner.writable()
        record = await self._find(caller, plan_id)
        if record is None or record.state != "open" or record.expired(stamp(self._clock())):
            return ""
        return self._guard.ticket(record)

    async def approve(self, caller: Caller, plan_id: str, ticket: str) -> ChangeResult:
        """Apply a plan because Apply was pressed in our App; of one that is settled, its result.

        Where an approver is required nothing is applied: the answer says who must approve.
        Raises: NotAllowed, in the same words for whatever else calls it; Frozen; as Engine.apply.
        """
        self._planner.writable()
        record = await self._find(caller, plan_id)
        if record is None or not caller.asker.shows_app:
            raise not_from_the_app()
        if record.plan.level == "person":
            return self._result(record)
        clearance = self._guard.by_ticket(record, ticket, caller.principal)
        record = await self._engine.caught_up(record)
        if record.state not in plans.WAITING or record.expired(stamp(self._clock())):
            told: Status | None = "plan_rejected" if record.state == "discarded" else None
            return self._result(await self._engine.joined(record), told)
        if record.state == "approved":  # where it could not be applied; that approval stands
            clearance = await self._engine.stored_clearance(record) or clearance
        return self._result(await self._engine.apply(clearance))

    async def _find(self, caller: Caller, plan_id: str) -> PlanRecord | None:
        """The caller's own plan, or None."""
        record = await self._store.glance(lambda tx: plans.find(tx, caller.account, plan_id))
        return record if record and record.plan.principal == caller.principal else None

    def _result(self, record: PlanRecord, status: Status | None = None) -> ChangeResult:
        return self._results.of(record, stamp(self._clock()), status=status)
