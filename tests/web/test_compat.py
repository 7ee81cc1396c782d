"""What holds for the REST of all three vendors: keys, rights, approvals, strict bodies, the journal."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import anyio
import httpx
import pytest
from tests.web.rest import ATTACH, BLAND, SYNTHFLOW, Rest, served
from tests.web.site import APPROVES, READS, WRITES
from tests.world import NOT_OWNED, SECOND_LINE, SEEDS, SUPPORT_LINE, Worlds, many, names

pytestmark = pytest.mark.anyio

BOTH = [SUPPORT_LINE, SECOND_LINE]


@dataclass(frozen=True)
class Manner:
    """How a vendor's client attaches numbers to the agent `local:support`, and reads a no."""

    name: str
    method: str
    path: str
    body: Callable[[list[str]], dict[str, Any]]
    headers: Callable[[str], dict[str, str]]
    refusal: Callable[[Any], dict[str, Any]]
    malformed: int
    """The status for a body whose fields are not as they must be."""

    async def attach(
        self, rest: Rest, numbers: list[str], key: str = "", **more: Any
    ) -> httpx.Response:
        headers = self.headers(key or rest.key) | more.pop("headers", {})
        body = more.pop("body", self.body(numbers))
        return await rest.send(self.method, self.path, body, headers=headers, **more)


def _bland_no(said: Any) -> dict[str, Any]:
    assert said["data"] is None
    [error] = said["errors"]
    return {"code": error["error"], **error}


def _unleashx_no(said: Any) -> dict[str, Any]:
    assert said["error"] is True
    return {"code": "", "message": said["message"], **(said["data"] or {})}


def _synthflow_no(said: Any) -> dict[str, Any]:
    detail = said["detail"]
    assert detail["status"] == "error" and detail["request_id"]
    return {"code": detail["category"].upper(), "message": detail["description"], **detail}


MANNERS = (
    Manner(
        "bland", "POST", f"{BLAND}/v1/personas/support/inbound/attach",
        lambda numbers: {"inbound_numbers": numbers},
        lambda key: {"authorization": key}, _bland_no, 400,
    ),
    Manner(
        "unleashx", "POST", ATTACH,
        lambda numbers: {"agent_id": "support", "provider": "twilio", "numbers": numbers},
        lambda key: {"token": key}, _unleashx_no, 422,
    ),
    Manner(
        "synthflow", "PUT", f"{SYNTHFLOW}/assistants/support/phone_numbers",
        lambda numbers: {"phone_numbers": numbers},
        lambda key: {"authorization": f"Bearer {key}"}, _synthflow_no, 422,
    ),
)  # fmt: skip
everywhere = pytest.mark.parametrize("manner", MANNERS, ids=lambda manner: manner.name)


@pytest.fixture
async def rest(make_world: Worlds) -> AsyncIterator[Rest]:
    async with served(make_world(policy="relaxed")) as found:
        yield found


async def refused(
    rest: Rest, manner: Manner, numbers: list[str], status: int, **more: Any
) -> dict[str, Any]:
    """A refusal in the vendor's shape, after which everything is as it was."""
    before = await rest.state()
    answer = await manner.attach(rest, numbers, **more)
    assert answer.status_code == status, answer.text
    assert await rest.state() == before
    said = manner.refusal(answer.json())
    assert "Traceback" not in answer.text and "local:" not in answer.text
    return said


# Who calls, and what they may


@everywhere
async def test_a_change_is_made_by_a_plan_and_stands_in_the_journal_with_who_made_it(
    rest: Rest, manner: Manner
) -> None:
    assert (await manner.attach(rest, BOTH)).status_code == 200
    assert await rest.world.holders(SUPPORT_LINE) == ["local:support"]
    assert (await rest.world.events())[-3:] == ["planned", "approved", "applied"]
    rows = (await rest.world.call("list_changes"))["changes"]
    assert [(r["number"], r["status"], r["by"]) for r in rows] == [
        (number, "applied", "alice") for number in BOTH
    ]


@everywhere
async def test_without_a_key_or_with_a_wrong_one_the_answer_is_401(
    rest: Rest, manner: Manner
) -> None:
    wrong = f"{rest.key[:-1]}{'A' if rest.key[-1] != 'A' else 'B'}"
    for key in (wrong, "x", "Bearer"):
        answer = await manner.attach(rest, BOTH, key)
        assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        assert "not valid" in manner.refusal(answer.json())["message"]
    none = await rest.send(manner.method, manner.path, manner.body(BOTH), headers={})
    assert none.status_code == 401 and "needed" in manner.refusal(none.json())["message"]
    assert await rest.world.holders(SUPPORT_LINE) == []


