"""Prompts: conversations a person starts from their client's menu."""

from __future__ import annotations

from cordboard.display import quoted
from cordboard.tool import Prompt


def set_up_number(number: str, agent: str = "") -> str:
    """Put a number to work: look at it, choose an agent, plan, and let the person decide."""
    which = (
        f"the agent {quoted(agent)}" if agent else "an agent (list_agents shows them; ask me which)"
    )
    return (
        f"Set up the phone number {quoted(number)} with {which}. First call get_number_route and tell "
        "me who answers it now. If another agent holds it, stop and ask me: taking it over is "
        "move_numbers. Then call attach_numbers, show me the plan in plain words with its warnings, and "
        "follow its message. Afterwards call get_number_route again and tell me what a caller reaches."
    )


def review_routing() -> str:
    """Look over all routing without changing anything."""
    return (
        "Review our phone routing without changing anything. Page through list_numbers and list_agents. "
        "Report: numbers nobody answers; agents without numbers; agents that serve TEST and PRODUCTION "
        "numbers at once; numbers with a pathway of their own; open plans (list_changes). "
        "Where something looks wrong, say what you would propose, and wait for me."
    )


PROMPTS = (
    Prompt("set_up_number", "Set up a number", set_up_number),
    Prompt("review_routing", "Review all routing", review_routing),
)
