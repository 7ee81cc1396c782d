"""BindingService: the verbs. What tools, REST and the command line call, and nothing beneath."""

from __future__ import annotations

from dataclasses import dataclass

from cordboard.service.approving import Approvals
from cordboard.service.changing import Changes
from cordboard.service.in_app import InApp
from cordboard.service.looking import Lookups
from cordboard.service.planning import Caller, Planner, Times
from cordboard.service.routing import Routes

__all__ = [
    "Approvals",
    "BindingService",
    "Caller",
    "Changes",
    "InApp",
    "Lookups",
    "Planner",
    "Routes",
    "Times",
]


@dataclass(frozen=True)
class BindingService:
    """Everything one account can be asked: to look, to change, to approve."""

    lookups: Lookups
    routes: Routes
    changes: Changes
    in_app: InApp
    approvals: Approvals
