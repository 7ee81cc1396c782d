"""Agents as UnleashX lists them under its `global` contract.

GET /api/v1/global/agents/get, all of them or one by `?agent_id=`; no paging is documented. Two
envelopes: `{error: false, code, message, timestamp, data: {success, message, data}}`, and within one
agent, or a list of them: `{agent_id, agent_name, status, agent_type, calling_type, created_on,
updated_on, …}` (docs.unleashx.ai, "Get Voice Agent API").

`agent_type` 3 is telephony and 4 general; others (2 is chat) answer no telephone and are left out,
and so are agents whose id is no whole number, to which this contract can attach nothing.
`calling_type` 1 is outbound, 2 inbound. Null is "not set", and such an agent is taken as inbound:
UnleashX routes the calls of an attached number to the agent whatever it is set to. `status` 1 is
active.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cordboard.binding import Agent, Direction
from cordboard.display import quoted
from cordboard.errors import CordboardError, PlatformError
from cordboard.http_client import HttpClient, Reply
from cordboard.platforms.unleashx.contracts import GLOBAL, PREFIX
from cordboard.platforms.unleashx.refusals import no_such_agent, refusal

_ANSWERS_CALLS = (3, 4)
_DIRECTIONS: Mapping[int, Direction] = {1: "outbound", 2: "inbound"}
_ACTIVE = 1


@dataclass(frozen=True, slots=True)
class Found:
    """An agent, and what whoever approves should know of it, in sentences."""

    agent: Agent
    remarks: tuple[str, ...] = ()


async def every(http: HttpClient) -> list[Found]:
    """All agents that answer or make calls, in UnleashX's order. Raises: PlatformError."""
    reply = await http.get(GLOBAL.agents)
    rows = _rows(_checked(reply))
    return [found for found in map(_found, rows) if found is not None]


async def one(http: HttpClient, agent: str) -> Found | None:
    """One agent by its name in Cordboard; None where UnleashX has no such agent.

    Raises: PlatformError, also where the answer is about other agents than the one asked for.
    """
    agent_id = GLOBAL.agent_id(agent)
    if agent_id is None:
        return None
    reply = await http.get(GLOBAL.agents, {"agent_id": agent_id})
    if no_such_agent(reply):
        return None
    rows = _rows(_checked(reply))
    mine = [row for row in rows if _id(row) == agent_id]
    if rows and not mine:
        raise _unexpected(f"agents other than {agent}, which was asked for")
    return _found(mine[0]) if mine else None


def _checked(reply: Reply) -> Any:
    error: CordboardError | None = refusal(reply)
    if isinstance(error, PlatformError):
        raise error
    if error is not None:  # a failure inside UnleashX: on a read nothing is lost by it
        raise PlatformError(error.what)
    return reply.data


def _rows(data: Any) -> list[Mapping[str, Any]]:
    """The agents in an answer, out of both envelopes; one alone, or a list."""
    for _ in range(2):
        if not isinstance(data, Mapping) or "data" not in data:
            raise _unexpected("no agents in it")
        data = data["data"]
        if isinstance(data, list) or (isinstance(data, Mapping) and "agent_id" in data):
            break
    rows = data if isinstance(data, list) else [data]
    if not all(isinstance(row, Mapping) for row in rows):
        raise _unexpected("something that is no agent among the agents")
    return rows


def _found(row: Mapping[str, Any]) -> Found | None:
    """An agent of a row; None for one that no number can be attached to."""
    agent_id, kind = _id(row), row.get("agent_type")
    if type(kind) is not int:
        raise _unexpected("an agent whose agent_type is no whole number")
    if agent_id is None or kind not in _ANSWERS_CALLS:
        return None
    if "agent_name" not in row:
        raise _unexpected("an agent without an agent_name")
    agent = Agent(
        agent=f"{PREFIX}{agent_id}",
        name=_text(row, "agent_name"),
        direction=_direction(row),
        created_at=_text(row, "created_on"),
        updated_at=_text(row, "updated_on"),
    )
    return Found(agent, _remarks(agent, row))


def _id(row: Mapping[str, Any]) -> int | None:
    """The id of a row as a whole number; None where it is none that an attach could name."""
    agent_id = row.get("agent_id")
    if type(agent_id) not in (int, str):
        raise _unexpected("an agent without an agent_id")
    found = GLOBAL.agent_id(f"{PREFIX}{agent_id}")
    return found if isinstance(found, int) else None


def _direction(row: Mapping[str, Any]) -> Direction:
    calling = row.get("calling_type")
    if calling is None:
        return "inbound"
    if type(calling) is not int or calling not in _DIRECTIONS:
        raise _unexpected(f"an agent whose calling_type is {quoted(str(calling), 40)}")
    return _DIRECTIONS[calling]


def _remarks(agent: Agent, row: Mapping[str, Any]) -> tuple[str, ...]:
    remarks: list[str] = []
    if row.get("calling_type") is None:
        remarks.append(
            f"At UnleashX it is not set whether {agent.agent} takes or makes calls; it is treated "
            "as inbound."
        )
    status = row.get("status")
    if status is not None and status != _ACTIVE:
        remarks.append(
            f"UnleashX does not show {agent.agent} as active (status {quoted(str(status), 40)}); "
            "it may refuse the number, or nobody may answer."
        )
    return tuple(remarks)


def _text(row: Mapping[str, Any], key: str) -> str:
    text = row.get(key)
    if text is None:
        return ""
    if not isinstance(text, str):
        raise _unexpected(f"an agent whose {key} is no text")
    return text


def _unexpected(what: str) -> PlatformError:
    return PlatformError(f"UnleashX answered something unexpected: {what}.")
