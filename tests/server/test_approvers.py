"""Who may approve: only somebody whose passphrase was checked just now, and who is still enrolled."""

from __future__ import annotations

import anyio
import pytest
from tests.exams import stage
from tests.world import World

from cordboard.approvers import Approver, VerifiedApprover
from cordboard.errors import CordboardError, NotAllowed
from cordboard.stores.plans import PlanRecord

pytestmark = pytest.mark.anyio
TEST_NUMBER = "+12025551234"


async def planned(world: World) -> PlanRecord:
    """A plan that an approver must approve."""
    plan = await world.call("attach_numbers", agent="local:support", numbers=[TEST_NUMBER])
    return await world.app.service.approvals.find(plan.plan_id)


async def test_a_name_without_a_checked_passphrase_is_no_verified_approver() -> None:
    with pytest.raises(TypeError):
        VerifiedApprover(Approver("mallory", "mallory", "", ""), seal=object())


async def test_an_approver_removed_after_giving_the_passphrase_approves_nothing() -> None:
    with stage.stage(policy="strict") as world:
        desk = world.app.service.approvals
        record, who = await planned(world), await stage.approver(world.server)
        await desk.approvers.remove(who.name, who)
        with pytest.raises(NotAllowed, match="no longer enrolled"):
            await desk.approve(record, who)
        assert not stage.bindings(world.database)


async def test_many_wrong_passphrases_at_once_lock_the_name_as_well() -> None:
    with stage.stage() as world:
        approvers = world.app.service.approvals.approvers
        refused: list[str] = []

        async def guess(number: int) -> None:
            with pytest.raises(NotAllowed) as caught:
                await approvers.verify(stage.APPROVER, f"guess {number}")
            refused.append(caught.value.what)

        async with anyio.create_task_group() as guessers:
            for number in range(20):
                guessers.start_soon(guess, number)
        assert sum("Too many" in what for what in refused) == 15
        with pytest.raises(NotAllowed, match="Too many"):
            await approvers.verify(stage.APPROVER, stage.PASSPHRASE)


async def test_the_right_passphrase_starts_the_count_anew() -> None:
    with stage.stage() as world:
        approvers = world.app.service.approvals.approvers
        for _ in range(3):
            for _ in range(4):
                with pytest.raises(CordboardError):
                    await approvers.verify(stage.APPROVER, "not it, surely")
            assert (await approvers.verify(stage.APPROVER, stage.PASSPHRASE)).name == stage.APPROVER
