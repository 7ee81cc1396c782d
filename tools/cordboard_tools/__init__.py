"""The whole surface of Cordboard's MCP server, in the order a reader meets it."""

from __future__ import annotations

from dataclasses import replace

from cordboard.answers import ChangeResult
from cordboard.tool import AnyTool
from cordboard_tools import numbers, plans, routing
from cordboard_tools.apps import PLAN_VIEW
from cordboard_tools.prompts import PROMPTS


def _shown(tool: AnyTool) -> AnyTool:
    """Whatever answers about a plan is shown in the chat, by hosts that can."""
    return replace(tool, view=PLAN_VIEW) if tool.output is ChangeResult else tool


TOOLS: tuple[AnyTool, ...] = tuple(
    _shown(tool) for tool in (*numbers.TOOLS, *routing.TOOLS, *plans.TOOLS)
)

__all__ = ["PROMPTS", "TOOLS"]
