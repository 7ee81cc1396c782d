"""Is what Cordboard tells of a change true? Decided from outside: its answers, the vendor, the wire.

A `Scene` is a world with one vendor behind a wire that notes what each request met. Every answer
goes through `Scene.look`, at whatever moment it came, and is held against the vendor's true state;
`Scene.ends` plays a change to its end and checks all that must hold then.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
from argon2 import PasswordHasher
from mcp_types import CallToolResult, TextContent
from tests.platforms.fake_synthflow import FakeNumber
from tests.platforms.vendors import Vendors, vendors
from tests.platforms.wire import Fake, Fault, SeenRequest, Wire
from tests.world import AT, Clock, Reply, World, in_a_loop_of_its_own, read, serve

from cordboard import journal
from cordboard.binding import NO_PATHWAY, Pathway, Side
from cordboard.errors import CordboardError
from cordboard.facts import describe_side
from cordboard.stores import operations

B_MORE = tuple(f"+1500555000{n}" for n in range(6))  # free, at Bland
S_MORE = tuple(f"+1500555001{n}" for n in range(6))  # free, at Synthflow; slugs are not the digits
END = "9999-12-31T00:00:00.000Z"
QUIET = 45.0
"""The quiet period that follows from the default settings, in seconds."""

_SURELY_UNDONE = frozenset({"refuse", "rate_limited", "errors_in_200", "refused"})
_PATHWAY = {"pathway_id": "", "pathway_version": 0, "start_node_id": ""}
_APPROVER, _PASSPHRASE = "ada", "seven blue herons"
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a place for throw-away stores, if there is one
_TOLD_HOLDER = re.compile(
    r"(?:conflict: |(?:put back )?only partly: it is with |not sent: it changed meanwhile, )?"
    r"(nobody|(?:bland|synthflow|unleashx):.+?)(?: holds it now|, and should be with )"
)
_TOOL = re.compile(r"attach_numbers|detach_numbers|set_number_pathway")
_HINT = re.compile(
    rf"; ((?:(?:{_TOOL.pattern})(?:,? and then |,? then |, | and )?)+) finish(?:es)? it"
)
BY_HAND = "by hand"
"""The kind of a write at the vendor that somebody else made."""

Holders = Mapping[str, Pathway]
"""agent -> the number's pathway there."""


@dataclass(frozen=True)
class Request:
    """One change that is asked for. `writes`: how many it takes at the vendor.

    `undoes`: it is the undo of that one, which is done first.
    """

    name: str
    tool: str
    arguments: Mapping[str, Any]
    writes: int = 1
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    undoes: Request | None = None

    @property
    def platform(self) -> str:
        first = (self.undoes or self).arguments
        return str(first.get("agent") or first["to_agent"]).partition(":")[0]


class NotedWire(Wire):
    """A wire that keeps each request with what it met: a kind of fault, `refused` by the vendor, "".

    `after_writes`: faults that are ordered once so many writes have passed. `door`: where there is
    one, writes wait before it until it is set.
    """

    def __init__(self, fake: Fake) -> None:
        super().__init__(fake)
        self.met: list[tuple[SeenRequest, str]] = []
        self.after_writes: list[tuple[int, Fault]] = []
        self.door: anyio.Event | None = None
        self._at_door, self._came = 0, anyio.Event()

    async def waiting(self, count: int) -> None:
        """Return once so many writes have come to the door."""
        while self._at_door < count:
            await self._came.wait()

    @property
    def writes(self) -> list[tuple[SeenRequest, str]]:
        """The writes among the requests, in order."""
        return [met for met in self.met if met[0].method != "GET"]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.door is not None and request.method != "GET":
            self._at_door += 1
            self._came.set()
            self._came = anyio.Event()
            await self.door.wait()
        place = len(self.met)
        response = await super().handle_async_request(request)
        seen, met = self.met[place]
        if not met and 400 <= response.status_code < 500:
            self.met[place] = seen, "refused"
        return response

    def _next_fault(self, seen: SeenRequest) -> Fault | None:
        sent = len(self.writes)
        self.faults += [fault for count, fault in self.after_writes if count <= sent]
        self.after_writes = [later for later in self.after_writes if later[0] > sent]
        fault = super()._next_fault(seen)
        self.met.append((seen, fault.kind if fault else ""))
        return fault


