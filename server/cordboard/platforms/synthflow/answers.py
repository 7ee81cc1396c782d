"""What Synthflow's answers mean: its JSON, checked, as values of ours.

Shapes from docs.synthflow.ai, "Get an agent", "List agents", "Get a phone number", "List phone
numbers". A fact that is missing or of the wrong type is an error, never an empty list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from cordboard.binding import AGENT_PATTERN, PROVIDERS, Agent, Direction
from cordboard.display import quoted
from cordboard.errors import PlatformError
from cordboard.number import is_canonical
from cordboard.platforms.synthflow.refusals import unexpected

PREFIX = "synthflow:"
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Assistant:
    """An agent. `slugs`: number -> slug of what is attached to it; None in rows of a list that lack it.

    `phone_number` is the older field for its one number; "" where it has none.
    """

    model_id: str
    name: str
    type: str
    phone_number: str
    slugs: dict[str, str] | None
    has_webhook: bool

    @property
    def direction(self) -> Direction | None:
        """None for a `widget`, which has no telephone, and for a type we do not know."""
        return cast(Direction, self.type) if self.type in ("inbound", "outbound") else None

    @property
    def attached(self) -> dict[str, str]:
        return self.slugs or {}

    @property
    def agent(self) -> Agent | None:
        """As an agent of ours; None without a direction, or with an id that ours cannot carry."""
        name = PREFIX + self.model_id
        if self.direction is None or re.fullmatch(AGENT_PATTERN, name) is None:
            return None
        return Agent(agent=name, name=self.name, direction=self.direction)


@dataclass(frozen=True, slots=True)
class Number:
    """A number. `free`: no inbound agent has it, so far as Synthflow tells; None where it does not.

    `assistants`: ids of the agents it is attached to, of either direction.
    """

    number: str
    slug: str
    label: str
    provider: str
    free: bool | None
    assistants: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NumberRow:
    """A number as the list has it: without slug or owner."""

    number: str
    free: bool | None


@dataclass(frozen=True, slots=True)
class Rows(Generic[Row]):
    """Part of a list; `total` is the length of the whole."""

    rows: tuple[Row, ...]
    total: int


def one_assistant(body: Any, model_id: str) -> Assistant | None:
    """The agent asked for; None where the answer says, by an empty list, that there is none."""
    rows = _assistants(_response(body), "the agent")
    if not rows:
        return None
    found = _assistant(rows[0])
    if found.model_id != model_id:
        if found.model_id.casefold() == model_id.casefold():
            return None  # the id was typed in another case: one agent must not get two names
        raise unexpected(f"asked for agent {quoted(model_id)}, it told of {quoted(found.model_id)}")
    if found.slugs is None and found.direction is not None:
        raise unexpected(f"agent {quoted(model_id)} has no list attached_phone_numbers")
    return found


def page_of_assistants(body: Any) -> Rows[Assistant]:
    response = _response(body)
    rows = _assistants(response, "the list of agents")
    return Rows(tuple(_assistant(row) for row in rows), _total(response))


def page_of_numbers(body: Any) -> Rows[NumberRow]:
    response = _response(body)
    rows = response.get("phone_numbers")
    if not isinstance(rows, list):
        raise unexpected("the list of numbers has no list phone_numbers")
    found = tuple(
        NumberRow(_text(row, "number", "a number in the list"), _flag(row, "is_available"))
        for row in rows
    )
    return Rows(found, _total(response))


def one_number(body: Any, slug: str) -> Number:
    """The number of a slug. The reference has it without an envelope; one is accepted too."""
    if isinstance(body, dict) and "phone_number" not in body and "response" in body:
        body = body["response"]
    where = f"number {_shown(slug)}"
    number = _text(body, "phone_number", where)
    true_slug = _optional(body, "slug", where) or slug
    if slug not in (true_slug, number.removeprefix("+")):
        raise unexpected(f"asked for {where}, it told of {_shown(true_slug)}")
    holders = body.get("assistants")
    if not isinstance(holders, list) or not all(isinstance(one, str) for one in holders):
        raise unexpected(f"{where} has no list of assistants")
    provider = _optional(body, "provider_name", where).lower()
    return Number(
        number=number,
        slug=true_slug,
        label=_optional(body, "friendly_name", where),
        provider=provider if provider in PROVIDERS else "",
        free=_flag(body, "is_available"),
        assistants=tuple(dict.fromkeys(holders)),
    )


def _shown(slug: str) -> str:
    """A slug for a message; one that is a number's digits gets the plus by which logs mask it."""
    return quoted(f"+{slug}" if is_canonical(f"+{slug}") else slug)


def _response(body: Any) -> dict[str, Any]:
    response = body.get("response") if isinstance(body, dict) else None
    if not isinstance(response, dict):
        raise unexpected("there is no object response in it")
    return response


def _assistants(response: dict[str, Any], where: str) -> list[Any]:
    """The rows. The reference has one object where a list belongs ("List agents"): both are taken."""
    found = response.get("assistants")
    if isinstance(found, dict):
        return [found]
    if not isinstance(found, list):
        raise unexpected(f"{where} has no list assistants")
    return found


def _assistant(row: Any) -> Assistant:
    model_id = _text(row, "model_id", "an agent")
    where = f"agent {quoted(model_id)}"
    attached = row.get("attached_phone_numbers")
    return Assistant(
        model_id=model_id,
        name=_optional(row, "name", where),
        type=_text(row, "type", where),
        phone_number=_optional(row, "phone_number", where),
        slugs=None if attached is None else _attached(attached, where),
        has_webhook=bool(row.get("inbound_call_webhook_url")),
    )


def _attached(rows: Any, where: str) -> dict[str, str]:
    """number -> slug, from `[{number, sid, slug}]`."""
    if not isinstance(rows, list):
        raise unexpected(f"attached_phone_numbers of {where} is no list")
    of = f"a number attached to {where}"
    return {_text(row, "number", of): _text(row, "slug", of) for row in rows}


def _total(response: dict[str, Any]) -> int:
    pagination = response.get("pagination")
    total = pagination.get("total_records") if isinstance(pagination, dict) else None
    if not isinstance(total, int) or isinstance(total, bool):
        raise unexpected("a list does not tell its total_records")
    return total


def _text(row: Any, name: str, where: str) -> str:
    value = row.get(name) if isinstance(row, dict) else None
    if not isinstance(value, str) or not value:
        raise unexpected(f"{where} has no text {name}")
    return value


def _optional(row: dict[str, Any], name: str, where: str) -> str:
    value = row.get(name)
    if value is not None and not isinstance(value, str):
        raise unexpected(f"{name} of {where} is no text")
    return value or ""


def _flag(row: Any, name: str) -> bool | None:
    value = row.get(name)
    if value is not None and not isinstance(value, bool):
        raise _not_boolean(name)
    return value


def _not_boolean(name: str) -> PlatformError:
    return unexpected(f"{name} is neither true nor false")
