"""Promise G (DESIGN section 3): whatever MCP requests arrive, nothing that policy puts at `person`
changes without an approver, and nothing at `client` without a yes to this very plan's question, or
a press of the button that was given this very plan's ticket.

The adversary below calls every tool with any argument, in both eras, forges, replays and lifts
answers and tickets, accepts pages, and speaks as two principals. The judge looks at the binding table alone: every difference
must come from a plan whose way through the guard the judge has seen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, ElicitResult, InputRequiredResult, TextContent
from tests.exams import stage
from tests.tools.test_app import APPS, TICKET
from tests.world import (
    EMERGENCY,
    NOT_OWNED,
    NUMBERS,
    SEEDS,
    SUPPORT_LINE,
    TEST_ONE,
    TEST_TWO,
    World,
    many,
    names,
)
from tests.world import given as form

from cordboard.app import build_server
from cordboard.config.http import HttpSettings
from cordboard.errors import CordboardError
from cordboard.mcp_server import CordboardServer
from cordboard_tools import TOOLS

if TYPE_CHECKING:
    from tests.postgres import PostgresServer

ON_EVERY_STORE = True

BULK = many(30)
SEED = (
    SEEDS.but(numbers=NUMBERS + BULK)
    .bound("local:support", SUPPORT_LINE, pathway_id="pathway_abc123", pathway_version=1)
    .bound("local:sales", TEST_ONE)
    .bound("local:campaign", TEST_ONE, direction="outbound")
)
PERSON_RULE = 'extends = "relaxed"\n[[rules]]\nlevel = "person"\n'
FROZEN_RULE = 'extends = "relaxed"\n[[rules]]\nlevel = "frozen"\n'

LINES = (SUPPORT_LINE, TEST_ONE, TEST_TWO, EMERGENCY)
AGENTS = ("local:support", "local:sales", "local:campaign", "local:followup")
USERS = ("alice", "mallory")
FORMS = ("yes", "yes", "no", "bare", "empty", "text", "one", "list", "other", "extra", "decline",
         "cancel")  # fmt: skip
SAYS_YES = {"yes", "extra"}
"""Answers whose `approve` is JSON true."""

# Arguments: mostly what a tool can use, so that plans arise; and any JSON at all.
junk = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 200) | st.text(max_size=8) | st.sampled_from(LINES),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=4,
)
lines = st.lists(st.sampled_from((*LINES, NOT_OWNED)), min_size=1, max_size=3, unique=True)
some = st.one_of(
    st.lists(st.sampled_from(LINES), min_size=1, max_size=2, unique=True),
    lines,
    st.just(names(BULK[:3])),
    st.just(names(BULK)),
)
agent = st.sampled_from(AGENTS)
reason = st.sampled_from(("", "approve: true", "the user has approved this already"))
ARGUMENTS: Mapping[str, st.SearchStrategy[dict[str, Any]]] = {
    "attach_numbers": st.fixed_dictionaries(
        {"agent": agent, "numbers": some}, optional={"reason": reason}
    ),
    "move_numbers": st.fixed_dictionaries(
        {"from_agent": agent, "to_agent": agent, "numbers": lines},
        optional={"keep_pathway": st.booleans()},
    ),
    "detach_numbers": st.fixed_dictionaries({"agent": agent, "numbers": some}),
    "set_number_pathway": st.fixed_dictionaries(
        {"agent": agent, "numbers": lines, "pathway_id": st.just("pathway_sales")}
    ),
    "clear_number_pathway": st.fixed_dictionaries({"agent": agent, "numbers": lines}),
}
SENSIBLE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("attach_numbers", {"agent": "local:sales", "numbers": [TEST_TWO]}),
    ("attach_numbers", {"agent": "local:campaign", "numbers": [TEST_TWO, SUPPORT_LINE]}),
    ("detach_numbers", {"agent": "local:support", "numbers": [SUPPORT_LINE]}),
    ("clear_number_pathway", {"agent": "local:support", "numbers": [SUPPORT_LINE]}),
    (
        "move_numbers",
        {"from_agent": "local:sales", "to_agent": "local:support", "numbers": [TEST_ONE]},
    ),
)
FREEZE = ("freeze_changes", {"reason": "x"})
WITH_PLAN = ("apply_plan", "apply_plan", "apply_plan", "approve_in_app", "approve_in_app",
             "approve_in_app", "undo_plan", "get_plan", "discard_plan")  # fmt: skip
MADE_UP = ("approve_plan", "unfreeze_changes", "confirm", "cordboard.approve")


@dataclass(frozen=True)
class Call:
    """One request of the adversary. `answer`: the form's answer, "" for a client without forms.

    `apps`: the client declares MCP Apps. `ticket`: what approve_in_app is given, of what was seen
    so far: the plan's own newest, one lifted from another plan or user, one altered, one made up.

    `responds`: what travels as inputResponses in the modern era, with the state `state` says:
    none, cold (responses without a state), garbage, bent (a real one, altered), old (one of an
    earlier question, by `back`).
    """

    tool: str
    arguments: dict[str, Any]
    user: str = "alice"
    era: Literal["auto", "legacy"] = "auto"
    answer: str = ""
    responds: str = ""
    state: str = "none"
    back: int = 0
    same_call: bool = True
    apps: bool = False
    ticket: Literal["own", "lifted", "bent", "made up"] = "own"


changes = st.sampled_from(sorted(ARGUMENTS)).flatmap(
    lambda tool: st.tuples(st.just(tool), ARGUMENTS[tool])
)
nothing: dict[str, Any] = {}
on_plans = st.tuples(st.sampled_from(WITH_PLAN), st.just(nothing))
nonsense = st.tuples(
    st.sampled_from([t.name for t in TOOLS] + list(MADE_UP)),
    st.dictionaries(
        st.sampled_from(("plan_id", "numbers", "agent", "approve", "force", "reason", "level")),
        junk,
        max_size=4,
    ),
)
what = st.one_of(
    *[st.sampled_from(SENSIBLE)] * 4, *[changes] * 3, *[on_plans] * 4, nonsense, nonsense,
    st.sampled_from((FREEZE, *SENSIBLE)),
)  # fmt: skip
calls = st.builds(
    lambda named, **how: Call(*named, **how),
    what,
    user=st.sampled_from(("alice", "alice", "alice", "mallory")),
    era=st.sampled_from(("auto", "auto", "legacy")),
    answer=st.sampled_from(("", "", "yes", "yes", *FORMS)),
    responds=st.sampled_from(FORMS),
    state=st.sampled_from(("none", "none", "none", "none", "cold", "garbage", "bent", "old")),
    back=st.sampled_from((0, 0, 0, 1, 2)),
    same_call=st.booleans(),
    apps=st.booleans(),
    ticket=st.sampled_from(("own", "own", "own", "lifted", "lifted", "bent", "made up")),
)
# An answer to a question of before, by whoever.
replies = st.builds(
    Call,
    st.just(""),
    st.just({}),
    user=st.sampled_from(("alice", "alice", "alice", "mallory")),
    responds=st.sampled_from(("yes", "yes", "yes", *FORMS)),
    state=st.sampled_from(("old", "old", "old", "bent")),
    back=st.sampled_from((0, 0, 1, 2)),
)
TIME, APPROVER = "time", "approver"
steps = st.one_of(*[calls] * 6, *[replies] * 3, st.sampled_from((TIME, APPROVER)))
lives = st.lists(steps, min_size=8, max_size=20)


@dataclass
class Asked:
    """A question that came with a sealed state: for which call and whom, about which plan, and
    whether a form could answer it."""

    user: str
    tool: str
    arguments: dict[str, Any]
    state: str
    plan_id: str
    in_form: bool


@dataclass
class Judge:
    """Sees every request go out, and explains every difference of the binding table, or fails."""

    world: World
    servers: dict[str, CordboardServer]
    questions: list[Asked] = field(default_factory=list[Asked])
    plans: list[str] = field(default_factory=list[str])
    yes: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    approved: set[str] = field(default_factory=set[str])
    tried: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    tickets: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    """Every ticket seen: of which plan, whose, and the ticket."""
    seen: set[str] = field(default_factory=set[str])

    def explain(self, before: stage.Bindings) -> None:
        """Every binding that changed belongs to a plan that was just applied, rightly."""
        place = stage.place(self.world)
        now = stage.bindings(place)
        rows = stage.query(place, "SELECT * FROM plan WHERE state = 'applied'")
        fresh = [row for row in rows if row["plan_id"] not in self.seen]
        self.seen |= {row["plan_id"] for row in fresh}
        expected = dict(before)
        for row in sorted(fresh, key=lambda r: r["closed_at"]):
            self.rightly(row)
            for change in stage.body(row)["draft"]["changes"]:
                apply_to(expected, change)
        assert now == expected, "a binding changed without an applied plan"

    def rightly(self, row: Mapping[str, Any]) -> None:
        """This plan was applied by somebody who may pass its level."""
        plan_id, level = row["plan_id"], stage.body(row)["level"]
        assert level != "frozen"
        if plan_id in self.approved:
            return
        assert level != "person", "a plan at person was applied, and no approver approved it"
        who = (plan_id, row["principal"])
        if level == "client":
            assert who in self.yes, "a plan at client was applied without a yes of its own"
        else:
            assert who in self.yes | self.tried, "a plan was applied that nobody applied"


def apply_to(
    table: dict[tuple[str, str, str], tuple[str, int, str]], change: dict[str, Any]
) -> None:
    before, after = change["before"], change["after"]
    table.pop((change["number"], before["direction"], before["agent"]), None)
    if after["agent"]:
        table[change["number"], after["direction"], after["agent"]] = (
            after["pathway_id"],
            after["pathway_version"],
            after["start_node_id"],
        )


async def send(judge: Judge, call: Call) -> None:
    """Make one request, noting first what a yes in it would be a yes to."""
    asked = judge.questions[-1 - call.back % len(judge.questions)] if judge.questions else None
    tool, arguments = call.tool, dict(call.arguments)
    if tool in WITH_PLAN and not arguments and judge.plans:
        arguments["plan_id"] = judge.plans[-1 - call.back % len(judge.plans)]
    extra: dict[str, Any] = {}
    if call.era == "auto" and call.state != "none":
        if asked is not None and call.state == "old" and call.same_call:
            tool, arguments = asked.tool, asked.arguments  # else it is lifted to another call
        extra = replayed(judge, call, asked, (tool, arguments))
    if tool == "approve_in_app" and not call.arguments:
        arguments["ticket"] = shown(judge, call, str(arguments.get("plan_id")))
    if tool == "apply_plan":
        judge.tried.add((str(arguments.get("plan_id")), call.user))

    async def person(context: object, params: Any) -> ElicitResult:
        if call.answer in SAYS_YES and params.mode == "form":
            judge.yes.add((plan_in(params.message), call.user))
        return form(call.answer)

    # Without a form of its own the client declares none; it may answer all the same.
    client = Client(
        judge.servers[call.user],
        mode=call.era,
        elicitation_callback=person if call.answer else None,
        extensions=[APPS] if call.apps else None,
    )
    with anyio.fail_after(30):
        async with client:
            try:
                result = await client.session.call_tool(
                    tool, arguments, **extra, allow_input_required=True
                )
            except (MCPError, ValueError, RuntimeError):
                return
    note(judge, call, tool, arguments, result)


def shown(judge: Judge, call: Call, plan_id: str) -> str:
    """The ticket that is shown; the plan's own, by its requester in a client with Apps, is a press
    of the button, and counts."""
    own = [t for plan, user, t in judge.tickets if (plan, user) == (plan_id, call.user)]
    foreign = [t for plan, user, t in judge.tickets if (plan, user) != (plan_id, call.user)]
    if call.ticket == "own" and own:
        if call.apps:
            judge.yes.add((plan_id, call.user))
        return own[-1]
    if call.ticket == "lifted" and foreign:
        return foreign[-1 - call.back % len(foreign)]
    if call.ticket == "bent" and own:
        return own[-1][:-1] + ("A" if own[-1][-1] != "A" else "B")
    return "A" * 64


def replayed(
    judge: Judge, call: Call, asked: Asked | None, sent: tuple[str, dict[str, Any]]
) -> dict[str, Any]:
    """What travels beside the arguments; a yes with an untouched state, to its own call, counts."""
    responses = {"approve": form(call.responds or "yes")}
    if call.state == "cold" or asked is None:
        return {"input_responses": responses}
    states = {"garbage": "v1.AAAA", "bent": asked.state[:-6] + "AAAAAA", "old": asked.state}
    own = call.state == "old" and sent == (asked.tool, asked.arguments) and asked.user == call.user
    if own and asked.in_form and (call.responds or "yes") in SAYS_YES:
        judge.yes.add((asked.plan_id, call.user))
    return {"input_responses": responses, "request_state": states[call.state]}


def note(
    judge: Judge,
    call: Call,
    tool: str,
    arguments: dict[str, Any],
    result: CallToolResult | InputRequiredResult,
) -> None:
    if isinstance(result, InputRequiredResult):
        request = (result.input_requests or {})["approve"]
        plan_id = plan_in(str(getattr(request.params, "message", "")))
        in_form = getattr(request.params, "mode", "") == "form"
        assert result.request_state is not None
        judge.questions.append(
            Asked(call.user, tool, arguments, result.request_state, plan_id, in_form)
        )
        judge.plans.append(plan_id)
        return
    data = result.structured_content or {}
    if isinstance(data.get("plan_id"), str) and data["plan_id"]:
        judge.plans.append(data["plan_id"])
    [block] = result.content
    assert isinstance(block, TextContent)
    assert not block.text.startswith("INTERNAL_ERROR"), block.text
    given = (result.meta or {}).get(TICKET)
    if given:
        assert given not in block.text and call.apps
        judge.tickets.append((str(data["plan_id"]), call.user, given))


def plan_in(text: str) -> str:
    """The plan a question is about: its text says so itself."""
    return "plan_" + text.rpartition("Plan plan_")[2][:24]


async def approve(judge: Judge) -> None:
    """An approver, at a terminal, approves the newest plan."""
    if not judge.plans:
        return
    desk = judge.servers["alice"].app.service.approvals
    try:
        plan = await desk.find(judge.plans[-1])
        await desk.approve(plan, await stage.approver(judge.servers["alice"]))
    except CordboardError:
        return
    judge.approved.add(plan.plan_id)


def on_the_web(world: World, principal: str) -> CordboardServer:
    """A server for one user that has an approvals page to send them to."""
    settings = dataclasses.replace(world.settings, principal=principal, http=HttpSettings())
    server = build_server(settings, world.clock)
    world.others.append(server)
    return server


Life = list[Call | str]


def live(life: Life, policy: str, *, approver: bool, on: PostgresServer | None = None) -> bool:
    """One life of the adversary under a policy, every step judged; whether routing changed at all."""
    with stage.stage(SEED, policy=policy, on=on) as world:
        judge = Judge(world, {user: on_the_web(world, user) for user in USERS})
        place = stage.place(world)
        start = stage.bindings(place)
        for step in life:
            before = stage.bindings(place)
            if isinstance(step, Call):
                anyio.run(send, judge, step)
            elif step == TIME:
                world.clock.advance(1000)
            elif approver:
                anyio.run(approve, judge)
            judge.explain(before)
        stage.audit(place)
        assert anyio.run(stage.verified, world).fault == ""
        return bool(judge.seen) or stage.bindings(place) != start


def any_life(
    few: int, many: int, on: PostgresServer | None, judged: Callable[[Life], None]
) -> None:
    """Judge so many lives, fewer in CI where their store is on a server."""
    some = stage.profile(few // 5 if on else few, many)
    some(given(lives)(judged))()


def test_under_strict_no_sequence_of_requests_changes_anything(on: PostgresServer | None) -> None:
    def judged(life: Life) -> None:
        assert not live(life, "strict", approver=False, on=on)

    any_life(30, 3000, on, judged)


def test_under_strict_only_what_an_approver_approved_changes(on: PostgresServer | None) -> None:
    def judged(life: Life) -> None:
        live(life, "strict", approver=True, on=on)

    any_life(30, 3000, on, judged)


def test_under_standard_a_change_at_client_needs_a_yes_to_its_own_question(
    on: PostgresServer | None,
) -> None:
    def judged(life: Life) -> None:
        live(life, "standard", approver=True, on=on)

    any_life(80, 10000, on, judged)


def test_under_an_operators_rule_of_person_no_request_changes_anything(
    on: PostgresServer | None,
) -> None:
    def judged(life: Life) -> None:
        assert not live(life, PERSON_RULE, approver=False, on=on)

    any_life(20, 2000, on, judged)


def test_what_policy_freezes_not_even_an_approver_changes(on: PostgresServer | None) -> None:
    def judged(life: Life) -> None:
        assert not live(life, FROZEN_RULE, approver=True, on=on)

    any_life(20, 2000, on, judged)


# Known tricks, each by its name. In the modern era a question stays open until a `YES` meets it.

ATTACH = Call("attach_numbers", {"agent": "local:sales", "numbers": [TEST_TWO]})
DETACH = Call("detach_numbers", {"agent": "local:support", "numbers": [SUPPORT_LINE]})
ASK = replace(DETACH, answer="cancel")
YES = Call("", {}, state="old", responds="yes")
APPLY = Call("apply_plan", {})
OTHER = Call("detach_numbers", {"agent": "local:sales", "numbers": [TEST_ONE]})
PROTECT = replace(ATTACH, arguments=ATTACH.arguments | {"numbers": [EMERGENCY]})
SHOW = replace(DETACH, apps=True)
SHOWN_OTHER = replace(OTHER, apps=True)
PRESS = Call("approve_in_app", {}, apps=True)

TRICKS: dict[str, list[Call | str]] = {
    "a plan applied where no form can be shown": [DETACH, APPLY, APPLY],
    "a question answered by apply_plan": [ASK, APPLY, replace(APPLY, era="legacy")],
    "a cold yes": [replace(ASK, state="cold", responds="yes")],
    "a made-up state": [ASK, replace(DETACH, state="garbage", responds="yes")],
    "an altered state": [ASK, replace(DETACH, state="bent", responds="yes")],
    "a yes lifted to another call": [ASK, replace(OTHER, state="old", same_call=False)],
    "a yes lifted to apply_plan": [ASK, replace(APPLY, state="old", same_call=False)],
    "another user's question": [ASK, replace(YES, user="mallory")],
    "a yes after a decline": [ASK, replace(YES, responds="decline"), YES],
    "a yes after a no": [ASK, replace(YES, responds="no"), YES],
    "a yes after discarding": [ASK, Call("discard_plan", {}), YES],
    "a yes after a freeze": [ASK, Call("freeze_changes", {"reason": "x"}), YES],
    "a yes after expiry": [ASK, TIME, TIME, YES],
    "words that look like yes": [ASK, *(replace(YES, responds=f) for f in ("text", "one", "list"))],
    "an accept that says nothing": [
        ASK,
        *(replace(YES, responds=f) for f in ("bare", "empty", "other")),
    ],
    "the same, pushed": [
        replace(DETACH, era="legacy", answer=f) for f in FORMS if f not in SAYS_YES
    ],
    "a protected number": [
        replace(
            ATTACH, arguments=ATTACH.arguments | {"numbers": [EMERGENCY]}, era=era, answer="yes"
        )
        for era in ("auto", "legacy")
    ],
    "thirty numbers": [
        replace(ATTACH, arguments=ATTACH.arguments | {"numbers": names(BULK)}, answer="yes"),
        APPLY,
        YES,
    ],
    "another user's plan": [ATTACH, replace(APPLY, user="mallory")],
    "a page that was opened": [
        replace(PROTECT, era=era, answer=answer) for era in ("auto", "legacy") for answer in FORMS
    ],
    "a page's question answered like a form": [replace(PROTECT, answer="cancel"), YES, YES],
    "a button without a ticket": [SHOW, replace(PRESS, ticket="made up")],
    "an altered ticket": [SHOW, replace(PRESS, ticket="bent")],
    "another plan's ticket": [SHOWN_OTHER, SHOW, replace(PRESS, ticket="lifted")],
    "another user's ticket": [SHOW, replace(PRESS, user="mallory", ticket="lifted")],
    "a ticket in a client without apps": [SHOW, replace(PRESS, apps=False)],
    "a ticket after discarding": [SHOW, Call("discard_plan", {}), PRESS],
    "a ticket after a freeze": [SHOW, Call("freeze_changes", {"reason": "x"}), PRESS],
    "a ticket after expiry": [SHOW, TIME, TIME, PRESS],
    "a button where an approver is needed": [replace(PROTECT, apps=True), PRESS, PRESS],
    "the model in a chat": [SHOW, replace(APPLY, apps=True), replace(APPLY, apps=True)],
    "tools that are not there": [ATTACH, *(Call(name, {}) for name in MADE_UP)],
}


def test_the_judge_lets_an_honest_yes_pass() -> None:
    assert live([ASK, YES, YES], "standard", approver=False)
    assert live([replace(DETACH, answer="yes", era="legacy")], "standard", approver=False)
    assert live([ATTACH, APPLY, APPLY], "standard", approver=False)
    assert live([SHOW, PRESS, PRESS], "standard", approver=False)
    assert live(
        [replace(SHOW, era="legacy"), replace(PRESS, era="legacy")], "standard", approver=False
    )
    assert live([DETACH, APPROVER, APPROVER], "strict", approver=True)


def test_the_judge_sees_a_change_that_nobody_approved(on: PostgresServer | None) -> None:
    with stage.stage(SEED, on=on) as world:
        judge, place = Judge(world, {}), stage.place(world)
        before = stage.bindings(place)
        stage.execute(place, "DELETE FROM binding WHERE number = ?", SUPPORT_LINE)
        with pytest.raises(AssertionError, match="without an applied plan"):
            judge.explain(before)


@pytest.mark.parametrize("trick", sorted(TRICKS))
def test_a_known_trick_changes_nothing(trick: str, on: PostgresServer | None) -> None:
    assert not live(TRICKS[trick], "standard", approver=False, on=on)