def of_write(request: SeenRequest) -> list[tuple[str, str, str, str]]:
    """What a write is about: method, path, agent where the body names it, and each number."""
    body = request.body or {}
    names = ("inbound_numbers", "phone_numbers", "phone_number_slugs", "numbers")
    numbers = next((body[name] for name in names if name in body), [""])
    return [(request.method, request.path, str(body.get("agent_id", "")), n) for n in numbers]


class Scene:
    """A Cordboard that may apply at once, at one vendor, and everything it said of its plans."""

    def __init__(self, world: World, at: Vendors, request: Request, wire: NotedWire) -> None:
        self.world, self.at, self.wire, self.clock = world, at, wire, world.clock
        self.request, self.platform = request, request.platform
        self.fake = at.fake(self.platform)
        self.asked: dict[str, Any] = dict(request.arguments)
        self.told: dict[tuple[str, str, str], tuple[str, Holders]] = {}
        self.door = anyio.Event()
        self.may_let_go = self.platform == "unleashx"
        """Whether a number may be told to be unknown although nothing holds it any more."""
        self._numbers: set[str] = set()
        self._before = self._journaled = 0  # writes and events before the plans that are looked at

    # --- calling ----------------------------------------------------------------------------------

    async def call(self, tool: str, **arguments: Any) -> Reply:
        """A call as a tool call arrives, without a client around it."""
        result = await self.world.server.call_tool(tool, arguments)
        assert isinstance(result, CallToolResult)
        return read(result)

    async def apply(self, plan: Reply) -> Reply:
        """Apply a plan, by a second call or where it needs one by an approver."""
        if plan.status == "confirmation_required":
            return await self.call("apply_plan", plan_id=plan.plan_id)
        approvals = self.world.app.service.approvals
        approver = await approvals.approvers.verify(_APPROVER, _PASSPHRASE)
        try:
            await approvals.approve(await approvals.find(plan.plan_id), approver)
        except CordboardError as exc:
            content = [TextContent(type="text", text=f"{exc.code}: {exc}")]
            return read(CallToolResult(content=list(content), is_error=True))
        return await self.call("get_plan", plan_id=plan.plan_id)

    async def planned(self) -> Reply:
        """The request, planned; what comes before it is done."""
        first = self.request.undoes
        if first is not None:
            done = await self.apply(await self.call(first.tool, **first.arguments))
            assert done.status == "applied", done.text
            self.asked["plan_id"] = done.plan_id
            self.clock.advance(120)
        plan = await self.call(self.request.tool, **self.asked)
        assert plan.status in ("confirmation_required", "awaiting_approval"), plan.text
        self._before, self._journaled = len(self.fake.writes), await self.world.seq()
        self.wire.met.clear()
        return plan

    # --- the oracle -------------------------------------------------------------------------------

    def holders(self, number: str, direction: str = "inbound") -> dict[str, Pathway]:
        """Who holds a number in truth."""
        return holders(self.at, self.platform, number, direction)

    async def look(self, reply: Reply) -> Reply:
        """Hold an answer against the truth of this moment."""
        numbers = {change["number"] for change in reply["changes"]}
        if "Nothing was changed" in reply.message or "Nothing has changed" in reply.message:
            since = [w for w in self.fake.writes[self._before :] if w.kind != BY_HAND]
            done = [w for w in since if w.ok and numbers.intersection(w.numbers)]
            assert not done, (reply.message, done)
        self._numbers |= numbers
        for change in reply["changes"]:
            await self._look_at(reply.plan_id, change)
        outcomes = {change["outcome"] for change in reply["changes"]} - {"unchanged"}
        assert (reply.status == "applied") == (outcomes == {"applied"}), reply.text
        return reply

    async def _look_at(self, plan_id: str, change: Mapping[str, Any]) -> None:
        number, direction = change["number"], change["direction"]
        outcome, truth = change["outcome"], self.holders(number, direction)
        if outcome == "applied":
            assert as_after(change, truth), (change, truth)
        elif outcome == "not_applied":
            assert not as_after(change, truth), (change, truth)
            assert_true_detail(change, truth)
        elif outcome == "unknown" and not self.may_let_go:
            assert number in await self.held(), change
        key = plan_id, number, direction
        if key in self.told:
            assert self.told[key] == (outcome, truth), (self.told[key], change, truth)
        elif outcome in ("applied", "not_applied"):
            assert number not in await self.held(), change
            self.told[key] = outcome, truth

    async def held(self) -> set[str]:
        """Those of the numbers looked at that are held."""
        numbers = sorted(self._numbers)
        found = await self.world.app.store.read(
            lambda tx: operations.holders(tx, "default", self.platform, numbers)
        )
        return set(found)

    def sent_once(self) -> None:
        """No write was sent again unless the one before certainly came to nothing, or the quiet
        period was over."""
        last: dict[tuple[str, str, str, str], tuple[float, str]] = {}
        for seen, met in self.wire.writes:
            for key in of_write(seen):
                at, before = last.get(key, (-QUIET, "refused"))
                assert before in _SURELY_UNDONE or seen.at - at >= QUIET, (key, before, at)
                last[key] = seen.at, met

    # --- to the end -------------------------------------------------------------------------------

    async def settled(self, reply: Reply, most: int = 40) -> Reply:
        """Time passes until the plan is settled; every answer on the way is looked at."""
        for _ in range(most):
            if reply.status not in ("applying", "unknown"):
                break
            self.clock.advance(30)
            reply = await self.look(await self.call("get_plan", plan_id=reply.plan_id))
        return reply

    async def ends(self, reply: Reply) -> Reply:
        """Play an answered call to its end, with all that must hold on the way and then."""
        reply = await self.settled(await self.look(reply))
        assert reply.status not in ("applying", "" if self.may_let_go else "unknown"), reply.text
        self.clock.advance(120)
        again = await self.look(await self.call("get_plan", plan_id=reply.plan_id))
        assert again.status == reply.status, (reply.text, again.text)
        self.sent_once()
        await self.journaled(reply)
        await self.nothing_left()
        return reply

    async def journaled(self, reply: Reply) -> None:
        """The journal has every write that left before it left, and what became of each number."""
        page = {"account": "default", "after": self._journaled, "limit": 10_000}
        rows = await self.world.app.store.read(lambda tx: tx.all("journal_page", **page))
        events = [(row["event"], row["plan_id"], json.loads(row["data"])) for row in rows]
        writes = [met for seen, met in self.wire.writes for _ in of_write(seen)]
        sending = len([event for event in events if event[0] == "sending"])
        # Only what was answered 429 is sent again without being recorded again.
        assert len(writes) - writes.count("rate_limited") <= sending <= len(writes), events
        if writes:
            of_plan = [told for _, plan_id, told in events if plan_id == reply.plan_id]
            last = {told["number"]: told["outcome"] for told in of_plan if "outcome" in told}
            assert last == {c["number"]: c["outcome"] for c in reply["changes"]}, events

    async def nothing_left(self) -> None:
        """No number is held, no operation is under way, and the journal is whole."""
        store = self.world.app.store
        due = await store.read(lambda tx: operations.due(tx, "default", self.platform, END, END))
        assert not due
        assert not await self.held()
        report = await journal.verify_in_pages(store, "default")
        assert not report.fault, report

    async def finished(self, ended: Reply, request: Request | None = None) -> None:
        """The same request again finishes what was not applied, after what a detail says finishes
        it. `request`: where it is another one."""
        self.wire.faults.clear()
        self.wire.after_writes.clear()
        if self.request.undoes is not None and ended.status == "applied":
            return  # what is undone is not undone again
        for change in ended["changes"]:
            await self._finish_as_told(change)
        if not all(
            as_after(c, self.holders(c["number"], c["direction"])) for c in ended["changes"]
        ):
            asked = self.asked if request is None else request.arguments
            await self._done((request or self.request).tool, **asked)
        for change in ended["changes"]:
            truth = self.holders(change["number"], change["direction"])
            assert as_after(change, truth), (change, truth)
        await self.nothing_left()

    async def _finish_as_told(self, change: Mapping[str, Any]) -> None:
        """Where a detail names the tools that finish what is halfway, use them in that order."""
        hint = _HINT.search(change["detail"])
        if hint is None or change["outcome"] != "not_applied":
            return
        ends = (change["before"], change["after"])
        there, away = ends if change["detail"].startswith("put back") else ends[::-1]
        for tool in _TOOL.findall(hint[1]):
            asked = {"agent": (away if tool == "detach_numbers" else there)["agent"]}
            if tool == "set_number_pathway":
                asked |= {name: there[name] for name in _PATHWAY}
            await self._done(tool, **asked, numbers=[change["number"]])

    async def _done(self, tool: str, **arguments: Any) -> None:
        reply = await self.call(tool, **arguments)
        if reply["status"] in ("confirmation_required", "awaiting_approval"):
            reply = await self.apply(reply)
        assert reply.status in ("applied", "no_change"), reply.text


