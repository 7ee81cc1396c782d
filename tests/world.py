"""The world that tests share: the seeds' own numbers and agents in a real store, a real server,
a clock that is set by hand, and a person who answers forms as a test says.

Take it through the fixtures of conftest.py (`make_world`, `world`, `era`); the values here
(`SUPPORT_LINE`, `Person`, ...) are imported: `from tests.world import Person`.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import tomlkit
from mcp import Client
from mcp_types import CallToolResult, ElicitResult, ErrorData, TextContent

from cordboard.app import App, build_server
from cordboard.config import Settings, load
from cordboard.mcp_server import CordboardServer
from cordboard.stores import Transaction
from cordboard.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from tests.postgres import PostgresServer

AT = "2026-01-31T09:00:00.000Z"
"""When the seeded world was made: half an hour before a test's clock starts."""

# Every number is from the vendors' pages that the project began with.
SUPPORT_LINE = "+14155551234"  # PRODUCTION, twilio, "Support Line"
SECOND_LINE = "+14155555678"  # PRODUCTION, twilio, no label
INDIA = "+918062810341"  # PRODUCTION, exotel
TEST_ONE = "+12025551234"  # TEST, telnyx
TEST_TWO = "+14165551234"  # TEST, telnyx
TEST_THREE = "+61212345678"  # TEST, vonage
PROTECTED = "+442012345678"  # PRODUCTION, vonage, tag `protected`
EMERGENCY = "+971501234567"  # PRODUCTION, plivo, tag `emergency_callback`
UNKNOWN_PURPOSE = "+6512345678"  # purpose not known, bandwidth
POOL_ONE = "+16286666348"  # PRODUCTION, twilio, slug 16286666348
POOL_TWO = "+12131231214"  # PRODUCTION, twilio, slug 1231242151
NOT_OWNED = "+14155551235"  # one digit from SUPPORT_LINE


@dataclass(frozen=True)
class SeedNumber:
    """A number as `cordboard import` would have put it into the store; slug "": its digits."""

    number: str
    provider: str = "twilio"
    label: str = ""
    purpose: str = "PRODUCTION"
    tags: tuple[str, ...] = ()
    slug: str = ""


@dataclass(frozen=True)
class SeedAgent:
    """An agent of the local platform."""

    agent: str
    name: str
    direction: str = "inbound"
    pathway_id: str = ""


@dataclass(frozen=True)
class SeedPathway:
    """A pathway with the nodes of each version, oldest first."""

    pathway_id: str
    name: str
    versions: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class SeedBinding:
    """A binding that is there before the test begins."""

    number: str
    agent: str
    direction: str = "inbound"
    pathway_id: str = ""
    pathway_version: int = 0
    start_node_id: str = ""


@dataclass(frozen=True)
class Seed:
    """What stands in a store before the test begins."""

    agents: tuple[SeedAgent, ...] = ()
    numbers: tuple[SeedNumber, ...] = ()
    pathways: tuple[SeedPathway, ...] = ()
    bindings: tuple[SeedBinding, ...] = ()
    providers: tuple[str, ...] = ("bandwidth", "exotel", "plivo", "telnyx", "twilio", "vonage")

    def but(self, **changed: Any) -> Seed:
        """This seed with other parts."""
        return dataclasses.replace(self, **changed)

    def bound(self, agent: str, *numbers: str, direction: str = "inbound", **pathway: Any) -> Seed:
        """This seed with these numbers attached to an agent beforehand."""
        more = tuple(SeedBinding(n, agent, direction, **pathway) for n in numbers)
        return self.but(bindings=self.bindings + more)


AGENTS = (
    SeedAgent("local:support", "Support Agent"),
    SeedAgent("local:sales", "Sales Agent", pathway_id="pathway_sales"),
    SeedAgent("local:night", "Night Agent"),
    SeedAgent("local:campaign", "Spring Campaign", "outbound"),
    SeedAgent("local:followup", "Follow-up Calls", "outbound"),
)
NUMBERS = (
    SeedNumber(SUPPORT_LINE, label="Support Line"),
    SeedNumber(SECOND_LINE),
    SeedNumber(INDIA, "exotel", "India Desk"),
    SeedNumber(TEST_ONE, "telnyx", "Test Washington", "TEST"),
    SeedNumber(TEST_TWO, "telnyx", "Test Toronto", "TEST"),
    SeedNumber(TEST_THREE, "vonage", "Test Sydney", "TEST"),
    SeedNumber(PROTECTED, "vonage", "Head Office", tags=("protected",)),
    SeedNumber(EMERGENCY, "plivo", "Lift Alarm", tags=("emergency_callback",)),
    SeedNumber(UNKNOWN_PURPOSE, "bandwidth", "Singapore", ""),
    SeedNumber(POOL_ONE, label="Pool One", slug="16286666348"),
    SeedNumber(POOL_TWO, label="Pool Two", slug="1231242151"),
)
PATHWAYS = (
    SeedPathway("pathway_abc123", "Opening Hours", (("node_start",), ("node_start", "node_xyz"))),
    SeedPathway("pathway_sales", "Sales", (("node_start", "node_offer"),)),
)
SEEDS = Seed(AGENTS, NUMBERS, PATHWAYS)
EMPTY = Seed(providers=())