@everywhere
async def test_an_expired_key_is_a_wrong_one(rest: Rest, manner: Manner) -> None:
    rest.world.clock.advance(10 * 365 * 86400)
    await refused(rest, manner, BOTH, 401)


@everywhere
async def test_a_key_that_may_only_read_changes_nothing(rest: Rest, manner: Manner) -> None:
    said = await refused(rest, manner, BOTH, 403, key=await rest.token(*READS))
    assert "numbers:write" in said["message"] and said["code"] in ("", "NOT_ALLOWED")
    approver = await rest.token("changes:approve", "admin")
    await refused(rest, manner, BOTH, 403, key=approver)


async def test_a_key_that_may_only_write_reads_nothing(rest: Rest) -> None:
    key = await rest.token("numbers:write")
    for path in ("/v1/personas", "/v1/personas/support", "/v1/inbound", "/v1/pathway"):
        assert (await rest.bland("GET", path, key=key)).status_code == 403
    for path in ("/assistants/", "/assistants/support", "/numbers", "/numbers/14155551234"):
        assert (await rest.synthflow("GET", path, key=key)).status_code == 403


@everywhere
async def test_a_key_of_another_account_sees_and_changes_nothing_of_this_one(
    rest: Rest, manner: Manner
) -> None:
    key = await rest.token(*APPROVES, account="other")
    said = await refused(rest, manner, BOTH, 404, key=key)
    assert "not found" in said["message"].lower()
    assert (await rest.bland("GET", "/v1/personas", key=key)).json()["data"] == []
    assert (await rest.bland("GET", "/v1/inbound", key=key)).json() == {"inbound_numbers": []}
    assert (await rest.bland("GET", "/v1/pathway", key=key)).json() == []
    assert (await rest.bland("GET", "/v1/personas/support", key=key)).status_code == 404
    listed = (await rest.synthflow("GET", "/numbers", key=key)).json()["response"]
    assert listed["phone_numbers"] == [] and listed["pagination"]["total_records"] == 0
    assert (await rest.synthflow("GET", "/numbers/14155551234", key=key)).status_code == 404


# Approval


@everywhere
@pytest.mark.parametrize("policy", ["standard", "strict"])
async def test_a_key_that_may_not_approve_gets_the_plan_that_a_person_must(
    make_world: Worlds, manner: Manner, policy: str
) -> None:
    async with served(make_world(policy=policy)) as rest:
        key = await rest.token(*WRITES, subject="bob")
        answer = await manner.attach(rest, BOTH, key)
        said = manner.refusal(answer.json())
        assert answer.status_code == 403 and said["code"] in ("", "APPROVAL_REQUIRED")
        plan = said["plan"]
        assert said["plan_id"] == plan["plan_id"] and plan["status"] == "awaiting_approval"
        assert [change["number"] for change in plan["changes"]] == BOTH
        page = f"http://127.0.0.1:8000/approvals/{said['plan_id']}"
        assert plan["approve"]["url"] == page and page in said["message"]
        assert f"approve {said['plan_id']}" in plan["approve"]["command"]
        assert plan["guard"]["required"] == "person"
        assert await rest.world.holders(SUPPORT_LINE) == []
        assert (await rest.world.events()).count("planned") == 1
        again = manner.refusal((await manner.attach(rest, BOTH, key)).json())
        assert again["plan_id"] == said["plan_id"]
        assert (await rest.world.events())[-1] == "planned"


@everywhere
async def test_once_a_person_approved_the_same_request_finds_it_done(
    make_world: Worlds, manner: Manner
) -> None:
    async with served(make_world(policy="strict")) as rest:
        key = await rest.token(*WRITES, subject="bob")
        plan_id = manner.refusal((await manner.attach(rest, BOTH, key)).json())["plan_id"]
        approvals = rest.world.app.service.approvals
        ann = await approvals.approvers.enrol("ann", "correct horse battery", "ann", None)
        await approvals.approve(await approvals.find(plan_id), ann)
        before = await rest.state()
        answer = await manner.attach(rest, BOTH, key)
        assert answer.status_code == 200 and await rest.state() == before
        assert await rest.world.holders(SECOND_LINE) == ["local:support"]


@everywhere
@pytest.mark.parametrize("policy", ["standard", "strict"])
async def test_a_key_that_may_approve_changes_at_once_whatever_the_policy(
    make_world: Worlds, manner: Manner, policy: str
) -> None:
    async with served(make_world(policy=policy)) as rest:
        assert (await manner.attach(rest, BOTH)).status_code == 200
        assert await rest.world.holders(SUPPORT_LINE) == ["local:support"]
        rows = (await rest.world.call("list_changes"))["changes"]
        assert {row["by"] for row in rows} == {"alice"}


