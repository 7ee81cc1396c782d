"""A server process and a client that only writes and reads lines: nothing of a client's own work
is in the times, so what is measured is the server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

MODERN, LEGACY = "2026-07-28", "2025-11-25"
OURS = (str(Path(sys.executable).with_name("cordboard")),)
BARE = (sys.executable, str(Path(__file__).with_name("bare_server.py")))
_WHO = {"name": "bench", "version": "1"}
_META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": _WHO,
}


@dataclass
class Wire:
    """One server process, spoken to line by line."""

    era: str
    sent: BinaryIO
    received: BinaryIO
    last_id: int = 0

    def request(self, method: str, **params: Any) -> bytes:
        """Send a request and wait for the line that answers it."""
        self.last_id += 1
        if self.era == MODERN:
            params["_meta"] = _META
        self._send({"id": self.last_id, "method": method, "params": params})
        answer = self.received.readline()
        assert answer, "the server ended; its standard error says why"
        return answer

    def shake_hands(self) -> None:
        """What protocol 2025-11-25 begins with; 2026-07-28 has no handshake."""
        if self.era == LEGACY:
            self.request("initialize", protocolVersion=LEGACY, capabilities={}, clientInfo=_WHO)
            self._send({"method": "notifications/initialized"})

    def call(self, tool: str, **arguments: Any) -> bytes:
        """Call a tool; the answering line."""
        return self.request("tools/call", name=tool, arguments=arguments)

    def _send(self, message: Mapping[str, Any]) -> None:
        self.sent.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self.sent.flush()


@contextmanager
def started(command: tuple[str, ...], era: str, environment: Mapping[str, str]) -> Iterator[Wire]:
    """A server for as long as it is needed; it ends when its standard input does."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(environment)
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield Wire(era, process.stdin, process.stdout)  # type: ignore[arg-type]
        finally:
            process.stdin.close()
            process.wait(30)


def environment(home: Path, bytecode: Path, **more: str) -> dict[str, str]:
    """The same environment for both sides: their own store, and compiled bytecode, which a machine
    may have switched off."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CORDBOARD_", "PYTHON"))}
    return kept | {
        "PYTHONPYCACHEPREFIX": str(bytecode),
        "CORDBOARD_DATABASE": str(home / "cordboard.db"),
        **more,
    }


def result(line: bytes) -> dict[str, Any]:
    """The result in an answering line; fails on a protocol error or a refusal."""
    answer = json.loads(line)
    assert "result" in answer, line
    found: dict[str, Any] = answer["result"]
    assert not found.get("isError"), line
    return found


def structured(line: bytes) -> dict[str, Any]:
    """The structured content of a tool's answer."""
    found: dict[str, Any] = result(line)["structuredContent"]
    return found
