"""`agent-security-harness`, an exam of MCP servers by attack: what it runs against the production
app fails nowhere, in both eras, with two principals; the same run finds a naive server wanting.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.exams.naive_server import naive_server
from tests.exams.network import READ_AND_WRITE, Asgi, bearer, listening, put_back, served
from tests.web.auth_server import AUDIENCE, ISSUER, AuthServer, made
from tests.web.auth_server import served as auth_served
from tests.world import SUPPORT_LINE, TEST_ONE, World, Worlds

pytestmark = pytest.mark.anyio
MODERN = ("--protocol-version", "2026-07-28")
ASKS: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}}
LONGEST_PROBE = 10_000

NOT_EXERCISED = {
    "MCP-RC-008": "no MCP request takes a right away from anybody",
    "MCP-RC-010": "there are no tasks",
    "MCP-RC-011": "trace context decides nothing here",
    "MCP-007": "there is no sampling",
    "MCP-011": "a tool that does not exist is refused within the result, which it does not count",
    "MCP-015": "no tool takes a URI",
    "MCP-017": "it needs the program on stdio, and is run there",
}
"""What the harness cannot establish here, and why."""
ONLY_MODERN = {f"MCP-RC-{number:03}" for number in (1, 2, 3, 4, 5, 7, 9)}


@dataclass(frozen=True)
class Attacked:
    """What the harness found: each test's id, and its words for it."""

    code: int
    passed: Mapping[str, str]
    failed: Mapping[str, str]
    inconclusive: Mapping[str, str]

    @property
    def counted(self) -> str:
        return (
            f"{len(self.passed)} passed, {len(self.failed)} failed, {len(self.inconclusive)} open"
        )


async def attack(report: Path, *arguments: str) -> Attacked:
    """Run the MCP suite."""
    command = [sys.executable, "-m", "protocol_tests.mcp_harness", "--report", str(report)]
    with anyio.fail_after(180):
        done = await anyio.run_process([*command, *arguments], check=False)
    try:
        return told(report, done.returncode)
    except FileNotFoundError:
        raise AssertionError(done.stdout.decode() + done.stderr.decode()) from None


def told(report: Path, code: int) -> Attacked:
    """What a report says. Raises: FileNotFoundError."""
    found: dict[str, dict[str, str]] = {"passed": {}, "failed": {}, "inconclusive": {}}
    for row in json.loads(report.read_text())["results"]:
        state = "passed" if row["passed"] else "inconclusive" if row["not_evaluated"] else "failed"
        found[state][row["test_id"]] = row["details"]
    return Attacked(code, **found)


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    """A call by a client that can show forms, as the harness takes it."""
    return {"method": "tools/call", "params": {"name": tool, "arguments": arguments, "_meta": ASKS}}


def asking() -> list[str]:
    """What makes a server ask: a change, another change, and the person's yes."""
    yes = {"approve": {"action": "accept", "content": {"approve": True}}}
    given = {
        "--mrtr-probe": call("attach_numbers", agent="local:support", numbers=[SUPPORT_LINE]),
        "--mrtr-altered-probe": call("attach_numbers", agent="local:night", numbers=[SUPPORT_LINE]),
        "--mrtr-input-responses": yes,
    }
    return [part for option, said in given.items() for part in (option, json.dumps(said))]


def strangers(other: str, abroad: str) -> list[str]:
    """Who else there is: another person of the account, and somebody of another account, who is
    given the id of a plan."""
    planned = call("attach_numbers", agent="local:support", numbers=[TEST_ONE])
    create = planned | {"handlePath": "result.structuredContent.plan_id"}
    access = {"method": "resources/read", "params": {"uri": "cordboard://plans/$HANDLE"}}
    return [
        "--mrtr-attacker-header", f"Authorization:{other}",
        "--handle-create", json.dumps(create),
        "--handle-access", json.dumps(access),
        "--handle-attacker-header", f"Authorization:{abroad}",
        "--cache-resource-uri", f"cordboard://numbers/{SUPPORT_LINE}",
    ]  # fmt: skip