@everywhere
async def test_four_eyes_hold_for_a_key_that_may_approve(
    make_world: Worlds, manner: Manner
) -> None:
    world = make_world()
    policy = world.home / "policy.toml"
    policy.write_text('extends = "strict"\nfour_eyes = true\n', "utf-8")
    async with served(world.another(str(policy))) as rest:
        answer = await manner.attach(rest, BOTH)
        said = manner.refusal(answer.json())
        assert answer.status_code == 403 and "second pair of eyes" in said["message"]
        assert said["plan"]["status"] == "awaiting_approval"
        assert await rest.world.holders(SUPPORT_LINE) == []


@everywhere
async def test_a_frozen_account_changes_nothing(rest: Rest, manner: Manner) -> None:
    await rest.world.call("freeze_changes", reason="fraud")
    said = await refused(rest, manner, BOTH, 403)
    assert said["code"] in ("", "FROZEN") and "frozen" in said["message"]


@everywhere
async def test_a_read_only_server_changes_nothing(make_world: Worlds, manner: Manner) -> None:
    async with served(make_world(policy="relaxed", CORDBOARD_READ_ONLY="1")) as rest:
        said = await refused(rest, manner, BOTH, 403)
        assert said["code"] in ("", "READ_ONLY") and "read-only" in said["message"]
        assert (await rest.bland("GET", "/v1/personas")).status_code == 200


@everywhere
async def test_an_assistant_undoes_what_the_rest_did(rest: Rest, manner: Manner) -> None:
    await manner.attach(rest, BOTH)
    plan_id = (await rest.world.call("list_changes"))["changes"][0]["plan_id"]
    await rest.world.done("undo_plan", plan_id=plan_id)
    assert [await rest.world.holders(number) for number in BOTH] == [[], []]


# What changes, and what is left alone


@everywhere
async def test_what_is_so_already_is_a_success_and_no_new_plan(rest: Rest, manner: Manner) -> None:
    first = await manner.attach(rest, BOTH)
    before = await rest.state()
    second = await manner.attach(rest, BOTH)
    assert (first.status_code, second.status_code) == (200, 200)
    assert second.json() == first.json() and await rest.state() == before


@everywhere
async def test_some_numbers_may_be_attached_already(rest: Rest, manner: Manner) -> None:
    await manner.attach(rest, [SUPPORT_LINE])
    assert (await manner.attach(rest, BOTH)).status_code == 200
    assert await rest.world.holders(SECOND_LINE) == ["local:support"]


@everywhere
async def test_a_number_of_another_agent_is_never_taken_over(
    make_world: Worlds, manner: Manner
) -> None:
    seed = SEEDS.bound("local:sales", SECOND_LINE, pathway_id="pathway_sales", pathway_version=1)
    async with served(make_world(seed, policy="relaxed")) as rest:
        said = await refused(rest, manner, BOTH, 409)
        assert await rest.world.holders(SUPPORT_LINE) == []
        assert manner.name == "unleashx" or (
            SECOND_LINE in said["message"] and "sales" in said["message"]
        )


@everywhere
async def test_one_number_that_is_not_the_account_s_refuses_all(rest: Rest, manner: Manner) -> None:
    status = {"bland": 400, "unleashx": 422, "synthflow": 404}[manner.name]
    await refused(rest, manner, [SUPPORT_LINE, NOT_OWNED], status)


WRITTEN_OTHERWISE = (
    "918062810341", "(918) 062-810341", "+91 8062 810341", "", "+1", "0014155551234",
    "+١٤١٥٥٥٥١٢٣٤", "+14155551234\n", "\x00", "+1415555123456789", "+14155551234,+14155555678",
)  # fmt: skip


@everywhere
async def test_only_e164_is_a_number(rest: Rest, manner: Manner) -> None:
    status = {"bland": 400, "unleashx": 400, "synthflow": 422}[manner.name]
    for number in WRITTEN_OTHERWISE:
        await refused(rest, manner, [SUPPORT_LINE, number], status)
    half = json.dumps(manner.body(["\ud800"])).encode()  # half of a pair: no text at all
    headers = {"content-type": "application/json"}
    await refused(rest, manner, [], status, body=None, content=half, headers=headers)


@everywhere
async def test_a_number_that_stands_twice_is_refused(rest: Rest, manner: Manner) -> None:
    said = await refused(rest, manner, [SUPPORT_LINE, SUPPORT_LINE], manner.malformed)
    assert "twice" in said["message"]


