"""Plans: a pure function of (what was asked, what was observed) -> exact changes, warnings.

Nothing here reads a clock, a store or a network. A plan is stored as canonical JSON (RFC 8785)
and known by the SHA-256 of it; an approval is bound to that hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from cordboard.binding import Direction, OwnedNumber, Pathway, Side
from cordboard.canonical import canonical, digest
from cordboard.request import Action, Asked, Look, ids, starts

Level = Literal["plan", "client", "person", "frozen"]
"""Guard levels, weakest first. (`key`, a hardware key over the plan hash, will stand third.)"""
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
        draft = self.draft
        return canonical(
            {
                "plan_id": self.plan_id,
                "account": self.account,
                "principal": self.principal,
                "asked": _asked_json(self.asked),
                "draft": {
                    "changes": [_change_json(c) for c in draft.changes],
                    "unchanged": [_change_json(c) for c in draft.unchanged],
                    "warnings": draft.warnings,
                    "unchecked": draft.unchecked,
                    "mixes": draft.mixes,
                    # Only where it says something: older plans have no such key, and their hash.
                    **({"one_way": True} if draft.one_way else {}),
                    **({"names": draft.names} if draft.names else {}),
                },
                "level": self.level,
                "why": self.why,
                "policy_hash": self.policy_hash,
                "four_eyes": self.four_eyes,
                "created_at": self.created_at,
                "expires_at": self.expires_at,
            }
        )


def _asked_json(asked: Asked) -> dict[str, Any]:
    """What was asked; what an undo restores is in its changes already."""
    return {f.name: getattr(asked, f.name) for f in fields(asked) if f.name != "restore"} | {
        "pathway": asdict(asked.pathway)
    }


def _change_json(change: Change) -> dict[str, Any]:
    image = change.image
    return {
        "number": change.number,
        "before": change.before.as_json(),
        "after": change.after.as_json(),
        "image": {
            "version": image.version,
            "holders": list(image.holders),
            "provider": image.provider,
            "purpose": image.purpose,
            "tags": list(image.tags),
            "label": image.label,
        },
        "detail": change.detail,
        "outcome": change.outcome,
    }


def _change_of(data: Mapping[str, Any]) -> Change:
    image = dict(data["image"])
    image["holders"], image["tags"] = tuple(image["holders"]), tuple(image["tags"])
    return Change(
        number=data["number"],
        before=Side.of(data["before"]),
        after=Side.of(data["after"]),
        image=Image(**image),
        detail=data["detail"],
        outcome=data["outcome"],
    )


def load(data: Mapping[str, Any]) -> Plan:
    """A plan from the parsed JSON of its `body()`."""
    asked, draft = dict(data["asked"]), dict(data["draft"])
    asked["numbers"], asked["slugs"] = tuple(asked["numbers"]), tuple(asked["slugs"])
    asked["pathway"] = Pathway(**asked["pathway"])
    for kind in ("changes", "unchanged"):
        draft[kind] = tuple(_change_of(c) for c in draft[kind])
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
    same = {
        "account": plan.account,
        "principal": plan.principal,
        "level": plan.level,
        "policy_hash": plan.policy_hash,
        "asked": _asked_json(replace(plan.asked, numbers=(), slugs=())),
        "changes": [_change_json(c) | {"detail": ""} for c in order],
        "mixes": draft.mixes,
        "unchecked": draft.unchecked,
    }
    return digest(canonical(same))
