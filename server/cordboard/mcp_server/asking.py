"""A person asked through their client: form elicitation, in both protocol eras.

In 2026-07-28 the tool answers with the question and the client calls again with the verdict and
our sealed state. In 2025-11-25 the question is sent while the call waits, for a bounded time.
Only JSON `true` is a yes; what merely resembles it is not (the SDK's own models take "true", 1
and "on" too).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anyio
from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from pydantic import ValidationError

from cordboard.guard import Answer, Question, Verdict

MODERN = "2026-07-28"
_KEY = "approve"
_FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "approve": {
            "type": "boolean",
            "title": "Apply this change",
            "description": "Yes applies exactly the plan shown above; no drops it.",
        }
    },
    "required": ["approve"],
}


def is_modern(context: Context[Any, Any]) -> bool:
    """Whether this request speaks protocol 2026-07-28 or later."""
    return (context.protocol_version or "") >= MODERN


class ClientAsker:
    """Asks through the client of one call. `worded` makes commands in a text work as they stand."""

    def __init__(
        self, context: Context[Any, Any], seconds: float, worded: Callable[[str], str]
    ) -> None:
        self._context, self._seconds, self._worded = context, seconds, worded

    @property
    def can_ask(self) -> bool:
        """Whether the client declares forms (a bare `elicitation: {}` means form) and can be reached."""
        capabilities = self._context.client_capabilities
        elicitation = capabilities.elicitation if capabilities else None
        if elicitation is None or not (elicitation.form is not None or elicitation.url is None):
            return False
        return is_modern(self._context) or self._context.session.can_send_request

    async def ask(self, question: Question) -> Verdict | None:
        """The verdict now, or None in the era where it comes with the next call."""
        if is_modern(self._context):
            return None
        verdict = Verdict.SILENT
        with anyio.move_on_after(self._seconds):
            try:
                result = await self._context.session.elicit_form(
                    self._worded(question.text), _FORM, self._context.request_id
                )
                verdict = read_verdict(result)
            except (MCPError, ValidationError):  # the client failed, or answered no form
                verdict = Verdict.MALFORMED
        return verdict


def read_verdict(result: ElicitResult) -> Verdict:
    """What the client's answer means; anything unclear is not a yes."""
    if result.action == "decline":
        return Verdict.DECLINED
    if result.action == "cancel":
        return Verdict.CANCELLED
    approve = (result.content or {}).get("approve")
    if approve is True:
        return Verdict.APPROVED
    return Verdict.DECLINED if approve is False else Verdict.MALFORMED


def put(question: Question) -> InputRequiredResult:
    """The question as an answer of protocol 2026-07-28; the SDK seals the state."""
    params = ElicitRequestFormParams(message=question.text, requested_schema=_FORM)
    state = json.dumps({"plan_id": question.plan_id, "plan_hash": question.plan_hash})
    return InputRequiredResult(
        input_requests={_KEY: ElicitRequest(params=params)}, request_state=state
    )


def came_with(context: Context[Any, Any]) -> Answer | None:
    """The answer this call carries to a question of ours, or None.

    A verdict without our sealed state is no answer to anything: it is not looked at.
    """
    response = (context.input_responses or {}).get(_KEY)
    if context.request_state is None or not isinstance(response, ElicitResult):
        return None
    state = json.loads(context.request_state)
    return Answer(state["plan_id"], state["plan_hash"], read_verdict(response))
