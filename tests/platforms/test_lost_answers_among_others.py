"""Answers are lost while reads fail too, and while others change the same numbers at the vendor."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.platforms.asked import (
    AT_CAMPAIGN,
    AT_DESK,
    AT_SALES,
    AT_SUPPORT,
    REQUESTS,
    THIRD,
    attach,
    by_hand,
)
from tests.platforms.oracle import B_MORE, S_MORE, Request, scene
from tests.platforms.vendors import U_FREE
from tests.platforms.wire import KINDS, Fault
from tests.world import Person

pytestmark = pytest.mark.anyio

NAMED = {request.name: request for request in REQUESTS}
READ = ("bland attach of 3", "bland move with pathway", "bland move to V2", "synthflow move",
        "synthflow move outbound")  # fmt: skip
READ_KINDS = sorted(KINDS - {"reset_after", "error_after", "timeout_after", "twice", "late"})
READ_ONCE = ("another_object", "errors_in_200", "wrong_json")  # an answer of 200 is not asked again
LOST = (Fault("reset_before"), Fault("reset_after"), Fault("late", seconds=40))


def places(*names: str, end: int = 0) -> list[object]:
    """Every place in these requests: 0 is before the first write; with `end` 1 also after the last."""
    return [
        pytest.param(NAMED[name], place, id=f"{name}-{place}")
        for name in names
        for place in range(NAMED[name].writes + end)
    ]


def a_while(kind: str) -> int:
    """How many requests fail where a vendor cannot be read for some minutes."""
    return 8 if kind in READ_ONCE else 30


# --- reads that fail ------------------------------------------------------------------------------


@pytest.mark.parametrize("long", [False, True], ids=["once", "for a while"])
@pytest.mark.parametrize("kind", READ_KINDS)
@pytest.mark.parametrize(("request_", "place"), places(*READ, end=1))
async def test_reads_that_fail_between_writes_lead_to_nothing_untrue(
    request_: Request, place: int, kind: str, long: bool
) -> None:
    async with scene(request_) as at:
        plan = await at.planned()
        at.wire.after_writes.append((place, Fault(kind, "read", a_while(kind) if long else 1)))
        reply = await at.apply(plan)
        if reply.is_error:
            assert not at.wire.writes
            at.wire.faults.clear()
            reply = await at.apply(plan)
        await at.finished(await at.ends(reply))


# Delivered twice, the second answer may be a refusal, which proves nothing where nothing is read.
@pytest.mark.parametrize("lost", [*LOST, Fault("twice")], ids=lambda fault: fault.kind)
@pytest.mark.parametrize("kind", ["error_before", "another_object"])
@pytest.mark.parametrize(("request_", "place"), places(*READ, "synthflow detach"))
async def test_what_was_lost_is_settled_once_the_vendor_can_be_read_again(
    request_: Request, place: int, kind: str, lost: Fault
) -> None:
    async with scene(request_) as at:
        plan = await at.planned()
        at.wire.faults.append(replace(lost, skip=place))
        at.wire.after_writes.append((place + 1, Fault(kind, "read", a_while(kind) // 2)))
        await at.finished(await at.ends(await at.apply(plan)))


@pytest.mark.parametrize("name", ["bland attach of 3", "bland move", "synthflow move outbound"])
async def test_what_can_never_be_read_is_let_go_as_unknown_and_said_to_be(name: str) -> None:
    async with scene(NAMED[name]) as at:
        plan = await at.planned()
        at.wire.faults.append(Fault("reset_after"))
        at.wire.after_writes.append((1, Fault("timeout_before", "read", 10_000)))
        at.may_let_go = True
        reply = await at.settled(await at.look(await at.apply(plan)), 40)
        assert reply.status == "unknown" and "cordboard plans settle" in reply.message, reply.text
        await at.nothing_left()
        at.sent_once()


# --- what the vendor itself leaves open or refuses ------------------------------------------------


@pytest.mark.parametrize("status", ["pending", "inactive", "", None, 1])
async def test_an_attach_that_is_not_active_yet_stays_unknown_and_is_let_go(status: object) -> None:
    async with scene(NAMED["unleashx attach"]) as at:
        at.at.unleashx.pending[U_FREE] = status
        reply = await at.ends(await at.apply(await at.planned()))
        assert reply.status == "unknown", reply.text
        at.at.unleashx.pending.clear()
        await at.finished(reply)


@pytest.mark.parametrize("lag", [0.0, 5.0], ids=["", "stale"])
@pytest.mark.parametrize(
    "request_",
    [attach("bland", AT_SALES, *B_MORE[:3]), attach("synthflow", AT_DESK, *S_MORE[:3])],
    ids=lambda request: request.name,
)
async def test_of_a_batch_only_what_the_vendor_refuses_is_not_applied(
    request_: Request, lag: float
) -> None:
    async with scene(request_) as at:
        plan = await at.planned()
        at.fake.lag = lag
        at.at.bland.refusing[B_MORE[1]] = 400, "NOT_NOW", "Not this one"
        at.at.synthflow.refusing[S_MORE[1]] = 400, "Not this one"
        reply = await at.ends(await at.apply(plan))
        assert reply.status == "partly_applied", reply.text
        [left] = [c for c in reply["changes"] if c["outcome"] == "not_applied"]
        assert left["number"] in (B_MORE[1], S_MORE[1]) and "Not this one" in left["detail"]
        at.at.bland.refusing.clear()
        at.at.synthflow.refusing.clear()
        await at.finished(reply)


# --- others at the same numbers -------------------------------------------------------------------


def moved(name: str, how: str, old: str, new: str) -> object:
    return pytest.param(NAMED[name], how, old, new, id=f"{name}-{how}")


@pytest.mark.parametrize("asked_by", ["second call", "form"])
@pytest.mark.parametrize(
    ("request_", "how", "old", "new"),
    [
        moved("bland attach", "given", "nobody", f"bland:{THIRD}"),
        moved("bland detach", "freed", AT_SALES, "nobody"),
        moved("bland move", "given", AT_SUPPORT, f"bland:{THIRD}"),
        moved("bland move with pathway", "pathway", "pathway_abc123", "pathway_theirs"),
        moved("bland move to V2", "freed", AT_SALES, "nobody"),
        moved("synthflow attach", "given", "nobody", f"synthflow:{THIRD}"),
        moved("synthflow move", "given", AT_DESK, f"synthflow:{THIRD}"),
        moved("synthflow move outbound", "freed", AT_CAMPAIGN, "nobody"),
    ],
)
async def test_what_others_change_before_it_is_applied_makes_a_plan_stale(
    request_: Request, how: str, old: str, new: str, asked_by: str
) -> None:
    async with scene(request_, "standard" if asked_by == "form" else "relaxed") as at:
        [number] = at.asked["numbers"]

        async def meanwhile() -> None:
            by_hand(at, number, how)

        if asked_by == "form":
            person = Person("yes", meanwhile=meanwhile)
            reply = await at.world.call(request_.tool, person=person, **at.asked)
        else:
            plan = await at.planned()
            await meanwhile()
            reply = await at.apply(plan)
        assert reply.status == "plan_rejected", reply.text
        assert number in reply.message and f"was {old}, is now {new}" in reply.message
        assert not at.wire.writes
        await at.nothing_left()


@pytest.mark.parametrize("how", ["freed", "given", "taken back"])
@pytest.mark.parametrize("lost", LOST, ids=lambda fault: fault.kind)
@pytest.mark.parametrize(
    ("request_", "place"),
    places("bland attach", "bland detach", "bland move with pathway", "bland move to V2",
           "bland move from V2", "synthflow attach", "synthflow move", "synthflow move outbound"),
)  # fmt: skip
async def test_what_others_change_before_a_lost_answer_is_settled_is_told_and_left_alone(
    request_: Request, place: int, lost: Fault, how: str
) -> None:
    async with scene(request_) as at:
        plan = await at.planned()
        [number], way = at.asked["numbers"], plan["changes"][0]["direction"]
        at.wire.faults.append(replace(lost, skip=place))
        reply = await at.look(await at.apply(plan))
        at.clock.advance(10)
        by_hand(at, number, how)
        theirs, sent = at.holders(number, way), len(at.wire.writes)
        await at.ends(reply)
        if how == "given" and way == "inbound" and lost.kind != "late":
            assert at.holders(number, way) == theirs and len(at.wire.writes) == sent
