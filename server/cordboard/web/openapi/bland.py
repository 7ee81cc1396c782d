"""What `/compat/bland` takes and answers."""

from __future__ import annotations

from typing import Any

from cordboard.web.openapi.parts import (
    AT,
    CHALLENGE,
    NOTHING,
    NUMBER,
    OWN_ID,
    REFUSED,
    TEXT,
    WAITING,
    Json,
    answer,
    body,
    in_path,
    in_query,
    named,
    numbers,
    one_of,
    operation,
    or_null,
    record,
    referred,
    rows,
    whole,
)

SECURITY: dict[str, Json] = {
    "blandKey": {
        "type": "apiKey",
        "in": "header",
        "name": "authorization",
        "description": "The raw key, as Bland has it; `Bearer KEY` is taken too.",
    }
}
_KEYS: list[Json] = [{"blandKey": []}]
_BASE = "/compat/bland"
_ID: Json = {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,100}$"}
_PERSONA: Json = {"$ref": "#/components/schemas/BlandPersona"}
_SETTINGS = or_null({"$ref": "#/components/schemas/BlandSettings"})
_HELD: dict[str, Json] = {
    "phone_number": NUMBER,
    "persona_id": OWN_ID,
    "persona_settings": _SETTINGS,
}
_LABEL: dict[str, Json] = {"label": or_null(TEXT)}
SCHEMAS: dict[str, Json] = {
    "BlandSettings": record(
        {
            "pathway_id": _ID,
            "pathway_version": {"type": "integer", "minimum": 0, "maximum": 2**31},
            "start_node_id": _ID,
        },
        ("pathway_version", "start_node_id"),
        description="All three are replaced together. Without a version, or with 0: the newest.",
    ),
    "BlandPersona": record(
        {
            "id": OWN_ID,
            "name": TEXT,
            "user_id": TEXT,
            "inbound_numbers": rows(record(_HELD | _LABEL)),
            "created_at": AT,
            "updated_at": AT,
        }
    ),
}
_RECORD = record({"id": {"type": "integer"}, "updated_at": AT} | _HELD)
_FREE: dict[str, Json] = {
    "persona_id": or_null(OWN_ID),
    "prompt": NOTHING,
    "pathway_id": NOTHING,
    "updated_at": AT,
}
_INBOUND = record(_HELD | _LABEL | _FREE)
_NODE = record({"id": TEXT, "type": TEXT, "data": record({"name": TEXT})})
_FLOW: dict[str, Json] = {
    "name": TEXT,
    "description": NOTHING,
    "nodes": rows(_NODE),
    "edges": rows({}, maxItems=0),
}
_VERSION = record(
    {
        "id": TEXT,
        "version_number": {"type": "integer"},
        "name": TEXT,
        "is_latest": {"type": "boolean"},
    }
)


def _ok(data: Json) -> Json:
    return answer("Done", record({"data": data, "errors": NOTHING}))


def _error(*codes: str) -> Json:
    """A failure with one of these codes."""
    said = record({"error": one_of(codes), "message": TEXT} | WAITING, ("plan_id", "plan"))
    return record({"data": NOTHING, "errors": rows(said, minItems=1, maxItems=1)})


def _failed(description: str, *codes: str) -> Json:
    return answer(description, _error(*codes))


_READING: dict[int, Json] = {
    401: answer("No key that counts", _error("UNAUTHENTICATED"), CHALLENGE),
    403: answer("The key lacks the scope", {"anyOf": [_error("NOT_ALLOWED"), REFUSED]}),
    500: _failed("A bug of this server", "INTERNAL_ERROR"),
    503: _failed(
        "The store, or the sign-in server, cannot be reached now",
        "STORE_UNAVAILABLE",
        "PLATFORM_UNREACHABLE",
    ),
}
_BARRED = _error("NOT_ALLOWED", "APPROVAL_REQUIRED", "FROZEN", "READ_ONLY")
_CHANGING: dict[int, Json] = {
    403: answer(
        "The key lacks the scope; or a person must approve the plan first, which comes with it",
        {"anyOf": [_BARRED, REFUSED]},
    ),
    409: _failed("The routing moved in the same moment", "CONFLICT"),
    415: _failed("The body is not application/json", "UNSUPPORTED_MEDIA_TYPE"),
}
RESPONSES = named("Bland", _READING) | named("BlandChange", _CHANGING)
_ALWAYS = referred("Bland", _READING)
_WRITING = _ALWAYS | referred("BlandChange", _CHANGING)
_NO_PERSONA = _failed("No such persona", "PERSONA_NOT_FOUND", "NOT_FOUND")
_BAD = ("INVALID_BODY", "LIMIT_EXCEEDED")
_WHO = in_path("persona_id", OWN_ID, "the local agent's id, without `local:`")


def _read(name: str, summary: str, ok: Json, *parameters: Json, **more: Any) -> Json:
    """A read; `more` are statuses, such as s404."""
    said = {int(key[1:]): value for key, value in more.items()}
    responses = {200: ok} | _ALWAYS | said
    told: Json = {"parameters": parameters, "security": _KEYS}
    return {"get": operation(name, summary, "Bland", responses, **told)}


def _write(name: str, summary: str, ok: Json, request: Json, statuses: dict[int, Json],
           *parameters: Json) -> Json:  # fmt: skip
    responses = {200: ok} | _WRITING | statuses
    told: Json = {"parameters": parameters, "request": request, "security": _KEYS}
    return operation(name, summary, "Bland", responses, **told)


