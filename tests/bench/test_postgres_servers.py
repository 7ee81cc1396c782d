"""Four server processes on one PostgreSQL database: what an attach costs there and with one process,
and who waits for whom.

Counted is processor time, of our processes and of all of PostgreSQL's: on a machine of few processors
the clock would only tell that they are shared.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from secrets import token_hex
from time import monotonic

import psycopg
import pytest
from tests.bench.measuring import Figure, Pair, Table
from tests.bench.stores import fill_database, postmaster
from tests.postgres import PrivateServer, private_server
from tests.postgres_programs import children_of
from tests.world import AT, in_a_loop_of_its_own

from cordboard.stores import Transaction

PROCESSES = 4
WARM_UP, ROUNDS, ATTACHES = 2, 7, 200
AGENT = "local:agent"
_TELLING = {"fsync": True, "log_lock_waits": True, "deadlock_timeout": "1ms"}
NUMBERS = 2 * (WARM_UP + ROUNDS) * ATTACHES


def number(index: int) -> str:
    """The number of that place."""
    return f"+1{2_120_000_000 + index}"


def parted(turn: int) -> list[list[str]]:
    """The numbers of a round, a part for each process."""
    numbers = [number(turn * ATTACHES + i) for i in range(ATTACHES)]
    return [numbers[i::PROCESSES] for i in range(PROCESSES)]


def stock(account: str, tx: Transaction) -> None:
    """An account with one agent and free numbers."""
    agent = {"name": "Support", "direction": "inbound", "pathway_id": "", "user_id": "user-1"}
    tx.run("agent_put", account=account, agent=AGENT, at=AT, **agent)
    row = {"provider": "telnyx", "label": "", "purpose": "PRODUCTION", "tags": "[]", "at": AT}
    rows = (
        {"account": account, "number": number(i), "id": i + 1, "slug": number(i)[1:]} | row
        for i in range(NUMBERS)
    )
    tx.many("number_put", list(rows))


def stocked(server: PrivateServer, *accounts: str) -> str:
    """A database with these accounts, its statistics fresh."""
    url = server.create()
    for account in accounts:
        in_a_loop_of_its_own(fill_database, url, partial(stock, account))
    return url


class Attaching:
    """Our process of an account; see attaching.py."""

    def __init__(self, url: str, account: str) -> None:
        told = {"CORDBOARD_DATABASE": url, "CORDBOARD_ACCOUNT": account}
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("attaching.py")), AGENT],
            env=dict(os.environ) | told | {"CORDBOARD_POLICY": "relaxed"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, numbers: Sequence[str]) -> None:
        """Let it attach these."""
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(numbers) + "\n")
        self.process.stdin.flush()

    def ended(self) -> float:
        """Wait until it has; the processor seconds it took."""
        assert self.process.stdout is not None
        return float(self.process.stdout.readline())


@contextmanager
def attaching(url: str, *accounts: str) -> Iterator[list[Attaching]]:
    """A process for each."""
    with ExitStack() as ends:
        processes = [Attaching(url, account) for account in accounts]
        for each in processes:
            ends.enter_context(each.process)  # which ends with its input
        yield processes


def used_by(server: PrivateServer) -> float:
    """The processor seconds of a server with all its processes, those that ended too."""
    main = postmaster(server)
    ticks = sum(sum(_ticks(pid)[:2]) for pid in children_of(main)) + sum(_ticks(main))
    return ticks / os.sysconf("SC_CLK_TCK")


def _ticks(pid: int) -> list[int]:
    """In user mode and in the system; then of its children that ended."""
    stat = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2]
    return [int(field) for field in stat.split()[11:15]]


def cost(servers: Sequence[PrivateServer], work: Sequence[tuple[Attaching, list[str]]]) -> float:
    """Processor seconds of an attach, where each process attaches its numbers, all at once."""
    begun = sum(used_by(server) for server in servers)
    for process, numbers in work:
        process.begin(numbers)
    ours = sum(process.ended() for process, _ in work)
    theirs = sum(used_by(server) for server in servers) - begun
    return (ours + theirs) / sum(len(numbers) for _, numbers in work)


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateServer]:
    """A server whose log tells of everybody who waited a millisecond for a lock."""
    with private_server(tmp_path_factory.mktemp("postgres"), None, **_TELLING) as server:
        yield server


def waits(server: PrivateServer) -> int:
    """How often its log tells, up to now, that somebody still waited for a lock."""
    mark, end = token_hex(), monotonic() + 30
    with psycopg.connect(server.url("postgres"), autocommit=True) as db:
        db.execute(f"DO $$ BEGIN RAISE LOG '{mark}'; END $$".encode())
    while mark not in (text := server.log.read_text("utf-8")):
        assert monotonic() < end, "the log is not written"
    return text.count(" still waiting for ")


@dataclass
class Costs:
    """Processor seconds of an attach, round by round: one process; four in accounts of their own; and
    four `apart`, each with a server of its own, which share the processors and nothing else."""

    one: list[float] = field(default_factory=list[float])
    four: list[float] = field(default_factory=list[float])
    apart: list[float] = field(default_factory=list[float])

    def figure(self, bare: str) -> Figure:
        """Four to one, or to four apart."""
        pair = Pair(self.four, self.one if bare == "one" else self.apart).without(WARM_UP)
        name = f"PostgreSQL: processor time an attach, {PROCESSES} processes to {bare}"
        return pair.figure(name, 1.2)


@pytest.fixture(scope="module")
def costs(telling: PrivateServer, tmp_path_factory: pytest.TempPathFactory) -> Costs:
    """All of it measured, in turn; who begins changes from round to round."""
    taken, accounts = Costs(), [f"account-{i}" for i in range(1 + PROCESSES)]
    home = tmp_path_factory.mktemp("apart")
    with ExitStack() as opened:
        own = [opened.enter_context(private_server(home, None, **_TELLING)) for _ in accounts[1:]]
        one, *four = opened.enter_context(attaching(stocked(telling, *accounts), *accounts))
        apart = [
            opened.enter_context(attaching(stocked(server, account), account))[0]
            for server, account in zip(own, accounts[1:], strict=True)
        ]
        for turn in range(WARM_UP + ROUNDS):
            parts = parted(turn)
            sides = (
                (taken.four, [telling], [(each, parts[0]) for each in four]),
                (taken.one, [telling], [(one, list(chain(*parts)))]),
                (taken.apart, own, [(each, parts[0]) for each in apart]),
            )
            for seconds, servers, work in (*sides[turn % 3 :], *sides[: turn % 3]):
                seconds.append(cost(servers, work))
    return taken


def test_four_processes_use_about_as_much_processor_time_an_attach_as_one(
    table: Table, costs: Costs
) -> None:
    """Where processes are more than processors, it has the caches that each finds cold, too."""
    table.hold(costs.figure("one"))


def test_a_database_that_is_shared_costs_little_more_processor_time_than_one_for_each(
    table: Table, costs: Costs
) -> None:
    """Only what is due to the database that four processes share."""
    table.hold(costs.figure("apart"))


def test_processes_wait_for_no_lock_of_another_account(
    table: Table, telling: PrivateServer
) -> None:
    accounts = [f"account-{i}" for i in range(PROCESSES)]
    url = stocked(telling, *accounts)
    told: list[int] = []
    for those in (accounts, accounts[:1] * PROCESSES):  # in one account, to see that it is seen
        before = waits(telling)
        with attaching(url, *those) as four:
            for turn in range(ROUNDS):
                cost([telling], list(zip(four, parted(turn + len(told) * ROUNDS), strict=True)))
        told.append(waits(telling) - before)
    telling.drop(url)
    apart, together = told
    assert together > 0
    name = f"PostgreSQL: waits for locks, {PROCESSES} accounts (bare: in one)"
    table.hold(Figure(name, apart, 0.0, str(apart), str(together), ROUNDS))
