"""Writes: which calls a change needs, the one request of each, and what its answer proves.

A move to a V2 agent is one call, because attaching replaces whatever the number was assigned to
(api-v2/post/agents-id-inbound-attach). What attaching to a persona does with a number of another
one is not documented, so there the number is detached first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cordboard.binding import NO_PATHWAY, Pathway
from cordboard.display import quoted
from cordboard.errors import PlatformError
from cordboard.http_client import Reply, segment
from cordboard.plan import Change
from cordboard.platforms import Accepted, Call
from cordboard.platforms.bland.rows import V2, settings
from cordboard.platforms.bland.words import refuse

NO_OWN_PATHWAY = (
    "Bland's V2 agents have no pathway of a number's own: the agent's published version decides. "
    "Give the number a V2 agent of its own, or attach it to a V1 agent."
)


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP write: `body` is JSON."""

    method: str
    path: str
    body: Mapping[str, Any]


def is_v2(agent: str) -> bool:
    """Whether this is a V2 agent, told by its id in Cordboard."""
    return agent.startswith(f"bland:{V2}")


def calls_of(change: Change) -> tuple[Call, ...]:
    """The calls that bring one number from before to after, in order."""
    before, after, number = change.before, change.after, (change.number,)
    if before == after:
        return ()
    calls: list[Call] = []
    if before.agent != after.agent:
        if before.agent and not is_v2(after.agent):
            calls.append(Call("detach", before.agent, change.direction, number))
        if after.agent:
            calls.append(Call("attach", after.agent, change.direction, number))
    if before.agent == after.agent or after.pathway != NO_PATHWAY:
        calls.append(Call("set_pathway", after.agent, change.direction, number, after.pathway))
    return tuple(calls)


def request_of(call: Call) -> Request:
    """The request of a call. Raises: PlatformError for a pathway at a V2 agent, or of no agent."""
    own_id = call.agent.partition(":")[2]
    root = f"/v1/personas/{segment(own_id)}"
    if is_v2(call.agent):
        if call.kind == "set_pathway":
            raise PlatformError(NO_OWN_PATHWAY, "Ask for the change without a pathway.")
        root = f"/v2/agents/{segment(own_id.removeprefix(V2))}"
    if call.kind != "set_pathway":
        body = {"inbound_numbers": list(call.numbers)}
        return Request("POST", f"{root}/inbound/{call.kind}", body)
    [number] = call.numbers
    path = f"{root}/inbound/{segment(number)}/settings"
    return Request("PATCH", path, {"persona_settings": _settings_of(call.pathway)})


def _settings_of(pathway: Pathway) -> dict[str, Any] | None:
    """The whole object, as it is not documented whether Bland merges a part of it; None clears."""
    if pathway == NO_PATHWAY:
        return None
    whole: dict[str, Any] = {"pathway_id": pathway.pathway_id}
    if pathway.pathway_version:
        whole["pathway_version"] = pathway.pathway_version
    if pathway.start_node_id:
        whole["start_node_id"] = pathway.start_node_id
    return whole


def accepted(call: Call, reply: Reply) -> Accepted:
    """What the answer proves. Raises where it says that the write was not done: see `refuse`.

    An answer that cannot be understood, or speaks of something else, proves nothing: read-back
    decides then.
    """
    refuse(reply, call.agent, call.numbers)
    data = reply.data.get("data") if isinstance(reply.data, Mapping) else None
    if not isinstance(data, Mapping):
        return Accepted(
            remark=f"Bland's answer says nothing that can be used: {quoted(reply.text)}."
        )
    if call.kind == "set_pathway":
        return _settings_echo(call, data)
    if is_v2(call.agent):
        return _v2_echo(call, data)
    return _persona_echo(call, data)


def _persona_echo(call: Call, data: Mapping[str, Any]) -> Accepted:
    """Attach and detach answer the persona with the numbers it holds now."""
    own_id = call.agent.partition(":")[2]
    rows = data.get("inbound_numbers")
    if data.get("id") != own_id:
        return _of_another(data.get("id"))
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        return Accepted(remark="Bland's answer does not list the numbers of the agent.")
    listed = [row.get("phone_number") for row in rows]
    if call.kind == "detach":
        return _echo(call, {number for number in call.numbers if number not in listed})
    held = [row.get("phone_number") for row in rows if row.get("persona_id", own_id) == own_id]
    return _echo(call, {number for number in call.numbers if number in held})


def _v2_echo(call: Call, data: Mapping[str, Any]) -> Accepted:
    """Detach answers `agent_id` and `detached_count`; what attach answers is not documented whole."""
    own_id = call.agent.partition(":")[2].removeprefix(V2)
    if data.get("agent_id") != own_id:
        return _of_another(data.get("agent_id"))
    if call.kind == "detach":
        count = data.get("detached_count")
        done = count == len(call.numbers) and not isinstance(count, bool)
        return _echo(call, set(call.numbers) if done else set())
    rows = data.get("inbound_numbers")
    named = [
        row.get("phone_number") if isinstance(row, Mapping) else row
        for row in (rows if isinstance(rows, list) else ())
    ]
    return Accepted(frozenset(number for number in call.numbers if number in named))


def _settings_echo(call: Call, data: Mapping[str, Any]) -> Accepted:
    """Settings answer the number's record."""
    [number] = call.numbers
    own_id = call.agent.partition(":")[2]
    if data.get("phone_number") != number or data.get("persona_id") != own_id:
        return _of_another(data.get("phone_number"))
    try:
        pathway, _ = settings(data.get("persona_settings"), f"number {number}")
    except PlatformError as exc:
        return Accepted(remark=exc.what)
    return _echo(call, {number} if pathway == call.pathway else set())


def _echo(call: Call, done: set[str]) -> Accepted:
    missing = [number for number in call.numbers if number not in done]
    remark = f"Bland's answer does not show it for {', '.join(missing[:5])}." if missing else ""
    return Accepted(frozenset(done), remark)


def _of_another(named: Any) -> Accepted:
    said = quoted(named, 60) if isinstance(named, str) else "nothing it names"
    return Accepted(remark=f"Bland's answer speaks of something else: {said}.")
