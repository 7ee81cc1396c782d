"""What an operator writes: the configuration file and the policy file, checked strictly.

Imported only where there is such a file: a server without one starts without it.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from cordboard.binding import Direction, Platform, Provider
from cordboard.errors import ConfigError
from cordboard.plan import Level
from cordboard.policy import LEVELS, PRESETS, Policy, Rule
from cordboard.request import Action

_YEAR = 366 * 86400


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Bland(_Table):
    api_key: str = ""
    base_url: str = ""


class _Synthflow(_Table):
    api_key: str = ""
    region: str = ""
    workspace: str = ""
    base_url: str = ""


class _DeclaredAgent(_Table):
    id: Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    name: str = ""
    direction: Direction = "inbound"


class _DeclaredNumber(_Table):
    number: Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$")]
    provider: Provider | Literal[""] = ""
    label: str = ""
    purpose: Literal["", "TEST", "PRODUCTION"] = ""
    tags: list[str] = Field(default_factory=list[str])


class _Unleashx(_Table):
    token: str = ""
    contract: Literal["agent", "global"] = "agent"
    header: Literal["token", "api_access_token"] = "token"
    base_url: str = ""
    agents: list[_DeclaredAgent] = Field(default_factory=list[_DeclaredAgent])
    numbers: list[_DeclaredNumber] = Field(default_factory=list[_DeclaredNumber])


class _Http(_Table):
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    public_url: str = ""
    workers: int = Field(default=1, ge=1, le=64)
    tls_cert: str = ""
    tls_key: str = ""
    allowed_hosts: list[str] = Field(default_factory=list[str])
    allowed_origins: list[str] = Field(default_factory=list[str])
    body_bytes: int = Field(default=1024 * 1024, ge=1024, le=64 * 1024 * 1024)
    grace_seconds: float = Field(default=30.0, gt=0, le=600)


class _OAuth(_Table):
    issuer: str
    audience: str
    jwks_url: str = ""
    introspection_url: str = ""
    client_id: str = ""
    client_secret: str = ""
    account_claim: str = ""


class ConfigFile(BaseModel):
    """The TOML file of CORDBOARD_CONFIG. Seconds are decimal numbers above 0."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    database: str = ""
    policy: str = ""
    read_only: bool = False
    ignore_arguments: list[str] = Field(default_factory=list[str])
    ask_seconds: float = Field(default=50.0, gt=0, le=600)
    remember_seconds: float = Field(default=0.25, ge=0, le=60)
    plan_seconds: float = Field(default=1800.0, gt=0, le=_YEAR)
    approval_seconds: float = Field(default=86400.0, gt=0, le=_YEAR)
    request_seconds: float = Field(default=15.0, gt=0, le=600)
    quiet_seconds: float = Field(default=0.0, ge=0, le=3600)
    bland: _Bland | None = None
    synthflow: _Synthflow | None = None
    unleashx: _Unleashx | None = None
    http: _Http | None = None
    oauth: _OAuth | None = None


def _as_list(value: Any) -> Any:
    """One word as a list of it. An empty list would match everything, which nobody means."""
    if value == []:
        raise ValueError("names nothing; leave the condition out")
    return [value] if isinstance(value, str) else value


_OneOrMany = BeforeValidator(_as_list)
_Tag = Annotated[str, Field(pattern="^[A-Za-z0-9._-]{1,64}$")]
_Prefix = Annotated[str, Field(pattern=r"^\+[1-9][0-9]{0,14}$")]


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    level: Level
    action: Annotated[tuple[Action, ...], _OneOrMany] = ()
    purpose: Annotated[tuple[Literal["TEST", "PRODUCTION"], ...], _OneOrMany] = ()
    tag: Annotated[tuple[_Tag, ...], _OneOrMany] = ()
    provider: Annotated[tuple[Provider, ...], _OneOrMany] = ()
    number_prefix: Annotated[tuple[_Prefix, ...], _OneOrMany] = Field(
        default=(), validation_alias=AliasChoices("prefix", "number_prefix")
    )
    platform: Annotated[tuple[Platform, ...], _OneOrMany] = ()
    size: int = Field(default=0, ge=0, strict=True)


class _Budgets(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    numbers_per_plan: int = Field(default=0, ge=0, strict=True)
    numbers_per_hour: int = Field(default=0, ge=0, strict=True)


class PolicyFile(BaseModel):
    """The TOML file of an operator: a preset to start from, and more rules."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    extends: Literal["relaxed", "standard", "strict"] = "standard"
    rules: tuple[_Rule, ...] = ()
    budgets: _Budgets = _Budgets()
    four_eyes: bool = Field(default=False, strict=True)


def read_policy(path: Path, name: str) -> Policy:
    """The policy in an operator's file.

    Raises: ConfigError naming file, field and what is allowed.
    """
    text = _toml(path, "Policy file")
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
    rules = tuple(Rule(**rule.model_dump()) for rule in file.rules)
    # What the file does not say stays as the preset has it.
    budgets = replace(base.budgets, **file.budgets.model_dump(exclude_unset=True))
    return Policy(name, base.rules + rules, budgets, file.four_eyes)


def read_config(path: Path) -> ConfigFile:
    """The settings in an operator's file. Raises: ConfigError naming the field."""
    text = _toml(path, "Configuration file")
    try:
        return ConfigFile.model_validate(text)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f'Configuration file {path}: "{field}": {first["msg"]}.',
            f"Allowed: {', '.join(ConfigFile.model_fields)}.",
        ) from None


def _toml(path: Path, what: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise ConfigError(f"{what} {path}: {exc.strerror or exc}.", "Check the path.") from None
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"{what} {path}: not valid TOML: {str(exc)[:200]}.") from None
