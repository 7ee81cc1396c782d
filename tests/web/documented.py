"""Holds answers against the published document: a status that is not in it, or a body that is not
as it says, fails the test that got it."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import httpx
import jsonschema
from jsonschema.protocols import Validator

from cordboard.web.openapi import document


@cache
def told() -> dict[str, Any]:
    """The document."""
    return document()


@cache
def _operations() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Each path as a pattern, with its operations; those without parameters first."""
    paths = sorted(told()["paths"].items(), key=lambda each: each[0].count("{"))
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), one) for path, one in paths]


def operation_of(method: str, path: str) -> dict[str, Any] | None:
    """The documented operation that a request meets; None for none."""
    for pattern, operations in _operations():
        if pattern.fullmatch(path):
            return operations.get(method.lower())
    return None


def check(answer: httpx.Response) -> None:
    """Raises: AssertionError where the answer is not as the document says."""
    request = answer.request
    path = request.url.raw_path.split(b"?")[0].decode()
    operation = operation_of(request.method, path)
    if operation is None:
        assert answer.status_code in (404, 405, 421), f"{request.method} {path} is not documented"
        return
    said = f"{request.method} {path}: {answer.status_code}"
    response = operation["responses"].get(str(answer.status_code))
    assert response is not None, f"{said} is not documented"
    if "$ref" in response:
        response = told()["components"]["responses"][response["$ref"].rpartition("/")[2]]
    for name, header in response.get("headers", {}).items():
        assert name in answer.headers or not header.get("required"), f"{said} without {name}"
    if "content" not in response:
        assert answer.content == b"", said
        return
    [(media, content)] = response["content"].items()
    assert answer.headers["content-type"] == media, said
    problems = [e.message for e in _validator(content["schema"]).iter_errors(answer.json())]
    assert not problems, f"{said}: {problems}: {answer.text}"


def _validator(schema: dict[str, Any]) -> Validator:
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    whole["components"] = told()["components"]
    found: Validator = jsonschema.Draft202012Validator(whole)
    return found
