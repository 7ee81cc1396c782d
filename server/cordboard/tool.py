"""What a tool is: a name, two shapes, honest annotations and one function. A value, no protocol.

Tools are declared in `cordboard_tools` and served by `mcp_server`; neither knows the other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from cordboard.guard import Question
from cordboard.identity import Scope
from cordboard.service import BindingService, Caller


class Input(BaseModel):
    """Base of every tool's arguments: nothing unknown, nothing coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


InputT = TypeVar("InputT", bound=Input)


@dataclass(frozen=True)
class Desk:
    """What a tool works with in one call: the service, and who calls."""

    service: BindingService
    caller: Caller

    @property
    def account(self) -> str:
        return self.caller.account


@dataclass(frozen=True)
class Hints:
    """The four annotations; every one is stated for every tool."""

    read_only: bool
    destructive: bool
    idempotent: bool
    open_world: bool = True


READS = Hints(read_only=True, destructive=False, idempotent=True)


@dataclass(frozen=True)
class View:
    """An MCP App: a page of HTML that a host shows in the chat for the answers of a tool."""

    uri: str
    name: str
    title: str
    description: str
    page: Path


@dataclass(frozen=True)
class Tool(Generic[InputT]):
    """One tool. The input model's docstring is the description a model reads."""

    name: str
    title: str
    input: type[InputT]
    output: type[BaseModel]
    hints: Hints
    run: Callable[[Desk, InputT], Awaitable[BaseModel | Question]]
    scopes: tuple[Scope, ...] = ()
    """A caller needs one of these; empty: what its hints say, to read or to write."""
    view: View | None = None
    app_only: bool = False
    """Called by its view's buttons; hosts that know of Apps do not show it to the model."""

    @property
    def needs(self) -> tuple[Scope, ...]:
        own: Scope = "numbers:read" if self.hints.read_only else "numbers:write"
        return self.scopes or (own,)

    @property
    def description(self) -> str:
        return " ".join((self.input.__doc__ or "").split())


AnyTool = Tool[Any]


@dataclass(frozen=True)
class Prompt:
    """A conversation to start from; its docstring is the description a person reads."""

    name: str
    title: str
    render: Callable[..., str]

    @property
    def description(self) -> str:
        return " ".join((self.render.__doc__ or "").split())
