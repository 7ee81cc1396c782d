"""What `/compat/unleashx` takes and answers."""

from __future__ import annotations

from cordboard.binding import PROVIDERS
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
    numbers,
    one_of,
    operation,
    or_null,
    record,
    rows,
)

SECURITY: dict[str, Json] = {
    "unleashxToken": {"type": "apiKey", "in": "header", "name": "token"},
    "unleashxAccessToken": {"type": "apiKey", "in": "header", "name": "api_access_token"},
}
_REQUIRED = ("Agent ID is required", "Provider is required", "Phone number(s) are required")
_FORMAT = "Invalid phone number format. Use E.164 format"
_PROVIDER = "Provider not configured for your account"
_MILLISECONDS: Json = {"type": "integer", "description": "milliseconds since 1970"}


def _envelope(status: int, message: Json, data: Json) -> Json:
    return record(
        {
            "error": {"type": "boolean", "const": status >= 400},
            "code": {"type": "integer", "const": status},
            "message": message,
            "timestamp": _MILLISECONDS,
            "data": data,
        }
    )


def _failed(status: int, description: str, headers: Json | None = None) -> Json:
    return answer(description, _envelope(status, TEXT, NOTHING), headers)


def paths() -> dict[str, Json]:
    """The one path of UnleashX's that is served."""
    attached = record(
        {
            "agent_id": OWN_ID,
            "phone_numbers": rows(NUMBER),
            "provider": one_of(PROVIDERS),
            "attached_at": AT,
            "status": one_of(["active", "pending", "inactive"]),
        }
    )
    asked = record({"agent_id": OWN_ID, "provider": one_of(PROVIDERS), "numbers": numbers()})
    india = {"agent_id": "support", "provider": "exotel", "numbers": ["+918062810341"]}
    operations = operation(
        "unleashx_attach",
        "Attach numbers to an agent; never takes one from another",
        "UnleashX",
        {200: answer("Attached, or so already", _envelope(200, TEXT, attached))} | _refusals(),
        request=body(asked, india=india),
        security=[{name: []} for name in SECURITY],
    )
    return {"/compat/unleashx/api/agent/attach-phone-number": {"post": operations}}


def _refusals() -> dict[int, Json]:
    waiting = _envelope(403, TEXT, or_null(record(WAITING)))
    return {
        400: _failed(400, f"No JSON; {'; '.join((*_REQUIRED, _FORMAT, _PROVIDER))}"),
        401: _failed(401, "No token that counts", CHALLENGE),
        403: answer(
            "The token lacks the scope; or a person must approve the plan first, which comes with it",
            {"anyOf": [waiting, REFUSED]},
        ),
        404: _failed(404, "Agent not found"),
        409: _failed(
            409,
            "Phone number is already attached to another agent; or the routing moved in the same moment",
        ),
        415: _failed(415, "The body is not application/json"),
        422: _failed(422, "A field is unknown or of a wrong type; a number is not the account's"),
        500: _failed(500, "A bug of this server"),
        503: _failed(503, "The store, or the sign-in server, cannot be reached now"),
    }
