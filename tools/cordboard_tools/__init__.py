"""The whole surface of Cordboard's MCP server, in the order a reader meets it."""

from __future__ import annotations

from cordboard.tool import AnyTool
from cordboard_tools import numbers, plans, routing
from cordboard_tools.prompts import PROMPTS

TOOLS: tuple[AnyTool, ...] = (*numbers.TOOLS, *routing.TOOLS, *plans.TOOLS)

__all__ = ["PROMPTS", "TOOLS"]
