"""The official MCP conformance exam, over HTTP, on the production app: every scenario that a
revision of the protocol requires, at that revision's own wire.

The exam calls primitives that no phone-number server has; `conformance_fixture` adds those.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.exams.conformance_fixture import ExamServer
from tests.exams.network import bearer, served, signed_in
from tests.exams.node_tools import installed, program
from tests.world import Worlds

pytestmark = [
    pytest.mark.anyio,
    # The exam of 2025-11-25 asks for log lines; the SDK calls them deprecated.
    pytest.mark.filterwarnings("ignore:The logging capability"),
]
EXAM = Path(__file__).parent / "node"
CONFORMANCE = ("@modelcontextprotocol", "conformance")

ASKS_WITHIN_A_CALL = {
    "tools-call-sampling",
    "tools-call-elicitation",
    "elicitation-sep1034-defaults",
    "elicitation-sep1330-enums",
}
"""Scenarios of 2025-11-25 in which the server asks the client within a call."""
NOT_OURS = {
    "confirm_delete",
    "failing_job",
    "greet",
    "multi_input",
    "protocol_error_job",
    "slow_compute",
    "test_reconnection",
    "test_tool_with_task",
}
"""Names that only scenarios which are not scored call: the tasks extension, SSE polling."""


@dataclass(frozen=True)
class Sat:
    """An exam that was sat. `checks`: what each scenario found; `scored`: those that count."""

    code: int
    told: str
    checks: Mapping[str, list[dict[str, Any]]]
    scored: frozenset[str]
    unknown: frozenset[str]

    def found(self, status: str) -> dict[str, list[str]]:
        """The scenarios that count and have checks with this status, with the checks' ids."""
        ids = {
            name: [check["id"] for check in self.checks.get(name, []) if check["status"] == status]
            for name in self.scored
        }
        return {name: found for name, found in ids.items() if found}

    @property
    def not_tested(self) -> list[str]:
        """Checks that count and that the exam could not make, for something was missing."""
        return [
            check["id"]
            for name in self.scored
            for check in self.checks.get(name, [])
            if (check.get("details") or {}).get("untestable")
        ]

    @property
    def counted(self) -> str:
        """How much was passed."""
        passed = self.found("SUCCESS")
        count = sum(map(len, passed.values()))
        return f"{count} checks in {len(passed)} of {len(self.scored)} scenarios"

    @property
    def not_counted(self) -> str:
        """What ran without being scored, and how that went."""
        lines = self.told.rpartition("Not scored for ")[2].splitlines()[1:]
        return "; ".join(line.strip() for line in lines if line.strip())


async def sit(make_world: Worlds, home: Path, revision: str, **serving: Any) -> Sat:
    """Sit the exam of one revision; what it wrote down is read, not only its exit code."""
    world = make_world()
    header = await bearer(world, "examiner")
    results = home / "results"
    with served(world, ExamServer, signed_in(header), **serving) as site:
        done = await anyio.run_process(
            [*program(EXAM, *CONFORMANCE, "dist", "index.js"), "server", "--url", site.mcp,
             "--requirements", revision, "--output-dir", str(results)],
            check=False, cwd=home, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert isinstance(site.server, ExamServer)
        unknown = frozenset(site.server.unknown)
    checks = {
        scenario(file.parent): json.loads(file.read_text()) for file in results.rglob("*.json")
    }
    return Sat(done.returncode, done.stdout.decode(), checks, required(revision), unknown)


def scenario(results: Path) -> str:
    """Whose results a folder has: `server-NAME-TIME`."""
    return re.sub(r"-\d{4}-\d\d-\d\dT.*$", "", results.name).removeprefix("server-")


def required(revision: str) -> frozenset[str]:
    """The scenarios a revision scores, as the exam's own frozen list has them."""
    lists = installed(EXAM).joinpath(*CONFORMANCE, "requirements", f"{revision}.yaml").read_text()
    section = lists.partition("\nserver:\n")[2].partition("\n\n")[0]
    return frozenset(line.removeprefix("  - ") for line in section.splitlines())


def tell(request: pytest.FixtureRequest, sat: Sat) -> None:
    """Put into the report what counted, and what ran without counting."""
    request.node.user_properties.append(("passed", sat.counted))
    request.node.user_properties.append(("not scored", sat.not_counted))


@pytest.mark.parametrize("workers", [1, 2], ids=["sessions", "stateless"])
async def test_2026_07_28_is_passed_whole(
    make_world: Worlds, tmp_path: Path, request: pytest.FixtureRequest, workers: int
) -> None:
    sat = await sit(make_world, tmp_path, "2026-07-28", workers=workers)
    tell(request, sat)
    assert sat.code == 0, sat.told
    assert (len(sat.scored), len(sat.checks)) == (37, 37 + 13)
    assert sat.found("SUCCESS").keys() == sat.scored
    assert (sat.found("FAILURE"), sat.found("WARNING"), sat.not_tested) == ({}, {}, [])
    # No notifications of changed lists: `subscriptions/listen` is not offered.
    assert [len(ids) for ids in sat.found("SKIPPED").values()] == [5], sat.found("SKIPPED")
    assert sat.unknown <= NOT_OURS, "an unknown tool was called in a scenario that counts"


async def test_2025_11_25_is_passed_whole(
    make_world: Worlds, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    sat = await sit(make_world, tmp_path, "2025-11-25")
    tell(request, sat)
    assert sat.code == 0, sat.told
    assert (len(sat.scored), len(sat.checks)) == (30, 30 + 3)
    assert sat.found("SUCCESS").keys() == sat.scored
    assert (sat.found("FAILURE"), sat.found("WARNING"), sat.not_tested) == ({}, {}, [])
    assert sat.found("SKIPPED") == {}
    assert sat.unknown <= NOT_OURS, "an unknown tool was called in a scenario that counts"


async def test_2025_11_25_without_sessions_lacks_only_what_takes_a_session(
    make_world: Worlds, tmp_path: Path
) -> None:
    sat = await sit(make_world, tmp_path, "2025-11-25", workers=2)
    assert sat.found("FAILURE").keys() == ASKS_WITHIN_A_CALL
    assert sat.found("WARNING").keys() == {"server-sse-multiple-streams"}  # of a session
    assert sat.found("SUCCESS").keys() | sat.found("WARNING").keys() == sat.scored
    assert sat.not_tested == []
    assert sat.unknown <= NOT_OURS, "an unknown tool was called in a scenario that counts"
