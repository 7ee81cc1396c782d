"""What the tests of lost answers ask for, every write of every vendor among it, and what others do
to the same numbers by hand."""

from __future__ import annotations

from tests.platforms.fake_bland import FakePersona
from tests.platforms.fake_synthflow import FakeAgent as Assistant
from tests.platforms.oracle import B_MORE, BY_HAND, Request, Scene
from tests.platforms.vendors import (
    B_FREE,
    B_HELD,
    B_SALES,
    B_V2,
    FRONT,
    PATHWAY,
    S_CAMPAIGN,
    S_DESK,
    S_FOLLOW,
    S_FREE,
    S_HELD,
    S_NIGHT,
    S_POOL,
    SALES,
    SUPPORT,
    U_AGENT,
    U_FREE,
)

AT_SUPPORT, AT_SALES, AT_FRONT = f"bland:{SUPPORT}", f"bland:{SALES}", f"bland:agent-{FRONT}"
AT_DESK, AT_NIGHT = f"synthflow:{S_DESK}", f"synthflow:{S_NIGHT}"
AT_CAMPAIGN, AT_FOLLOW = f"synthflow:{S_CAMPAIGN}", f"synthflow:{S_FOLLOW}"
THIRD = "33333333-3333-4333-8333-333333333333"
"""Somebody else's agent, at any vendor."""

GLOBAL = {"unleashx": {"contract": "global"}}


def attach(name: str, agent: str, *numbers: str, **more: object) -> Request:
    return Request(name, "attach_numbers", {"agent": agent, "numbers": list(numbers)} | more)


def detach(name: str, agent: str, *numbers: str) -> Request:
    return Request(name, "detach_numbers", {"agent": agent, "numbers": list(numbers)})


def move(
    name: str, source: str, to: str, *numbers: str, writes: int = 2, keep: bool = False
) -> Request:
    named = {"from_agent": source, "to_agent": to, "numbers": list(numbers), "keep_pathway": keep}
    return Request(name, "move_numbers", named, writes)


_PATHWAY = {"pathway_id": PATHWAY, "pathway_version": 1, "start_node_id": "node_start"}
REQUESTS = (
    attach("bland attach", AT_SUPPORT, B_FREE),
    attach("bland attach of 3", AT_SALES, *B_MORE[:3]),
    detach("bland detach", AT_SALES, B_SALES),
    move("bland move", AT_SUPPORT, AT_SALES, B_HELD),
    move("bland move with pathway", AT_SALES, AT_SUPPORT, B_SALES, writes=3, keep=True),
    Request(
        "bland set pathway",
        "set_number_pathway",
        {"agent": AT_SUPPORT, "numbers": [B_HELD]} | _PATHWAY,
    ),
    Request(
        "bland clear pathway", "clear_number_pathway", {"agent": AT_SALES, "numbers": [B_SALES]}
    ),
    Request("bland undo", "undo_plan", {}, 2, undoes=detach("", AT_SALES, B_SALES)),
    attach("bland V2 attach", AT_FRONT, B_FREE),
    detach("bland V2 detach", AT_FRONT, B_V2),
    move("bland move to V2", AT_SALES, AT_FRONT, B_SALES, writes=1),
    move("bland move from V2", AT_FRONT, AT_SALES, B_V2),
    attach("synthflow attach", AT_DESK, S_FREE),
    Request(
        "synthflow attach by slug",
        "attach_numbers",
        {"agent": AT_DESK, "number_slugs": ["1231242150"]},
    ),
    detach("synthflow detach", AT_DESK, S_HELD),
    move("synthflow move", AT_DESK, AT_NIGHT, S_HELD),
    move("synthflow move outbound", AT_CAMPAIGN, AT_FOLLOW, S_POOL),
    attach("unleashx attach", f"unleashx:{U_AGENT}", U_FREE, provider="exotel"),
    Request(
        "unleashx attach, global",
        "attach_numbers",
        {"agent": "unleashx:1048", "numbers": [U_FREE]},
        config=GLOBAL,
    ),
)


def by_hand(at: Scene, number: str, how: str) -> None:
    """Somebody changes a number at the vendor: `freed`, `given` to a third agent, `taken back` to
    where it was held at first, or its `pathway` set."""
    first = str(at.asked.get("from_agent") or at.asked.get("agent"))
    to = {"freed": "", "given": THIRD, "taken back": first.partition(":")[2]}.get(how, "")
    with at.fake.effect(BY_HAND, "somebody", [number]):
        if at.platform == "synthflow":
            _synthflow_by_hand(at, number, to, "outbound" if first == AT_CAMPAIGN else "inbound")
            return
        bland = at.at.bland.state
        one = bland.numbers[number]
        if how == "pathway":
            one.settings = {"pathway_id": "pathway_theirs"}
            return
        bland.personas.setdefault(THIRD, FakePersona("Third"))
        twins = {f"agent-{name}": agent.twin for name, agent in bland.agents.items()}
        one.persona, one.settings = twins.get(to, to) or None, None


def _synthflow_by_hand(at: Scene, number: str, to: str, way: str) -> None:
    agents = at.at.synthflow.state.agents
    agents.setdefault(THIRD, Assistant("Third", way))
    for agent in agents.values():
        if agent.type == way and number in agent.pool:
            agent.pool.remove(number)
    if to:
        agents[to].pool.append(number)
