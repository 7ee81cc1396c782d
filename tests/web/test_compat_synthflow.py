"""Synthflow's REST here: the seed's examples, its own OpenAPI, pools, and its reads."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.web.rest import Rest, served
from tests.world import (
    AT,
    INDIA,
    POOL_ONE,
    POOL_TWO,
    SEEDS,
    SUPPORT_LINE,
    TEST_ONE,
    Worlds,
    many,
    names,
)

pytestmark = pytest.mark.anyio

SEED = SEEDS.bound("local:support", SUPPORT_LINE)
POOL = "/assistants/campaign/phone_numbers"
BY_NUMBER = {"phone_numbers": ["+16286666348", "+12131231214"]}
BY_SLUG = {"phone_number_slugs": ["16286666348", "1231242151"]}
NOW = "2026-01-31T09:30:00.000Z"
VENDOR = Path(__file__).parents[1] / "platforms" / "openapi"


@pytest.fixture
async def rest(make_world: Worlds) -> AsyncIterator[Rest]:
    async with served(make_world(SEED, policy="relaxed")) as found:
        yield found


def as_the_vendor_has_it(file: str, status: int, body: Any) -> None:
    """Raises where an answer is not as the vendor's own specification of the operation says."""
    whole = json.loads((VENDOR / file).read_text("utf-8"))
    [path] = whole["paths"].values()
    [operation] = [one for one in path.values() if isinstance(one, dict)]
    schema = operation["responses"][str(status)]["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator(schema | {"components": whole["components"]}).validate(body)


async def no(
    rest: Rest, method: str, path: str, body: Any, status: int, category: str, said: str = ""
) -> dict[str, Any]:
    """A refusal with that status and category, after which everything is as it was."""
    before = await rest.state()
    answer = await rest.synthflow(method, path, body)
    assert answer.status_code == status, answer.text
    detail: dict[str, Any] = answer.json()["detail"]
    assert detail["category"] == category and said in detail["description"]
    assert set(detail) == {"status", "description", "request_id", "category"}
    assert await rest.state() == before
    return detail


# Attach and detach


@pytest.mark.parametrize("body", [BY_NUMBER, BY_SLUG], ids=["by number", "by slug"])
async def test_numbers_are_added_to_a_pool(rest: Rest, body: dict[str, Any]) -> None:
    answer = await rest.synthflow("PUT", POOL, body)
    assert answer.status_code == 200 and answer.json() == {"status": "ok"}
    as_the_vendor_has_it("synthflow-attach.json", 200, answer.json())
    for number in (POOL_ONE, POOL_TWO):
        assert await rest.world.holders(number, "outbound") == ["local:campaign"]
    more = await rest.synthflow("PUT", POOL, {"phone_numbers": [TEST_ONE]})
    assert more.status_code == 200
    assert await rest.world.holders(POOL_ONE, "outbound") == ["local:campaign"]


async def test_a_number_may_serve_one_inbound_and_several_outbound_assistants(rest: Rest) -> None:
    body = {"phone_numbers": [SUPPORT_LINE]}
    for model in ("campaign", "followup"):
        path = f"/assistants/{model}/phone_numbers"
        assert (await rest.synthflow("PUT", path, body)).status_code == 200
    outbound = await rest.world.holders(SUPPORT_LINE, "outbound")
    assert sorted(outbound) == ["local:campaign", "local:followup"]
    assert await rest.world.holders(SUPPORT_LINE) == ["local:support"]
    said = await no(
        rest, "PUT", "/assistants/sales/phone_numbers", body, 409, "conflict", "support"
    )
    assert SUPPORT_LINE in said["description"]


async def test_a_number_is_taken_out_of_a_pool_by_its_slug(rest: Rest) -> None:
    await rest.synthflow("PUT", POOL, BY_NUMBER)
    answer = await rest.synthflow("DELETE", f"{POOL}/1231242151")
    assert answer.status_code == 200 and answer.json() == {"status": "ok"}
    as_the_vendor_has_it("synthflow-detach.json", 200, answer.json())
    assert await rest.world.holders(POOL_TWO, "outbound") == []
    assert await rest.world.holders(POOL_ONE, "outbound") == ["local:campaign"]
    await no(rest, "DELETE", f"{POOL}/1231242151", None, 404, "not_found", "not attached")


async def test_what_is_not_there_is_404_as_the_vendor_has_it(rest: Rest) -> None:
    missing: tuple[tuple[str, str, Any, str], ...] = (
        ("PUT", "/assistants/nobody/phone_numbers", BY_NUMBER, "Assistant not found"),
        ("PUT", "/assistants/local:support/phone_numbers", BY_NUMBER, "Assistant not found"),
        ("PUT", POOL, {"phone_numbers": ["+14155551235"]}, "+14155551235"),
        ("PUT", POOL, {"phone_number_slugs": ["16286666348", "12131231214"]}, "12131231214"),
        ("DELETE", "/assistants/nobody/phone_numbers/16286666348", None, "Assistant not found"),
        ("DELETE", f"{POOL}/nothing-like-it", None, "nothing-like-it"),
        ("DELETE", f"{POOL}/{'9' * 65}", None, "Phone number not found"),
        ("DELETE", f"{POOL}/%2B16286666348", None, "Phone number not found"),
        ("DELETE", f"{POOL}/14155551234", None, "not attached"),
        ("DELETE", "/assistants/sales/phone_numbers/14155551234", None, "not attached"),
    )
    for method, path, body, said in missing:
        detail = await no(rest, method, path, body, 404, "not_found", said)
        verb = "attach" if method == "PUT" else "detach"
        as_the_vendor_has_it(f"synthflow-{verb}.json", 404, {"detail": detail})


async def test_a_body_names_numbers_one_way_or_the_other(rest: Rest) -> None:
    """The seed's oneOf: exactly one; an empty list names nothing."""
    bodies: tuple[Any, ...] = (
        {}, BY_NUMBER | BY_SLUG, {"phone_numbers": []}, {"phone_number_slugs": []},
        BY_NUMBER | {"phone_number_slugs": []}, {"phone_numbers": None},
        {"phone_number_slugs": [16286666348]}, {"phone_number_slugs": ["a b"]},
        {"phone_number_slugs": ["16286666348", "16286666348"]}, {"phone_number_slugs": [""]},
        {"phone_number_slugs": ["../x"]}, {"phone_number_slugs": ["1" * 65]},
        {"phone_number_slugs": [str(n) for n in range(101)]},
    )  # fmt: skip
    for body in bodies:
        await no(rest, "PUT", POOL, body, 422, "validation")


async def test_only_a_bearer_token_is_a_key(rest: Rest) -> None:
    for said in (rest.key, f"Basic {rest.key}", f"Token {rest.key}"):
        answer = await rest.synthflow("GET", "/numbers", headers={"authorization": said})
        assert answer.status_code == 401
        assert answer.json()["detail"]["category"] == "unauthenticated"


# Reads


async def test_an_assistant_is_told_with_its_numbers(rest: Rest) -> None:
    await rest.synthflow("PUT", POOL, BY_NUMBER)
    answer = await rest.synthflow("GET", "/assistants/campaign?include_actions=false")
    assert answer.json() == {
        "status": "ok",
        "response": {
            "assistants": [
                {
                    "model_id": "campaign",
                    "name": "Spring Campaign",
                    "type": "outbound",
                    "phone_number": POOL_TWO,
                    "created_at": AT,
                    "updated_at": NOW,
                    "attached_phone_numbers": [
                        {"number": POOL_TWO, "sid": None, "slug": "1231242151"},
                        {"number": POOL_ONE, "sid": None, "slug": "16286666348"},
                    ],
                }
            ]
        },
    }
    await no(rest, "GET", "/assistants/nobody", None, 404, "not_found", "Assistant not found")


@pytest.mark.parametrize("path", ["/assistants/", "/assistants"])
async def test_assistants_come_page_by_page(rest: Rest, path: str) -> None:
    found: list[dict[str, Any]] = []
    for offset in range(0, 6, 2):
        page = (await rest.synthflow("GET", f"{path}?limit=2&offset={offset}")).json()["response"]
        assert page["pagination"] == {"total_records": 5, "limit": 2, "offset": offset}
        found += page["assistants"]
    assert [(row["model_id"], row["type"], row["phone_number"]) for row in found] == [
        ("campaign", "outbound", ""),
        ("followup", "outbound", ""),
        ("night", "inbound", ""),
        ("sales", "inbound", ""),
        ("support", "inbound", SUPPORT_LINE),
    ]
    assert "attached_phone_numbers" not in found[0]


async def test_numbers_come_page_by_page_with_and_without_an_inbound_assistant(rest: Rest) -> None:
    await rest.synthflow("PUT", POOL, BY_NUMBER)

    async def numbers(query: str) -> tuple[int, list[tuple[str, bool]]]:
        said = (await rest.synthflow("GET", f"/numbers?workspace=any&{query}")).json()["response"]
        rows = [(row["number"], row["is_available"]) for row in said["phone_numbers"]]
        return said["pagination"]["total_records"], rows

    total, every = await numbers("limit=200")
    assert total == len(every) == len(SEEDS.numbers)
    assert await numbers("is_available=false") == (1, [(SUPPORT_LINE, False)])
    total, free = await numbers("is_available=true&limit=3&offset=8")
    assert total == 10 and [number for number, _ in free] == [number for number, _ in every][9:]
    assert [free for number, free in every if number == POOL_ONE] == [True]


async def test_a_number_is_told_by_its_slug_without_an_envelope(rest: Rest) -> None:
    await rest.synthflow("PUT", "/assistants/campaign/phone_numbers", BY_NUMBER)
    await rest.synthflow("PUT", "/assistants/night/phone_numbers", {"phone_numbers": [POOL_TWO]})
    answer = await rest.synthflow("GET", "/numbers/1231242151?workspace=any")
    assert answer.json() == {
        "slug": "1231242151",
        "phone_number": POOL_TWO,
        "friendly_name": "Pool Two",
        "is_sms_capable": False,
        "is_voice_capable": True,
        "provider_name": "twilio",
        "region": "",
        "is_available": False,
        "workspace_id": "default",
        "created_at": None,
        "updated_at": NOW,
        "assistants": ["night", "campaign"],
    }
    for slug in ("12131231214", "nothing", INDIA.replace("+", "%2B"), "%D9%A1"):
        await no(rest, "GET", f"/numbers/{slug}", None, 404, "not_found", "Phone number not found")


async def test_a_query_that_is_none_is_refused(rest: Rest) -> None:
    for query in ("limit=0", "limit=201", "limit=x", "offset=-1", "offset=1.0", "limit=1&limit=2",
                  "offset=" + "9" * 30):  # fmt: skip
        for path in ("/assistants/", "/numbers"):
            await no(rest, "GET", f"{path}?{query}", None, 422, "validation")
    await no(rest, "GET", "/numbers?is_available=yes", None, 422, "validation")


async def test_many_numbers_and_assistants_are_counted_and_paged(make_world: Worlds) -> None:
    numbers = many(450)
    async with served(make_world(SEEDS.but(numbers=numbers), policy="relaxed")) as rest:
        found: list[str] = []
        for offset in range(0, 450, 200):
            path = f"/numbers?limit=200&offset={offset}"
            page = (await rest.synthflow("GET", path)).json()["response"]
            assert page["pagination"]["total_records"] == 450
            found += [row["number"] for row in page["phone_numbers"]]
        assert found == names(numbers)
