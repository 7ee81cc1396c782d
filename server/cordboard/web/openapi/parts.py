"""The pieces that the document is put together from: schemas, answers, operations. JSON Schema 2020-12."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cordboard.answers import ChangeResult
from cordboard.binding import AGENT_PATTERN
from cordboard.number import PATTERN

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
FLAG: Json = {"type": "boolean"}
NOTHING: Json = {"type": "null"}
NUMBER: Json = {"type": "string", "pattern": PATTERN, "description": "E.164"}
OWN_ID: Json = {"type": "string", "pattern": AGENT_PATTERN.replace("[a-z]+:", "")}
AT: Json = {"type": "string", "description": "ISO 8601, UTC"}
REFUSED: Json = {"$ref": "#/components/schemas/Refusal"}
PLAN: Json = {"$ref": "#/components/schemas/ChangeResult"}
PLAN_ID: Json = {"type": "string", "pattern": "^plan_[0-9a-f]{24}$"}
WAITING: Json = {"plan_id": PLAN_ID, "plan": PLAN}
"""What a refusal has beside its words where a person must approve the plan first."""


def record(properties: Mapping[str, Json], optional: Sequence[str] = (), **more: Any) -> Json:
    """An object with these fields and no others; all must be there but the optional ones."""
    required = [name for name in properties if name not in optional]
    told: Json = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return told | ({"required": required} if required else {}) | more


def rows(items: Json, **limits: Any) -> Json:
    """A list."""
    return {"type": "array", "items": items, **limits}


def or_null(schema: Json) -> Json:
    """This, or null."""
    return {"anyOf": [schema, NOTHING]}


def one_of(values: Iterable[Any]) -> Json:
    """A text from a list of texts."""
    return {"type": "string", "enum": list(values)}


def numbers(**more: Any) -> Json:
    """The numbers of one call."""
    return rows(NUMBER, minItems=1, maxItems=100, uniqueItems=True, **more)


def answer(description: str, schema: Json | None = None, headers: Json | None = None) -> Json:
    """What one status means."""
    told: Json = {"description": description}
    told |= {"content": {"application/json": {"schema": schema}}} if schema is not None else {}
    return told | ({"headers": headers} if headers else {})


def in_path(name: str, schema: Json, description: str = "") -> Json:
    """A parameter of the path."""
    told: Json = {"name": name, "in": "path", "required": True, "schema": schema}
    return told | ({"description": description} if description else {})


def in_query(name: str, schema: Json, description: str = "") -> Json:
    """A parameter of the query, which may be left out."""
    told: Json = {"name": name, "in": "query", "schema": schema}
    return told | ({"description": description} if description else {})


def whole(least: int, most: int, default: int) -> Json:
    """A whole number within bounds."""
    return {"type": "integer", "minimum": least, "maximum": most, "default": default}


def body(schema: Json, **examples: Any) -> Json:
    """A JSON body that must be there."""
    told = {name: {"value": value} for name, value in examples.items()}
    content: Json = {"schema": schema} | ({"examples": told} if told else {})
    return {"required": True, "content": {"application/json": content}}


CHALLENGE: Json = {"WWW-Authenticate": {"schema": TEXT, "required": True}}
_EDGE: Mapping[int, Json] = {
    408: answer("The body did not arrive in time", REFUSED),
    413: answer("The body is larger than this server takes", REFUSED),
    421: answer("The Host header is none of this server's names", REFUSED),
}


def named(room: str, responses: Mapping[int, Json]) -> dict[str, Json]:
    """Answers that several operations of a room give, as they stand in `components`."""
    return {f"{room}{status}": one for status, one in responses.items()}


def referred(room: str, responses: Mapping[int, Json]) -> dict[int, Json]:
    """The same where an operation names them."""
    return {status: {"$ref": f"#/components/responses/{room}{status}"} for status in responses}


def operation(
    name: str,
    summary: str,
    tag: str,
    responses: Mapping[int, Json],
    *,
    parameters: Sequence[Json] = (),
    request: Json | None = None,
    security: Sequence[Json] = (),
    **more: Any,
) -> Json:
    """One operation, with what the edge of the server answers besides."""
    told: Json = {"operationId": name, "summary": summary, "tags": [tag]}
    told |= {"parameters": list(parameters)} if parameters else {}
    told |= {"requestBody": request} if request is not None else {}
    edge = referred("Edge", _EDGE if request is not None else {421: {}})
    said = {str(status): one for status, one in sorted({**responses, **edge}.items())}
    return told | {"responses": said, "security": list(security)} | more


RESPONSES = named("Edge", _EDGE)


def schemas() -> dict[str, Json]:
    """The schemas that stand in `components`: our own refusal, and a plan with its result."""
    plan = ChangeResult.model_json_schema(
        mode="serialization", ref_template="#/components/schemas/{model}"
    )
    inner = plan.pop("$defs")
    said = record({"code": TEXT, "what": TEXT, "remedy": TEXT})
    return {"Refusal": record({"error": said}), "ChangeResult": plan, **inner}
