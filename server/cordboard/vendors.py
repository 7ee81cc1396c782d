"""Part of the wiring: from settings to the platforms at vendors, each with a client of its own.

Imported only where one is configured: HTTP is a good part of a start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cordboard.binding import PLATFORMS, Agent, OwnedNumber
from cordboard.config.platforms import PlatformSettings, UnleashxSettings
from cordboard.http_client import Timeouts
from cordboard.platforms import Platform, RemotePlatform, bland, synthflow, unleashx
from cordboard.platforms.annotated import AnnotatedPlatform
from cordboard.platforms.unusable import UnusablePlatform

_CONNECT_SHARE = 1 / 3
"""Of the time that a request may take, how much of it to wait for a connection."""


def connected(
    told: PlatformSettings,
    inventory: Platform,
    http: Mapping[str, Any],
    transports: Mapping[str, Any],
) -> dict[str, Platform]:
    """The configured platforms; one that lacks something, or has settings it cannot have, says so.

    `http`: what every client gets. `transports`: what carries requests, by platform.
    """
    found: dict[str, Platform] = {
        name: UnusablePlatform(name, *why) for name, why in told.unusable.items()
    }
    for name, connect in connections(told, http, transports).items():
        try:
            found[name] = AnnotatedPlatform(connect(), inventory)
        except ValueError as exc:
            remedy = (
                f"Correct the settings of {name}: {name.upper()}_… in the environment, or [{name}] "
                "in the file of CORDBOARD_CONFIG."
            )
            found[name] = UnusablePlatform(name, f"{_without(name, str(exc))}.", remedy)
    return {name: found[name] for name in PLATFORMS if name in found}


def _without(name: str, what: str) -> str:
    """What is wrong, without the platform's name that errors of http_client begin with."""
    before = f"{name}: "
    return what[len(before) :] if what.casefold().startswith(before) else what


def connections(
    told: PlatformSettings, http: Mapping[str, Any], transports: Mapping[str, Any]
) -> dict[str, Callable[[], RemotePlatform]]:
    """For each configured platform how it is made; raises ValueError for settings it cannot have."""
    connect = told.request_seconds * _CONNECT_SHARE
    timeouts = Timeouts(connect, told.request_seconds - connect)

    def common(name: str) -> dict[str, Any]:
        return {**http, "timeouts": timeouts, "transport": transports.get(name)}

    found: dict[str, Callable[[], RemotePlatform]] = {}
    if b := told.bland:
        found["bland"] = lambda: bland.BlandPlatform(
            bland.client(b.api_key, base_url=b.base_url, **common("bland"))
        )
    if s := told.synthflow:
        found["synthflow"] = lambda: synthflow.SynthflowPlatform(
            synthflow.client(s.api_key, s.region, base_url=s.base_url, **common("synthflow")),
            s.workspace,
        )
    if u := told.unleashx:
        found["unleashx"] = lambda: unleashx.UnleashxPlatform(
            unleashx.client(u.token, header=u.header, base_url=u.base_url, **common("unleashx")),
            u.contract,
            _agents(u),
            _numbers(u),
        )
    return found


def _agents(told: UnleashxSettings) -> list[Agent]:
    return [Agent(f"unleashx:{a.id}", a.name, a.direction) for a in told.agents]


def _numbers(told: UnleashxSettings) -> list[OwnedNumber]:
    return [
        OwnedNumber(
            number=n.number,
            platform="unleashx",
            provider=n.provider,
            label=n.label,
            purpose=n.purpose,
            tags=n.tags,
            slug=n.number.removeprefix("+"),
        )
        for n in told.numbers
    ]
