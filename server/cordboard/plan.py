"""Plans: a pure function of (what was asked, what was observed) -> exact changes, warnings.

Nothing here reads a clock, a store or a network. A plan is stored as canonical JSON (RFC 8785)
and known by the SHA-256 of it; an approval is bound to that hash.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from cordboard.binding import Direction, OwnedNumber, Pathway, Side
from cordboard.canonical import canonical, digest_of, joined, quote, whole
from cordboard.request import Action, Asked, Look, ids, starts

Level = Literal["plan", "client", "person", "frozen"]
"""Guard levels, weakest first. (`key`, a hardware key over the plan hash, will stand third.)"""
_AT_ONCE = 5_000
Outcome = Literal["planned", "unchanged", "applied", "not_applied", "unknown"]


@dataclass(frozen=True, slots=True)
class Image:
    """What was seen of a number before the change: every part a decision rested on.

    `holders` are all agents bound in that direction, `version` counts its changes so far.
    """

    version: int
    holders: tuple[str, ...]
    provider: str
    purpose: str
    tags: tuple[str, ...]
    label: str

    @classmethod
    def of(cls, owned: OwnedNumber, direction: Direction) -> Image:
        holders = tuple(sorted(b.agent for b in owned.bound(direction)))
        version = owned.versions.get(direction, 0)
        return cls(version, holders, owned.provider, owned.purpose, owned.tags, owned.label)


@dataclass(frozen=True, slots=True)
class Change:
    """One number, one direction: before -> after."""

    number: str
    before: Side
    after: Side
    image: Image
    detail: str = ""
    outcome: Outcome = "planned"

    @property
    def direction(self) -> Direction:
        return self.before.direction


@dataclass(frozen=True, slots=True)
class Draft:
    """What would be done: changes, what is so already, and what the approver must know.

    `one_way`: the platform has no way back. `names`: of agents whose ids say nothing to a person.
    """

    changes: tuple[Change, ...]
    unchanged: tuple[Change, ...]
    warnings: tuple[str, ...]
    unchecked: tuple[str, ...]
    mixes: bool
    one_way: bool = False
    names: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A draft with its identity, requester, level and expiry. Immutable; `reason` is apart.

    `four_eyes`: the policy it was made under wants another person to approve than the requester.
    """

    plan_id: str
    account: str
    principal: str
    asked: Asked
    draft: Draft
    level: Level
    why: str
    policy_hash: str
    created_at: str
    expires_at: str
    four_eyes: bool = False

    @property
    def action(self) -> Action:
        return self.asked.action

    @property
    def platform(self) -> str:
        return self.asked.agent.partition(":")[0]

    def look(self) -> Look:
        """What has to be looked at again before any of it is done."""
        changes = self.draft.changes
        gaining = {c.after.agent for c in changes if c.after.agent != c.before.agent}
        return Look(
            agents=frozenset({*self.asked.agents, *(c.after.agent for c in changes)} - {""}),
            numbers=tuple(dict.fromkeys(c.number for c in changes)),
            pathways=ids(c.after.pathway for c in changes),
            nodes=starts(c.after.pathway for c in changes),
            gaining=frozenset(gaining - {""}),
        )

    def body(self) -> str:
        """Canonical JSON of the whole plan, the text that is hashed and stored."""
        draft, texts = self.draft, Texts()
        drawn: dict[str, Iterable[str]] = {
            "changes": texts.changes(draft.changes),
            "unchanged": texts.changes(draft.unchanged),
            "warnings": (canonical(draft.warnings),),
            "unchecked": (canonical(draft.unchecked),),
            "mixes": (canonical(draft.mixes),),
        }
        # Only where it says something: older plans have no such key, and their hash.
        drawn |= {"one_way": ("true",)} if draft.one_way else {}
        drawn |= {"names": (canonical(draft.names),)} if draft.names else {}
        told = {
            "plan_id": self.plan_id,
            "account": self.account,
            "principal": self.principal,
            "asked": _asked_json(self.asked),
            "level": self.level,
            "why": self.why,
            "policy_hash": self.policy_hash,
            "four_eyes": self.four_eyes,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
        }
        parts: dict[str, Iterable[str]] = {n: (canonical(v),) for n, v in told.items()}
        return whole(joined({**parts, "draft": joined(drawn)}))


