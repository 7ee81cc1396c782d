"""Resources and prompts: what a person's client can show or start from, beside the tools."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Mapping, Sequence
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, TypeVar

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.server.mcpserver.prompts import Prompt as WirePrompt
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from cordboard.errors import CordboardError, RequestError
from cordboard.facts import IN_RESOURCE
from cordboard.platforms import NumberFilter
from cordboard.service import BindingService, Lookups
from cordboard.service.shapes import agent_shape
from cordboard.tool import Prompt

if TYPE_CHECKING:
    from cordboard.mcp_server import CordboardServer

_MOST_NUMBERS = 500
"""How many of an agent's numbers its resource shows; list_numbers pages through all."""

T = TypeVar("T")


AnyContext = Context[Any, Any]


def register(server: CordboardServer, prompts: Sequence[Prompt]) -> None:
    """Put the three resource templates and the prompts on a server."""

    @server.resource("cordboard://numbers/{number}", title="A number and what answers it",
                     mime_type="application/json")  # fmt: skip
    async def number(number: str, context: AnyContext) -> str:
        """One number of the account: owner, label, purpose, what answers it now and why."""
        account, service = _desk(server, context)
        return _text(await _found(server, service.routes.get_number_route(account, number)))

    @server.resource("cordboard://agents/{agent}", title="An agent with its numbers",
                     mime_type="application/json")  # fmt: skip
    async def agent(agent: str, context: AnyContext) -> str:
        """One agent with the numbers bound to it and each number's own pathway."""
        account, service = _desk(server, context)
        found = await _found(server, _agent(service.lookups, account, agent))
        return json.dumps(found, ensure_ascii=False)

    @server.resource("cordboard://plans/{plan_id}", title="A plan with all its changes",
                     mime_type="application/json")  # fmt: skip
    async def plan(plan_id: str, context: AnyContext) -> str:
        """One plan with its changes, also beyond the 25 that tool results show: 1,000 at most."""
        caller = server.caller(context)
        changes = _desk(server, context)[1].changes
        return _text(await _found(server, changes.get(caller, plan_id, most=IN_RESOURCE)))

    for prompt in prompts:
        server.add_prompt(
            WirePrompt.from_function(
                prompt.render, name=prompt.name, title=prompt.title, description=prompt.description
            )
        )


def check_prompt(prompts: Mapping[str, Prompt], name: str, given: Mapping[str, Any]) -> None:
    """Raises: MCPError (invalid params) for an unknown prompt, or arguments it does not have."""
    prompt = prompts.get(name)
    if prompt is None:
        raise MCPError(INVALID_PARAMS, f"There is no such prompt; there are {', '.join(prompts)}.")
    parameters = signature(prompt.render).parameters
    wrong = [f"{arg[:40]!r} is no argument of it" for arg in given if arg not in parameters]
    wrong += [
        f"{arg} is required"
        for arg, parameter in parameters.items()
        if parameter.default is Parameter.empty and arg not in given
    ]
    if wrong:
        allowed = ", ".join(parameters) or "none"
        raise MCPError(INVALID_PARAMS, f"{name}: {'; '.join(wrong)}. Arguments: {allowed}.")


def _desk(server: CordboardServer, context: AnyContext) -> tuple[str, BindingService]:
    """Whose account is read, and the service of it. Raises: ResourceError without the right."""
    who = server.caller(context).identity
    try:
        who.require("numbers:read")
    except CordboardError as exc:
        raise ResourceError(f"{exc.code}: {exc.what} {exc.remedy}") from None
    return who.account, server.app.service_of(who.account)


async def _agent(lookups: Lookups, account: str, agent: str) -> dict[str, Any]:
    entry = await lookups.agent(account, agent)
    page = await lookups.list_numbers(account, NumberFilter(agent=agent), limit=_MOST_NUMBERS)
    shown = agent_shape(entry).model_dump()
    shown["numbers_total"] = shown.pop("numbers")
    return shown | {
        "user_id": entry.agent.user_id,
        "created_at": entry.agent.created_at,
        "updated_at": entry.agent.updated_at,
        "numbers": [number.model_dump() for number in page.numbers],
        "more": bool(page.next_cursor),
        "incomplete": [part.model_dump() for part in page.incomplete],
    }


async def _found(server: CordboardServer, work: Awaitable[T]) -> T:
    """A refusal of ours as the protocol's: no such resource, and why."""
    try:
        return await work
    except CordboardError as exc:
        missing = isinstance(exc, RequestError)
        kind = ResourceNotFoundError if missing else ResourceError
        raise kind(server.commands(f"{exc.code}: {exc.what} {exc.remedy}")) from None


def _text(answer: Any) -> str:
    return str(answer.model_dump_json())
