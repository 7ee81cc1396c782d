"""Plans as values: their canonical text, their hash, and when two requests are the same."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import fields, replace
from typing import Any

import rfc8785
from hypothesis import assume, given
from hypothesis import strategies as st

from cordboard.binding import Pathway, Side
from cordboard.plan import Change, Draft, Image, Plan, load, request_key
from cordboard.request import Asked, Restore

# Any text a store can hold: no lone surrogates, which no JSON text in UTF-8 has either.
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
lists = st.lists(words, max_size=3).map(tuple)
numbers = st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True)
directions = st.sampled_from(("inbound", "outbound"))
pathways = st.builds(Pathway, words, st.integers(0, 2**31), words)
sides = st.builds(Side, directions, words, pathways)
images = st.builds(Image, st.integers(0, 2**40), lists, words, words, lists, words)
outcomes = st.sampled_from(("planned", "unchanged", "applied", "not_applied", "unknown"))
changes = st.builds(Change, numbers, sides, sides, images, words, outcomes)
actions = st.sampled_from(("attach", "move", "detach", "set_pathway", "clear_pathway", "undo"))
requests = st.builds(
    Asked, actions, words, lists, lists, words, words, st.booleans(), pathways, words
)
drafts = st.builds(
    Draft,
    st.lists(changes, max_size=4).map(tuple),
    st.lists(changes, max_size=2).map(tuple),
    lists,
    lists,
    st.booleans(),
)
levels = st.sampled_from(("plan", "client", "person", "frozen"))
plans = st.builds(Plan, words, words, words, requests, drafts, levels, words, words, words, words)


@given(plans)
def test_a_plan_is_read_back_from_its_text_exactly(plan: Plan) -> None:
    assert load(json.loads(plan.body())) == plan
    assert load(json.loads(plan.body())).body() == plan.body()


@given(plans)
def test_a_plan_s_text_is_canonical_json(plan: Plan) -> None:
    text = plan.body().encode()
    assert rfc8785.dumps(json.loads(text)) == text


@given(plans, plans)
def test_two_plans_have_one_text_only_if_they_are_one(one: Plan, two: Plan) -> None:
    assert (one.body() == two.body()) == (one == two)


@given(plans, words)
def test_every_part_of_a_plan_is_in_its_text(plan: Plan, other: str) -> None:
    for field in fields(Plan):
        if isinstance(getattr(plan, field.name), str) and field.name != "level":
            assume(other != getattr(plan, field.name))
            part: dict[str, Any] = {field.name: other}
            assert replace(plan, **part).body() != plan.body()
    bent = replace(plan.draft, mixes=not plan.draft.mixes)
    assert replace(plan, draft=bent).body() != plan.body()


@given(plans)
def test_what_an_undo_restores_is_in_its_changes_and_not_stored_twice(plan: Plan) -> None:
    left = Restore("+14155550100", Side("inbound"), Side("inbound", "local:a"), 3)
    undo = replace(plan, asked=replace(plan.asked, restore=(left,)))
    assert undo.body() == plan.body()


SAMPLE = Plan(
    plan_id="plan_" + "0" * 24,
    account="default",
    principal="alice",
    asked=Asked("attach", "local:support", ("+14155550100", "+12025550100")),
    draft=Draft(
        (
            Change("+14155550100", Side("inbound"), Side("inbound", "local:support"),
                   Image(0, (), "twilio", "TEST", ("vip",), "Zürich „1“")),
            Change("+12025550100", Side("inbound"), Side("inbound", "local:support"),
                   Image(2, (), "", "", (), "")),
        ),
        (), ("a warning",), (), False,
    ),
    level="plan",
    why="because",
    policy_hash="abc",
    created_at="2026-01-31T09:30:00.000Z",
    expires_at="2026-01-31T10:00:00.000Z",
)  # fmt: skip
SCRIPT = """
import json, sys
from cordboard.plan import load, request_key
plan = load(json.loads(sys.stdin.buffer.read()))
print(plan.body() == sys.argv[1], request_key(plan))
"""


def test_text_and_key_are_the_same_in_another_process_with_another_hash_seed() -> None:
    body = SAMPLE.body()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, body],
            input=body.encode(),
            capture_output=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONUTF8": "1"},
        )
        assert done.stdout.decode().split() == ["True", request_key(SAMPLE)]


def test_the_hash_of_a_plan_is_that_of_its_text_and_does_not_change_between_versions() -> None:
    """Stored approvals are bound to this hash: changing it strands every open plan."""
    assert hashlib.sha256(SAMPLE.body().encode()).hexdigest() == (
        "5a745eaf14982754d97a5900217b09105e81beb810b0419b6697c8c4bb46fe0f"
    )


def changed(**parts: Any) -> Plan:
    return replace(SAMPLE, **parts)


def asked(**parts: Any) -> Plan:
    return changed(asked=replace(SAMPLE.asked, **parts))


def drafted(*altered: Change, **parts: Any) -> Plan:
    return changed(draft=replace(SAMPLE.draft, changes=altered or SAMPLE.draft.changes, **parts))


FIRST, SECOND = SAMPLE.draft.changes


def test_the_same_request_has_the_same_key_whatever_its_order_id_time_and_words() -> None:
    key = request_key(SAMPLE)
    for same in (
        asked(numbers=("+12025550100", "+14155550100")),
        asked(numbers=(), slugs=("12025550100", "14155550100")),
        drafted(SECOND, FIRST),
        drafted(replace(FIRST, detail="other words"), SECOND),
        drafted(warnings=("x",)),
        changed(plan_id="plan_" + "f" * 24),
        changed(created_at="2027-01-01T00:00:00.000Z", expires_at="2027-01-01T00:30:00.000Z"),
        changed(why="for another reason"),
    ):
        assert request_key(same) == key


def test_another_request_or_another_observed_state_has_another_key() -> None:
    others = [
        changed(account="other"),
        changed(principal="bob"),
        changed(level="client"),
        changed(policy_hash="def"),
        asked(action="detach"),
        asked(agent="local:sales"),
        asked(from_agent="local:sales"),
        asked(provider="twilio"),
        asked(keep_pathway=True),
        asked(pathway=Pathway("p")),
        asked(undoes="plan_" + "1" * 24),
        drafted(FIRST),
        drafted(FIRST, replace(SECOND, number="+12025550101")),
        drafted(FIRST, replace(SECOND, image=replace(SECOND.image, version=3))),
        drafted(FIRST, replace(SECOND, image=replace(SECOND.image, holders=("local:x",)))),
        drafted(FIRST, replace(SECOND, image=replace(SECOND.image, purpose="TEST"))),
        drafted(FIRST, replace(SECOND, image=replace(SECOND.image, tags=("protected",)))),
        drafted(FIRST, replace(SECOND, after=Side("inbound", "local:support", Pathway("p", 1)))),
        drafted(FIRST, replace(SECOND, before=Side("inbound", "local:x"))),
        drafted(
            FIRST, replace(SECOND, before=Side("outbound"), after=Side("outbound", "local:support"))
        ),
        drafted(mixes=True),
    ]
    keys = [request_key(SAMPLE), *(request_key(other) for other in others)]
    assert len(set(keys)) == len(keys)


@given(
    st.lists(changes, min_size=2, max_size=4, unique_by=lambda c: (c.number, c.direction)),
    st.randoms(),
)
def test_the_order_of_numbers_never_matters_to_the_key(found: list[Change], chance: Any) -> None:
    shuffled = found[:]
    chance.shuffle(shuffled)
    assert request_key(drafted(*found)) == request_key(drafted(*shuffled))