class Texts:
    """Changes as canonical JSON, written by hand: of 100,000 the most differ in their number alone,
    and a dict of each would fill the memory."""

    def __init__(self) -> None:
        self._sides: dict[Side, str] = {}
        self._images: dict[tuple[Any, ...], tuple[str, str]] = {}

    def changes(self, changes: Sequence[Change], *, details: bool = True) -> Iterator[str]:
        """The array of changes as a plan holds them, in pieces; without `details` those are empty."""
        return _array(changes, lambda change: self._change(change, details))

    def sides(self, changes: Sequence[Change]) -> Iterator[str]:
        """The array of what the journal keeps of changes: number, before, after."""
        side, told = self._side, '{"after":%s,"before":%s,"number":%s}'
        return _array(changes, lambda c: told % (side(c.after), side(c.before), quote(c.number)))

    def _change(self, change: Change, details: bool) -> str:
        before, after, image = change.before, change.after, change.image
        told = (image.holders, image.provider, image.purpose, image.tags)
        first, last = self._images.get(told) or self._image(told)
        return (
            f'{{"after":{self._side(after)},"before":{self._side(before)},'
            f'"detail":{quote(change.detail if details else "")},"image":{{{first}'
            f'{quote(image.label)},{last}{image.version}}},"number":{quote(change.number)},'
            f'"outcome":{quote(change.outcome)}}}'
        )

    def _side(self, side: Side) -> str:
        text = self._sides.get(side)
        if text is None:
            text = self._sides[side] = canonical(side.as_json())
        return text

    def _image(self, told: tuple[Any, ...]) -> tuple[str, str]:
        """What stands before a label, and between it and the version."""
        holders, provider, purpose, tags = map(canonical, told)
        first = f'"holders":{holders},"label":'
        last = f'"provider":{provider},"purpose":{purpose},"tags":{tags},"version":'
        self._images[told] = first, last
        return first, last


def _array(changes: Sequence[Change], written: Callable[[Change], str]) -> Iterator[str]:
    """A JSON array, some thousand of its items in a piece."""
    yield "["
    for start in range(0, len(changes), _AT_ONCE):
        part = changes[start : start + _AT_ONCE]
        yield f"{',' if start else ''}{','.join([written(change) for change in part])}"
    yield "]"


def _asked_json(asked: Asked) -> dict[str, Any]:
    """What was asked; what an undo restores is in its changes already."""
    return {f.name: getattr(asked, f.name) for f in fields(asked) if f.name != "restore"} | {
        "pathway": asdict(asked.pathway)
    }


class _Alike:
    """Reads the objects of a plan's JSON, one value for whatever is the same in many changes."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}

    def read(self, data: dict[str, Any]) -> Any:
        """The noun that this JSON object is, the innermost first; other objects as they are."""
        if "image" in data:
            return Change(**data)
        if "holders" in data:
            data["holders"], data["tags"] = tuple(data["holders"]), tuple(data["tags"])
            same = {name: self._same(data[name]) for name in ("holders", "provider", "purpose")}
            return Image(**{**data, **same, "tags": self._same(data["tags"])})
        if "direction" in data:
            told = tuple(data.items())
            return self._known.get(told) or self._known.setdefault(told, Side.of(data))
        return data

    def change(self, data: Mapping[str, Any]) -> Change:
        """The same of an object whose inner ones were not read yet."""
        inner = {name: self.read(dict(data[name])) for name in ("before", "after", "image")}
        return Change(**{**data, **inner})

    def _same(self, value: Any) -> Any:
        return self._known.setdefault(value, value)


def parse(text: str) -> Plan:
    """A plan from its `body()`."""
    return load(json.loads(text, object_hook=_Alike().read))


def load(data: Mapping[str, Any]) -> Plan:
    """A plan from the parsed JSON of its `body()`."""
    alike = _Alike()
    asked, draft = dict(data["asked"]), dict(data["draft"])
    asked["numbers"], asked["slugs"] = tuple(asked["numbers"]), tuple(asked["slugs"])
    asked["pathway"] = Pathway(**asked["pathway"])
    for kind in ("changes", "unchanged"):
        draft[kind] = tuple(c if isinstance(c, Change) else alike.change(c) for c in draft[kind])
    draft["names"] = tuple((agent, name) for agent, name in draft.get("names", ()))
    draft["warnings"], draft["unchecked"] = tuple(draft["warnings"]), tuple(draft["unchecked"])
    rest = {k: v for k, v in data.items() if k not in ("asked", "draft")}
    return Plan(asked=Asked(**asked), draft=Draft(**draft), **rest)


def request_key(plan: Plan) -> str:
    """The same for the same request by the same principal on the same observed state.

    Level and policy are part of it: a process that would demand another level makes a plan of
    its own. The reason given is not.
    """
    draft = plan.draft
    order = sorted(draft.changes + draft.unchanged, key=lambda c: (c.number, c.direction))
    told = {
        "account": plan.account,
        "principal": plan.principal,
        "level": plan.level,
        "policy_hash": plan.policy_hash,
        "asked": _asked_json(replace(plan.asked, numbers=(), slugs=())),
        "mixes": draft.mixes,
        "unchecked": draft.unchecked,
    }
    same: dict[str, Iterable[str]] = {name: (canonical(v),) for name, v in told.items()}
    return digest_of(joined({**same, "changes": Texts().changes(order, details=False)}))