class Clock:
    """Time stands still until a test advances it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let so much time pass."""
        self.now += timedelta(seconds=seconds)


class Person:
    """Someone at a client: answers forms with these words in turn, the last one for good.

    yes, no: the form sent with that choice. decline, cancel: the form closed; "decline yes",
    "cancel yes": closed, with a yes in it all the same. Not a clear answer:
    bare (accepted, nothing in it), text (approve is "true"), one (1), list ([true]), other (another
    field), extra (true, and a field nobody asked for). error: the client answers with a protocol
    error. raise: its callback crashes. silent: the form stays open for ever.
    `meanwhile` runs while the form is open. `asked` keeps every text that was shown.
    """

    FORMS: Mapping[str, dict[str, Any] | None] = {
        "yes": {"approve": True},
        "no": {"approve": False},
        "bare": None,
        "empty": {},
        "text": {"approve": "true"},
        "one": {"approve": 1},
        "list": {"approve": ["true"]},
        "other": {"confirm": True},
        "extra": {"approve": True, "note": "x"},
    }

    def __init__(
        self, *answers: str, meanwhile: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        self._answers = list(answers) or ["yes"]
        self._meanwhile = meanwhile
        self.asked: list[str] = []
        self.forms: list[dict[str, Any]] = []

    async def __call__(self, context: object, params: Any) -> ElicitResult | ErrorData:
        del context
        self.asked.append(params.message)
        self.forms.append(params.requested_schema)
        if self._meanwhile is not None:
            await self._meanwhile()
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer == "silent":
            await anyio.sleep_forever()
        if answer == "raise":
            raise RuntimeError("the client's form broke")
        if answer == "error":
            return ErrorData(code=-32000, message="no person here")
        return given(answer)


def given(answer: str) -> ElicitResult:
    """What a client sends for one of a `Person`'s words."""
    if answer in ("decline", "decline yes"):
        return ElicitResult(action="decline", content={"approve": True} if " " in answer else None)
    if answer in ("cancel", "cancel yes"):
        return ElicitResult(action="cancel", content={"approve": True} if " " in answer else None)
    # model_construct: some of these are what no well-behaved client would build.
    return ElicitResult.model_construct(action="accept", content=Person.FORMS[answer])


@dataclass(frozen=True)
class Reply:
    """A tool's result, read. `data` is the structured content, {} for an error."""

    raw: CallToolResult
    text: str
    data: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def is_error(self) -> bool:
        return bool(self.raw.is_error)

    @property
    def code(self) -> str:
        """The stable code an error's text starts with; "" for no error."""
        return self.text.partition(":")[0] if self.is_error else ""

    def __getitem__(self, name: str) -> Any:
        assert not self.is_error, self.text
        return self.data[name]

    @property
    def status(self) -> str:
        return str(self["status"])

    @property
    def message(self) -> str:
        return str(self["message"])

    @property
    def plan_id(self) -> str:
        return str(self["plan_id"])


CODES = frozenset(
    [
        "INVALID_ARGUMENTS",
        "INVALID_NUMBER_FORMAT",
        "DUPLICATE_NUMBER",
        "NUMBER_NOT_FOUND",
        "NUMBER_ATTACHED_ELSEWHERE",
        "NUMBER_NOT_ATTACHED",
        "NUMBER_HELD",
        "AGENT_NOT_FOUND",
        "PATHWAY_NOT_FOUND",
        "PROVIDER_NOT_CONFIGURED",
        "NOT_SUPPORTED",
        "PLAN_NOT_FOUND",
        "APPROVAL_REQUIRED",
        "NOT_ALLOWED",
        "FROZEN",
        "LIMIT_EXCEEDED",
        "READ_ONLY",
        "PLATFORM_AUTH",
        "PLATFORM_RATE_LIMITED",
        "PLATFORM_UNREACHABLE",
        "PLATFORM_ERROR",
        "STORE_UNAVAILABLE",
    ]
)


def read(result: CallToolResult) -> Reply:
    """A tool's result, and what holds for each: an error starts with a code and has no data;
    any other says the same as text and as data, and its counts are true."""
    [block] = result.content
    assert isinstance(block, TextContent)
    reply = Reply(result, block.text, result.structured_content or {})
    if reply.is_error:
        assert result.structured_content is None
        assert reply.code in CODES, block.text
        return reply
    assert json.loads(block.text) == reply.data and reply.message
    if "counts" in reply.data and len(reply["changes"]) < 25:
        outcomes = [change["outcome"] for change in reply["changes"]]
        assert reply["counts"] == {name: outcomes.count(name) for name in reply["counts"]}
    return reply


@dataclass
class World:
    """A store on disk, one server process on it, and the clock of both."""

    home: Path
    clock: Clock
    server: CordboardServer
    others: list[CordboardServer] = field(default_factory=list[CordboardServer])
    colleague: World | None = None
    outside: Mapping[str, Any] = field(default_factory=dict[str, Any])
    environ: Mapping[str, str] = field(default_factory=dict[str, str])
    url: str = ""
    """Of its PostgreSQL database; "" where its store is the file."""

    @property
    def app(self) -> App:
        return self.server.app

    @property
    def settings(self) -> Settings:
        return self.app.settings

    @property
    def database(self) -> Path:
        assert not self.url, "its store is no file: what is configured is the user's own"
        return self.settings.database

    def another(self, policy: str = "", **config: Any) -> World:
        """One more process on the same store, with its own policy and settings."""
        policy = policy or self.settings.policy.name
        environ = surroundings(self.home, policy, config, self.url)
        server = build_server(load(environ), self.clock, **self.outside)
        self.others.append(server)
        return World(
            self.home, self.clock, server, outside=self.outside, environ=environ, url=self.url
        )

    def client(self, era: str = "auto", person: Person | None = None) -> Client:
        """A client of this server; without a person it cannot show forms."""
        return Client(self.server, mode=era, elicitation_callback=person)

    async def call(
        self, tool: str, *, era: str = "auto", person: Person | None = None, **arguments: Any
    ) -> Reply:
        """One call by a client that connects for it."""
        async with self.client(era, person) as client:
            return read(await client.call_tool(tool, arguments))

    async def done(self, tool: str, **arguments: Any) -> Reply:
        """A change that somebody at another process makes and applies at once, whatever it is."""
        if self.colleague is None:
            self.colleague = self.another("relaxed")
        other = self.colleague
        planned = await other.call(tool, person=Person("yes"), **arguments)
        if planned.status == "confirmation_required":
            planned = await other.call("apply_plan", plan_id=planned.plan_id)
        assert planned.status == "applied", planned.text
        return planned

    async def holders(self, number: str, direction: str = "inbound") -> list[str]:
        """Who holds a number now, as get_number_route tells it."""
        route = await self.call("get_number_route", number=number)
        return [binding["agent"] for binding in route[direction]]

    async def sides(self, number: str) -> list[tuple[str, str, str, int, str]]:
        """Every binding of a number as the store has it: direction, agent and the pathway."""
        rows = await self.app.store.read(
            lambda tx: tx.all("bindings_of", account="default", number=number)
        )
        names = ("direction", "agent", "pathway_id", "pathway_version", "start_node_id")
        return [tuple(row[n] for n in names) for row in rows]

    async def seq(self) -> int:
        """How many events the journal has: it stays when nothing was written."""
        row = await self.app.store.read(lambda tx: tx.one("account_get", account="default"))
        return int(row["seq"]) if row else 0

    async def events(self) -> list[str]:
        """The names of the journal's events, oldest first."""
        rows = await self.app.store.read(
            lambda tx: tx.all("journal_page", account="default", after=0, limit=10_000)
        )
        return [row["event"] for row in rows]

    async def put(self, query: str, **params: Any) -> None:
        """Run one statement of queries.sql that writes, as an operator's import would."""
        await self.app.store.write(lambda tx: tx.run(query, account="default", **params))

    async def put_number(self, number: SeedNumber) -> None:
        """Import one number anew: label, purpose, tags and the rest as given."""
        await self.app.store.write(lambda tx: _put_number(tx, 900, number))

    async def close(self) -> None:
        """Let go of every store that was opened."""
        for server in (self.server, *self.others):
            await server.app.store.close()


def serve(
    home: Path, clock: Clock, policy: str, config: Mapping[str, Any], **outside: Any
) -> CordboardServer:
    """A server on the store in `home`. `outside`: in place of the network (see `build`)."""
    return build_server(load(surroundings(home, policy, config)), clock, **outside)


def surroundings(
    home: Path, policy: str, config: Mapping[str, Any], url: str = ""
) -> dict[str, str]:
    """The environment of a server on the store in `home`, or in a database, set up the way an
    operator does it: settings in capitals are environment variables, others stand in the
    configuration file."""
    database = url or str(home / "cordboard.db")
    environ = {"CORDBOARD_DATABASE": database, "CORDBOARD_POLICY": policy}
    environ |= {name: value for name, value in config.items() if name.isupper()}
    filed = {name: value for name, value in config.items() if not name.isupper()}
    if filed:
        file = home / f"config-{len(list(home.glob('config-*')))}.toml"
        file.write_text(tomlkit.dumps(filed), "utf-8")
        environ["CORDBOARD_CONFIG"] = str(file)
    return environ


def fill(tx: Transaction, seed: Seed) -> None:
    """Put a seed into an empty store, in one transaction."""
    for provider in seed.providers:
        tx.run("provider_add", account="default", provider=provider)
    for agent in seed.agents:
        row = dataclasses.asdict(agent)
        tx.run("agent_put", account="default", user_id="user-1", at=AT, **row)
    for row_id, number in enumerate(seed.numbers, start=42):
        _put_number(tx, row_id, number)
    for pathway in seed.pathways:
        key = {"account": "default", "pathway_id": pathway.pathway_id}
        tx.run("pathway_put", **key, name=pathway.name)
        for version, nodes in enumerate(pathway.versions, start=1):
            tx.run("pathway_version_put", **key, version=version, nodes=json.dumps(nodes))
    for binding in seed.bindings:
        tx.run("binding_add", account="default", at=AT, **dataclasses.asdict(binding))
        bump = f"number_bump_{binding.direction}"
        tx.run(bump, account="default", number=binding.number, at=AT)


def _put_number(tx: Transaction, row_id: int, number: SeedNumber) -> None:
    row = dataclasses.asdict(number) | {"tags": json.dumps(number.tags)}
    row["slug"] = number.slug or number.number.removeprefix("+")
    tx.run("number_put", account="default", id=row_id, at=AT, **row)


class Worlds:
    """Makes worlds for one test. Each seed is filled once per session, then copied: as a file, or,
    with `databases`, by PostgreSQL."""

    def __init__(self, home: Path, templates: Path, databases: Databases | None = None) -> None:
        self._home, self._templates, self._databases = home, templates, databases
        self._made: list[World] = []

    def __call__(
        self,
        seed: Seed = SEEDS,
        *,
        policy: str = "standard",
        clock: Clock | None = None,
        outside: Mapping[str, Any] | None = None,
        **config: Any,
    ) -> World:
        home = self._home / f"world-{len(self._made)}"
        home.mkdir()
        url = self._databases.filled(seed) if self._databases else ""
        if not url:
            shutil.copy(self._template(seed), home / "cordboard.db")
        clock, outside = clock or Clock(), outside or {}
        environ = surroundings(home, policy, config, url)
        server = build_server(load(environ), clock, **outside)
        self._made.append(World(home, clock, server, outside=outside, environ=environ, url=url))
        return self._made[-1]

    def close(self) -> None:
        """Close every store of every world made."""
        for made in self._made:
            in_a_loop_of_its_own(made.close)
            if self._databases:
                self._databases.server.drop(made.url)

    def _template(self, seed: Seed) -> Path:
        path = self._templates / f"{abs(hash(seed)):x}.db"
        if not path.exists():
            in_a_loop_of_its_own(_make_template, path, seed)
        return path


class Databases:
    """Filled PostgreSQL databases, copied from one template for each seed."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self._filled: dict[Seed, str] = {}

    def filled(self, seed: Seed) -> str:
        """The URL of a new database that holds this seed."""
        if seed not in self._filled:
            url = self._filled[seed] = self.server.create()
            in_a_loop_of_its_own(_fill_database, url, seed)
        return self.server.create(self._filled[seed])


async def _fill_database(url: str, seed: Seed) -> None:
    from cordboard.stores.postgres import PostgresStore

    store = PostgresStore(url)
    await store.migrate()
    await store.write(lambda tx: fill(tx, seed))
    await store.close()


def in_a_loop_of_its_own(work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    """Run async work to its end, also where a test's loop is running already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(anyio.run, work, *arguments).result()


async def _make_template(path: Path, seed: Seed) -> None:
    store = SqliteStore(path)
    await store.write(lambda tx: fill(tx, seed))
    await store.close()


def many(count: int, start: int = 0, **told: Any) -> tuple[SeedNumber, ...]:
    """So many valid TEST numbers (unless told otherwise), in rising order."""
    told = {"provider": "telnyx", "purpose": "TEST"} | told
    return tuple(SeedNumber(f"+1202556{start + i:04d}", **told) for i in range(count))


def names(numbers: Sequence[SeedNumber]) -> list[str]:
    """Their E.164 texts."""
    return [n.number for n in numbers]
