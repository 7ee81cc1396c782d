"""The published document: valid, whole, and true to the code."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from tests.web.documented import operation_of
from tests.web.rest import Rest, served
from tests.world import SUPPORT_LINE, Worlds

from cordboard.binding import PROVIDERS, SLUG_PATTERN
from cordboard.number import PATTERN
from cordboard.web.compat import synthflow, unleashx
from cordboard.web.compat.bland import BLAND, ENDPOINTS
from cordboard.web.openapi import document

pytestmark = pytest.mark.anyio

SERVED = {
    (one.method.lower(), f"{vendor.base}{one.path}")
    for vendor, endpoints in (
        (BLAND, ENDPOINTS),
        (unleashx.UNLEASHX, unleashx.ENDPOINTS),
        (synthflow.SYNTHFLOW, synthflow.ENDPOINTS),
    )
    for one in endpoints
}
OPEN = {("get", "/healthz"), ("get", "/readyz"), ("get", "/openapi.json")}
OWN = {*OPEN, ("get", "/v1/routes/{number}")}


@pytest.fixture
async def rest(make_world: Worlds) -> AsyncIterator[Rest]:
    async with served(make_world(policy="relaxed")) as found:
        yield found


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def schemas(part: Any) -> Iterator[dict[str, Any]]:
    """Every object inside a part of the document."""
    if isinstance(part, dict):
        yield part
        for value in part.values():
            yield from schemas(value)
    elif isinstance(part, list):
        for value in part:
            yield from schemas(value)


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    return schema | {"components": document()["components"]}


async def test_the_document_is_published_without_a_token_and_valid(rest: Rest) -> None:
    answer = await rest.web.http.get("/openapi.json")
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    assert answer.json() == document() and document()["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(document()).validate()


def test_every_route_is_in_it_and_nothing_else() -> None:
    assert {(method, path) for method, path, _ in operations()} == SERVED | OWN
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)


def test_every_operation_but_health_and_the_document_needs_a_key_and_says_so() -> None:
    schemes = set(document()["components"]["securitySchemes"])
    for method, path, operation in operations():
        named = {name for one in operation["security"] for name in one}
        assert bool(named) is ((method, path) not in OPEN) and named <= schemes, f"{method} {path}"
        assert ("401" in operation["responses"]) is bool(named)


def test_every_parameter_of_a_path_is_declared_with_what_it_may_be() -> None:
    for method, path, operation in operations():
        declared = [p for p in operation.get("parameters", ()) if p["in"] == "path"]
        assert {p["name"] for p in declared} == set(re.findall(r"\{(\w+)\}", path)), method
        assert all(p["required"] and "pattern" in p["schema"] for p in declared)
        assert not declared or "404" in operation["responses"]


def test_what_is_taken_is_closed_and_bounded() -> None:
    """Unknown fields are refused, and so no schema of a body leaves room for them."""
    for _, path, operation in operations():
        for schema in schemas(operation.get("requestBody", {}).get("content", {})):
            if schema.get("type") == "object":
                assert schema["additionalProperties"] is False, path
            if schema.get("type") == "array":
                assert (schema["minItems"], schema["maxItems"]) == (1, 100), path


def test_its_patterns_are_those_of_the_code() -> None:
    said = {
        schema["pattern"]
        for schema in schemas(document())
        if isinstance(schema.get("pattern"), str)
    }
    assert {PATTERN, SLUG_PATTERN} <= said
    providers = [s["enum"] for s in schemas(document()) if "twilio" in s.get("enum", ())]
    assert providers and all(tuple(names) == PROVIDERS for names in providers)


async def test_its_examples_are_taken(rest: Rest) -> None:
    """They are the vendors' own; each fits its schema, and none is refused for its shape."""
    count = 0
    ids = {"persona_id": "support", "model_id": "campaign", "phone_number": "%2B14155551234"}
    for method, path, operation in sorted(operations(), key=lambda each: "detach" in each[1]):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        for example in content.get("examples", {}).values():
            count += 1
            jsonschema.Draft202012Validator(resolved(content["schema"])).validate(example["value"])
            headers = {"authorization": f"Bearer {rest.key}", "token": rest.key}
            where = path.format(**ids)
            answer = await rest.send(method.upper(), where, example["value"], headers=headers)
            assert answer.status_code == 200, answer.text
    assert count == 7


async def test_what_the_edge_answers_is_in_it(rest: Rest) -> None:
    """Every answer here is held against the document by the client itself (rest.py)."""
    host = {"authorization": rest.key, "host": "evil.example"}
    path = "/compat/bland/v1/personas"
    assert (await rest.send("GET", path, headers=host)).status_code == 421
    origin = {"authorization": rest.key, "origin": "https://evil.example"}
    assert (await rest.send("GET", path, headers=origin)).status_code == 403
    attach = f"{path}/support/inbound/attach"
    large = await rest.send("POST", attach, ["x" * 2_000_000], headers={"authorization": rest.key})
    assert large.status_code == 413


async def test_the_lookup_and_health_are_as_it_says(rest: Rest) -> None:
    for path in ("/healthz", "/readyz"):
        assert (await rest.web.http.get(path)).status_code == 200
    bearer = await rest.web.bearer("voice", "routes:read")
    path = "/v1/routes/%2B14155551234"
    found = await rest.send("GET", path, headers=bearer)
    assert found.status_code == 200 and found.json()["number"] == SUPPORT_LINE
    known = await rest.send("GET", path, headers=bearer | {"if-none-match": found.headers["etag"]})
    assert known.status_code == 304
    for number, status in (("%2B14155551235", 404), ("14155551234", 400), ("x%0A", 400)):
        answer = await rest.send("GET", f"/v1/routes/{number}", headers=bearer)
        assert answer.status_code == status
    assert (await rest.send("GET", path, headers={})).status_code == 401
    reader = {"authorization": f"Bearer {await rest.token('numbers:read')}"}
    assert (await rest.send("GET", path, headers=reader)).status_code == 403


def test_the_checks_of_the_tests_know_the_document() -> None:
    """A client that finds no operation would check nothing."""
    assert operation_of("GET", "/compat/synthflow/v2/assistants/") is not None
    assert operation_of("PATCH", "/compat/bland/v1/personas/x/inbound/%2B1/settings") is not None
    assert operation_of("GET", "/compat/bland/v1/nothing") is None
