"""What `/compat/synthflow/v2` takes and answers."""

from __future__ import annotations

from typing import Any

from cordboard.binding import SLUG_PATTERN
from cordboard.web.openapi.parts import (
    AT,
    CHALLENGE,
    FLAG,
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
    record,
    referred,
    rows,
    whole,
)

SECURITY: dict[str, Json] = {"bearer": {"type": "http", "scheme": "bearer"}}
_KEYS: list[Json] = [{"bearer": []}]
_BASE = "/compat/synthflow/v2"
_SLUG: Json = {"type": "string", "pattern": SLUG_PATTERN}
_OK: Json = {"type": "string", "const": "ok"}
_ROW: dict[str, Json] = {
    "model_id": OWN_ID,
    "name": TEXT,
    "type": one_of(["inbound", "outbound"]),
    "phone_number": {"type": "string", "description": "the first of its numbers, empty for none"},
    "created_at": AT,
    "updated_at": AT,
}
_POOLED = record({"number": NUMBER, "sid": NOTHING, "slug": _SLUG})
_LISTED = record({"number": NUMBER, "sid": NOTHING, "is_available": FLAG})
_NUMBER = record(
    {
        "slug": _SLUG,
        "phone_number": NUMBER,
        "friendly_name": TEXT,
        "is_sms_capable": FLAG,
        "is_voice_capable": FLAG,
        "provider_name": TEXT,
        "region": TEXT,
        "is_available": {"type": "boolean", "description": "no inbound assistant has it"},
        "workspace_id": TEXT,
        "created_at": NOTHING,
        "updated_at": AT,
        "assistants": rows(OWN_ID),
    }
)
_COUNT: Json = {"type": "integer"}
_PAGINATION = record({"total_records": _COUNT, "limit": _COUNT, "offset": _COUNT})


def _error(*categories: str) -> Json:
    detail = {
        "status": TEXT,
        "description": TEXT,
        "request_id": TEXT,
        "category": one_of(categories),
    }
    return record({"detail": record(detail | WAITING, ("plan_id", "plan"))})


def _failed(description: str, *categories: str) -> Json:
    return answer(description, _error(*categories))


_READING: dict[int, Json] = {
    401: answer("No key that counts", _error("unauthenticated"), CHALLENGE),
    403: answer("The key lacks the scope", {"anyOf": [_error("not_allowed"), REFUSED]}),
    500: _failed("A bug of this server", "internal_error"),
    503: _failed(
        "The store, or the sign-in server, cannot be reached now",
        "store_unavailable",
        "platform_unreachable",
    ),
}
_BARRED = _error("not_allowed", "approval_required", "frozen", "read_only")
_CHANGING: dict[int, Json] = {
    403: answer(
        "The key lacks the scope; or a person must approve the plan first, which comes with it",
        {"anyOf": [_BARRED, REFUSED]},
    ),
    404: _failed("No such assistant or number, or not attached to it", "not_found"),
    409: _failed("Another inbound assistant has the number; or the routing just moved", "conflict"),
}
RESPONSES = named("Synthflow", _READING) | named("SynthflowChange", _CHANGING)
_ALWAYS = referred("Synthflow", _READING)
_WRITING = _ALWAYS | referred("SynthflowChange", _CHANGING)
_GONE = _failed("There is none", "not_found")
_WRONG = _failed("A parameter is not as it must be", "validation")
_MODEL = in_path("model_id", OWN_ID, "the local agent's id, without `local:`")
_DONE = answer("Done; only reading back tells what", record({"status": _OK}))


def _read(name: str, summary: str, ok: Json, *parameters: Json, **more: Any) -> Json:
    """A read; `more` are statuses, such as s404."""
    responses = {200: ok} | _ALWAYS | {int(key[1:]): value for key, value in more.items()}
    told: Json = {"parameters": parameters, "security": _KEYS}
    return {"get": operation(name, summary, "Synthflow", responses, **told)}


def _page(name: str, items: Json) -> Json:
    held = record({"pagination": _PAGINATION, name: rows(items)})
    return answer("A page", record({"status": _OK, "response": held}))


def paths() -> dict[str, Json]:
    """Every path of Synthflow's that is served."""
    limit = in_query("limit", whole(1, 200, 20))
    offset = in_query("offset", whole(0, 100_000_000, 0))
    free = in_query(
        "is_available", one_of(["true", "false"]), "without or with an inbound assistant"
    )
    workspace = in_query("workspace", TEXT, "anything: a key belongs to one account here")
    row = record(_ROW | {"attached_phone_numbers": rows(_POOLED)})
    one = record({"status": _OK, "response": record({"assistants": rows(row, maxItems=1)})})
    listing = _page("assistants", record(_ROW))
    summary = "A page of assistants"
    return {
        f"{_BASE}/assistants": _read(
            "synthflow_list_assistants_too", summary, listing, limit, offset, s422=_WRONG
        ),
        f"{_BASE}/assistants/": _read(
            "synthflow_list_assistants", summary, listing, limit, offset, s422=_WRONG
        ),
        f"{_BASE}/assistants/{{model_id}}": _read(
            "synthflow_get_assistant", "One assistant with its numbers",
            answer("The assistant, in a list", one), _MODEL, s404=_GONE,
        ),
        **_changes(),
        f"{_BASE}/numbers": _read(
            "synthflow_list_numbers", "A page of numbers",
            _page("phone_numbers", _LISTED), workspace, limit, offset, free, s422=_WRONG,
        ),
        f"{_BASE}/numbers/{{slug}}": _read(
            "synthflow_get_number", "One number, without an envelope",
            answer("The number", _NUMBER), in_path("slug", _SLUG), workspace, s404=_GONE,
        ),
    }  # fmt: skip


def _changes() -> dict[str, Json]:
    pool = f"{_BASE}/assistants/{{model_id}}/phone_numbers"
    slugs = rows(_SLUG, minItems=1, maxItems=100, uniqueItems=True)
    asked: Json = {
        "oneOf": [record({"phone_numbers": numbers()}), record({"phone_number_slugs": slugs})]
    }
    examples = {
        "by_number": {"phone_numbers": ["+16286666348", "+12131231214"]},
        "by_slug": {"phone_number_slugs": ["16286666348", "1231242151"]},
    }
    unread = {
        400: _failed("The body is no JSON object", "invalid_body"),
        415: _failed("The body is not application/json", "unsupported_media_type"),
        422: _failed("The body is not as it must be", "validation"),
    }
    attach = operation(
        "synthflow_attach", "Add numbers to an assistant's pool; never takes one from another",
        "Synthflow", {200: _DONE} | _WRITING | unread,
        parameters=[_MODEL], request=body(asked, **examples), security=_KEYS,
    )  # fmt: skip
    detach = operation(
        "synthflow_detach", "Take a number out of an assistant's pool",
        "Synthflow", {200: _DONE} | _WRITING,
        parameters=[_MODEL, in_path("slug", _SLUG)], security=_KEYS,
    )  # fmt: skip
    return {pool: {"put": attach}, f"{pool}/{{slug}}": {"delete": detach}}