@everywhere
async def test_a_hundred_numbers_go_in_one_call_and_no_more(
    make_world: Worlds, manner: Manner
) -> None:
    numbers = names(many(101, provider="twilio"))
    seed = SEEDS.but(numbers=many(101, provider="twilio"))
    async with served(make_world(seed, policy="relaxed")) as rest:
        said = await refused(rest, manner, numbers, manner.malformed)
        assert "101" in said["message"] and "100" in said["message"]
        assert (await manner.attach(rest, numbers[:100])).status_code == 200
        assert await rest.world.holders(numbers[99]) == ["local:support"]
        assert await rest.world.holders(numbers[100]) == []


@pytest.mark.parametrize("policy", ["relaxed", "strict"])
async def test_of_many_who_ask_at_once_one_agent_gets_the_number(
    make_world: Worlds, policy: str
) -> None:
    async with served(make_world(policy=policy)) as rest:
        came: list[tuple[str, int]] = []

        async def attach(persona: str) -> None:
            path = f"/v1/personas/{persona}/inbound/attach"
            answer = await rest.bland("POST", path, {"inbound_numbers": BOTH})
            came.append((persona, answer.status_code))

        async with anyio.create_task_group() as group:
            for persona in ("support", "sales", "night") * 4:
                group.start_soon(attach, persona)
        [holder] = await rest.world.holders(SUPPORT_LINE)
        assert await rest.world.holders(SECOND_LINE) == [holder]
        won = {persona for persona, status in came if status == 200}
        assert won == {holder.removeprefix("local:")}
        assert {status for persona, status in came if persona not in won} == {409}
        assert (await rest.world.events()).count("applied") == 1


# Bodies

RAW: Mapping[str, bytes] = {
    "nothing": b"",
    "no JSON": b"inbound_numbers=+14155551234",
    "half": b'{"inbound_numbers": ["+1415',
    "a list": b'["+14155551234"]',
    "null": b"null",
    "a number": b"1",
    "NaN": b'{"inbound_numbers": NaN}',
    "a key twice": b'{"numbers": [], "numbers": ["+14155551234"]}',
    "a key twice inside": b'{"x": {"a": 1, "a": 2}}',
    "no UTF-8": b'{"numbers": "\xff"}',
    "UTF-16": '{"numbers": []}'.encode("utf-16"),
    "a mark before it": b'\xef\xbb\xbf{"numbers": []}',
    "too deep": b"[" * 100_000,
    "a long number": b'{"numbers": ' + b"1" * 5000 + b"}",
}


@everywhere
async def test_a_body_that_is_no_json_object_is_refused(rest: Rest, manner: Manner) -> None:
    headers = {"content-type": "application/json"}
    for content in RAW.values():
        said = await refused(rest, manner, [], 400, body=None, content=content, headers=headers)
        assert "body" in said["message"]


MEDIA = (
    "", "text/plain", "application/x-www-form-urlencoded", "application/jsonp",
    "application/json; charset=utf-16", "multipart/form-data; boundary=x",
)  # fmt: skip


@everywhere
async def test_a_body_of_another_kind_is_refused(rest: Rest, manner: Manner) -> None:
    content = b'{"inbound_numbers": ["+14155551234"]}'
    for media in MEDIA:
        headers = {"content-type": media}
        said = await refused(rest, manner, [], 415, body=None, content=content, headers=headers)
        assert "application/json" in said["message"]


@everywhere
async def test_a_body_may_say_its_charset_and_must_not_be_packed(
    rest: Rest, manner: Manner
) -> None:
    headers = {"content-type": 'Application/JSON; charset="UTF-8"', "content-encoding": "gzip"}
    await refused(rest, manner, BOTH, 415, headers=headers)
    del headers["content-encoding"]
    assert (await manner.attach(rest, BOTH, headers=headers)).status_code == 200


@everywhere
async def test_unknown_fields_and_wrong_types_are_refused_naming_them(
    rest: Rest, manner: Manner
) -> None:
    good = manner.body(BOTH)
    [field] = [name for name, value in good.items() if isinstance(value, list)]
    said = await refused(rest, manner, [], manner.malformed, body=good | {"dry_run": True})
    assert "dry_run" in said["message"]
    close = field[:-1]
    said = await refused(rest, manner, [], manner.malformed, body=good | {close: BOTH})
    assert f"did you mean {field}?" in said["message"]
    for wrong in ("+14155551234", {"0": SUPPORT_LINE}, 14155551234, True, [14155551234], [None],
                  [[SUPPORT_LINE]]):  # fmt: skip
        said = await refused(rest, manner, [], manner.malformed, body=good | {field: wrong})
        assert field in said["message"] and "+1415" not in said["message"]


