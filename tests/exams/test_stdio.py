"""The real program over stdio, as raw lines: both handshakes, hostile lines, two processes, the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from tests.world import SEEDS, SUPPORT_LINE, TEST_ONE, fill

from cordboard.stores.sqlite import SqliteStore

MODERN, LEGACY = "2026-07-28", "2025-11-25"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "exam", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
LONGEST_LINE = 64 * 1024 * 1024
pytestmark = pytest.mark.anyio


@dataclass
class Line:
    """The program's end of a wire, spoken line by line; whatever it prints must be JSON."""

    process: Process
    log: Path
    ids: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        assert self.process.stdout is not None
        self._lines = BufferedByteReceiveStream(self.process.stdout)

    async def send(self, line: bytes) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send(line + b"\n")

    async def hear(self) -> dict[str, Any]:
        """The next line; every line is one JSON-RPC message."""
        with anyio.fail_after(60):
            message = json.loads(await self._lines.receive_until(b"\n", LONGEST_LINE))
        assert isinstance(message, dict) and message["jsonrpc"] == "2.0"
        return message

    async def ask(self, method: str, /, *, modern: bool = True, **params: Any) -> dict[str, Any]:
        """One request and its answer; nothing may come before it."""
        ident = next(self.ids)
        told = params | ({"_meta": META} if modern else {})
        request = {"jsonrpc": "2.0", "id": ident, "method": method, "params": told}
        await self.send(json.dumps(request).encode())
        answer = await self.hear()
        assert answer["id"] == ident
        return answer

    async def call(self, tool: str, /, *, modern: bool = True, **arguments: Any) -> dict[str, Any]:
        """A tool's structured answer."""
        answer = await self.ask("tools/call", modern=modern, name=tool, arguments=arguments)
        found: dict[str, Any] = answer["result"]["structuredContent"]
        return found

    async def hang_up(self) -> int:
        """End of file; the exit code. Nothing more may have been printed."""
        assert self.process.stdin is not None
        await self.process.stdin.aclose()
        with anyio.fail_after(30):
            with pytest.raises((anyio.IncompleteRead, anyio.EndOfStream)):
                await self._lines.receive_until(b"\n", LONGEST_LINE)
            assert self._lines.buffer == b""
            return await self.process.wait()

    def logged(self) -> list[str]:
        return self.log.read_text("utf-8").splitlines()


