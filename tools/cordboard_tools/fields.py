"""Arguments that several tools share: one wording, one pattern, one place."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from cordboard import binding
from cordboard.binding import AGENT_PATTERN, SLUG_PATTERN
from cordboard.number import PATTERN

_ID = "^[A-Za-z0-9._-]{1,100}$"


def something(value: str) -> str:
    """Refuses the words with which a model says nothing: they would be taken at face value."""
    if value.lower() in ("null", "none", "undefined"):
        raise ValueError(f"{value} is no id; clear_number_pathway clears a pathway")
    return value


def said(value: str) -> str:
    """Refuses a reason of nothing but space."""
    if not value.strip():
        raise ValueError("is empty; say why")
    return value


def printable(value: str) -> str:
    """Refuses control characters: no name has them, and an engine's text may end at one."""
    if any(ord(character) < 32 for character in value):
        raise ValueError("has control characters; leave them out")
    return value


Platform = Literal["", binding.Platform]
Provider = Literal["", binding.Provider]
AgentId = Annotated[
    str, Field(pattern=AGENT_PATTERN, description="platform:id, e.g. local:support")
]
# The pattern is published, and checked by the service: so that a whole batch is looked at, every
# bad number gets its reason, and the code is INVALID_NUMBER_FORMAT.
Number = Annotated[str, WithJsonSchema({"type": "string", "pattern": PATTERN})]
Numbers = Annotated[list[Number], Field(min_length=1, max_length=100, description="E.164 numbers")]
SomeNumbers = Annotated[list[Number], Field(max_length=100, description="E.164 numbers")]
Slug = Annotated[str, Field(pattern=SLUG_PATTERN)]
SomeSlugs = Annotated[
    list[Slug], Field(max_length=100, description="or slugs from list_numbers, instead of numbers")
]
Reason = Annotated[str, Field(max_length=500, description="why, for the approver")]
PlanId = Annotated[str, Field(pattern="^plan_[0-9a-f]{24}$", description="plan_ and 24 hex digits")]
PathwayId = Annotated[
    str, Field(pattern=_ID, description="from list_pathways"), AfterValidator(something)
]
Limit = Annotated[int, Field(ge=1, le=200)]
Cursor = Annotated[str, Field(max_length=500, description="next_cursor of the last page")]
Query = Annotated[str, Field(max_length=100, description="text to find"), AfterValidator(printable)]


def optional(pattern: str) -> str:
    """A pattern that also takes the empty text, which means: not given."""
    return f"^({pattern.removeprefix('^').removesuffix('$')})?$"


AgentFilter = Annotated[str, Field(pattern=optional(AGENT_PATTERN), description="platform:id")]
NumberFilter = Annotated[str, WithJsonSchema({"type": "string", "pattern": optional(PATTERN)})]
PathwayFilter = Annotated[
    str, Field(pattern=optional(_ID), description="only this one, with versions and nodes")
]
NodeId = Annotated[
    str,
    Field(pattern=optional(_ID), description="node of that version"),
    AfterValidator(something),
]
