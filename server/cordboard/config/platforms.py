"""What an operator configures of each vendor's platform: credentials, place, and what it cannot tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cordboard.binding import Direction
from cordboard.display import shown

_REGIONS = ("global", "us", "eu")


@dataclass(frozen=True)
class BlandSettings:
    """`base_url` "" is the vendor's own."""

    api_key: str
    base_url: str = ""


@dataclass(frozen=True)
class SynthflowSettings:
    """A key belongs to one workspace in one region; neither can be told from the key."""

    api_key: str
    region: Literal["global", "us", "eu"]
    workspace: str
    base_url: str = ""


@dataclass(frozen=True)
class DeclaredAgent:
    """An agent that the operator declares, because the platform lists none."""

    id: str
    name: str = ""
    direction: Direction = "inbound"


@dataclass(frozen=True)
class DeclaredNumber:
    """A number that the operator declares, because the platform lists none."""

    number: str
    provider: str = ""
    label: str = ""
    purpose: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class UnleashxSettings:
    """`contract`: which of the two published ones: `agent` is /api/agent/attach-phone-number,
    `global` is /api/v1/global/attach-phone-numbers. `header`: the name the token is sent under."""

    token: str
    contract: Literal["agent", "global"] = "agent"
    header: Literal["token", "api_access_token"] = "token"
    agents: tuple[DeclaredAgent, ...] = ()
    numbers: tuple[DeclaredNumber, ...] = ()
    base_url: str = ""


@dataclass(frozen=True)
class PlatformSettings:
    """The platforms at vendors that are on: those whose credentials are there.

    `unusable`: platforms with a key and something else missing, each with what and how to set it.
    `request_seconds`: how long one request may take. `quiet_seconds`: how long after a lost answer
    a number is held before it is read; 0: as long as the vendor needs.
    """

    bland: BlandSettings | None = None
    synthflow: SynthflowSettings | None = None
    unleashx: UnleashxSettings | None = None
    unusable: Mapping[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    request_seconds: float = 15.0
    quiet_seconds: float = 0.0


def gather(environ: Mapping[str, str], file: Mapping[str, Any]) -> PlatformSettings:
    """The platforms of this process, from its environment first and its configuration file next."""
    bland = _told(environ, file, "bland", ("api_key", "base_url"))
    synthflow = _told(environ, file, "synthflow", ("api_key", "region", "workspace", "base_url"))
    unleashx = _told(environ, file, "unleashx", ("token", "base_url"))
    unusable = _missing(synthflow)
    return PlatformSettings(
        bland=BlandSettings(**bland) if bland.get("api_key") else None,
        synthflow=SynthflowSettings(**synthflow)
        if synthflow.get("api_key") and not unusable
        else None,
        unleashx=_unleashx(unleashx) if unleashx.get("token") else None,
        unusable=unusable,
        **{k: v for k, v in file.items() if k in ("request_seconds", "quiet_seconds")},
    )


def _told(
    environ: Mapping[str, str], file: Mapping[str, Any], platform: str, names: tuple[str, ...]
) -> dict[str, Any]:
    """What is set of a platform: `BLAND_API_KEY` and the like win over its table in the file."""
    told = dict(file.get(platform) or {})
    for name in names:
        value = environ.get(f"{platform}_{name}".upper(), "").strip()
        if value:
            told[name] = value
    return told


def _missing(synthflow: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """What a Synthflow key cannot do without."""
    if not synthflow.get("api_key"):
        return {}
    region = synthflow.get("region", "")
    if region not in _REGIONS:
        said = f"{shown(region, 40)!r}, which is no region of Synthflow" if region else "not set"
        what = f"SYNTHFLOW_REGION is {said}."
        how = f"Set it to {', '.join(_REGIONS)}: the one that the account was made in."
        return {"synthflow": (what, how)}
    if not synthflow.get("workspace"):
        how = "Set it to the id of the workspace that the key belongs to."
        return {"synthflow": ("SYNTHFLOW_WORKSPACE is not set.", how)}
    return {}


def _unleashx(told: Mapping[str, Any]) -> UnleashxSettings:
    agents = tuple(DeclaredAgent(**agent) for agent in told.get("agents", ()))
    numbers = tuple(
        DeclaredNumber(**number | {"tags": tuple(number.get("tags", ()))})
        for number in told.get("numbers", ())
    )
    return UnleashxSettings(**{**told, "agents": agents, "numbers": numbers})