@asynccontextmanager
async def program(database: Path, **environ: str) -> AsyncIterator[Line]:
    """`cordboard` without a command, on this store."""
    log = database.with_name(f"log-{len(list(database.parent.glob('log-*')))}")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CORDBOARD_")}
    with log.open("wb") as stderr:
        process = await anyio.open_process(
            [sys.executable, "-m", "cordboard"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=clean | {"CORDBOARD_DATABASE": str(database)} | environ,
        )
        async with process:
            try:
                yield Line(process, log)
            finally:
                if process.returncode is None:
                    process.kill()


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    path = tmp_path / "cordboard.db"
    store = SqliteStore(path)
    await store.write(lambda tx: fill(tx, SEEDS))
    await store.close()
    return path


async def hello(line: Line) -> dict[str, Any]:
    """The handshake of the older era."""
    info = {"name": "exam", "version": "1"}
    asked = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": info}
    answer = await line.ask("initialize", modern=False, **asked)
    await line.send(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
    result: dict[str, Any] = answer["result"]
    return result


async def test_both_handshakes_work_and_end_of_file_ends_the_program(database: Path) -> None:
    async with program(database) as line:
        found = await line.ask("server/discover")
        assert MODERN in found["result"]["supportedVersions"]
        modern = (await line.ask("tools/list"))["result"]["tools"]
        assert await line.hang_up() == 0
        assert line.logged() == []
    async with program(database) as line:
        result = await hello(line)
        assert (result["protocolVersion"], result["serverInfo"]["name"]) == (LEGACY, "cordboard")
        legacy = (await line.ask("tools/list", modern=False))["result"]["tools"]
        assert await line.hang_up() == 0
        assert line.logged() == []
    assert [t["name"] for t in legacy] == [t["name"] for t in modern]


HOSTILE = {
    "garbage": b"garbage",
    "invalid UTF-8": b"\xff\xfe\xfd",
    "a lone surrogate": b'{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"\\ud800"}}',
    "half a message": b'{"jsonrpc":"2.0","id":5,',
    "nesting without end": b"[" * 200_000,
    "a huge line": b'"' + b"x" * 8_000_000 + b'"',
    "no JSON-RPC": b'{"hello":"world"}',
    "a number": b"42",
    "a phone number": SUPPORT_LINE.encode(),
}


@pytest.mark.parametrize("era", [MODERN, LEGACY])
async def test_a_line_that_cannot_be_read_is_logged_in_one_line_and_the_server_goes_on(
    database: Path, era: str
) -> None:
    modern = era == MODERN
    async with program(database) as line:
        await (line.ask("server/discover") if modern else hello(line))
        for name, text in HOSTILE.items():
            before = len(line.logged())
            await line.send(text)
            after = await line.call("get_number_route", modern=modern, number=SUPPORT_LINE)
            assert after["number"] == SUPPORT_LINE
            assert len(line.logged()) == before + 1, f"{name}: {line.logged()[before:]}"
            assert len(line.logged()[-1]) < 500
        assert await line.hang_up() == 0
    assert not any("Traceback" in said or SUPPORT_LINE in said for said in line.logged())


async def test_a_first_line_that_cannot_be_read_does_not_end_the_program(database: Path) -> None:
    async with program(database) as line:
        for text in HOSTILE.values():
            await line.send(text)
        assert "result" in await line.ask("server/discover")
        assert await line.hang_up() == 0
        assert len(line.logged()) == len(HOSTILE), line.logged()


async def test_whatever_is_sent_the_program_lives_and_prints_nothing_but_json(
    database: Path,
) -> None:
    async with program(database) as line:
        await line.ask("server/discover")
        for text in (*HOSTILE.values(), b"", b"   ", b"\r", b"null", b"[]", b"NaN", b"\x00\x01"):
            await line.send(text)
        assert (await line.call("list_agents"))["agents"]
        assert await line.hang_up() == 0
        assert not any("Traceback" in said for said in line.logged())


async def test_an_unknown_method_is_a_protocol_error_and_the_server_goes_on(database: Path) -> None:
    async with program(database) as line:
        assert (await line.ask("routing/take_over"))["error"]["code"] == -32601
        assert (await line.call("list_agents"))["agents"]
        assert await line.hang_up() == 0
    async with program(database) as line:
        await hello(line)
        assert "error" in await line.ask("routing/take_over", modern=False)
        assert (await line.call("list_agents", modern=False))["agents"]
        assert await line.hang_up() == 0


async def test_a_huge_argument_is_refused_by_its_rules_not_by_a_crash(database: Path) -> None:
    async with program(database) as line:
        answer = await line.ask(
            "tools/call",
            name="attach_numbers",
            arguments={"agent": "local:support", "numbers": ["+1" + "5" * 4_000_000]},
        )
        assert answer["result"]["isError"] is True
        [block] = answer["result"]["content"]
        assert block["text"].startswith("INVALID_NUMBER_FORMAT: ")
        assert len(block["text"]) < 1000
        assert await line.hang_up() == 0


async def test_two_programs_on_one_store_see_each_others_changes(database: Path) -> None:
    async with program(database) as one, program(database) as two:
        await hello(two)
        planned = await one.call("attach_numbers", agent="local:support", numbers=[TEST_ONE])
        assert planned["status"] == "confirmation_required"
        seen = await two.call("get_plan", modern=False, plan_id=planned["plan_id"])
        assert seen["status"] == "confirmation_required"
        done = await two.call("apply_plan", modern=False, plan_id=planned["plan_id"])
        assert done["status"] == "applied"
        route = await one.call("get_number_route", number=TEST_ONE)
        assert [r["agent"] for r in route["inbound"]] == ["local:support"]
        undone = await one.call("undo_plan", plan_id=planned["plan_id"])
        assert (await one.call("apply_plan", plan_id=undone["plan_id"]))["status"] == "applied"
        route = await two.call("get_number_route", modern=False, number=TEST_ONE)
        assert route["inbound"] == []
        assert (await one.hang_up(), await two.hang_up()) == (0, 0)
        assert one.logged() == two.logged() == []


async def test_a_frozen_store_is_frozen_for_every_program(database: Path) -> None:
    async with program(database) as one, program(database, CORDBOARD_POLICY="relaxed") as two:
        planned = await two.call("attach_numbers", agent="local:support", numbers=[TEST_ONE])
        assert (await one.call("freeze_changes", reason="drill"))["status"] == "frozen"
        answer = await two.ask(
            "tools/call", name="apply_plan", arguments={"plan_id": planned["plan_id"]}
        )
        assert answer["result"]["isError"] is True
        assert answer["result"]["content"][0]["text"].startswith("FROZEN: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [("CORDBOARD_POLICY", "lenient"), ("CORDBOARD_READ_ONLY", "maybe"), ("CORDBOARD_CONFIG", "/no/such.toml")],
)  # fmt: skip
async def test_a_bad_setting_is_one_clear_line_and_exit_code_2(
    database: Path, name: str, value: str
) -> None:
    async with program(database, **{name: value}) as line:
        with anyio.fail_after(30):
            assert await line.process.wait() == 2
        [said] = line.logged()
        assert said.startswith("INVALID_CONFIGURATION: ")
        assert name in said or value in said


async def test_with_a_store_that_cannot_be_used_the_program_starts_and_its_tools_say_so(
    tmp_path: Path,
) -> None:
    (tmp_path / "cordboard.db").mkdir()
    async with program(tmp_path / "cordboard.db") as line:
        answer = await line.ask("tools/call", name="list_agents", arguments={})
        text = answer["result"]["content"][0]["text"] if "result" in answer else ""
        assert "STORE_UNAVAILABLE" in json.dumps(answer), answer
        assert "Traceback" not in text
        assert await line.hang_up() == 0
