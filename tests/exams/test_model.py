"""Random lives of a switchboard, compared step by step with a small model of what DESIGN says.

The model below shares no code with the product: bindings, pathways, plan states, budgets and
expiry are worked out again from the contract. After every step the store must say the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import anyio
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from tests.exams import stage
from tests.world import (
    EMERGENCY,
    NOT_OWNED,
    NUMBERS,
    SEEDS,
    SUPPORT_LINE,
    TEST_ONE,
    TEST_TWO,
    UNKNOWN_PURPOSE,
    Person,
    Reply,
    World,
    many,
    names,
    read,
)

from cordboard.errors import CordboardError

if TYPE_CHECKING:
    from tests.postgres import PostgresServer

ON_EVERY_STORE = True

BULK = many(30)
SEED = SEEDS.but(numbers=NUMBERS + BULK)
INBOUND = ("local:support", "local:sales", "local:night")
OUTBOUND = ("local:campaign", "local:followup")
AGENTS = INBOUND + OUTBOUND
LINES = (SUPPORT_LINE, TEST_ONE, TEST_TWO, EMERGENCY, UNKNOWN_PURPOSE)
PATHWAYS = (
    ("pathway_abc123", 0, ""),
    ("pathway_abc123", 0, "node_xyz"),
    ("pathway_abc123", 1, "node_start"),
    ("pathway_sales", 1, "node_offer"),
)
NO_SUCH_PATHWAYS = (("pathway_abc123", 3, ""), ("pathway_abc123", 1, "node_xyz"), ("gone", 0, ""))
NONE = ("", 0, "")
PURPOSE = {n.number: n.purpose for n in SEED.numbers}
TAGS = {n.number: n.tags for n in SEED.numbers}
ORDER = ("DUPLICATE_NUMBER", "NUMBER_NOT_FOUND", "NUMBER_ATTACHED_ELSEWHERE", "NUMBER_NOT_ATTACHED")

Pathway = tuple[str, int, str]
Place = tuple[str, str]


@dataclass(frozen=True)
class Step:
    """One number, one direction: who holds it on which pathway, before and after."""

    place: Place
    before: tuple[str, Pathway]
    after: tuple[str, Pathway]
    holders: tuple[str, ...]
    version: int


@dataclass
class Asking:
    """A request as the model sees it."""

    action: str
    steps: tuple[Step, ...]
    same: tuple[Step, ...]
    words: tuple[object, ...]


@dataclass
class Plan:
    """A plan as the model remembers it."""

    asking: Asking
    level: str
    mixes: bool
    key: object
    expires: float
    state: str = "open"
    left: dict[Place, int] = field(default_factory=dict[Place, int])
    undone: bool = False


class Model:
    """The whole contract of plan, guard and apply on one account, under the standard policy."""

    def __init__(self) -> None:
        self.bound: dict[Place, dict[str, Pathway]] = {}
        self.version: Counter[Place] = Counter()
        self.plans: dict[str, Plan] = {}
        self.spent: list[tuple[float, int]] = []
        self.frozen = False
        self.now = 0.0

    # What a request would do.

    def held(self, place: Place) -> dict[str, Pathway]:
        return self.bound.get(place, {})

    def step(self, place: Place, before: tuple[str, Pathway], after: tuple[str, Pathway]) -> Step:
        return Step(place, before, after, tuple(sorted(self.held(place))), self.version[place])

    def read(
        self,
        action: str,
        numbers: Sequence[str],
        agent: str,
        source: str,
        want: Pathway,
        keep: bool,
    ) -> Asking | str:
        """The request worked out, or the code that refuses it."""
        way = "inbound" if agent in INBOUND else "outbound"
        if source and (source in INBOUND) != (agent in INBOUND):
            return "NOT_SUPPORTED"
        if want in NO_SUCH_PATHWAYS:
            return "PATHWAY_NOT_FOUND"
        problems: list[str] = []
        steps: list[Step] = []
        for at, number in enumerate(numbers):
            if number in numbers[:at]:
                problems.append("DUPLICATE_NUMBER")
            elif number not in PURPOSE:
                problems.append("NUMBER_NOT_FOUND")
            else:
                done = self.decide(action, (number, way), agent, source, want, keep)
                (problems if isinstance(done, str) else steps).append(done)  # type: ignore[arg-type]
        if problems:
            return min(problems, key=ORDER.index)
        words = (action, agent, source, want, keep)
        changed = tuple(s for s in steps if s.before != s.after)
        return Asking(action, changed, tuple(s for s in steps if s.before == s.after), words)

    def decide(
        self, action: str, place: Place, agent: str, source: str, want: Pathway, keep: bool
    ) -> Step | str:
        held = self.held(place)
        mine = (agent, held[agent]) if agent in held else None
        other = "NUMBER_ATTACHED_ELSEWHERE" if held and place[1] == "inbound" else ""
        nobody = ("", NONE)
        if action == "attach":
            return (
                self.step(place, mine or nobody, mine or (agent, NONE))
                if mine or not other
                else other
            )
        if action == "detach":
            return other if other and not mine else self.step(place, mine or nobody, nobody)
        if action in ("set_pathway", "clear_pathway"):
            return self.step(place, mine, (agent, want)) if mine else other or "NUMBER_NOT_ATTACHED"
        theirs = (source, held[source]) if source in held else None
        if mine and (theirs is None or source == agent):
            return self.step(place, mine, mine)
        if theirs is None:
            return other or "NUMBER_NOT_ATTACHED"
        after = nobody if mine else (agent, theirs[1] if keep else NONE)
        return self.step(place, theirs, after)

    def reverse(self, plan: Plan) -> Asking | None:
        """The undo of an applied plan; None where it is refused."""
        if plan.state != "applied" or plan.undone:
            return None
        steps = tuple(self.step(s.place, s.after, s.before) for s in plan.asking.steps)
        if any(s.version != plan.left[s.place] for s in steps):
            return None
        return Asking("undo", steps, (), ("undo", id(plan)))

    # Levels.

    def mixes(self, steps: Iterable[Step]) -> bool:
        gains: dict[str, set[bool]] = {}
        for s in steps:
            if s.after[0] and s.after[0] != s.before[0]:
                gains.setdefault(s.after[0], set()).add(PURPOSE[s.place[0]] == "TEST")
        for (number, _), held in self.bound.items():
            for agent in held:
                if agent in gains:
                    gains[agent].add(PURPOSE[number] == "TEST")
        return any(len(kinds) > 1 for kinds in gains.values())

    def level(self, steps: Sequence[Step], mixes: bool) -> str:
        lately = sum(count for at, count in self.spent if at > self.now - 3600)
        if len(steps) > 25 or len(steps) + lately > 25:
            return "person"
        if any({"protected", "emergency_callback"} & set(TAGS[s.place[0]]) for s in steps):
            return "person"
        if mixes or any(PURPOSE[s.place[0]] != "TEST" for s in steps):
            return "client"
        return "plan"

    def plan(self, asking: Asking, can_ask: bool) -> tuple[Plan, str]:
        """The plan for a request, and the id of the open one it must be; "" for a new one."""
        mixes = self.mixes(asking.steps)
        level = self.level(asking.steps, mixes)
        if level == "client" and not can_ask:
            level = "person"
        key = (asking.words, frozenset(asking.steps), frozenset(asking.same), level, mixes)
        for plan_id, plan in self.plans.items():
            if plan.key == key and plan.state == "open" and plan.expires > self.now:
                return plan, plan_id
        life = 86400 if level == "person" else 1800
        return Plan(asking, level, mixes, key, self.now + life), ""

    # Applying.

    def stale(self, plan: Plan) -> bool:
        for s in plan.asking.steps:
            now = self.held(s.place)
            if self.version[s.place] != s.version or tuple(sorted(now)) != s.holders:
                return True
        return not plan.mixes and self.mixes(plan.asking.steps)

    def weak(self, plan: Plan, level: str) -> bool:
        """Whether policy, with what was spent this hour, now demands more than this level."""
        demand = self.level(plan.asking.steps, plan.mixes)
        return stage.LEVELS.index(level) < stage.LEVELS.index(demand)

    def apply(self, plan: Plan, level: str) -> set[str]:
        """What applying with a clearance of this level may answer; it is done if it must be."""
        if self.frozen:
            return {"FROZEN"}
        weak = self.weak(plan, level)
        if self.stale(plan):
            return {"plan_rejected", "NOT_ALLOWED"} if weak else {"plan_rejected"}
        if weak:
            return {"NOT_ALLOWED"}
        for s in plan.asking.steps:
            held = self.bound.setdefault(s.place, {})
            held.pop(s.before[0], None)
            if s.after[0]:
                held[s.after[0]] = s.after[1]
            self.version[s.place] += 1
            plan.left[s.place] = self.version[s.place]
        plan.state = "applied"
        self.spent.append((self.now, len(plan.asking.steps)))
        if plan.asking.action == "undo":
            for other in self.plans.values():
                other.undone = other.undone or id(other) == plan.asking.words[1]
        return {"applied"}

    def over(self, plan: Plan) -> bool:
        return plan.state == "open" and plan.expires <= self.now

    def status(self, plan: Plan) -> str:
        if plan.state == "open" and not self.over(plan):
            return "confirmation_required" if plan.level == "plan" else "awaiting_approval"
        return plan.state if plan.state in ("applied", "discarded") else "plan_rejected"


ANSWERS = ("", "yes", "yes", "no", "decline", "cancel", "text")
answers = st.sampled_from(ANSWERS)
eras = st.sampled_from(("auto", "legacy"))
agents = st.sampled_from(AGENTS)
lines = st.lists(st.sampled_from(LINES), min_size=1, max_size=3, unique=True)
batches = (
    lines | lines | lines | st.lists(st.sampled_from((*LINES, NOT_OWNED)), min_size=1, max_size=3)
)


class Life(RuleBasedStateMachine):
    """The product and the model, living the same life; the store is `on` that server, or a file."""

    def __init__(self, on: PostgresServer | None) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.world: World = self._stack.enter_context(stage.stage(SEED, on=on))
        self.database = stage.place(self.world)
        self.model = Model()
        self.ids: list[str] = []

    def teardown(self) -> None:
        self._stack.close()

    # Asking for a change.

    @initialize(numbers=lines, agent=agents)
    def somebody_holds_a_number_from_the_start(self, numbers: list[str], agent: str) -> None:
        self.ask("attach", numbers, agent, "yes", "auto")

    @rule(numbers=batches, agent=agents, answer=answers, era=eras)
    def attach(self, numbers: list[str], agent: str, answer: str, era: str) -> None:
        self.ask("attach", numbers, agent, answer, era)

    @rule(numbers=batches, agent=agents, answer=answers, era=eras)
    def detach(self, numbers: list[str], agent: str, answer: str, era: str) -> None:
        self.ask("detach", numbers, agent, answer, era)

    @rule(
        numbers=batches, source=agents, agent=agents, keep=st.booleans(), answer=answers, era=eras
    )
    def move(
        self, numbers: list[str], source: str, agent: str, keep: bool, answer: str, era: str
    ) -> None:
        self.ask("move", numbers, agent, answer, era, source=source, keep=keep)

    @rule(number=st.sampled_from(LINES), agent=agents, keep=st.booleans(), answer=answers, era=eras)
    def move_from_its_holder(
        self, number: str, agent: str, keep: bool, answer: str, era: str
    ) -> None:
        way = "inbound" if agent in INBOUND else "outbound"
        held = sorted(self.model.held((number, way)))
        if held:
            self.ask("move", [number], agent, answer, era, source=held[0], keep=keep)

    @rule(numbers=batches, agent=agents, want=st.sampled_from(PATHWAYS + NO_SUCH_PATHWAYS),
          answer=answers, era=eras)  # fmt: skip
    def set_pathway(
        self, numbers: list[str], agent: str, want: Pathway, answer: str, era: str
    ) -> None:
        self.ask("set_pathway", numbers, agent, answer, era, want=want)

    @rule(number=st.sampled_from(LINES), want=st.sampled_from((*PATHWAYS, NONE)), answer=answers,
          way=st.sampled_from(("inbound", "outbound")), era=eras)  # fmt: skip
    def pin_the_pathway_of_what_is_held(
        self, number: str, way: str, want: Pathway, answer: str, era: str
    ) -> None:
        for agent in sorted(self.model.held((number, way)))[:1]:
            action = "set_pathway" if want != NONE else "clear_pathway"
            self.ask(action, [number], agent, answer, era, want=want)

    @rule(count=st.sampled_from((12, 24, 25, 26)), agent=st.sampled_from(OUTBOUND), answer=answers,
          action=st.sampled_from(("attach", "detach")))  # fmt: skip
    def change_many_at_once(self, count: int, agent: str, answer: str, action: str) -> None:
        self.ask(action, names(BULK[:count]), agent, answer, "auto")

    @rule(back=st.integers(0, 5), answer=answers, era=eras)
    def undo(self, back: int, answer: str, era: str) -> None:
        plan_id = self.pick(back)
        plan = self.model.plans[plan_id]
        asking = self.model.reverse(plan)
        reply = self.call("undo_plan", answer, era, plan_id=plan_id)
        if self.model.frozen:
            assert told(reply) in {"FROZEN"} | ({"plan_rejected"} if asking is None else set())
        elif asking is None:
            assert told(reply) == "plan_rejected"
        else:
            self.follow(asking, answer, reply)

    # Settling plans.

    @rule(back=st.integers(0, 5), answer=answers, era=eras)
    def apply(self, back: int, answer: str, era: str) -> None:
        plan_id = self.pick(back)
        plan, model = self.model.plans[plan_id], self.model
        reply = self.call("apply_plan", answer, era, plan_id=plan_id)
        if model.status(plan) in ("applied", "discarded", "plan_rejected"):
            expected = {"applied"} if plan.state == "applied" else {"plan_rejected"}
        elif plan.level == "plan":
            expected = self.applied(plan, "plan", reply)
        elif model.frozen:
            expected = {"FROZEN"}
        elif model.weak(plan, plan.level) and told(reply) == "NOT_ALLOWED":
            expected = {"NOT_ALLOWED"}  # told before anybody is asked in vain
        elif model.stale(plan):
            plan.state, expected = "stale", {"plan_rejected"}
        elif plan.level == "client" and answer:
            expected = self.answered(plan, answer, reply)
        else:
            expected = {"awaiting_approval"}
        assert told(reply) in expected, reply.text

    @rule(back=st.integers(0, 5))
    def discard(self, back: int) -> None:
        plan_id = self.pick(back)
        plan = self.model.plans[plan_id]
        reply = self.call("discard_plan", "", "auto", plan_id=plan_id)
        if plan.state == "open" and (not self.model.over(plan) or told(reply) == "discarded"):
            plan.state = "discarded"  # an expired one may be dropped, or be rejected
        assert told(reply) == self.model.status(plan), reply.text

    @rule(back=st.integers(0, 5))
    def the_approver_approves(self, back: int) -> None:
        plan_id = self.pick(back)
        plan, model = self.model.plans[plan_id], self.model
        said = anyio.run(self.approve, plan_id)
        if model.status(plan) in ("applied", "discarded", "plan_rejected"):
            assert said == model.status(plan)
        elif not model.frozen and model.weak(plan, plan.level) and said == "NOT_ALLOWED":
            pass  # a process that demands more than the plan's level refuses it
        else:
            done = model.apply(plan, "person")
            plan.state = "stale" if done == {"plan_rejected"} else plan.state
            assert said in done

    @rule(back=st.integers(0, 5))
    def the_approver_rejects(self, back: int) -> None:
        plan_id = self.pick(back)
        plan = self.model.plans[plan_id]
        said = anyio.run(self.reject, plan_id)
        if not self.model.over(plan):
            plan.state = "declined" if plan.state == "open" else plan.state
        assert said in (self.model.status(plan), "not_confirmed")

    # Freeze, time, restart.

    @rule()
    def freeze(self) -> None:
        reply = self.call("freeze_changes", "", "auto", reason="something is wrong")
        assert told(reply) == "frozen"
        self.model.frozen = True

    @rule()
    def unfreeze(self) -> None:
        assert anyio.run(self.lift) == ("" if self.model.frozen else "INVALID_ARGUMENTS")
        self.model.frozen = False

    @rule(seconds=st.sampled_from((60, 1799, 1800, 3600, 86400)))
    def time_passes(self, seconds: int) -> None:
        self.world.clock.advance(seconds)
        self.model.now += seconds

    @rule()
    def restart(self) -> None:
        old = self.world
        self.world = replace(old.another(), others=[*old.others, old.server])

    # What must hold at every moment.

    @invariant()
    def the_store_says_what_the_model_says(self) -> None:
        expected = {
            (number, way, agent): pathway
            for (number, way), held in self.model.bound.items()
            for agent, pathway in held.items()
        }
        assert stage.bindings(self.database) == expected
        rows = stage.query(self.database, "SELECT plan_id, state FROM plan")
        known = {i: plan.state for i, plan in self.model.plans.items()}
        for row in rows:  # an expired plan may be marked so, rejected, or not yet
            over = self.model.over(self.model.plans[row["plan_id"]])
            assert row["state"] == known[row["plan_id"]] or (over and row["state"] != "applied")
        assert len(rows) == len(known)
        stage.audit(self.database)
        anyio.run(self.the_tools_say_so_too)

    async def the_tools_say_so_too(self) -> None:
        newest = self.ids[-4:]
        async with self.world.client() as client:
            told = [read(await client.call_tool("get_plan", {"plan_id": i})) for i in newest]
        assert [t.status for t in told] == [self.model.status(self.model.plans[i]) for i in newest]
        assert (await stage.verified(self.world)).fault == ""

    # Help.

    def ask(self, action: str, numbers: list[str], agent: str, answer: str, era: str,
            source: str = "", want: Pathway = NONE, keep: bool = False) -> None:  # fmt: skip
        arguments: dict[str, Any] = {"numbers": numbers, "agent": agent}
        if action == "move":
            arguments = {"numbers": numbers, "from_agent": source, "to_agent": agent}
            arguments["keep_pathway"] = keep
        if action == "set_pathway":
            fields = ("pathway_id", "pathway_version", "start_node_id")
            arguments |= dict(zip(fields, want, strict=True))
        tool = f"{action}_numbers" if "pathway" not in action else action.replace("_", "_number_")
        asking = self.model.read(action, numbers, agent, source, want, keep)
        reply = self.call(tool, answer, era, **arguments)
        if self.model.frozen:
            assert told(reply) == "FROZEN" or told(reply) == asking
        elif isinstance(asking, str):
            assert told(reply) == asking, reply.text
        elif not asking.steps:
            assert (told(reply), reply.plan_id) == ("no_change", "")
        else:
            self.follow(asking, answer, reply)

    def follow(self, asking: Asking, answer: str, reply: Reply) -> None:
        """Take a request that makes a plan as far as this answer takes it, and compare."""
        plan, known = self.model.plan(asking, bool(answer))
        if reply.is_error:
            plan_id = known or self.newest()
        else:
            plan_id = reply.plan_id
            assert plan_id == known or (not known and plan_id not in self.model.plans)
            assert reply["guard"]["required"] == plan.level
        self.remember(plan_id, plan)
        if plan.level == "plan":
            expected = {"confirmation_required"}
        elif plan.level == "client" and answer:
            expected = self.answered(plan, answer, reply)
        else:
            expected = {"awaiting_approval"}
        assert told(reply) in expected, reply.text

    def answered(self, plan: Plan, answer: str, reply: Reply) -> set[str]:
        if answer == "yes":
            return self.applied(plan, "client", reply)
        if answer in ("no", "decline"):
            plan.state = "declined"
        return {"not_confirmed"}

    def applied(self, plan: Plan, level: str, reply: Reply) -> set[str]:
        expected = self.model.apply(plan, level)
        if told(reply) == "plan_rejected" and "plan_rejected" in expected:
            plan.state = "stale"
        return expected

    def remember(self, plan_id: str, plan: Plan) -> None:
        if plan_id not in self.model.plans:
            self.ids.append(plan_id)
        self.model.plans[plan_id] = plan

    def newest(self) -> str:
        [row] = stage.query(self.database, "SELECT plan_id FROM plan ORDER BY ordinal DESC LIMIT 1")
        return str(row["plan_id"])

    def pick(self, back: int) -> str:
        """A plan by age, newest first; the start of every life makes one."""
        return self.ids[::-1][back % len(self.ids)]

    def call(self, tool: str, answer: str, era: str, **arguments: Any) -> Reply:
        async def once() -> Reply:
            with anyio.fail_after(30):
                person = Person(answer) if answer else None
                return await self.world.call(tool, era=era, person=person, **arguments)

        return anyio.run(once)

    async def approve(self, plan_id: str) -> str:
        desk = self.world.app.service.approvals
        who = await stage.approver(self.world.server)
        try:
            return (await desk.approve(await desk.still_open(plan_id), who)).status
        except CordboardError as exc:
            return exc.code

    async def reject(self, plan_id: str) -> str:
        desk = self.world.app.service.approvals
        return (await desk.reject(await desk.find(plan_id), stage.APPROVER)).status

    async def lift(self) -> str:
        try:
            await self.world.app.service.approvals.unfreeze(await stage.approver(self.world.server))
        except CordboardError as exc:
            return exc.code
        return ""


def told(reply: Reply) -> str:
    """The status of an answer, or the code of a refusal."""
    return reply.code or reply.status


def test_any_life_of_a_switchboard_is_the_one_the_model_lives(on: PostgresServer | None) -> None:
    class LifeThere(Life):
        def __init__(self) -> None:
            super().__init__(on)

    steps = stage.examples(30, 60)
    run_state_machine_as_test(
        LifeThere, settings=stage.profile(6 if on else 30, 1000, stateful_step_count=steps)
    )