@everywhere
async def test_a_hostile_field_name_is_not_repeated_as_it_stands(
    rest: Rest, manner: Manner
) -> None:
    name = "\u202e\ud800<script>\n" + "x" * 5000
    content = b'{"' + name.encode("unicode_escape").replace(b"\\U", b"\\u") + b'": 1}'
    headers = {"content-type": "application/json"}
    said = await refused(
        rest, manner, [], manner.malformed, body=None, content=content, headers=headers
    )
    assert len(said["message"]) < 300 and said["message"].isascii()


@everywhere
async def test_a_body_that_is_too_large_is_refused_at_the_edge(rest: Rest, manner: Manner) -> None:
    before = await rest.state()
    answer = await manner.attach(rest, ["+14155551234" * 200_000])
    assert answer.status_code == 413 and answer.json()["error"]["code"] == "BODY_TOO_LARGE"
    assert await rest.state() == before


# Paths


ELSEWHERE = (
    f"{BLAND}/v1/personas/sup%2Fport/inbound/attach",
    f"{BLAND}/v1/personas/x%2F..%2Fsupport/inbound/attach",
    f"{BLAND}/v1/personas/support%2Finbound/attach",
    f"{BLAND}/v1/personas/..%5csupport/inbound/attach",
    f"{BLAND}/v1/personas/support%00/inbound/attach",
    f"{BLAND}/v1/personas//inbound/attach",
    f"{BLAND}/v1/personas/{'s' * 101}/inbound/attach",
    f"{BLAND}/v1/personas/local:support/inbound/attach",
    f"{BLAND}/v1/personas/s%C3%BCpport/inbound/attach",
    f"{BLAND}/v1/personas/support%0A/inbound/attach",
    f"{BLAND}/v1/personas/%2e%2e/inbound/attach",
    f"{BLAND}/v1/personas/support/inbound/attach/",
    f"{BLAND}/v1/personas/support/inbound/Attach",
    f"{BLAND}/v2/agents/support/inbound/attach",
    f"{BLAND}/v1/inbound/purchase",
    f"{BLAND}/",
    BLAND,
    "/compat/other/v1/personas/support/inbound/attach",
)


async def test_a_path_that_leads_elsewhere_leads_nowhere(rest: Rest) -> None:
    before = await rest.state()
    headers = {"authorization": rest.key, "content-type": "application/json"}
    body = b'{"inbound_numbers": ["+14155551234"]}'
    for path in ELSEWHERE:
        request = rest.web.http.build_request("POST", "/", headers=headers, content=body)
        request.url = request.url.copy_with(raw_path=path.encode())
        answer = await rest.web.http.send(request)
        assert answer.status_code == 404, path
        assert answer.headers["content-type"] == "application/json"
    assert await rest.state() == before


@everywhere
async def test_a_method_that_is_not_taken_says_which_is(rest: Rest, manner: Manner) -> None:
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - {manner.method}:
        answer = await rest.send(method, manner.path, headers=manner.headers(rest.key))
        assert answer.status_code == 405 and answer.headers["allow"] == manner.method
        assert manner.refusal(answer.json())["message"]


# When something breaks


@everywhere
async def test_a_store_that_is_gone_is_told_in_the_vendor_s_shape(
    rest: Rest, manner: Manner
) -> None:
    rest.world.database.write_bytes(b"this is not a store, whatever its name says\n" * 200)
    answer = await manner.attach(rest, BOTH)
    assert answer.status_code == 503
    assert manner.refusal(answer.json())["code"] in ("", "STORE_UNAVAILABLE")
    assert str(rest.world.home) not in answer.text


@everywhere
async def test_a_bug_of_ours_is_told_in_the_vendor_s_shape_without_what_was_in_play(
    rest: Rest, manner: Manner, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(sqlite3.connect(rest.world.database)) as store:
        store.execute("UPDATE number SET tags = '{'")  # what no way in would write
        store.commit()
    answer = await manner.attach(rest, BOTH)
    assert answer.status_code == 500
    said = manner.refusal(answer.json())
    assert said["code"] in ("", "INTERNAL_ERROR") and "server's log" in said["message"]
    [record] = [one for one in caplog.records if one.levelname == "ERROR"]
    assert "failed: JSONDecodeError at" in record.getMessage()
    assert "1415" not in record.getMessage() and rest.key not in record.getMessage()
