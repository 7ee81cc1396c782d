"""Cordboard as the approval-binding harness sees a runtime: five operations, over HTTP.

Its gated call stands for attaching one number; an approval is a person's yes at their client to the
question about that very plan. What was executed is what the server's own record of changes says.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
from tests.exams.network import put_back, served
from tests.world import INDIA, POOL_ONE, POOL_TWO, SECOND_LINE, SUPPORT_LINE, UNKNOWN_PURPOSE, World

AGENT = "local:support"
NUMBERS = (SUPPORT_LINE, SECOND_LINE, INDIA, UNKNOWN_PURPOSE, POOL_ONE, POOL_TWO)
YES = {"approve": {"action": "accept", "content": {"approve": True}}}
VERSION = "2026-07-28"
META: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientInfo": {"name": "exam", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
}
Said = dict[str, Any]


class AtTheClient:
    """The adapter. `alice` and `mallory`: headers of who asks, and of somebody else.

    Every call is tried with every yes that was ever given, by mallory first; where that did
    something, it is noted in `stolen`.
    """

    def __init__(self, world: World, home: Path, alice: str, mallory: str) -> None:
        self._world, self._home, self._alice, self._mallory = world, home, alice, mallory
        self._numbers: dict[str, str] = {}
        self._states: list[str] = []
        self._policy = 'extends = "standard"\n'
        self._serving = ExitStack()
        self._serve(world)
        self.stolen: list[str] = []

    def close(self) -> None:
        """Stop serving."""
        self._serving.close()

    def __call__(self, request: Said) -> Said:
        """One operation of the harness."""
        match request:
            case {"op": "profile"}:
                return {"_status": 200, "single_use": True}
            case {"op": "executions"}:
                return {"_status": 200, "executions": self._executions()}
            case {"op": "declare", "deny": {"args": args}}:
                self._deny(self._number(args))
                return {"_status": 200, "declared": True}
            case {"op": "approve", "args": args}:
                return {"_status": 200, "approved": self._approve(self._number(args))}
            case {"op": "call", "args": args}:
                return self._call(self._number(args))
        return {"_status": 400}

    def _number(self, args: Said) -> str:
        """The number that a call's arguments stand for: one for each that were ever used."""
        key = json.dumps(args, sort_keys=True)
        return self._numbers.setdefault(key, NUMBERS[len(self._numbers) % len(NUMBERS)])

    def _approve(self, number: str) -> bool:
        """Alice's client is asked, and she says yes; the yes is kept for the call to come."""
        put_back(self._world, AGENT, number)
        result = self._attach(self._alice, number).get("result", {})
        if result.get("resultType") != "input_required":
            return False
        self._states.append(result["requestState"])
        return True

    def _call(self, number: str) -> Said:
        answer: Said = self._attach(self._alice, number, inputResponses=YES)
        for state in self._states:
            before = self._executions()
            self._attach(self._mallory, number, inputResponses=YES, requestState=state)
            if self._executions() != before:
                self.stolen.append(number)
            answer = self._attach(self._alice, number, inputResponses=YES, requestState=state)
            result = answer.get("result", {})
            if result.get("structuredContent", {}).get("status") == "applied":
                break
        return {"_status": 200, "answer": answer}

    def _executions(self) -> list[Said]:
        """Every attach that was applied, oldest first."""
        told = self._tool(self._alice, "list_changes", {"limit": 200})
        page = told["result"]["structuredContent"]
        assert not page["next_cursor"]
        stands_for = {number: json.loads(key) for key, number in self._numbers.items()}
        return [
            {"tool": "write_file", "args": stands_for[row["number"]]}
            for row in reversed(page["changes"])
            if (row["action"], row["status"]) == ("attach", "applied")
        ]

    def _deny(self, number: str) -> None:
        """The operator's policy forbids every change of a number, from the next start on."""
        self._policy += f'[[rules]]\nlevel = "frozen"\nprefix = "{number}"\n'
        file = self._home / "policy.toml"
        file.write_text(self._policy, "utf-8")
        self._serve(self._world.another(str(file)))

    def _serve(self, world: World) -> None:
        self._serving.close()
        site = self._serving.enter_context(served(world))
        self._http = self._serving.enter_context(httpx.Client(base_url=site.url, trust_env=False))

    def _attach(self, who: str, number: str, **more: Any) -> Said:
        return self._tool(who, "attach_numbers", {"agent": AGENT, "numbers": [number]}, **more)

    def _tool(self, who: str, name: str, arguments: Said, **more: Any) -> Said:
        params = {"name": name, "arguments": arguments, "_meta": META, **more}
        headers = {
            "authorization": who,
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": VERSION,
            "mcp-method": "tools/call",
            "mcp-name": name,
        }
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        answer: Said = self._http.post("/mcp", json=request, headers=headers).json()
        return answer
