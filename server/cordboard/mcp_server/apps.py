"""MCP Apps: the views of our tools, for hosts that show them in the chat.

A view reaches its host as a `ui://` resource, and learns of a plan from the results of tools. What
only the view may know travels in the `_meta` of a result, beside what a model reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mcp.server.apps import Apps, ResourceCsp

from cordboard.answers import ChangeResult
from cordboard.errors import CordboardError
from cordboard.service import BindingService, Caller
from cordboard.tool import AnyTool

TICKET = "cordboard/ticket"
# Nothing from outside: the view is one file, and speaks to its host alone.
_CLOSED = ResourceCsp(
    connect_domains=[], resource_domains=[], frame_domains=[], base_uri_domains=[]
)


def extension(tools: Iterable[AnyTool]) -> Apps:
    """The extension that serves every view these tools have."""
    apps = Apps()
    for view in dict.fromkeys(tool.view for tool in tools if tool.view):
        apps.add_html_resource(
            view.uri,
            view.page.read_text("utf-8"),
            name=view.name,
            title=view.title,
            description=view.description,
            csp=_CLOSED,
            prefers_border=True,
        )
    return apps


def tool_meta(tool: AnyTool) -> dict[str, Any] | None:
    """What a host learns of a tool's view. `visibility` keeps a tool from the model, in hosts that
    know of Apps; all others list it: it protects nothing."""
    if tool.view is None:
        return None
    ui: dict[str, Any] = {"resourceUri": tool.view.uri}
    if tool.app_only:
        ui["visibility"] = ["app"]
    return {"ui": ui}


async def result_meta(
    service: BindingService, caller: Caller, answer: object
) -> dict[str, Any] | None:
    """What goes to the view alone: the ticket of a plan that its button may apply."""
    if not isinstance(answer, ChangeResult) or not answer.approve.how:
        return None
    try:
        ticket = await service.in_app.ticket(caller, answer.plan_id)
    except CordboardError:  # what was done is told all the same
        return None
    return {TICKET: ticket} if ticket else None
