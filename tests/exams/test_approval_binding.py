"""`agent-security-harness`, approval binding: an approval is for one change, once, and a declared
rule holds against it. The same suite finds runtimes wanting that do less.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.exams.approval_adapter import AtTheClient
from tests.exams.network import bearer
from tests.world import World

pytestmark = pytest.mark.anyio
SUITE = import_module("protocol_tests.approval_binding_harness")
REFERENCES = import_module("protocol_tests.approval_binding_targets")


def sat(target: Callable[[dict[str, Any]], Any]) -> dict[str, str]:
    """What the suite finds: for each test passed, failed or open, with its words."""
    found: dict[str, str] = {}
    for result in SUITE.ApprovalBindingHarness(target).run_all():
        word = "passed" if result.passed else "open" if result.not_evaluated else "failed"
        found[result.test_id] = f"{word}: {result.details}"
    return found


def words(found: dict[str, str]) -> dict[str, str]:
    return {test: told.partition(":")[0] for test, told in found.items()}


async def test_an_approval_is_for_one_change_once_and_no_stronger_than_policy(
    world: World, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    alice, mallory = await bearer(world, "alice"), await bearer(world, "mallory")
    adapter = AtTheClient(world, tmp_path, alice, mallory)
    try:
        found = await anyio.to_thread.run_sync(sat, adapter)
    finally:
        await anyio.to_thread.run_sync(adapter.close)
    request.node.user_properties.append(("approval binding", words(found)))
    assert words(found) == {"APB-001": "passed", "APB-002": "passed", "APB-003": "passed"}, found
    assert adapter.stolen == [], "an approval given to somebody else was used"


@pytest.mark.parametrize(
    ("shape", "failed"),
    [("NAME_KEYED", "APB-001"), ("REUSABLE_DECLARED_SINGLE", "APB-002"), ("POLICY_UNENFORCED", "APB-003")],
)  # fmt: skip
def test_the_same_suite_finds_a_lesser_runtime_wanting(shape: str, failed: str) -> None:
    assert words(sat(REFERENCES.make_target(shape)))[failed] == "failed"