def putting_back(world: World) -> Callable[[Asgi], Asgi]:
    """Before each new question a colleague takes the number off again: every test finds work."""

    def around(app: Asgi) -> Asgi:
        async def put_back_first(scope: Any, receive: Any, send: Any) -> None:
            length = int(dict(scope.get("headers", ())).get(b"content-length", 0))
            if not 0 < length < LONGEST_PROBE:
                await app(scope, receive, send)
                return
            parts = [await receive()]
            while parts[-1].get("more_body"):
                parts.append(await receive())
            body = b"".join(part.get("body", b"") for part in parts)
            if b'"attach_numbers"' in body and b'"requestState"' not in body:
                await anyio.to_thread.run_sync(put_back, world, "local:support", SUPPORT_LINE)
            parts.reverse()

            async def again() -> Any:
                return parts.pop() if parts else await receive()

            await app(scope, again, send)

        return put_back_first

    return around


async def test_in_2026_07_28_nothing_fails(
    make_world: Worlds, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    house = AuthServer(made())

    def token(subject: str, *, house: AuthServer = house, **other: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": subject, "client_id": "exam", "jti": subject,
            "iat": now, "exp": now + 600, "scope": " ".join(READ_AND_WRITE), "org": "default",
        }  # fmt: skip
        return f"Bearer {house.signed(claims | other)}"

    with auth_served(house) as url:
        oauth = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_url": f"{url}/jwks"}
        world = make_world(oauth=oauth | {"account_claim": "org"})
        with served(world, around=putting_back(world)) as site:
            found = await attack(
                tmp_path / "report.json",
                "--transport", "http", "--url", site.mcp, *MODERN,
                "--header", f"Authorization:{token('alice')}",
                *asking(),
                *strangers(token("mallory"), token("eve", org="elsewhere")),
                "--audience-attacker-header",
                f"Authorization:{token('alice', aud='https://other.example')}",
                "--issuer-probe", json.dumps({"method": "tools/list", "params": {}}),
                "--issuer-attacker-header",
                f"Authorization:{token('alice', house=AuthServer(made()), iss='https://evil.example')}",
            )  # fmt: skip
    request.node.user_properties.append(("harness", found.counted))
    assert found.failed == {}
    assert found.inconclusive.keys() == NOT_EXERCISED.keys(), found.inconclusive
    changes = await world.call("list_changes", number=SUPPORT_LINE)
    applied = [c for c in changes["changes"] if (c["action"], c["status"]) == ("attach", "applied")]
    assert len(applied) == 1, "one yes of alice's counted, once"
    assert applied[0]["by"] == "alice"


async def test_in_2025_11_25_nothing_fails(
    world: World, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    alice = await bearer(world, "alice")
    mallory, eve = await bearer(world, "mallory"), await bearer(world, "eve", account="elsewhere")
    with served(world) as site:
        found = await attack(
            tmp_path / "report.json",
            "--transport", "http", "--url", site.mcp, "--header", f"Authorization:{alice}",
            *asking(), *strangers(mallory, eve),
        )  # fmt: skip
    request.node.user_properties.append(("harness", found.counted))
    assert found.failed == {}
    needs_oauth = {"MCP-022", "MCP-RC-012"}
    assert found.inconclusive.keys() == NOT_EXERCISED.keys() | ONLY_MODERN | needs_oauth


async def test_nothing_runs_before_the_handshake_on_stdio(world: World, tmp_path: Path) -> None:
    command = f"env CORDBOARD_DATABASE={world.database} {sys.executable} -m cordboard"
    found = await attack(
        tmp_path / "report.json",
        "--transport", "stdio", "--command", command, "--categories", "stdio_security",
    )  # fmt: skip
    assert found.passed.keys() == {"MCP-017"} and found.code == 0


async def test_the_same_run_finds_a_naive_server_wanting(tmp_path: Path) -> None:
    with socket.socket() as at:
        at.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{at.getsockname()[1]}/mcp"
        with listening(naive_server().streamable_http_app(), at):
            found = await attack(
                tmp_path / "report.json", "--transport", "http", "--url", url, *MODERN, *asking()
            )
    assert found.failed.keys() >= {"MCP-RC-003", "MCP-008", "MCP-018"}, found.failed
