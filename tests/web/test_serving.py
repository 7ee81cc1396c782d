"""`cordboard serve --http` as a real process over real sockets: both eras, workers, TLS, the end."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme
from mcp_types import InputRequiredResult
from tests.exams import stage
from tests.exams.vendor_lanes import until
from tests.exams.vendor_server import Trap, Vendor
from tests.exams.vendor_server import serving as vendors_serving
from tests.platforms.fake_bland import FakeBland
from tests.platforms.vendors import SUPPORT
from tests.web.serving import Served, filled, refused, serving
from tests.world import SECOND_LINE, SUPPORT_LINE, TEST_ONE, Person, Reply, given, read

pytestmark = pytest.mark.anyio
STANDARD = {"CORDBOARD_POLICY": "standard"}
EVERYWHERE = "0.0.0.0"  # noqa: S104 - with TLS before it, or refused
ATTACH = {"agent": "local:support", "numbers": [SUPPORT_LINE]}


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    return await filled(tmp_path / "cordboard.db")


# --- up ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """One process under the standard policy, for tests that leave it as it was."""
    database = await filled(tmp_path_factory.mktemp("served") / "cordboard.db")
    async with serving(database, environ=STANDARD) as served:
        yield served
        assert served.logged == []


async def test_it_says_where_it_is_what_its_policy_is_and_how_tokens_are_made(
    server: Served,
) -> None:
    port = server.url.rpartition(":")[2]
    assert server.url.startswith("http://127.0.0.1:") and int(port) > 0
    command = f"CORDBOARD_DATABASE={server.database} cordboard tokens create NAME --scope SCOPE"
    assert server.said == [
        f"Cordboard serves MCP at {server.url}/mcp (1 process, policy standard).",
        f"Plans are approved at {server.url}/approvals.",
        f"Clients need a token: `{command}` makes one.",
    ]


async def test_it_is_alive_and_ready_and_says_so_to_whoever_asks(server: Served) -> None:
    async with server.http() as http:
        for path, status in (("/healthz", "ok"), ("/readyz", "ready")):
            answer = await http.get(path)
            assert (answer.status_code, answer.json()) == (200, {"status": status})
            answer = await http.head(path)
            assert (answer.status_code, answer.content) == (200, b"")
            assert (await http.post(path)).status_code == 405
        assert "server" not in answer.headers


async def test_without_a_token_nothing_is_told(server: Served) -> None:
    async with server.http() as http:
        for token in ("", "Bearer cb.default.x.y", "Basic YTpi"):
            answer = await http.post("/mcp", json={}, headers={"authorization": token})
            assert answer.status_code == 401
            told = 'Bearer error="invalid_token"' if token else "Bearer"
            assert answer.headers["www-authenticate"] == told
            assert answer.json()["error"]["code"] == "UNAUTHENTICATED"


async def test_a_client_that_cannot_be_asked_gets_the_page(server: Served, era: str) -> None:
    async with server.client(await server.token(), era) as call:
        assert len((await call.connected.list_tools()).tools) >= 15
        planned = await call("attach_numbers", agent="local:sales", numbers=[SECOND_LINE])
        assert planned.status == "awaiting_approval"
        approve = planned["approve"]
        assert (approve["how"], approve["url"]) == (
            "page",
            f"{server.url}/approvals/{planned.plan_id}",
        )
        await call("discard_plan", plan_id=planned.plan_id)


async def test_with_sessions_a_client_of_either_era_is_asked_by_form(
    server: Served, era: str
) -> None:
    person = Person("yes")
    async with server.client(await server.token(), era, person) as call:
        done = await call("attach_numbers", **ATTACH)
        assert done.status == "applied"
        assert done["guard"] | {"why": ""} == {
            "required": "client", "used": "client", "by": "alice", "why": ""
        }  # fmt: skip
        undone = await call("undo_plan", plan_id=done.plan_id)
        assert undone.status == "applied"
    assert len(person.asked) == 2


async def test_with_a_store_that_cannot_be_used_it_is_alive_and_not_ready(tmp_path: Path) -> None:
    (tmp_path / "cordboard.db").mkdir()
    async with serving(tmp_path / "cordboard.db") as server, server.http() as http:
        assert "policy strict" in server.said[0]  # the default over HTTP
        assert (await http.get("/healthz")).status_code == 200
        answer = await http.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"status": "store unavailable"})
        assert not any("Traceback" in line for line in server.said)


# --- several workers ---------------------------------------------------------------------------


async def test_two_workers_share_a_port_and_serve_the_older_era_stateless(database: Path) -> None:
    async with serving(database, "--workers", "2", environ=STANDARD) as server:
        assert "(2 processes, policy standard)" in server.said[0]
        person = Person("yes")
        async with server.client(await server.token(), "legacy", person) as call:
            planned = await call("attach_numbers", **ATTACH)
            assert planned.status == "awaiting_approval"
            assert planned["approve"]["how"] == "page"
        assert person.asked == []
        assert await server.stop() == 0
        assert server.logged == []


async def test_a_question_asked_by_one_worker_is_answered_at_another(database: Path) -> None:
    async with serving(database, "--workers", "2", environ=STANDARD) as server:
        one, other = await workers(server, 2)
        async with halted(other):
            token, asked = await question(server)
        async with halted(one):
            assert (await answered(server, token, asked)).status == "applied"


async def test_a_worker_that_dies_is_replaced_and_the_port_stays_open(database: Path) -> None:
    async with serving(database, "--workers", "2") as server:
        one, other = await workers(server, 2)
        os.kill(one, signal.SIGKILL)
        now = await workers(server, 2, lambda now: one not in now)
        assert other in now
        async with server.http() as http:
            assert (await http.get("/readyz")).status_code == 200


async def test_workers_end_with_the_process_that_watches_them(database: Path) -> None:
    async with serving(database, "--workers", "2") as server:
        await workers(server, 2)
        server.process.kill()
        await server.end()  # its standard error ends when the last of them is gone
        assert refuses(server.url)


async def test_keys_from_the_environment_hold_questions_across_stores_keys(
    database: Path,
) -> None:
    keys = {"CORDBOARD_STATE_KEYS": "ab" * 32}
    async with serving(database, environ=STANDARD | keys) as server:
        token, asked = await question(server)
        await server.stop()
    database.with_name("cordboard.db.key").unlink(missing_ok=True)
    async with serving(database, environ=STANDARD | keys) as server:
        assert (await answered(server, token, asked)).status == "applied"


async def test_a_question_outlives_a_restart(database: Path) -> None:
    async with serving(database, environ=STANDARD) as server:
        token, asked = await question(server)
        assert await server.stop() == 0
    async with serving(database, "--workers", "2", environ=STANDARD) as server:
        assert (await answered(server, token, asked)).status == "applied"


async def test_two_servers_on_one_store_see_each_others_plans_and_answers(database: Path) -> None:
    async with (
        serving(database, environ=STANDARD) as one,
        serving(database, environ=STANDARD) as two,
    ):
        token, asked = await question(one)
        assert (await answered(two, token, asked)).status == "applied"
        async with one.client(token) as call:
            route = await call("get_number_route", number=SUPPORT_LINE)
            assert [r["agent"] for r in route["inbound"]] == ["local:support"]


# --- TLS and refusals to start -----------------------------------------------------------------


@contextmanager
def certificate(home: Path, *names: str) -> Iterator[tuple[list[str], ssl.SSLContext]]:
    """Options for a certificate of these names, and what trusts it."""
    authority = trustme.CA()
    made = authority.issue_cert(*names)
    cert, key = home / "cert.pem", home / "key.pem"
    cert.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    made.private_key_pem.write_to_path(str(key))
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    yield ["--tls-cert", str(cert), "--tls-key", str(key)], trusted


@pytest.mark.parametrize("count", ["1", "2"])
async def test_with_tls_files_it_serves_https(database: Path, tmp_path: Path, count: str) -> None:
    with certificate(tmp_path, "127.0.0.1") as (options, trusted):
        async with serving(database, *options, "--workers", count, trusted=trusted) as server:
            assert server.url.startswith("https://127.0.0.1:")
            async with server.client(await server.token()) as call:
                assert (await call("list_agents"))["agents"]
            async with server.http() as http:
                answer = await http.get("/healthz")
                assert "strict-transport-security" in answer.headers
            assert await server.stop() == 0


async def test_another_host_needs_tls_or_a_proxy_that_has_it(
    database: Path, tmp_path: Path
) -> None:
    code, said = await refused(database, "--host", EVERYWHERE)
    assert code == 2
    assert len(said) == 1 and said[0].startswith("INVALID_CONFIGURATION: Host 0.0.0.0 ")
    public = ["--public-url", "https://calls.example"]
    async with serving(database, "--host", EVERYWHERE, *public) as server:
        assert server.url == "https://calls.example"
    with certificate(tmp_path, "127.0.0.1") as (options, _):
        async with serving(database, "--host", "127.0.0.2", *options) as server:
            assert server.url.startswith("https://127.0.0.2:")


async def test_tls_files_that_do_not_belong_together_are_told_in_one_line(
    database: Path, tmp_path: Path
) -> None:
    with certificate(tmp_path, "127.0.0.1") as (options, _):
        other = tmp_path / "other"
        other.mkdir()
        with certificate(other, "127.0.0.1") as (others, _):
            mixed = [*options[:2], *others[2:]]
            for bad in (mixed, [*options[:2], "--tls-key", options[1]], options[:2]):
                code, said = await refused(database, *bad)
                assert code == 2
                assert len(said) == 1 and said[0].startswith("INVALID_CONFIGURATION: TLS")


async def test_a_port_in_use_is_said_plainly(server: Served, database: Path) -> None:
    port = server.url.rpartition(":")[2]
    code, said = await refused(database, "--port", port)
    assert code == 2
    assert len(said) == 1
    assert f"127.0.0.1 port {port}: Address already in use" in said[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--public-url", "http://calls.example"], "is not https"),
        (["--public-url", "https://calls.example/path"], "public_url"),
        (["--host", "no.such.host.invalid", "--public-url", "https://calls.example"], "no.such.host"),
        (["--tls-cert", "/no/such.pem", "--tls-key", "/no/such.pem"], "/no/such.pem"),
    ],
)  # fmt: skip
async def test_a_bad_option_is_one_line_and_exit_code_2(
    database: Path, options: list[str], words: str
) -> None:
    code, said = await refused(database, *options)
    assert code == 2
    assert len(said) == 1 and said[0].startswith("INVALID_CONFIGURATION: ") and words in said[0]


async def test_without_http_it_says_how_each_way_of_serving_is_started() -> None:
    command = [sys.executable, "-m", "cordboard", "serve"]
    done = await anyio.run_process(command, check=False)
    assert done.returncode == 2
    assert b"cordboard serve --http" in done.stderr and b"standard input" in done.stderr


# --- the end -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "count"), [(signal.SIGTERM, "1"), (signal.SIGINT, "1"), (signal.SIGINT, "2")]
)
async def test_a_signal_ends_it_in_order_though_streams_are_open(
    database: Path, number: signal.Signals, count: str
) -> None:
    async with serving(database, "--workers", count) as server:
        async with server.client(await server.token(), "legacy") as call:
            assert (await call("list_agents"))["agents"]
            with anyio.fail_after(20):  # with sessions, a stream stands open; the grace is 30 s
                assert await server.stop(number) == 0
        assert server.logged == []


async def test_a_signal_while_it_starts_ends_it_too(tmp_path: Path) -> None:
    async with serving(tmp_path / "cordboard.db") as server:
        assert await server.stop() == 0
        assert server.logged == []


@dataclass
class Desk:
    """A vendor on a socket, whose next write stands still until its gate opens."""

    vendor: Vendor
    environ: dict[str, str]
    arrived: threading.Event

    def short_of_patience(self) -> None:
        """Let the server wait for its answers half a second when it is to end."""
        with Path(self.environ["CORDBOARD_CONFIG"]).open("a", encoding="utf-8") as config:
            config.write("[http]\ngrace_seconds = 0.5\n")

    async def write_is_there(self) -> None:
        """Wait until the write has arrived at the vendor."""
        assert await until(self.arrived.is_set, 60)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """One number at a vendor, held by nobody. Everything is short but the grace of 30 s."""
    fake = FakeBland(time.time)
    fake.add_persona("Support Agent", SUPPORT)
    fake.add_number(TEST_ONE, None)

    def holders(account: Any) -> dict[str, frozenset[str]]:
        return {n: frozenset([o.persona] if o.persona else []) for n, o in account.numbers.items()}

    vendor = Vendor("bland", fake, holders, "serving")
    config = tmp_path / "config.toml"
    config.write_text("request_seconds = 4.0\nquiet_seconds = 5.0\n", "utf-8")
    with vendors_serving() as vendors, vendors.having(vendor):
        environ = {
            "CORDBOARD_CONFIG": str(config),
            "CORDBOARD_POLICY": "relaxed",
            "BLAND_API_KEY": fake.key,
            "BLAND_BASE_URL": vendors.url(vendor, "server"),
        }
        desk = Desk(vendor, environ, threading.Event())
        vendor.set(Trap(1, "arrived", 0.0, desk.arrived.set, writes=True), wait=True)
        try:
            yield desk
        finally:
            vendor.gate.set()


AT_BLAND = {"agent": f"bland:{SUPPORT}", "numbers": [TEST_ONE]}


async def test_what_was_sent_to_a_vendor_is_finished_before_it_ends(
    database: Path, desk: Desk, era: str
) -> None:
    async with serving(database, environ=desk.environ) as server:
        async with server.client(await server.token(), era) as call:
            plan_id = (await call("attach_numbers", **AT_BLAND)).plan_id
            done: list[Reply] = []

            async def apply() -> None:
                done.append(await call("apply_plan", plan_id=plan_id))

            async with anyio.create_task_group() as group:
                group.start_soon(apply)
                await desk.write_is_there()
                server.process.send_signal(signal.SIGTERM)
                assert await until(lambda: refuses(server.url), 60)
                desk.vendor.gate.set()
            assert [reply.status for reply in done] == ["applied"]
        assert await server.end() == 0
    assert desk.vendor.truth == {TEST_ONE: {SUPPORT}}
    assert len(desk.vendor.effects) == 1


async def test_what_a_vendor_does_not_answer_in_time_is_recorded_and_settled_by_the_next(
    database: Path, desk: Desk
) -> None:
    desk.short_of_patience()
    async with serving(database, environ=desk.environ) as server:
        async with applying(server, desk) as (token, plan_id):
            assert await server.stop() == 0
        assert not any("Traceback" in line for line in server.said)
    desk.vendor.gate.set()  # it was done all the same, and late
    async with serving(database, environ=desk.environ) as server, server.client(token) as call:
        assert await until(lambda: not stage.query(database, "SELECT 1 FROM operation"), 60)
        assert (await call("get_plan", plan_id=plan_id)).status == "applied"
    assert len(desk.vendor.effects) == 1


@pytest.mark.parametrize("count", ["1", "2"])
async def test_a_second_signal_ends_it_at_once_and_the_store_survives(
    database: Path, desk: Desk, count: str
) -> None:
    async with serving(database, "--workers", count, environ=desk.environ) as server:
        async with applying(server, desk) as (token, plan_id):
            server.process.send_signal(signal.SIGTERM)
            assert await until(lambda: refuses(server.url), 60)
            assert await server.stop() == 128 + signal.SIGTERM
        assert not any("Traceback" in line for line in server.said)
    desk.vendor.gate.set()
    async with serving(database, environ=desk.environ) as server, server.client(token) as call:
        assert (await call("get_plan", plan_id=plan_id)).status in (
            "applying",
            "unknown",
            "applied",
        )


# --- what the tests stand on -------------------------------------------------------------------


@asynccontextmanager
async def applying(server: Served, desk: Desk) -> AsyncIterator[tuple[str, str]]:
    """A token, and the plan that it applies: its write is at the vendor, and waits there. The
    block ends the server, so the answer is not looked at."""
    token = await server.token()
    async with server.client(token) as call:
        plan_id = (await call("attach_numbers", **AT_BLAND)).plan_id

    async def apply() -> None:
        with suppress(Exception):
            async with server.client(token) as call:
                await call("apply_plan", plan_id=plan_id)

    async with anyio.create_task_group() as group:
        group.start_soon(apply)
        await desk.write_is_there()
        yield token, plan_id
        group.cancel_scope.cancel()


def refuses(url: str) -> bool:
    """Whether nobody listens there any more."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) != 0


