"""The two contracts that UnleashX publishes for one operation, and what their answers prove.

Both stand on one page (docs.unleashx.ai, "Attach Phone Number"): `agent` in its text, `global` in
its playground. They differ in path, in body and in what comes back:

    agent   POST /api/agent/attach-phone-number {agent_id: text, provider, numbers: [E.164]} ->
            {error: false, code, message, timestamp (ms),
             data: {agent_id, phone_numbers, provider, attached_at, status: active|pending|inactive}}
    global  POST /api/v1/global/attach-phone-numbers {agent_id: whole number, numbers: [E.164]} ->
            {success: true, message, data: {agent_id, phone_numbers}}

Only `global` has a way to read agents. Which of the two an account answers to is not documented.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cordboard.binding import AGENT_PATTERN
from cordboard.display import quoted
from cordboard.errors import PlatformError
from cordboard.platforms import Accepted, Call

ContractName = Literal["agent", "global"]
PREFIX = "unleashx:"
_AGENT = re.compile(AGENT_PATTERN, re.ASCII)
_WHOLE = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
_NOT_UNDERSTOOD = "UnleashX's answer could not be understood; it proves nothing."
_DEEPEST = 3  # envelopes around the data; agents/get has two


@dataclass(frozen=True, slots=True)
class Contract:
    """One of the two. `agents` is the path that lists agents, "" where there is none."""

    name: ContractName
    attach: str
    agents: str
    wants_provider: bool
    tells_status: bool

    def agent_id(self, agent: str) -> str | int | None:
        """UnleashX's own id of an agent; None where no agent of this contract can have that name."""
        if not agent.startswith(PREFIX) or not _AGENT.fullmatch(agent):
            return None
        own = agent.removeprefix(PREFIX)
        if self.name == "agent":
            return own
        return int(own) if _WHOLE.fullmatch(own) else None

    def body(self, call: Call) -> dict[str, Any]:
        """The request for an attach. Raises: PlatformError where it cannot be written."""
        agent_id = self.agent_id(call.agent)
        if agent_id is None:
            raise PlatformError(
                f"{quoted(call.agent)} cannot be an agent of UnleashX under the contract "
                f'"{self.name}"; nothing was sent.',
                "list_agents shows the agents there are.",
            )
        if not self.wants_provider:
            return {"agent_id": agent_id, "numbers": list(call.numbers)}
        if not call.provider:
            raise PlatformError(
                "UnleashX wants the carrier of a number, and none is known for this one; nothing "
                "was sent.",
                "Name the carrier as `provider`, or have the operator declare it with the number.",
            )
        return {"agent_id": agent_id, "provider": call.provider, "numbers": list(call.numbers)}

    def accepted(self, call: Call, answer: Any) -> Accepted:
        """What an answer of status 200 proves of a call: the numbers it names as in effect.

        Counts only with this agent, this number, and under `agent` the status `active` and no
        other carrier. Nothing is proven by an answer that cannot be understood; it never raises.
        """
        data = _innermost(answer)
        if data is None or not self._succeeded(answer):
            return Accepted(remark=_NOT_UNDERSTOOD)
        wrong = self._about_another(call, data)
        if wrong:
            return Accepted(remark=wrong)
        told = data.get("phone_numbers")
        if not isinstance(told, list):
            return Accepted(remark=_NOT_UNDERSTOOD)
        missing = [number for number in call.numbers if number not in told]
        remark = f"UnleashX's answer does not name {', '.join(missing)}." if missing else ""
        status = data.get("status")
        if status == "active" or (status is None and not self.tells_status):
            return Accepted(frozenset(call.numbers) - frozenset(missing), remark)
        return Accepted(remark=remark or _not_active(status))

    def _succeeded(self, answer: Mapping[str, Any]) -> bool:
        """Whether the envelope says that it went well; `failed` was answered before."""
        if self.name == "global":
            return answer.get("success") is True
        code = answer.get("code", 200)
        return answer.get("error") in (False, None) and type(code) is int and 200 <= code < 300

    def _about_another(self, call: Call, data: Mapping[str, Any]) -> str:
        told = data.get("agent_id")
        if type(told) not in (str, int) or str(told) != str(self.agent_id(call.agent)):
            return f"UnleashX answered about agent {_shown(told)}, not about {call.agent}."
        carrier = data.get("provider")
        if self.wants_provider and carrier is not None and _folded(carrier) != call.provider:
            return f"UnleashX answered about carrier {_shown(carrier)}, not {call.provider}."
        return ""


AGENT = Contract(
    "agent", "/api/agent/attach-phone-number", "", wants_provider=True, tells_status=True
)
GLOBAL = Contract(
    "global",
    "/api/v1/global/attach-phone-numbers",
    "/api/v1/global/agents/get",
    wants_provider=False,
    tells_status=False,
)
CONTRACTS: Mapping[str, Contract] = {"agent": AGENT, "global": GLOBAL}


def _innermost(answer: Any) -> Mapping[str, Any] | None:
    """The data of an answer, out of its envelopes; None where there is none."""
    for _ in range(_DEEPEST):
        answer = answer.get("data") if isinstance(answer, Mapping) else None
        if isinstance(answer, Mapping) and "agent_id" in answer:
            return answer
    return None


def _not_active(status: Any) -> str:
    if status in ("pending", "inactive"):
        return f"UnleashX says {status}: the number is not in effect yet."
    if status is None:
        return "UnleashX does not say that the number is active."
    return f"UnleashX says {_shown(status)}, not active: the number is not known to be in effect."


def _shown(value: Any) -> str:
    return "none" if value is None else quoted(str(value), 60)


def _folded(value: Any) -> str:
    return value.casefold() if isinstance(value, str) else ""
