"""Answers get lost at every write of every change at every vendor; what is told stays true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from tests.platforms.asked import REQUESTS
from tests.platforms.oracle import Request, scene
from tests.platforms.wire import KINDS, Fault

pytestmark = pytest.mark.anyio

FAULTS: Mapping[str, Fault] = {kind: Fault(kind) for kind in sorted(KINDS)} | {
    "late by 40 s": Fault("late", seconds=40),
    "errors_in_200 for a while": Fault("errors_in_200", times=20),
    "refuse for a while": Fault("refuse", times=20),
    "rate_limited for a while": Fault("rate_limited", times=20),
}
# Where reads are stale too, one of each sort: what differs only in how an answer is lost is left out.
STALE = ("another_object", "errors_in_200", "late by 40 s", "refuse for a while", "reset_after",
         "reset_before", "twice")  # fmt: skip


def each_write() -> list[object]:
    """Every fault at every write of every request, and those of STALE once more."""
    fresh = [(request, kind, 0.0) for request in REQUESTS for kind in FAULTS]
    stale = [(r, kind, 5.0) for r in REQUESTS for kind in STALE if r.platform != "unleashx"]
    return [
        pytest.param(request, place, kind, lag, id=f"{request.name}-{place + 1}-{kind}{way}")
        for request, kind, lag in fresh + stale
        for place in range(request.writes)
        for way in ("-stale" if lag else "",)
    ]


@pytest.mark.parametrize(("request_", "place", "kind", "lag"), each_write())
async def test_whatever_a_write_meets_what_is_told_is_true_and_can_be_finished(
    request_: Request, place: int, kind: str, lag: float
) -> None:
    async with scene(request_) as at:
        plan = await at.planned()
        at.fake.lag = lag
        at.wire.faults.append(replace(FAULTS[kind], skip=place))
        await at.finished(await at.ends(await at.apply(plan)))
