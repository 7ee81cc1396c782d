"""A person asked through their client: by form, or by the page they are sent to, in both eras.

In 2026-07-28 the tool answers with the question and the client calls again with the verdict and
our sealed state. In 2025-11-25 the question is sent while the call waits, for a bounded time.
Only JSON `true` in a form is a yes; what merely resembles it is not (the SDK's own models take
"true", 1 and "on" too). Accepting a page means that it was opened, and never a yes.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any

import anyio
from mcp.server.apps import client_supports_apps
from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp_types import (
    ElicitationCapability,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitRequestURLParams,
    ElicitResult,
    InputRequiredResult,
)
from pydantic import ValidationError

from cordboard.guard import Answer, Question, Verdict, Way
from cordboard.plan import Level

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
        """Whether a person can say yes in this client: in a form, or in our App."""
        return self._shows_forms or self.shows_app

    @property
    def shows_app(self) -> bool:
        """Whether the client of this very request declares that it shows MCP Apps."""
        return client_supports_apps(self._context)

    def way(self, level: Level, page: str) -> Way:
        """A form at level `client`; the page where that is not enough, or there is nothing better."""
        if level == "client" and self._shows_forms:
            return "form"
        decided_here = level == "plan" or (level == "client" and self.shows_app)
        elicitation = self._elicitation
        if page and not decided_here and elicitation is not None and elicitation.url is not None:
            return "url"
        return ""

    async def ask(self, question: Question) -> Verdict | None:
        """The verdict now, or None in the era where it comes with the next call."""
        if is_modern(self._context):
            return None
        verdict = Verdict.SILENT
        with anyio.move_on_after(self._seconds):
            try:
                verdict = read_verdict(await self._put(question), in_form=not question.url)
            except (MCPError, ValidationError):  # the client failed, or answered no form
                verdict = Verdict.MALFORMED
        return verdict

    async def _put(self, question: Question) -> ElicitResult:
        session, call = self._context.session, self._context.request_id
        text = self._worded(question.text)
        result: ElicitResult
        if question.url:
            result = await session.elicit_url(text, question.url, secrets.token_hex(16), call)
        else:
            result = await session.elicit_form(text, _FORM, call)
        return result

    @property
    def _shows_forms(self) -> bool:
        """A bare `elicitation: {}` means form."""
        elicitation = self._elicitation
        return elicitation is not None and (elicitation.form is not None or elicitation.url is None)

    @property
    def _elicitation(self) -> ElicitationCapability | None:
        """What the client can be asked by; None where it cannot, or cannot be reached."""
        capabilities = self._context.client_capabilities
        if is_modern(self._context) or self._context.session.can_send_request:
            return capabilities.elicitation if capabilities else None
        return None


def read_verdict(result: ElicitResult, *, in_form: bool) -> Verdict:
    """What the client's answer means; anything unclear is not a yes.

    Not `in_form`: to accept is to go to the page, whatever else the answer says.
    """
    if result.action == "decline":
        return Verdict.DECLINED
    if result.action == "cancel":
        return Verdict.CANCELLED
    if not in_form:
        return Verdict.OPENED
    approve = (result.content or {}).get("approve")
    if approve is True:
        return Verdict.APPROVED
    return Verdict.DECLINED if approve is False else Verdict.MALFORMED


def put(question: Question) -> InputRequiredResult:
    """The question as an answer of protocol 2026-07-28; the SDK seals the state."""
    params: ElicitRequestFormParams | ElicitRequestURLParams
    if question.url:
        params = ElicitRequestURLParams(message=question.text, url=question.url)
    else:
        params = ElicitRequestFormParams(message=question.text, requested_schema=_FORM)
    state = {"plan_id": question.plan_id, "plan_hash": question.plan_hash}
    state["way"] = "url" if question.url else "form"
    return InputRequiredResult(
        input_requests={_KEY: ElicitRequest(params=params)}, request_state=json.dumps(state)
    )


def came_with(context: Context[Any, Any]) -> Answer | None:
    """The answer this call carries to a question of ours, or None.

    A verdict without our sealed state is no answer to anything: it is not looked at.
    """
    response = (context.input_responses or {}).get(_KEY)
    if context.request_state is None or not isinstance(response, ElicitResult):
        return None
    state = json.loads(context.request_state)
    # A state sealed before there were pages says nothing of the way: it was a form.
    in_form = state.get("way", "form") == "form"
    verdict = read_verdict(response, in_form=in_form)
    return Answer(state["plan_id"], state["plan_hash"], verdict)
