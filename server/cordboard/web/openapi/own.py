"""What Cordboard's own routes take and answer: health, and the route lookup."""

from __future__ import annotations

from cordboard.web.openapi.parts import (
    CHALLENGE,
    NUMBER,
    REFUSED,
    TEXT,
    Json,
    answer,
    in_path,
    one_of,
    operation,
    record,
)

SECURITY: dict[str, Json] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A Cordboard token."}
}
_COUNT: Json = {"type": "integer", "minimum": 0}
_ETAG: Json = {
    "ETag": {"schema": TEXT, "required": True},
    "Cordboard-Max-Staleness": {
        "description": "how many seconds old the answer may be; 0: of the last commit",
        "schema": {"type": "number", "minimum": 0},
        "required": True,
    },
}
_BUG = answer("A bug of this server", REFUSED)


def paths() -> dict[str, Json]:
    """`/healthz`, `/readyz`, `/openapi.json` and `/v1/routes/{number}`."""
    here = answer("This document", {"type": "object"})
    alive = answer("The process answers", record({"status": one_of(["ok"])}))
    ready = answer("Its store answers too", record({"status": one_of(["ready"])}))
    lost = answer("It does not", record({"status": one_of(["store unavailable"])}))
    return {
        "/healthz": {
            "get": operation("alive", "Is it there", "Cordboard", {200: alive, 500: _BUG})
        },
        "/readyz": {
            "get": operation(
                "ready", "Can it work", "Cordboard", {200: ready, 500: _BUG, 503: lost}
            )
        },
        "/openapi.json": {
            "get": operation(
                "describe",
                "What the REST side takes and answers",
                "Cordboard",
                {200: here, 500: _BUG},
            )
        },
        "/v1/routes/{number}": {"get": _lookup()},
    }


def _lookup() -> Json:
    route = {
        "number": NUMBER,
        "agent": {"type": "string", "description": "empty: nobody answers it"},
        "name": TEXT,
        "pathway_id": TEXT,
        "pathway_version": _COUNT | {"description": "0: the newest"},
        "resolved_version": _COUNT | {"description": "the version that is meant now"},
        "start_node_id": TEXT,
        "version": _COUNT | {"description": "rises with every change of who answers"},
    }
    responses = {
        200: answer("What answers this number now", record(route), _ETAG),
        304: answer("As the ETag that was sent says", None, _ETAG),
        400: answer("That is no E.164 number", REFUSED),
        401: answer("No token that counts", REFUSED, CHALLENGE),
        403: answer("The token lacks the scope routes:read", REFUSED),
        404: answer("The number is not the account's", REFUSED),
        500: _BUG,
        503: answer("The store, or the sign-in server, cannot be reached now", REFUSED),
    }
    return operation(
        "get_route",
        "What answers a number, for a voice stack",
        "Cordboard",
        responses,
        parameters=[in_path("number", NUMBER, "with its plus percent-encoded: %2B1415…")],
        security=[{"bearer": []}],
    )
