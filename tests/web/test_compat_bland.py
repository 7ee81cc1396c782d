"""Bland's REST here: the seeds' own examples word for word, every row of errors, and its reads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.web.rest import Rest, served
from tests.world import (
    AT,
    INDIA,
    NOT_OWNED,
    POOL_ONE,
    SECOND_LINE,
    SEEDS,
    SUPPORT_LINE,
    SeedAgent,
    Worlds,
    many,
    names,
)

pytestmark = pytest.mark.anyio

PERSONA = "12345678-1234-1234-1234-123456789012"
NOW = "2026-01-31T09:30:00.000Z"
BOTH = {"inbound_numbers": [SUPPORT_LINE, SECOND_LINE]}
SEED = SEEDS.but(
    agents=(*SEEDS.agents, SeedAgent(f"local:{PERSONA}", "Support Agent")),
)
INBOUND = f"/v1/personas/{PERSONA}/inbound"
SETTINGS = f"{INBOUND}/%2B14155551234/settings"
OVERRIDE: dict[str, Any] = {
    "pathway_id": "pathway_abc123",
    "pathway_version": 2,
    "start_node_id": "node_xyz",
}
# From the vendor's pages, but for the times and the user.
ATTACHED: dict[str, Any] = {
    "data": {
        "id": "12345678-1234-1234-1234-123456789012",
        "name": "Support Agent",
        "user_id": "user-1",
        "inbound_numbers": [
            {
                "phone_number": "+14155551234",
                "label": "Support Line",
                "persona_id": "12345678-1234-1234-1234-123456789012",
                "persona_settings": None,
            },
            {
                "phone_number": "+14155555678",
                "label": None,
                "persona_id": "12345678-1234-1234-1234-123456789012",
                "persona_settings": None,
            },
        ],
        "created_at": AT,
        "updated_at": NOW,
    },
    "errors": None,
}
SET: dict[str, Any] = {
    "data": {
        "id": 42,
        "phone_number": "+14155551234",
        "persona_id": "12345678-1234-1234-1234-123456789012",
        "persona_settings": {
            "pathway_id": "pathway_abc123",
            "pathway_version": 2,
            "start_node_id": "node_xyz",
        },
        "updated_at": NOW,
    },
    "errors": None,
}
NOT_OURS = {
    "data": None,
    "errors": [
        {
            "error": "INVALID_INBOUND_NUMBERS",
            "message": "Some phone numbers were not found or do not belong to you",
        }
    ],
}
NOT_ATTACHED = {
    "data": None,
    "errors": [
        {
            "error": "INBOUND_NOT_FOUND",
            "message": "Inbound number not found or not attached to this persona",
        }
    ],
}
NO_PERSONA = {
    "data": None,
    "errors": [
        {"error": "PERSONA_NOT_FOUND", "message": "Persona not found or access denied"},
    ],
}


@pytest.fixture
async def rest(make_world: Worlds) -> AsyncIterator[Rest]:
    async with served(make_world(SEED, policy="relaxed")) as found:
        yield found


async def attached(rest: Rest) -> None:
    """Both lines at the persona, the first with a pathway of its own."""
    assert (await rest.bland("POST", f"{INBOUND}/attach", BOTH)).status_code == 200
    answer = await rest.bland("PATCH", SETTINGS, {"persona_settings": OVERRIDE})
    assert answer.status_code == 200


async def no(
    rest: Rest, method: str, path: str, body: Any, status: int, code: str
) -> dict[str, Any]:
    """A refusal with that status and code, after which everything is as it was."""
    before = await rest.state()
    answer = await rest.bland(method, path, body)
    said: dict[str, Any] = answer.json()
    assert (answer.status_code, said["errors"][0]["error"]) == (status, code), answer.text
    assert await rest.state() == before
    return said


# The vendor's own examples


async def test_attach_answers_the_persona_word_for_word(rest: Rest) -> None:
    answer = await rest.bland("POST", f"{INBOUND}/attach", BOTH)
    assert answer.status_code == 200 and answer.json() == ATTACHED


async def test_settings_answer_the_number_word_for_word(rest: Rest) -> None:
    await rest.bland("POST", f"{INBOUND}/attach", BOTH)
    answer = await rest.bland("PATCH", SETTINGS, {"persona_settings": OVERRIDE})
    assert answer.status_code == 200 and answer.json() == SET
    [side, *_] = await rest.world.sides(SUPPORT_LINE)
    assert side == ("inbound", f"local:{PERSONA}", "pathway_abc123", 2, "node_xyz")


async def test_null_clears_the_settings(rest: Rest) -> None:
    await attached(rest)
    answer = await rest.bland("PATCH", SETTINGS, {"persona_settings": None})
    assert answer.json() == {"data": SET["data"] | {"persona_settings": None}, "errors": None}
    assert (await rest.bland("GET", f"/v1/personas/{PERSONA}")).json() == ATTACHED


async def test_detach_answers_the_persona_without_its_numbers_word_for_word(rest: Rest) -> None:
    await attached(rest)
    answer = await rest.bland("POST", f"{INBOUND}/detach", BOTH)
    data = ATTACHED["data"] | {"inbound_numbers": []}
    assert answer.status_code == 200 and answer.json() == {"data": data, "errors": None}


async def test_a_number_that_is_not_ours_is_refused_word_for_word(rest: Rest) -> None:
    body = {"inbound_numbers": [SUPPORT_LINE, NOT_OWNED]}
    said = await no(rest, "POST", f"{INBOUND}/attach", body, 400, "INVALID_INBOUND_NUMBERS")
    assert said == NOT_OURS


async def test_settings_of_a_number_that_is_not_attached_are_refused_word_for_word(
    rest: Rest,
) -> None:
    await rest.bland("POST", "/v1/personas/sales/inbound/attach", {"inbound_numbers": [INDIA]})
    for number in ("+14155551234", INDIA, NOT_OWNED, "14155551234", "+1", "%D9%A1", "nothing"):
        path = f"{INBOUND}/{number.replace('+', '%2B')}/settings"
        for settings in (OVERRIDE, None):
            body = {"persona_settings": settings}
            assert await no(rest, "PATCH", path, body, 404, "INBOUND_NOT_FOUND") == NOT_ATTACHED


@pytest.mark.parametrize("persona", ["nobody", "campaign", "SUPPORT", "x" * 100])
async def test_a_persona_that_is_not_there_is_told_word_for_word(rest: Rest, persona: str) -> None:
    """An agent that only calls out is none."""
    root = f"/v1/personas/{persona}"
    for verb in ("attach", "detach"):
        said = await no(rest, "POST", f"{root}/inbound/{verb}", BOTH, 404, "PERSONA_NOT_FOUND")
        assert said == NO_PERSONA
    assert await no(rest, "GET", root, None, 404, "PERSONA_NOT_FOUND") == NO_PERSONA


# Keys


async def test_the_raw_key_and_a_bearer_token_are_both_taken(rest: Rest) -> None:
    for said in (rest.key, f"Bearer {rest.key}", f"bearer  {rest.key}", f" {rest.key} "):
        answer = await rest.bland("GET", "/v1/personas", headers={"authorization": said})
        assert answer.status_code == 200
    for said in ("", f"Basic {rest.key}", f"Bearer{rest.key}", rest.key.upper()):
        answer = await rest.bland("GET", "/v1/personas", headers={"authorization": said})
        assert (
            answer.status_code == 401 and answer.json()["errors"][0]["error"] == "UNAUTHENTICATED"
        )


# What changes, and what does not


async def test_an_attach_keeps_what_is_attached_with_its_settings(rest: Rest) -> None:
    await attached(rest)
    answer = await rest.bland("POST", f"{INBOUND}/attach", {"inbound_numbers": [INDIA]})
    rows = {r["phone_number"]: r for r in answer.json()["data"]["inbound_numbers"]}
    assert list(rows) == [SUPPORT_LINE, SECOND_LINE, INDIA]
    assert rows[SUPPORT_LINE]["persona_settings"] == OVERRIDE


async def test_detach_affects_only_numbers_of_this_persona(rest: Rest) -> None:
    """Not those of another, free ones, or ones nobody owns; and says nothing of them."""
    await attached(rest)
    await rest.bland("POST", "/v1/personas/sales/inbound/attach", {"inbound_numbers": [INDIA]})
    others = [INDIA, POOL_ONE, NOT_OWNED]
    before = await rest.state()
    answer = await rest.bland("POST", f"{INBOUND}/detach", {"inbound_numbers": others})
    assert answer.status_code == 200 and len(answer.json()["data"]["inbound_numbers"]) == 2
    assert await rest.state() == before
    body = {"inbound_numbers": [*others, SUPPORT_LINE]}
    answer = await rest.bland("POST", f"{INBOUND}/detach", body)
    assert [r["phone_number"] for r in answer.json()["data"]["inbound_numbers"]] == [SECOND_LINE]
    assert await rest.world.holders(INDIA) == ["local:sales"]
    again = await rest.bland("POST", f"{INBOUND}/detach", body)
    assert again.json() == answer.json()


async def test_detach_clears_the_settings_and_undo_brings_them_back(rest: Rest) -> None:
    await attached(rest)
    before = (await rest.bland("GET", f"/v1/personas/{PERSONA}")).json()
    await rest.bland("POST", f"{INBOUND}/detach", BOTH)
    detached = (await rest.world.call("list_changes", number=SUPPORT_LINE))["changes"][0]
    await rest.world.done("undo_plan", plan_id=detached["plan_id"])
    assert (await rest.bland("GET", f"/v1/personas/{PERSONA}")).json() == before
    await rest.bland("POST", f"{INBOUND}/detach", BOTH)
    await rest.bland("POST", f"{INBOUND}/attach", BOTH)
    assert (await rest.bland("GET", f"/v1/personas/{PERSONA}")).json() == ATTACHED


async def test_settings_replace_all_three_of_their_fields(rest: Rest) -> None:
    await attached(rest)
    body = {"persona_settings": {"pathway_id": "pathway_sales"}}
    answer = await rest.bland("PATCH", SETTINGS, body)
    assert answer.json()["data"]["persona_settings"] == {"pathway_id": "pathway_sales"}
    assert (await rest.world.sides(SUPPORT_LINE))[0][2:] == ("pathway_sales", 0, "")


@pytest.mark.parametrize("version", [2, 2.0])
async def test_a_version_is_a_number_however_json_writes_it(rest: Rest, version: float) -> None:
    await rest.bland("POST", f"{INBOUND}/attach", BOTH)
    body = {"persona_settings": OVERRIDE | {"pathway_version": version}}
    answer = await rest.bland("PATCH", SETTINGS, body)
    assert answer.json()["data"]["persona_settings"] == OVERRIDE


async def test_the_same_settings_again_are_a_success_and_no_new_plan(rest: Rest) -> None:
    await attached(rest)
    before = await rest.state()
    answer = await rest.bland("PATCH", SETTINGS, {"persona_settings": OVERRIDE})
    assert answer.json()["data"]["persona_settings"] == OVERRIDE and await rest.state() == before


@pytest.mark.parametrize(
    ("pathway", "said"),
    [
        ({"pathway_id": "pathway_abc124"}, "pathway_abc124"),
        ({"pathway_id": "pathway_abc123", "pathway_version": 3}, "version 3"),
        (OVERRIDE | {"start_node_id": "node_nope"}, "node_nope"),
    ],
)
async def test_a_pathway_that_is_not_there_is_refused_naming_what_is_missing(
    rest: Rest, pathway: dict[str, Any], said: str
) -> None:
    await attached(rest)
    body = {"persona_settings": pathway}
    told = await no(rest, "PATCH", SETTINGS, body, 404, "PATHWAY_NOT_FOUND")
    assert said in told["errors"][0]["message"]


BAD_SETTINGS: tuple[tuple[Any, str], ...] = (
    ({}, "persona_settings: is required"),
    ({"settings": None}, "settings"),
    ({"persona_settings": "pathway_abc123"}, "must be an object or null, and is text"),
    ({"persona_settings": []}, "is a list"),
    ({"persona_settings": {}}, "pathway_id: is required"),
    ({"persona_settings": {"pathway_version": 2}}, "pathway_id: is required"),
    ({"persona_settings": {"pathway_id": None}}, "pathway_id: must be text"),
    ({"persona_settings": {"pathway_id": ""}}, "letters, digits"),
    ({"persona_settings": {"pathway_id": "a/../b"}}, "letters, digits"),
    ({"persona_settings": {"pathway_id": "x" * 101}}, "letters, digits"),
    ({"persona_settings": OVERRIDE | {"pathway_version": "2"}}, "pathway_version"),
    ({"persona_settings": OVERRIDE | {"pathway_version": True}}, "pathway_version"),
    ({"persona_settings": OVERRIDE | {"pathway_version": None}}, "pathway_version"),
    ({"persona_settings": OVERRIDE | {"pathway_version": 1.5}}, "pathway_version"),
    ({"persona_settings": OVERRIDE | {"pathway_version": -1}}, "pathway_version"),
    ({"persona_settings": OVERRIDE | {"pathway_version": 10**30}}, "pathway_version"),
    ({"persona_settings": OVERRIDE | {"pathway_version": 1e300}}, "pathway_version"),
    ({"persona_settings": OVERRIDE | {"start_node_id": 7}}, "start_node_id"),
    ({"persona_settings": OVERRIDE | {"pathway": "x"}}, "did you mean pathway_id?"),
    ({"persona_settings": OVERRIDE, "dry_run": True}, "dry_run"),
)


async def test_settings_are_read_strictly(rest: Rest) -> None:
    await attached(rest)
    for body, said in BAD_SETTINGS:
        told = await no(rest, "PATCH", SETTINGS, body, 400, "INVALID_BODY")
        assert said in told["errors"][0]["message"], body


async def test_an_empty_list_of_numbers_is_refused(rest: Rest) -> None:
    bodies: tuple[Any, ...] = ({}, {"inbound_numbers": []}, {"inbound_numbers": None})
    for verb in ("attach", "detach"):
        for body in bodies:
            await no(rest, "POST", f"{INBOUND}/{verb}", body, 400, "INVALID_BODY")


async def test_detach_is_as_strict_about_numbers_as_attach(rest: Rest) -> None:
    await attached(rest)
    for numbers in ([SUPPORT_LINE, "14155555678"], [SUPPORT_LINE, SUPPORT_LINE]):
        body = {"inbound_numbers": numbers}
        await no(rest, "POST", f"{INBOUND}/detach", body, 400, "INVALID_INBOUND_NUMBERS")
    body = {"inbound_numbers": names(many(101))}
    await no(rest, "POST", f"{INBOUND}/detach", body, 400, "LIMIT_EXCEEDED")


# Reads


async def test_personas_come_page_by_page(rest: Rest) -> None:
    await attached(rest)
    ids: list[str] = []
    for page in range(1, 6):
        rows = (await rest.bland("GET", f"/v1/personas?page={page}&limit=1")).json()["data"]
        ids += [row["id"] for row in rows]
    assert ids == [PERSONA, "night", "sales", "support"]
    whole = (await rest.bland("GET", "/v1/personas")).json()
    assert [row["id"] for row in whole["data"]] == ids and whole["errors"] is None
    assert [len(row["inbound_numbers"]) for row in whole["data"]] == [2, 0, 0, 0]
    for query in ("page=0", "limit=101", "limit=0", "page=one", "page=1&page=2", "limit=%D9%A1",
                  "limit=1e1", "page=-1", "limit="):  # fmt: skip
        await no(rest, "GET", f"/v1/personas?{query}", None, 400, "INVALID_QUERY")


async def test_every_number_is_listed_with_who_answers_it(make_world: Worlds) -> None:
    """As Bland lists them: without its envelope and without pages, however many there are."""
    numbers = many(2500)
    seed = SEED.but(numbers=numbers).bound(f"local:{PERSONA}", *names(numbers)[:2])
    async with served(make_world(seed, policy="relaxed")) as rest:
        answer = await rest.bland("GET", "/v1/inbound")
        rows = answer.json()["inbound_numbers"]
        assert [row["phone_number"] for row in rows] == names(numbers)
        assert [row["persona_id"] for row in rows[:3]] == [PERSONA, PERSONA, None]


async def test_pathways_are_told_with_versions_and_nodes(rest: Rest) -> None:
    listed = (await rest.bland("GET", "/v1/pathway")).json()
    assert [(row["id"], row["name"]) for row in listed] == [
        ("pathway_abc123", "Opening Hours"), ("pathway_sales", "Sales"),
    ]  # fmt: skip
    root = "/v1/pathway/pathway_abc123"
    versions = (await rest.bland("GET", f"{root}/versions")).json()
    assert [(v["version_number"], v["is_latest"]) for v in versions] == [(2, True), (1, False)]

    async def nodes(path: str) -> list[str]:
        return [node["id"] for node in (await rest.bland("GET", path)).json()["nodes"]]

    assert await nodes(root) == await nodes(f"{root}/version/0") == ["node_start", "node_xyz"]
    assert await nodes(f"{root}/version/v1") == await nodes(f"{root}/version/1") == ["node_start"]
    for path in ("/v1/pathway/nope", "/v1/pathway/nope/versions", "/v1/pathway/nope/version/1"):
        await no(rest, "GET", path, None, 404, "PATHWAY_NOT_FOUND")
    for version in ("3", "latest", "%D9%A1", "v"):
        await no(rest, "GET", f"{root}/version/{version}", None, 404, "VERSION_NOT_FOUND")


async def test_there_are_no_v2_agents(rest: Rest) -> None:
    assert (await rest.bland("GET", "/v2/agents?limit=500")).json() == {"data": [], "errors": None}
    await no(rest, "GET", "/v2/agents/front-desk", None, 404, "AGENT_NOT_FOUND")
    answer = await rest.bland("GET", "/v2/agents/front-desk/inbound")
    assert answer.json()["data"] == {"agent_id": "front-desk", "persona_id": None}
