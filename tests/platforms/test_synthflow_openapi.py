"""Every write of the adapter and every answer of the fake, held against Synthflow's own documents.

The attach document is the vendor's; the detach document was written down from the facts of its page
(the `x-source` line of each says from where). Reads are not in them.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator, ValidationError
from tests.platforms.fake_synthflow import WORKSPACE, Account, FakeAgent, FakeNumber, FakeSynthflow
from tests.platforms.wire import Wire

from cordboard.errors import PlatformError
from cordboard.platforms import Call
from cordboard.platforms.synthflow import SynthflowPlatform, client
from cordboard.platforms.synthflow.api import BASES
from cordboard.request import Look

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).parent / "openapi"
DOCUMENTS = [
    json.loads((FOLDER / f"synthflow-{name}.json").read_text("utf-8"))
    for name in ("attach", "detach")
]
ROOT = "/v2"
DESK, TEAM, NOBODY = "11111111-aaaa-4aaa-8aaa-111111111111", "1700000000001x42", "not-an-agent"
ONE, TWO, POOL, ODD = "+14155551234", "+14155555678", "+12131231214", "+16286666348"
STRANGER = "+15005550009"
ODD_SLUG = "front desk/1+2"


def operation(method: str, path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document and the operation in it that a request belongs to."""
    for document in DOCUMENTS:
        for template, operations in document["paths"].items():
            pattern = re.sub(r"\{[^}]+\}", "[^/]+", template)
            if re.fullmatch(ROOT + pattern, path) and method.lower() in operations:
                return document, operations[method.lower()]
    raise AssertionError(f"no document has {method} {path}")


def check(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    """Raises: ValidationError where `value` is not as the document says."""
    whole = schema | {"components": document["components"]}
    Draft202012Validator.check_schema(whole)
    Draft202012Validator(whole).validate(value)


def check_request(request: httpx.Request) -> None:
    document, described = operation(request.method, request.url.raw_path.decode().split("?")[0])
    for parameter in described["parameters"]:
        if parameter["in"] == "header" and parameter["required"]:
            assert request.headers[parameter["name"]]
    if "requestBody" in described:
        schema = described["requestBody"]["content"]["application/json"]["schema"]
        check(document, schema, json.loads(request.content))
        assert request.headers["content-type"] == "application/json"
    else:
        assert request.content == b""


def check_answer(request: httpx.Request, status: int, body: bytes) -> None:
    document, described = operation(request.method, request.url.raw_path.decode().split("?")[0])
    assert str(status) in described["responses"], f"{status} is not documented"
    content = described["responses"][str(status)]["content"]
    check(document, content["application/json"]["schema"], json.loads(body))


class CheckedWire(Wire):
    """A wire that holds every write and its answer against the documents."""

    def __init__(self, fake: FakeSynthflow) -> None:
        super().__init__(fake)
        self.checked: list[tuple[str, int]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        if request.method == "GET":
            return answer
        body = await answer.aread()
        check_request(request)
        check_answer(request, answer.status_code, body)
        self.checked.append((request.method, answer.status_code))
        return httpx.Response(answer.status_code, headers=answer.headers, content=body)


@pytest.fixture
def fake() -> FakeSynthflow:
    account = Account(
        {DESK: FakeAgent("Desk", "inbound", [ONE]), TEAM: FakeAgent("Team", "outbound", [ODD])},
        {
            ONE: FakeNumber(),
            TWO: FakeNumber(),
            POOL: FakeNumber(slug="1231242151"),
            ODD: FakeNumber(slug=ODD_SLUG),
        },
    )
    return FakeSynthflow(lambda: 0.0, account)


@pytest.fixture
def wire(fake: FakeSynthflow) -> CheckedWire:
    return CheckedWire(fake)


@pytest.fixture
async def platform(fake: FakeSynthflow, wire: CheckedWire) -> AsyncIterator[SynthflowPlatform]:
    made = SynthflowPlatform(client(fake.key, "global", transport=wire), WORKSPACE)
    yield made
    await made.close()


WRITES = {
    "inbound attach": (Call("attach", f"synthflow:{DESK}", "inbound", (TWO,)), 200),
    "attach of many": (Call("attach", f"synthflow:{TEAM}", "outbound", (ONE, TWO, POOL)), 200),
    "attach to nobody": (Call("attach", f"synthflow:{NOBODY}", "outbound", (ONE,)), 404),
    "attach of a stranger": (Call("attach", f"synthflow:{TEAM}", "outbound", (STRANGER,)), 404),
    "inbound detach": (Call("detach", f"synthflow:{DESK}", "inbound", (ONE,)), 200),
    "detach by an odd slug": (Call("detach", f"synthflow:{TEAM}", "outbound", (ODD,)), 200),
    "detach of what is not there": (Call("detach", f"synthflow:{TEAM}", "outbound", (TWO,)), 400),
    "detach from nobody": (Call("detach", f"synthflow:{NOBODY}", "outbound", (ONE,)), 404),
    "detach of a stranger": (Call("detach", f"synthflow:{TEAM}", "outbound", (STRANGER,)), 404),
}
"""Each kind of write, and the status it meets."""


@pytest.mark.parametrize(("call", "status"), list(WRITES.values()), ids=list(WRITES))
async def test_writes_and_their_answers_are_as_the_documents_say(
    platform: SynthflowPlatform, wire: CheckedWire, call: Call, status: int
) -> None:
    await platform.observe("default", Look(frozenset({f"synthflow:{TEAM}"})))
    try:
        await platform.write("default", call, time.monotonic() + 60)
        assert status == 200
    except PlatformError:
        assert status != 200
    assert wire.checked == [("PUT" if call.kind == "attach" else "DELETE", status)]


@pytest.mark.parametrize(
    "body",
    [
        {"phone_numbers": [ONE], "phone_number_slugs": [ONE[1:]]},
        {},
        {"phone_numbers": ONE},
        {"phone_numbers": [14155551234]},
        {"phone_number_slugs": [None]},
    ],
    ids=str,
)
def test_the_document_itself_refuses_what_must_never_be_sent(body: dict[str, Any]) -> None:
    request = httpx.Request(
        "PUT",
        f"https://api.synthflow.ai/v2/assistants/{DESK}/phone_numbers",
        headers={"Authorization": "Bearer x"},
        json=body,
    )
    with pytest.raises(ValidationError):
        check_request(request)


@pytest.mark.parametrize(
    "body", [{"detail": "Not Found"}, {"detail": {"status": "error"}}], ids=str
)
def test_the_document_itself_refuses_answers_of_another_shape(body: dict[str, Any]) -> None:
    url = f"https://api.synthflow.ai/v2/assistants/{DESK}/phone_numbers/{ONE[1:]}"
    with pytest.raises(ValidationError):
        check_answer(httpx.Request("DELETE", url), 404, json.dumps(body).encode())


def test_the_hosts_of_the_regions_are_those_of_the_document() -> None:
    assert [server["url"] for server in DOCUMENTS[0]["servers"]] == list(BASES.values())