async def question(server: Served) -> tuple[str, InputRequiredResult]:
    """A token, and the question that a call with it is answered by."""
    token = await server.token()
    async with server.client(token, person=Person()) as call:
        asked = await call.connected.session.call_tool(
            "attach_numbers", ATTACH, allow_input_required=True
        )
    assert isinstance(asked, InputRequiredResult)
    return token, asked


async def answered(server: Served, token: str, asked: InputRequiredResult) -> Reply:
    """What a yes to that question comes to."""
    async with server.client(token, person=Person()) as call:
        done = await call.connected.session.call_tool(
            "attach_numbers",
            ATTACH,
            input_responses=dict.fromkeys(asked.input_requests or {}, given("yes")),
            request_state=asked.request_state,
        )
    return read(done)


def _workers(server: Served) -> list[int]:
    parent = server.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text("ascii").split()
    found = []
    for pid in children:
        with suppress(OSError):
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return sorted(found)


async def workers(
    server: Served, count: int, fits: Callable[[list[int]], bool] = lambda _: True
) -> list[int]:
    """The process ids of the workers, once there are so many and they are as wished."""
    assert await until(lambda: len(now := _workers(server)) == count and fits(now), 60)
    return _workers(server)


@asynccontextmanager
async def halted(pid: int) -> AsyncIterator[None]:
    """Within, this process stands still, and so every connection comes to the others."""
    os.kill(pid, signal.SIGSTOP)
    try:
        stat = Path(f"/proc/{pid}/stat")
        assert await until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", 10)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
