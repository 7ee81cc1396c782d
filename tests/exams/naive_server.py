"""A bare MCP server as a tutorial makes one: what the security harness must find wanting."""

from __future__ import annotations

from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp_types import (
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequest,
    InputRequiredResult,
    TextContent,
)

_FORM = {"type": "object", "properties": {"approve": {"type": "boolean"}}, "required": ["approve"]}


def naive_server() -> MCPServer[Any]:
    """One tool that asks before it acts, and acts whenever it is told yes."""
    server: MCPServer[Any] = MCPServer("naive")

    @server.tool(description="Attach a number to an agent, after a person said yes.")
    async def attach_numbers(
        agent: str, numbers: list[str], context: Context[Any, Any]
    ) -> TextContent | InputRequiredResult:
        if context.request_state is None or not context.input_responses:
            params = ElicitRequestFormParams(message="Attach?", requested_schema=_FORM)
            asked: dict[str, InputRequest] = {"approve": ElicitRequest(params=params)}
            return InputRequiredResult(input_requests=asked, request_state="asked")
        return TextContent(type="text", text=f"{numbers} -> {agent}")

    return server