# --- making one -----------------------------------------------------------------------------------


@asynccontextmanager
async def scene(request: Request, policy: str = "relaxed") -> AsyncIterator[Scene]:
    """A scene of its own for a request, gone afterwards."""
    clock = Clock()
    at = vendors(clock)
    for number in B_MORE:
        at.bland.add_number(number)
    for place, number in enumerate(S_MORE):
        at.synthflow.state.numbers[number] = FakeNumber(slug=f"123124215{place}")
    at.wires[request.platform] = wire = NotedWire(at.fake(request.platform))
    home = Path(tempfile.mkdtemp(dir=_workplace()))
    for file in _template().iterdir():
        shutil.copy(file, home)
    config = {**at.environ, **request.config}
    server = serve(home, clock, policy, config, **at.outside)
    world = World(home, clock, server, outside=at.outside)
    try:
        yield Scene(world, at, request, wire)
    finally:
        await world.close()
        shutil.rmtree(home)


@functools.cache
def _workplace() -> Path:
    where = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
    made = Path(tempfile.mkdtemp(prefix="cordboard-lost-", dir=where))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


@functools.cache
def _template() -> Path:
    """A store without inventory but with an approver, whose passphrase is cheap to check."""
    home = Path(tempfile.mkdtemp(dir=_workplace()))
    hashed = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(_PASSPHRASE)

    async def make() -> None:
        world = World(home, Clock(), serve(home, Clock(), "relaxed", {}))
        who = {"name": _APPROVER, "principal": "ada-the-user", "by": "ada-the-user"}
        await world.put("approver_add", **who, passphrase=hashed, at=AT, subjects="[]")
        await world.close()

    in_a_loop_of_its_own(make)
    return home


