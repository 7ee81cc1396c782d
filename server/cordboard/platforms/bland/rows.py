"""What Bland's answers hold, read strictly: a field that is missing or of another type is an error.

The field names are those of docs.bland.ai: get/personas, get/personas-id, get/inbound,
api-v2/get/agents, get/pathway, get/pathway_versions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cordboard.binding import AGENT_PATTERN, NO_PATHWAY, Agent, Pathway
from cordboard.display import quoted
from cordboard.platforms.bland.words import unexpected

V2 = "agent-"
"""How the ids of V2 agents begin in Cordboard, to tell them from personas."""
_TWIN = re.compile(r"v2-agent:(\S{1,200})")
SETTINGS = ("pathway_id", "pathway_version", "start_node_id")


@dataclass(frozen=True, slots=True)
class Held:
    """A number that an agent holds.

    `kept`: names of settings that Bland keeps for it and that no Pathway can carry.
    """

    number: str
    label: str
    pathway: Pathway
    kept: tuple[str, ...] = ()

    def without_pathway(self) -> Held:
        """The same, what Bland has of a pathway only kept."""
        own = tuple(name for name in SETTINGS if getattr(self.pathway, name))
        return replace(self, pathway=NO_PATHWAY, kept=own + self.kept)


@dataclass(frozen=True, slots=True)
class Persona:
    """A V1 agent, or the hidden twin through which a V2 agent answers (`twin_of`: that agent's id)."""

    id: str
    name: str
    held: tuple[Held, ...]
    twin_of: str = ""
    user_id: str = ""
    created_at: str = ""
    updated_at: str = ""
    deleted: bool = False

    @property
    def agent(self) -> str:
        """The agent its numbers are bound to."""
        return f"bland:{V2}{self.twin_of}" if self.twin_of else f"bland:{self.id}"

    @property
    def listed(self) -> bool:
        """Whether it is an agent of its own, with an id that can be written as one."""
        return not (self.twin_of or self.deleted) and nameable(self.agent, self.id)

    def behind(self, agent_id: str) -> Persona:
        """The same as the twin of that V2 agent, which has no pathway of a number's own."""
        return replace(
            self, twin_of=agent_id, held=tuple(one.without_pathway() for one in self.held)
        )

    def as_agent(self) -> Agent:
        """As Cordboard's noun; which pathway it runs where no number overrides it is not told."""
        return Agent(
            self.agent, self.name, "inbound", "", self.user_id, self.created_at, self.updated_at
        )


@dataclass(frozen=True, slots=True)
class AgentV2:
    """A V2 agent. `bound`: whether it may hold a number; `twin_pathway`: the id of its twin's flow."""

    id: str
    name: str
    bound: bool
    twin_pathway: str = ""
    user_id: str = ""
    created_at: str = ""
    updated_at: str = ""

    @property
    def agent(self) -> str:
        """Its id in Cordboard."""
        return f"bland:{V2}{self.id}"

    def as_agent(self) -> Agent:
        """As Cordboard's noun."""
        return Agent(
            self.agent, self.name, "inbound", "", self.user_id, self.created_at, self.updated_at
        )


@dataclass(frozen=True, slots=True)
class Line:
    """A number of the account. `own`: it has a prompt or pathway set on the number itself."""

    number: str
    label: str
    own: bool


def nameable(agent: str, own_id: str = "") -> bool:
    """Whether an id of Bland's can be written as an agent, and is not mistaken for a V2 agent's."""
    return re.fullmatch(AGENT_PATTERN, agent) is not None and not own_id.startswith(V2)


def record(value: Any, what: str) -> Mapping[str, Any]:
    """An object. Raises: PlatformError."""
    if not isinstance(value, Mapping):
        raise unexpected(f"{what} is {_kind(value)}, not an object")
    return value


def listed(value: Any, what: str) -> list[Any]:
    """A list. Raises: PlatformError; nothing else is ever taken for an empty list."""
    if not isinstance(value, list):
        raise unexpected(f"{what} is {_kind(value)}, not a list")
    return value


def text(row: Mapping[str, Any], field: str, what: str) -> str:
    """A field that must be there, as text that is not empty. Raises: PlatformError."""
    value = row.get(field)
    if not isinstance(value, str) or not value:
        raise unexpected(f'{what} has {_kind(value)} for "{field}", not text')
    return value


def identity(row: Mapping[str, Any], what: str) -> str:
    """The `id`, as text that can stand in a path. Raises: PlatformError."""
    own_id = text(row, "id", what)
    if own_id in (".", ".."):
        raise unexpected(f'{what} has the "id" {quoted(own_id)}')
    return own_id


def _some(row: Mapping[str, Any], field: str) -> str:
    """A field that is only shown: "" where there is no text in it."""
    value = row.get(field)
    return value if isinstance(value, str) else ""


def name(row: Mapping[str, Any], what: str) -> str:
    """The name, which may be null but not something else, and not missing."""
    if row.get("name", ...) is None:
        return ""
    value = row.get("name")
    if not isinstance(value, str):
        raise unexpected(f'{what} has {_kind(value)} for "name", not text')
    return value


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return "nothing" if value is None else names.get(type(value), "a number")


def persona(value: Any) -> Persona:
    """A row of `GET /v1/personas`, or the content of `GET /v1/personas/{id}`. Raises: PlatformError."""
    row = record(value, "an agent")
    own_id = identity(row, "an agent")
    what = f"agent {quoted(own_id, 60)}"
    twin_of = twin_mark(_texts(row))
    rows = listed(row.get("inbound_numbers"), f"the numbers of {what}")
    one = Persona(
        id=own_id,
        name=name(row, what),
        held=tuple(_held(each, own_id, what) for each in rows),
        user_id=_some(row, "user_id"),
        created_at=_some(row, "created_at"),
        updated_at=_some(row, "updated_at"),
        deleted=row.get("deleted_at") is not None,
    )
    return one.behind(twin_of) if twin_of else one


def twin_mark(texts: Iterable[str]) -> str:
    """The id of the V2 agent that one of the texts marks a twin for (`v2-agent:<id>`), or ""."""
    return next((m[1] for one in texts if (m := _TWIN.fullmatch(one))), "")


def _texts(row: Mapping[str, Any]) -> Iterator[str]:
    """Where the mark of a twin may stand: tag or name, the field is not documented."""
    yield from (value for value in row.values() if isinstance(value, str))
    tags = row.get("tags")
    for tag in tags if isinstance(tags, list) else ():
        parts = tag.values() if isinstance(tag, Mapping) else (tag,)
        yield from (part for part in parts if isinstance(part, str))


def _held(value: Any, persona_id: str, what: str) -> Held:
    row = record(value, f"a number of {what}")
    number = text(row, "phone_number", f"a number of {what}")
    where = f"number {quoted(number, 40)} of {what}"
    holder = row.get("persona_id")
    if holder is not None and holder != persona_id:
        raise unexpected(f"{where} names another agent as its holder")
    pathway, kept = settings(row.get("persona_settings"), where)
    return Held(number, _some(row, "label"), pathway, kept)


def settings(value: Any, where: str) -> tuple[Pathway, tuple[str, ...]]:
    """`persona_settings` as a pathway, and the names of what a pathway cannot carry.

    The version is a number (patch/personas-id-inbound-phone-settings); text of digits is taken
    too, as Bland shows it so elsewhere. Raises: PlatformError.
    """
    if value is None:
        return NO_PATHWAY, ()
    row = record(value, f"the settings of {where}")
    version = row.get("pathway_version")
    if isinstance(version, str) and re.fullmatch("[0-9]{1,9}", version):
        version = int(version)
    if isinstance(version, float) and version.is_integer():
        version = int(version)
    if version is not None and (isinstance(version, bool) or not isinstance(version, int)):
        raise unexpected(f'{where} has {_kind(version)} for "pathway_version"')
    ids = {name: row.get(name) for name in ("pathway_id", "start_node_id")}
    for name, one in ids.items():
        if one is not None and not isinstance(one, str):
            raise unexpected(f'{where} has {_kind(one)} for "{name}"')
    kept = tuple(sorted(str(k) for k, v in row.items() if k not in SETTINGS and v is not None))
    return Pathway(ids["pathway_id"] or "", version or 0, ids["start_node_id"] or ""), kept


def agent_v2(value: Any) -> AgentV2:
    """A row of `GET /v2/agents`, or the content of `GET /v2/agents/{id}`. Raises: PlatformError."""
    row = record(value, "a V2 agent")
    own_id = identity(row, "a V2 agent")
    return AgentV2(
        id=own_id,
        name=name(row, f"V2 agent {quoted(own_id, 60)}"),
        # null: no number was ever bound; where the field is missing, it has to be asked.
        bound=row.get("twin_pathway_id", "") is not None,
        twin_pathway=_some(row, "twin_pathway_id"),
        user_id=_some(row, "created_by"),
        created_at=_some(row, "created_at"),
        updated_at=_some(row, "updated_at"),
    )


def line(value: Any) -> Line:
    """A row of `GET /v1/inbound`. Raises: PlatformError."""
    row = record(value, "a number of the account")
    number = text(row, "phone_number", "a number of the account")
    return Line(number, _some(row, "label"), bool(row.get("prompt") or row.get("pathway_id")))
