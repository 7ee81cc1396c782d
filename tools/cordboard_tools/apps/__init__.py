"""The views: MCP Apps that hosts show in the chat. Each is one file and loads nothing else."""

from __future__ import annotations

from pathlib import Path

from cordboard.tool import View

PLAN_VIEW = View(
    uri="ui://cordboard/plan.html",
    name="plan",
    title="A plan with its buttons",
    description="What a plan would change, its warnings and level, and Apply and Discard.",
    page=Path(__file__).with_name("plan.html"),
)
