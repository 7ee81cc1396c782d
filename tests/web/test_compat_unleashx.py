"""UnleashX's attach here: the seed's fields, and every status and message of its table."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.web.rest import ATTACH, Rest, served
from tests.world import INDIA, NOT_OWNED, SECOND_LINE, SEEDS, SUPPORT_LINE, Worlds

pytestmark = pytest.mark.anyio

ASKED: dict[str, Any] = {"agent_id": "support", "provider": "exotel", "numbers": [INDIA]}
NOW_IN_MS = 1769851800000


@pytest.fixture
async def rest(make_world: Worlds) -> AsyncIterator[Rest]:
    async with served(make_world(policy="relaxed")) as found:
        yield found


async def no(rest: Rest, body: Any, status: int, message: str) -> None:
    """A refusal with that status and message, after which everything is as it was."""
    before = await rest.state()
    answer = await rest.unleashx(body)
    assert answer.status_code == status, answer.text
    said = answer.json()
    assert message in said.pop("message")
    assert said == {"error": True, "code": status, "timestamp": NOW_IN_MS, "data": None}
    assert await rest.state() == before


async def test_an_attach_answers_the_fields_of_the_page(rest: Rest) -> None:
    answer = await rest.unleashx(ASKED)
    assert answer.status_code == 200 and answer.json() == {
        "error": False,
        "code": 200,
        "message": "Phone number attached successfully",
        "timestamp": NOW_IN_MS,
        "data": {
            "agent_id": "support",
            "phone_numbers": [INDIA],
            "provider": "exotel",
            "attached_at": "2026-01-31T09:30:00.000Z",
            "status": "active",
        },
    }
    assert await rest.world.holders(INDIA) == ["local:support"]


async def test_an_attach_again_tells_since_when(rest: Rest) -> None:
    first = (await rest.unleashx(ASKED)).json()
    rest.world.clock.advance(3600)
    again = (await rest.unleashx(ASKED)).json()
    assert again["data"] == first["data"] and again["timestamp"] == NOW_IN_MS + 3_600_000


@pytest.mark.parametrize("header", ["token", "api_access_token", "Token", "API_ACCESS_TOKEN"])
async def test_the_key_may_stand_in_either_header(rest: Rest, header: str) -> None:
    answer = await rest.send("POST", ATTACH, ASKED, headers={header: rest.key})
    assert answer.status_code == 200


async def test_a_key_in_another_header_is_none(rest: Rest) -> None:
    bearer = {"authorization": f"Bearer {rest.key}"}
    assert (await rest.send("POST", ATTACH, ASKED, headers=bearer)).status_code == 401
    both = {"token": "wrong", "api_access_token": rest.key}
    assert (await rest.send("POST", ATTACH, ASKED, headers=both)).status_code == 401


REQUIRED = (
    ("agent_id", "Agent ID is required"),
    ("provider", "Provider is required"),
    ("numbers", "Phone number(s) are required"),
)


@pytest.mark.parametrize(("field", "message"), REQUIRED)
async def test_a_field_that_is_missing_is_told_word_for_word(
    rest: Rest, field: str, message: str
) -> None:
    nothing: tuple[Any, ...] = ("", None, [])
    for empty in nothing:
        await no(rest, ASKED | {field: empty}, 400, message)
    await no(rest, {k: v for k, v in ASKED.items() if k != field}, 400, message)


async def test_the_first_field_that_is_missing_is_told(rest: Rest) -> None:
    await no(rest, {}, 400, "Agent ID is required")
    await no(rest, {"agent_id": "support"}, 400, "Provider is required")


async def test_the_table_s_other_messages(make_world: Worlds) -> None:
    seed = SEEDS.bound("local:sales", SECOND_LINE)
    async with served(make_world(seed, policy="relaxed")) as rest:
        wrong = {"numbers": ["918062810341"]}
        taken = {"provider": "twilio", "numbers": [SUPPORT_LINE, SECOND_LINE]}
        form = "Invalid phone number format. Use E.164 format"
        await no(rest, ASKED | wrong, 400, form)
        await no(rest, ASKED | taken, 409, "Phone number is already attached to another agent")
        for provider in ("san", "ozonetell", "nobody", "EXOTEL", "exotel "):
            said = "Provider not configured for your account"
            await no(rest, ASKED | {"provider": provider}, 400, said)
        for agent in ("nobody", "Support", "local:support", "../support", "x" * 200, "s\u0000"):
            await no(rest, ASKED | {"agent_id": agent}, 404, "Agent not found")


async def test_what_the_page_has_no_message_for_is_told_in_ours(rest: Rest) -> None:
    await no(rest, ASKED | {"numbers": [NOT_OWNED]}, 422, NOT_OWNED)
    await no(rest, ASKED | {"numbers": [SUPPORT_LINE]}, 422, "twilio")
    await no(rest, ASKED | {"agent_id": 7}, 422, "agent_id: must be text, and is a number")
    await no(rest, ASKED | {"provider": True}, 422, "provider: must be text")
    await no(rest, ASKED | {"agent_id": "campaign"}, 422, "calls out")
