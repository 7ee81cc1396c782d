"""What is sent to `/mcp` and is no message: refused with the reason, in both eras, and nothing more."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.web.site import READS, WebWorld, on_the_web
from tests.world import World

from cordboard.mcp_server.messages import problem

pytestmark = pytest.mark.anyio
INVALID, UNREADABLE = -32600, -32700
ERAS = {
    "modern": {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list"},
    "legacy": {"mcp-protocol-version": "2025-11-25"},
}
NO_MESSAGES: dict[str, tuple[bytes, int, str]] = {
    "no JSON": (b"tools/list", UNREADABLE, "JSON"),
    "half of it": (b'{"jsonrpc": "2.0", "id": 1, "met', UNREADABLE, "JSON"),
    "no text": (b"\xff\xfe\x00", UNREADABLE, "JSON"),
    "nothing": (b"", UNREADABLE, "JSON"),
    "deep": (b"[" * 100_000, UNREADABLE, "JSON"),
    "a batch": (b'[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]', INVALID, "one"),
    "a value": (b'"tools/list"', INVALID, "one"),
    "null": (b"null", INVALID, "one"),
    "another version": (b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}', INVALID, "jsonrpc"),
    "no version": (b'{"id": 1, "method": "ping"}', INVALID, "jsonrpc"),
    "no method": (b'{"jsonrpc": "2.0", "id": 1}', INVALID, "method"),
    "an empty method": (b'{"jsonrpc": "2.0", "id": 1, "method": ""}', INVALID, "method"),
    "a path": (b'{"jsonrpc": "2.0", "method": "../../../etc/passwd"}', INVALID, "method"),
    "a method that is none": (b'{"jsonrpc": "2.0", "id": 1, "method": 7}', INVALID, "method"),
    "id null": (b'{"jsonrpc": "2.0", "id": null, "method": "ping"}', INVALID, "id"),
    "id true": (b'{"jsonrpc": "2.0", "id": true, "method": "ping"}', INVALID, "id"),
    "id a list": (b'{"jsonrpc": "2.0", "id": [1], "method": "ping"}', INVALID, "id"),
    "a request without an id": (b'{"jsonrpc": "2.0", "method": "tools/list"}', INVALID, "id"),
    "params a text": (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": "x"}', INVALID, "params"),
    "params null": (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": null}', INVALID, "params"),
    "answer and error": (b'{"jsonrpc": "2.0", "id": 1, "result": {}, "error": {}}', INVALID, "method"),
    "an answer to nothing": (b'{"jsonrpc": "2.0", "result": {}}', INVALID, "method"),
}  # fmt: skip


@pytest.fixture
async def site(world: World) -> AsyncIterator[WebWorld]:
    async with on_the_web(world) as made:
        yield made


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("kind", NO_MESSAGES)
async def test_what_is_no_message_is_refused_with_the_reason(
    site: WebWorld, era: str, kind: str
) -> None:
    body, code, word = NO_MESSAGES[kind]
    headers = ERAS[era] | await site.bearer("alice", *READS)
    headers |= {"accept": "application/json, text/event-stream", "content-type": "application/json"}
    answer = await site.http.post("/mcp", content=body, headers=headers)
    assert answer.status_code == 400
    told = answer.json()
    assert told["jsonrpc"] == "2.0" and told["error"]["code"] == code
    assert word in told["error"]["message"] and len(answer.content) < 200
    assert told["id"] == (
        1 if b'"id": 1' in body and code == INVALID and body[:1] == b"{" else None
    )


async def test_whoever_is_not_signed_in_is_told_only_that(site: WebWorld) -> None:
    for body, _, _ in NO_MESSAGES.values():
        answer = await site.http.post("/mcp", content=body)
        assert answer.status_code == 401, body


MESSAGES: dict[str, dict[str, Any]] = {
    "a request": {"id": 1, "method": "tools/list"},
    "one with params": {"id": "a-1", "method": "tools/call", "params": {"name": "x"}},
    "a notification": {"method": "notifications/initialized"},
    "one of three words": {"id": 0, "method": "resources/templates/list"},
    "in camel case": {"id": 2, "method": "logging/setLevel", "params": {}},
    "an answer": {"id": 3, "result": {"action": "accept"}},
    "an error": {"id": 4, "error": {"code": -1, "message": "no"}},
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_what_is_a_message_is_let_through(kind: str) -> None:
    assert problem(json.loads(json.dumps({"jsonrpc": "2.0"} | MESSAGES[kind]))) == ""
