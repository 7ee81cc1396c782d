"""What `cordboard doctor` tells of the platforms: on, reachable, and what each can do.

It reads and changes nothing. All are asked at once, each for no longer than its client waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import anyio

from cordboard.binding import PLATFORMS
from cordboard.cli.doctor.finding import Finding, line, wrong
from cordboard.config.platforms import PlatformSettings
from cordboard.engine.pace import Sleep
from cordboard.errors import CordboardError, PlatformAuth, PlatformUnreachable
from cordboard.platforms import Abilities, Health, RemotePlatform

_LOCAL = "local"
_SWITCHES = {
    "bland": "BLAND_API_KEY",
    "synthflow": "SYNTHFLOW_API_KEY, SYNTHFLOW_REGION and SYNTHFLOW_WORKSPACE",
    "unleashx": "UNLEASHX_TOKEN",
}
"""The variables that switch a platform on."""


async def about_platforms(
    told: PlatformSettings | None,
    transports: Mapping[str, Any] | None = None,
    sleep: Sleep = anyio.sleep,
) -> list[Finding]:
    """Which platforms are on, and how each fares. No store is needed for it.

    `transports`: what carries the requests to a platform, by its name, in place of the network.
    """
    told = told or PlatformSettings()
    makers = _makers(told, transports or {}, sleep)
    found: dict[str, list[Finding]] = {
        name: [_not_on(name, told)] for name in PLATFORMS if name != _LOCAL
    }

    async def examine(name: str, make: Callable[[], RemotePlatform]) -> None:
        found[name] = await _about(name, make)

    async with anyio.create_task_group() as group:
        for name, make in makers.items():
            group.start_soon(examine, name, make)
    on = [name for name in PLATFORMS if name == _LOCAL or name in makers or name in told.unusable]
    return [Finding("platforms", ", ".join(on)), *(one for each in found.values() for one in each)]


def _makers(
    told: PlatformSettings, transports: Mapping[str, Any], sleep: Sleep
) -> dict[str, Callable[[], RemotePlatform]]:
    if not (told.bland or told.synthflow or told.unleashx):
        return {}  # HTTP takes long to import
    from cordboard.vendors import connections

    return connections(told, {"sleep": sleep}, transports)


def _not_on(name: str, told: PlatformSettings) -> Finding:
    if name in told.unusable:
        what, how = told.unusable[name]
        return Finding(name, line(what), ok=False, remedy=line(how))
    return Finding(name, "not configured", remedy=f"To switch it on set {_SWITCHES[name]}.")


async def _about(name: str, make: Callable[[], RemotePlatform]) -> list[Finding]:
    try:
        platform = make()
    except ValueError as exc:
        where = f"{name.upper()}_… in the environment, or [{name}] in the file of CORDBOARD_CONFIG"
        remedy = f"Correct the settings of {name} ({where})."
        return [Finding(name, line(f"{exc}."), ok=False, remedy=remedy)]
    try:
        health = await platform.check()
    except CordboardError as exc:
        return [wrong(name, exc)]
    finally:
        await platform.close()
    return [
        Finding(name, line(health.said), health.ok, _remedy(name, health)),
        Finding(f"{name} abilities", describe(platform.abilities)),
        Finding(f"{name} may write", line(health.may_write)),
    ]


def _remedy(name: str, health: Health) -> str:
    """What to do; errors of platforms send the reader to the doctor, who is here already."""
    if health.remedy == PlatformAuth.default_remedy:
        return f"Check {_SWITCHES[name]}."
    if health.remedy == PlatformUnreachable.default_remedy:
        return f"Check this machine's network and proxy, and base_url of {name} if you set one."
    return line(health.remedy)


def describe(abilities: Abilities) -> str:
    """`can: …; cannot: …`, in the words of the tools."""
    can = ", ".join(words for words, able in _each(abilities) if able)
    cannot = ", ".join(words for words, able in _each(abilities) if not able)
    return "; ".join(
        part for part in (can and f"can: {can}", cannot and f"cannot: {cannot}") if part
    )


def _each(abilities: Abilities) -> Iterator[tuple[str, bool]]:
    yield "list agents", abilities.list_agents
    yield "list numbers", abilities.list_numbers
    yield "list pathways", abilities.list_pathways
    for direction in ("inbound", "outbound"):
        yield f"attach {direction}", abilities.attach and direction in abilities.directions
    yield "detach", abilities.detach
    yield "move", abilities.attach and abilities.detach
    yield "move without a gap", abilities.move_in_place
    yield "set pathways", abilities.set_pathway
    yield "undo", abilities.detach
    yield "read back", abilities.read_back
    yield "tell the carrier", abilities.tells_carrier
