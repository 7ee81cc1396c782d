"""The production server with what the official MCP conformance exam calls by name beside its tools.

Transports, sessions, sealed request state, sign-in and errors are the production ones; only what
these tools, prompts and resources answer is not. A name that is neither is refused as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts import Prompt as SdkPrompt
from mcp_types import (
    CallToolResult,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    EmptyResult,
    GetPromptResult,
    InputRequiredResult,
    SetLevelRequestParams,
    SubscribeRequestParams,
    UnsubscribeRequestParams,
)
from mcp_types import Tool as WireTool
from tests.exams import conformance_answers as answers

from cordboard.app import App
from cordboard.mcp_server import CordboardServer
from cordboard.tool import AnyTool, Prompt

Function = Callable[..., Any]
_TOOLS: tuple[Function, ...] = (
    answers.simple_text,
    answers.image_content,
    answers.audio_content,
    answers.embedded_resource,
    answers.multiple_content_types,
    answers.error_handling,
    answers.tool_with_logging,
    answers.logging_tool,
    answers.tool_with_progress,
    answers.sampling,
    answers.elicitation,
    answers.elicitation_sep1034_defaults,
    answers.elicitation_sep1330_enums,
    answers.missing_capability,
    answers.streaming_elicitation,
    answers.input_required_result_elicitation,
    answers.input_required_result_sampling,
    answers.input_required_result_list_roots,
    answers.input_required_result_capabilities,
    answers.input_required_result_request_state,
    answers.input_required_result_multiple_inputs,
    answers.input_required_result_multi_round,
)
_PROMPTS: tuple[Function, ...] = (
    answers.simple_prompt,
    answers.prompt_with_arguments,
    answers.prompt_with_embedded_resource,
    answers.prompt_with_image,
    answers.input_required_result_prompt,
)
_RESOURCES: tuple[tuple[str, str, Function], ...] = (
    ("test://static-text", "text/plain", answers.static_text),
    ("test://watched-resource", "text/plain", answers.static_text),
    ("test://static-binary", "image/png", answers.static_binary),
    ("test://template/{id}/data", "application/json", answers.template),
)


class ExamServer(CordboardServer):
    """The production server, with the exam's names beside its own. `unknown`: what was called and
    is neither."""

    def __init__(self, app: App, tools: Sequence[AnyTool], prompts: Sequence[Prompt]) -> None:
        super().__init__(app, tools, prompts)
        self.unknown: set[str] = set()
        self._names = {f"test_{function.__name__}": function for function in _TOOLS}
        # The same tool under another name.
        tampered = "test_input_required_result_tampered_state"
        self._names[tampered] = answers.input_required_result_request_state
        for name, function in self._names.items():
            self.add_tool(function, name, description=function.__doc__)
        for function in _PROMPTS:
            self.add_prompt(SdkPrompt.from_function(function, name=f"test_{function.__name__}"))
        for uri, mime_type, function in _RESOURCES:
            self.resource(uri, mime_type=mime_type, description=function.__doc__)(function)
        _add_methods(self)

    async def list_tools(self) -> list[WireTool]:
        return [*await super().list_tools(), *await MCPServer.list_tools(self)]

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        if name in self._names:
            return await MCPServer.call_tool(self, name, arguments, context)
        if name not in {tool.name for tool in await super().list_tools()}:
            self.unknown.add(name)
        return await super().call_tool(name, arguments, context)

    async def get_prompt(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        context: Context[Any, Any] | None = None,
    ) -> GetPromptResult | InputRequiredResult:
        if name.removeprefix("test_") in {function.__name__ for function in _PROMPTS}:
            return await MCPServer.get_prompt(self, name, arguments, context)
        return await super().get_prompt(name, arguments, context)


def _add_methods(server: CordboardServer) -> None:
    """Completion, and the methods that only 2025-11-25 has."""

    async def complete(
        ctx: ServerRequestContext[Any, Any], params: CompleteRequestParams
    ) -> CompleteResult:
        values = ["paris", "park", "party"]
        return CompleteResult(completion=Completion(values=values, total=3, has_more=False))

    async def noted(ctx: ServerRequestContext[Any, Any], params: object) -> EmptyResult:
        return EmptyResult()

    low = server._lowlevel_server  # noqa: SLF001 - MCPServer has no public way to these
    low.add_request_handler("completion/complete", CompleteRequestParams, complete)
    low.add_request_handler("logging/setLevel", SetLevelRequestParams, noted)
    low.add_request_handler("resources/subscribe", SubscribeRequestParams, noted)
    low.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, noted)