# --- what is true ---------------------------------------------------------------------------------


def as_after(change: Mapping[str, Any], truth: Holders) -> bool:
    """Whether the vendor has a number exactly as a plan wanted it. In an outbound pool others may
    be beside; the agent that was left may not."""
    after = Side.of(change["after"])
    wanted = {after.agent: after.pathway} if after.agent else {}
    return _counted(change, truth) == wanted


def _counted(change: Mapping[str, Any], truth: Holders) -> dict[str, Pathway]:
    pool = change["direction"] == "outbound"
    own = (change["before"]["agent"], change["after"]["agent"])
    return {agent: pathway for agent, pathway in truth.items() if not pool or agent in own}


def assert_true_detail(change: Mapping[str, Any], truth: Holders) -> None:
    """A number that is not as planned is as its detail says; where that says nothing of a holder,
    it is as it was before."""
    before, counted = Side.of(change["before"]), _counted(change, truth)
    assert change["detail"], change
    told = _TOLD_HOLDER.match(change["detail"])
    if told is None:
        was = {before.agent: before.pathway} if before.agent else {}
        assert counted == was, (change, truth)
        return
    # Of a pool all may be named, or those alone that the plan is about.
    assert told[1] in (_words(change, truth), _words(change, counted)), (change["detail"], truth)


def _words(change: Mapping[str, Any], who: Holders) -> str:
    sides = [Side(change["direction"], agent, pathway) for agent, pathway in sorted(who.items())]
    return " and ".join(describe_side(side) for side in sides) or "nobody"


def holders(at: Vendors, platform: str, number: str, direction: str) -> dict[str, Pathway]:
    """Who holds a number at a vendor in truth, named as in Cordboard."""
    if platform == "bland":
        one = at.bland.state.numbers[number]
        if one.persona is None:
            return {}
        twins = {agent.twin: f"agent-{own}" for own, agent in at.bland.state.agents.items()}
        own = one.settings or {}
        pathway = Pathway(*(own.get(name, no) for name, no in _PATHWAY.items()))
        return {f"bland:{twins.get(one.persona, one.persona)}": pathway}
    if platform == "synthflow":
        account = at.synthflow.state
        of_way = [a for a in account.holders(number) if account.agents[a].type == direction]
        return {f"synthflow:{name}": NO_PATHWAY for name in of_way}
    holder = at.unleashx.holder(number)
    return {f"unleashx:{holder}": NO_PATHWAY} if holder else {}
