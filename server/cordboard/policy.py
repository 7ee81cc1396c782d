"""Policy: a pure function of (what would change, how much lately) -> required level and why.

The three presets and an operator's TOML file are the same thing: a list of rules, of which the
highest that matches wins. A policy cannot be changed over MCP; its hash is part of every plan.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, get_args

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from cordboard.binding import Platform, Provider
from cordboard.canonical import canonical, digest
from cordboard.errors import ConfigError
from cordboard.plan import Action, Draft, Level

LEVELS: tuple[Level, ...] = get_args(Level)


def highest(levels: Iterable[Level]) -> Level:
    """The strongest of some levels; `plan` where there is none."""
    return max(levels, key=LEVELS.index, default="plan")


def at_least(level: Level, needed: Level) -> bool:
    """Whether `level` is as strong as `needed`."""
    return LEVELS.index(level) >= LEVELS.index(needed)


def _as_list(value: Any) -> Any:
    """One word as a list of it. An empty list would match everything, which nobody means."""
    if value == []:
        raise ValueError("names nothing; leave the condition out")
    return [value] if isinstance(value, str) else value


Tag = Annotated[str, Field(pattern="^[A-Za-z0-9._-]{1,64}$")]
Prefix = Annotated[str, Field(pattern=r"^\+[1-9][0-9]{0,14}$")]


class Rule(BaseModel):
    """Matches when every condition given matches at least one number; then demands `level`.

    A condition takes one word or a list. `size`: the plan has this many numbers or more.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)

    level: Level
    action: Annotated[tuple[Action, ...], BeforeValidator(_as_list)] = ()
    purpose: Annotated[tuple[Literal["TEST", "PRODUCTION"], ...], BeforeValidator(_as_list)] = ()
    tag: Annotated[tuple[Tag, ...], BeforeValidator(_as_list)] = ()
    provider: Annotated[tuple[Provider, ...], BeforeValidator(_as_list)] = ()
    number_prefix: Annotated[tuple[Prefix, ...], BeforeValidator(_as_list)] = Field(
        default=(), validation_alias=AliasChoices("prefix", "number_prefix")
    )
    platform: Annotated[tuple[Platform, ...], BeforeValidator(_as_list)] = ()
    size: int = Field(default=0, ge=0, strict=True)


class Budgets(BaseModel):
    """More numbers than these need a person: in one plan, or applied in one hour by one principal.

    0 switches a budget off.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    numbers_per_plan: int = Field(default=25, ge=0, strict=True)
    numbers_per_hour: int = Field(default=25, ge=0, strict=True)


class PolicyFile(BaseModel):
    """The TOML file of an operator: a preset to start from, and more rules."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    extends: Literal["relaxed", "standard", "strict"] = "standard"
    rules: tuple[Rule, ...] = ()
    budgets: Budgets | None = None
    four_eyes: bool = Field(default=False, strict=True)


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
        said: dict[str, Any] = {
            "rules": [r.model_dump(mode="json") for r in self.rules],
            "budgets": self.budgets.model_dump(),
            "four_eyes": self.four_eyes,
        }
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
    for rule in policy.rules:
        why = _matches(rule, action, platform, draft)
        if why:
            reasons.append(Required(rule.level, f"{policy.name} policy: {why}"))
    size = len(draft.changes)
    per_plan, per_hour = policy.budgets.numbers_per_plan, policy.budgets.numbers_per_hour
    if per_plan and size > per_plan:
        reasons.append(Required("person", f"{size} numbers in one plan, more than {per_plan}"))
    if per_hour and size + applied_last_hour > per_hour:
        total = f"{applied_last_hour} numbers changed in the last hour and {size} now"
        reasons.append(Required("person", f"{total}, more than {per_hour}"))
    return max(reasons, key=lambda r: LEVELS.index(r.level))


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
            and (not rule.tag or set(rule.tag) & set(image.tags))
            and (not rule.provider or image.provider in rule.provider)
            and (not rule.number_prefix or change.number.startswith(rule.number_prefix))
        ):
            return _because(rule, change.number)
    return ""


def _because(rule: Rule, number: str) -> str:
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
    return f"{', '.join(said)} ({number})" if said else "every change"


def from_file(text: dict[str, Any], name: str) -> Policy:
    """A policy from the parsed TOML of an operator's file.

    Raises: ConfigError naming file, field and what is allowed.
    """
    try:
        file = PolicyFile.model_validate(text)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f'Policy file {name}: "{field}": {first["msg"]}.',
            "Allowed: extends, four_eyes, [budgets] numbers_per_plan, numbers_per_hour, and [[rules]] "
            "with action, purpose, tag, provider, prefix, platform, size and level "
            f"({', '.join(LEVELS)}).",
        ) from None
    base = PRESETS[file.extends]
    return Policy(name, base.rules + file.rules, file.budgets or base.budgets, file.four_eyes)
