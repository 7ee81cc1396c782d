"""Progress notifications, to clients that asked for them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from mcp.server.mcpserver import Context

from cordboard.progress import Listener


def listener(context: Context[Any, Any] | None) -> Listener | None:
    """Who tells this call's client how far it is; the SDK sends nothing to one that did not ask."""
    if context is None:
        return None
    last = 0.0

    async def hear(done: float, total: float, what: str) -> None:
        nonlocal last
        # A call has several phases, each counting from 0; what is sent must only rise.
        last = done if done > last else last + 1
        with suppress(Exception):  # the call may have been answered already; the work goes on
            await context.report_progress(last, total if total >= last else None, what)

    return hear
