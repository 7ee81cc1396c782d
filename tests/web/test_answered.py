"""A person's yes over HTTP counts once: sent again because its result was lost, it gives the
recorded result; sent again although the result came, it is a replay, and refused as one.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.web.site import WRITES, WebWorld, on_the_web
from tests.world import SUPPORT_LINE, World

pytestmark = pytest.mark.anyio
ATTACH: dict[str, Any] = {"agent": "local:support", "numbers": [SUPPORT_LINE]}
VERSION = "2026-07-28"
META: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
}
YES = {"approve": {"action": "accept", "content": {"approve": True}}}
CANCEL = {"approve": {"action": "cancel"}}
Said = dict[str, Any]


class Alice:
    """Somebody whose client shows forms, at one process."""

    def __init__(self, site: WebWorld, headers: dict[str, str]) -> None:
        self.site = site
        self.headers = headers | {
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
            "mcp-protocol-version": VERSION,
            "mcp-method": "tools/call",
            "mcp-name": "attach_numbers",
        }

    def call(self, **more: Any) -> Said:
        """A message that asks for the change; each is a new request."""
        params = {"name": "attach_numbers", "arguments": ATTACH, "_meta": META, **more}
        return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}

    async def says(self, **more: Any) -> Said:
        """The answer to it."""
        answer = await self.site.http.post("/mcp", json=self.call(**more), headers=self.headers)
        told: Said = answer.json()
        return told

    async def is_asked(self) -> str:
        """The sealed state of the question."""
        question = (await self.says())["result"]
        assert question["resultType"] == "input_required"
        return str(question["requestState"])

    async def says_and_leaves(self, **more: Any) -> None:
        """It is sent whole, and then nobody is there to hear the answer."""
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/mcp",
            "raw_path": b"/mcp",
            "query_string": b"",
            "root_path": "",
            "server": ("127.0.0.1", 8000),
            "client": ("127.0.0.1", 50000),
            "headers": [(b"host", b"127.0.0.1:8000"), (b"content-length", b"1")]
            + [(name.encode(), value.encode()) for name, value in self.headers.items()],
        }
        body = json.dumps(self.call(**more)).encode()
        events: list[Said] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Said:
            return events.pop() if events else {"type": "http.disconnect"}

        async def send(message: Said) -> None:
            """Into nowhere."""

        await self.site.app(scope, receive, send)


@pytest.fixture
async def alice(world: World) -> AsyncIterator[Alice]:
    async with on_the_web(world) as site:
        yield Alice(site, await site.bearer("alice", *WRITES))


def recorded(answer: Said) -> Said:
    """What a call gave."""
    told: Said = answer["result"]["structuredContent"]
    return told


async def test_a_replay_is_refused_and_carries_the_recorded_result(
    alice: Alice, world: World
) -> None:
    state = await alice.is_asked()
    first = recorded(await alice.says(requestState=state, inputResponses=YES))
    assert first["status"] == "applied"
    before = await world.seq()
    for _ in range(3):
        replay = await alice.says(requestState=state, inputResponses=YES)
        assert replay["error"]["code"] == -32602
        assert replay["error"]["message"].startswith(
            "This answer was used before, and counts once."
        )
        assert replay["error"]["data"] == {"recorded": first}
    assert await world.seq() == before


async def test_a_replay_does_not_bring_back_what_was_detached_since(
    alice: Alice, world: World
) -> None:
    state = await alice.is_asked()
    await alice.says(requestState=state, inputResponses=YES)
    await world.done("detach_numbers", **ATTACH)
    assert "error" in await alice.says(requestState=state, inputResponses=YES)
    assert await world.holders(SUPPORT_LINE) == []


async def test_a_yes_whose_result_was_lost_is_sent_again_and_gives_it(
    alice: Alice, world: World
) -> None:
    state = await alice.is_asked()
    await alice.says_and_leaves(requestState=state, inputResponses=YES)
    again = recorded(await alice.says(requestState=state, inputResponses=YES))
    assert again["status"] == "applied"
    assert (await world.events()).count("applied") == 1
    late = await alice.says(requestState=state, inputResponses=YES)
    assert late["error"]["data"] == {"recorded": again}


async def test_another_process_gives_the_recorded_result(alice: Alice, world: World) -> None:
    state = await alice.is_asked()
    first = recorded(await alice.says(requestState=state, inputResponses=YES))
    before = await world.seq()
    async with on_the_web(world) as other:
        again = await Alice(other, alice.headers).says(requestState=state, inputResponses=YES)
    assert recorded(again) == first and await world.seq() == before


async def test_a_cancel_may_be_sent_twice_and_a_yes_may_follow_it(alice: Alice) -> None:
    state = await alice.is_asked()
    for _ in range(2):
        told = recorded(await alice.says(requestState=state, inputResponses=CANCEL))
        assert told["status"] == "not_confirmed"
    told = recorded(await alice.says(requestState=state, inputResponses=YES))
    assert told["status"] == "applied"
