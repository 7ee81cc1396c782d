"""Accounts at the three vendors, behind a wire each, for worlds that have platforms.

One clock drives vendors and Cordboard alike; waiting advances it, so nothing ever sleeps.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anyio.lowlevel
from tests.platforms.fake_bland import FakeBland
from tests.platforms.fake_synthflow import WORKSPACE, FakeSynthflow
from tests.platforms.fake_synthflow import FakeAgent as Assistant
from tests.platforms.fake_synthflow import FakeNumber as SynthflowNumber
from tests.platforms.fake_unleashx import FakeUnleashx
from tests.platforms.wire import Fake, Wire
from tests.world import Clock

# At Bland: two numbers at support, one with its own pathway at sales, one at a V2 agent, two free.
SUPPORT = "12345678-1234-1234-1234-123456789012"
SALES = "22222222-2222-4222-8222-222222222222"
FRONT = "front-desk"
B_HELD = "+14155551234"
B_ALSO_HELD = "+14155555678"
B_SALES = "+12025551234"
B_V2 = "+14165551234"
B_FREE = "+442012345678"
B_FREE_TOO = "+6512345678"
PATHWAY = "pathway_abc123"
OPENING = {"pathway_id": PATHWAY, "pathway_version": 2, "start_node_id": "node_xyz"}
# At Synthflow: an inbound and two outbound agents.
S_DESK, S_NIGHT = "desk", "night"
S_CAMPAIGN, S_FOLLOW = "campaign", "follow-up"
S_HELD = "+16286666348"
S_POOL = "+12131231214"
S_FREE = "+61212345678"
S_FREE_TOO = "+14155551111"
# At UnleashX: whatever the operator declares.
U_AGENT = "agent_abc123xyz"
U_FREE = "+918062810341"
U_FREE_TOO = "+971501234567"


@dataclass
class Vendors:
    """The three fakes, the wire before each, and how a Cordboard is set up for them."""

    bland: FakeBland
    synthflow: FakeSynthflow
    unleashx: FakeUnleashx
    wires: dict[str, Wire]
    clock: Clock

    def fake(self, platform: str) -> Fake:
        """The fake of a platform by its name."""
        fakes: dict[str, Fake] = {
            "bland": self.bland,
            "synthflow": self.synthflow,
            "unleashx": self.unleashx,
        }
        return fakes[platform]

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a process that has a key for each."""
        return {
            "BLAND_API_KEY": self.bland.key,
            "SYNTHFLOW_API_KEY": self.synthflow.key,
            "SYNTHFLOW_REGION": "global",
            "SYNTHFLOW_WORKSPACE": WORKSPACE,
            "UNLEASHX_TOKEN": self.unleashx.key,
        }

    @property
    def outside(self) -> dict[str, Any]:
        """What `build_server` takes: the wires in place of the network, and a sleep that is none."""
        return {"transports": dict(self.wires), "sleep": passing(self.clock)}


def passing(clock: Clock) -> Callable[[float], Awaitable[None]]:
    """A sleep that lets the time pass at once."""

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)
        await anyio.lowlevel.checkpoint()

    return sleep


def vendors(clock: Clock) -> Vendors:
    """The accounts as the names above say."""

    def now() -> float:
        return clock.now.timestamp()

    bland, synthflow, unleashx = FakeBland(now), FakeSynthflow(now), FakeUnleashx(now)
    _fill_bland(bland)
    _fill_synthflow(synthflow)
    wires = {"bland": Wire(bland), "synthflow": Wire(synthflow), "unleashx": Wire(unleashx)}
    return Vendors(bland, synthflow, unleashx, wires, clock)


def _fill_bland(bland: FakeBland) -> None:
    bland.add_persona("Support Agent", SUPPORT)
    bland.add_persona("Sales Agent", SALES)
    bland.add_number(B_HELD, SUPPORT, "Support Line")
    bland.add_number(B_ALSO_HELD, SUPPORT)
    bland.add_number(B_SALES, SALES, settings=dict(OPENING))
    bland.add_agent(FRONT, "Front Desk", B_V2)
    bland.add_number(B_FREE, label="Spare")
    bland.add_number(B_FREE_TOO)
    live = ["node_start", "node_xyz"]
    bland.add_pathway(PATHWAY, "Opening Hours", live, {1: ["node_start"], 2: live})


def _fill_synthflow(synthflow: FakeSynthflow) -> None:
    account = synthflow.state
    account.agents[S_DESK] = Assistant("Desk", pool=[S_HELD])
    account.agents[S_NIGHT] = Assistant("Night Desk")
    account.agents[S_CAMPAIGN] = Assistant("Campaign", "outbound", pool=[S_POOL])
    account.agents[S_FOLLOW] = Assistant("Follow-up", "outbound")
    for number in (S_HELD, S_POOL, S_FREE, S_FREE_TOO):
        account.numbers[number] = SynthflowNumber()