def paths() -> dict[str, Json]:
    """Every path of Bland's that is served."""
    persona, pathway = f"{_BASE}/v1/personas/{{persona_id}}", f"{_BASE}/v1/pathway/{{pathway_id}}"
    page = in_query("page", whole(1, 1_000_000, 1))
    limit = in_query("limit", whole(1, 100, 20))
    bad_query = _failed("A number of the query is none, or out of bounds", "INVALID_QUERY")
    return {
        f"{_BASE}/v1/personas": _read(
            "bland_list_personas", "A page of personas; a shorter one is the last",
            _ok(rows(_PERSONA, maxItems=100)), page, limit, s400=bad_query,
        ),
        persona: _read(
            "bland_get_persona", "One persona with its numbers", _ok(_PERSONA), _WHO, s404=_NO_PERSONA
        ),
        **_changes(persona),
        f"{_BASE}/v1/inbound": _read(
            "bland_list_inbound", "Every number, not paged",
            answer("Every number", record({"inbound_numbers": rows(_INBOUND)})),
        ),
        **_pathways(pathway),
        **_agents_v2(),
    }  # fmt: skip


_SETTING_EXAMPLES: Json = {
    "set": {
        "persona_settings": {
            "pathway_id": "pathway_abc123",
            "pathway_version": 2,
            "start_node_id": "node_xyz",
        }
    },
    "clear": {"persona_settings": None},
}


def _changes(persona: str) -> dict[str, Json]:
    named = body(
        record({"inbound_numbers": numbers()}),
        two={"inbound_numbers": ["+14155551234", "+14155555678"]},
    )
    refused = {
        400: _failed("Nothing was changed", "INVALID_INBOUND_NUMBERS", *_BAD),
        404: _NO_PERSONA,
    }
    taken = {
        409: _failed(
            "Another persona holds a number: the message names it; or the routing just moved",
            "INVALID_INBOUND_NUMBERS", "CONFLICT",
        )
    }  # fmt: skip
    missing = ("INBOUND_NOT_FOUND", "PERSONA_NOT_FOUND", "PATHWAY_NOT_FOUND", "NOT_FOUND")
    return {
        f"{persona}/inbound/attach": {
            "post": _write(
                "bland_attach", "Attach numbers to a persona; never takes one from another",
                _ok(_PERSONA), named, refused | taken, _WHO,
            )
        },
        f"{persona}/inbound/detach": {
            "post": _write(
                "bland_detach", "Detach those of the numbers that this persona holds",
                _ok(_PERSONA), named, refused | taken, _WHO,
            )
        },
        f"{persona}/inbound/{{phone_number}}/settings": {
            "patch": _write(
                "bland_settings", "Set the pathway of a number; null clears it",
                _ok(_RECORD), body(record({"persona_settings": _SETTINGS}), **_SETTING_EXAMPLES),
                {400: _failed("The body is not as it must be", *_BAD),
                 404: _failed("Not attached to this persona, or no such pathway", *missing)},
                _WHO, in_path("phone_number", NUMBER, "with its plus percent-encoded: %2B1415…"),
            )
        },
    }  # fmt: skip


def _pathways(pathway: str) -> dict[str, Json]:
    own = in_path("pathway_id", _ID)
    gone = _failed(
        "No such pathway or version", "PATHWAY_NOT_FOUND", "VERSION_NOT_FOUND", "NOT_FOUND"
    )
    version = in_path(
        "version_id", {"type": "string", "pattern": "^v?[0-9]{1,10}$"}, "0: the newest"
    )
    listed = rows(record({"id": TEXT, "name": TEXT, "description": NOTHING}))
    numbered = record(_FLOW | {"version_number": {"type": "integer"}})
    return {
        f"{_BASE}/v1/pathway": _read(
            "bland_list_pathways", "Every pathway", answer("Every pathway", listed)
        ),
        pathway: _read(
            "bland_get_pathway", "The newest version of a pathway",
            answer("The pathway", record(_FLOW)), own, s404=gone,
        ),
        f"{pathway}/versions": _read(
            "bland_list_versions", "The versions of a pathway, newest first",
            answer("The versions", rows(_VERSION)), own, s404=gone,
        ),
        f"{pathway}/version/{{version_id}}": _read(
            "bland_get_version", "One version of a pathway",
            answer("The version", numbered), own, version, s404=gone,
        ),
    }  # fmt: skip


def _agents_v2() -> dict[str, Json]:
    agent = in_path("agent_id", OWN_ID)
    gone = _failed("There are no V2 agents here", "AGENT_NOT_FOUND", "NOT_FOUND")
    nobody = record({"agent_id": TEXT, "persona_id": NOTHING})
    lost = _failed("No agent can have that id", "AGENT_NOT_FOUND", "NOT_FOUND")
    return {
        f"{_BASE}/v2/agents": _read("bland_list_agents", "None", _ok(rows({}, maxItems=0))),
        f"{_BASE}/v2/agents/{{agent_id}}": {
            "get": operation(
                "bland_get_agent", "Always 404: there are no V2 agents", "Bland",
                _ALWAYS | {404: gone}, parameters=[agent], security=_KEYS,
            )
        },
        f"{_BASE}/v2/agents/{{agent_id}}/inbound": _read(
            "bland_get_agent_inbound", "No persona, whatever the id", _ok(nobody), agent, s404=lost
        ),
    }  # fmt: skip
