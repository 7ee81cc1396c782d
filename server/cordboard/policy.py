"""Policy: a pure function of (what would change, how much lately) -> required level and why.

The three presets and an operator's TOML file are the same thing: a list of rules, of which the
highest that matches wins. A policy cannot be changed over MCP; its hash is part of every plan.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal, get_args

from cordboard.binding import Platform, Provider
from cordboard.canonical import canonical, digest
from cordboard.plan import Draft, Level
from cordboard.request import Action

LEVELS: tuple[Level, ...] = get_args(Level)


def at_least(level: Level, needed: Level) -> bool:
    """Whether `level` is as strong as `needed`."""
    return LEVELS.index(level) >= LEVELS.index(needed)


@dataclass(frozen=True, slots=True)
class Rule:
    """Matches when one number at least meets every condition given; then demands `level`.

    A condition that is empty matches all. `size`: the plan has this many numbers or more.
    """

    level: Level
    action: tuple[Action, ...] = ()
    purpose: tuple[Literal["TEST", "PRODUCTION"], ...] = ()
    tag: tuple[str, ...] = ()
    provider: tuple[Provider, ...] = ()
    number_prefix: tuple[str, ...] = ()
    platform: tuple[Platform, ...] = ()
    size: int = 0


@dataclass(frozen=True, slots=True)
class Budgets:
    """More numbers than these need a person: in one plan, or applied in one hour by one principal.

    0 switches a budget off.
    """

    numbers_per_plan: int = 25
    numbers_per_hour: int = 25


@dataclass(frozen=True)
class Policy:
    """Rules, budgets and whether the approver must be another person than the requester."""

    name: str
    rules: tuple[Rule, ...]
    budgets: Budgets
    four_eyes: bool = False

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what this policy says; its name has no part in it."""
        said = asdict(self)
        del said["name"]
        return digest(canonical(said))


_NO_BUDGETS = Budgets(numbers_per_plan=0, numbers_per_hour=0)
_STANDARD = (
    Rule(level="client", purpose=("PRODUCTION",)),
    Rule(level="person", tag=("protected", "emergency_callback")),
)
PRESETS: dict[str, Policy] = {
    "relaxed": Policy("relaxed", (), _NO_BUDGETS),
    "standard": Policy("standard", _STANDARD, Budgets()),
    "strict": Policy("strict", (Rule(level="person"),), _NO_BUDGETS),
}


@dataclass(frozen=True, slots=True)
class Required:
    """The level a plan needs, and why in plain words."""

    level: Level
    why: str


def required(
    policy: Policy, action: Action, platform: str, draft: Draft, applied_last_hour: int
) -> Required:
    """The level that these changes need under this policy.

    `applied_last_hour`: numbers this principal's plans changed in the last 60 minutes.
    """
    reasons = [Required("plan", f"{policy.name} policy asks nobody for this")]
    if draft.mixes:
        reasons.append(Required("client", "TEST and PRODUCTION would mix"))
    if draft.one_way:
        reasons.append(Required("person", f"{platform} has no way to reverse it"))
    for rule in policy.rules:
        why = _matches(rule, action, platform, draft)
        if why:
            reasons.append(Required(rule.level, f"{policy.name} policy: {why}"))
    size = len(draft.changes)
    per_plan, per_hour = policy.budgets.numbers_per_plan, policy.budgets.numbers_per_hour
    if per_plan and size > per_plan:
        why = f"{size:,} numbers in one plan, more than numbers_per_plan = {per_plan}"
        reasons.append(Required("person", why))
    if per_hour and size + applied_last_hour > per_hour:
        total = f"{applied_last_hour:,} numbers changed in the last hour and {size:,} now"
        reasons.append(Required("person", f"{total}, more than numbers_per_hour = {per_hour}"))
    need = max(reasons, key=lambda r: LEVELS.index(r.level))
    if policy.four_eyes and need.level == "client":
        return Required("person", f"{need.why}; four eyes: nobody confirms what they asked for")
    return need


def _matches(rule: Rule, action: Action, platform: str, draft: Draft) -> str:
    """Why a rule applies, or "" where it does not."""
    if rule.action and action not in rule.action:
        return ""
    if rule.platform and platform not in rule.platform:
        return ""
    if len(draft.changes) < rule.size:
        return ""
    for change in draft.changes:
        image = change.image
        purpose = "TEST" if image.purpose == "TEST" else "PRODUCTION"
        if (
            (not rule.purpose or purpose in rule.purpose)
            and (not rule.tag or _folded(rule.tag) & _folded(image.tags))
            and (not rule.provider or image.provider in rule.provider)
            and (not rule.number_prefix or change.number.startswith(rule.number_prefix))
        ):
            return _because(rule, change.number, unknown=not image.purpose)
    return ""


def _folded(tags: Iterable[str]) -> set[str]:
    """Tags in lower case: `Protected` protects as well."""
    return {tag.casefold() for tag in tags}


def _because(rule: Rule, number: str, *, unknown: bool) -> str:
    said = [
        f"{name} {' or '.join(values)}"
        for name, values in (
            ("action", rule.action),
            ("purpose", rule.purpose),
            ("tag", rule.tag),
            ("provider", rule.provider),
            ("numbers", rule.number_prefix),
            ("platform", rule.platform),
        )
        if values
    ]
    if rule.size:
        said.append(f"{rule.size} numbers or more")
    counted = ", its purpose is not known" if unknown and rule.purpose else ""
    return f"{', '.join(said)} ({number}{counted})" if said else "every change"
