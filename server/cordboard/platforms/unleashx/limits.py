"""What UnleashX cannot do and does not tell, in sentences for whoever asks and whoever approves."""

from __future__ import annotations

from collections.abc import Mapping

from cordboard.request import Action

CONSOLE = "Do it in UnleashX's own console, or ask the user how to go on."
DECLARE = "The operator can declare them in UnleashX's part of the configuration."

NO_PATHWAYS = "UnleashX has no pathways of numbers: a number follows its agent."
UNSUPPORTED: Mapping[Action, str] = {
    "move": "UnleashX publishes no way to take a number from an agent, so none can be moved.",
    "detach": "UnleashX publishes no way to detach a number.",
    "set_pathway": f"{NO_PATHWAYS} None can be set.",
    "clear_pathway": f"{NO_PATHWAYS} There is none to clear.",
    "undo": "UnleashX publishes no way to detach a number, so an attach there cannot be undone.",
}

NO_AGENTS = "UnleashX publishes no list of agents, and none are declared."
NO_NUMBERS = "UnleashX publishes no list of numbers, and none are declared."
NO_HOLDERS = "UnleashX does not tell which agent answers a number."

# What is said of every attach before it is approved.
HOLDER = (
    "Who holds a number now cannot be read at UnleashX: a number of another agent may be refused "
    "by UnleashX, or taken from that agent."
)
ONE_WAY = (
    "It cannot be undone from here: UnleashX publishes no way to detach a number or to move it."
)
SERVES = (
    "Which numbers an agent answers already cannot be read at UnleashX, so it was not checked "
    "whether it would serve TEST and PRODUCTION numbers at once."
)
UNDECLARED = (
    "No numbers are declared for UnleashX, so it was not checked that they belong to this account."
)


def as_declared(agent: str) -> str:
    """Of an agent in the operator's configuration."""
    return f"{agent} is taken as it is declared; UnleashX was not asked for it."


def as_named(agent: str) -> str:
    """Of an agent that nobody declared and nobody can be asked for."""
    return (
        f"{agent} is taken as it was named: UnleashX publishes no list of agents under this "
        "contract, so it was not checked that there is such an agent."
    )
