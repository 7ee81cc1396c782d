"""What answers a number now: over all platforms, in both directions, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from cordboard import number as numbers
from cordboard.answers import NumberRoute, RouteShape
from cordboard.binding import Agent, OwnedNumber
from cordboard.clock import Clock, stamp
from cordboard.display import shown
from cordboard.errors import NotSupported, NumberNotFound, PlatformError, RequestError
from cordboard.platforms import Platform
from cordboard.service.looking import bad_format, is_empty, shaped, why_missing
from cordboard.service.shapes import EMPTY, route_message, route_shape
from cordboard.stores import Row, Store, found_of
from cordboard.together import together


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one platform told of a number. `blind`: it may have it, and does not tell who holds it."""

    owned: OwnedNumber | None = None
    agents: Mapping[str, Agent | None] = field(default_factory=dict[str, Agent | None])
    down: PlatformError | None = None
    blind: bool = False


class Routes:
    """The one verb that tells what a caller reaches."""

    def __init__(self, store: Store, platforms: Mapping[str, Platform], clock: Clock) -> None:
        self._store, self._platforms, self._clock = store, platforms, clock

    async def get_number_route(self, account: str, number: str) -> NumberRoute:
        """What answers a number now. Raises: InvalidNumberFormat, NumberNotFound, PlatformError."""
        shaped(number)
        names = list(self._platforms)
        parts = await together(partial(self._look, account, number), names, "platforms read")
        if not any(part.owned for part in parts):
            down = [part.down for part in parts if part.down]
            if down:
                raise down[0]
            if not any(part.blind for part in parts):
                raise await self._not_found(account, number)
        return await self._route(account, number, dict(zip(names, parts, strict=True)))

    async def _look(self, account: str, number: str, name: str) -> _Seen:
        """What one platform says of the number, and of the agents that hold it there."""
        platform = self._platforms[name]
        try:
            owned = await platform.number(account, number)
            bound = owned.bindings if owned else ()
            agents = {b.agent: await platform.agent(account, b.agent) for b in bound}
        except PlatformError as exc:
            return _Seen(down=exc)
        can = platform.abilities
        # One that lists no numbers may have this one all the same.
        blind = not can.read_back and (owned is not None or not can.list_numbers)
        return _Seen(owned, agents, blind=blind)

    async def _not_found(self, account: str, number: str) -> RequestError:
        verdict = numbers.check(number)
        if not verdict.ok:
            return bad_format(verdict)
        every = [n for p in self._platforms.values() for n in await _nearest(p, account, number)]
        near = list(dict.fromkeys(every))
        said = f"{number} does not belong to this account."
        if near:
            said += f" Nearest owned: {', '.join(near)}; not used."
        else:
            said += f" {EMPTY}" if await is_empty(self._platforms, account) else ""
        return NumberNotFound(said)

    async def _route(self, account: str, number: str, seen: Mapping[str, _Seen]) -> NumberRoute:
        found = [part.owned for part in seen.values() if part.owned]
        shapes = [
            (binding.direction, route_shape(binding, part.agents.get(binding.agent)))
            for part in seen.values()
            for binding in (part.owned.bindings if part.owned else ())
        ]
        inbound = [shape for direction, shape in shapes if direction == "inbound"]
        outbound = [shape for direction, shape in shapes if direction == "outbound"]
        now = stamp(self._clock())
        key = {"account": account, "number": number}
        asks = (
            ("plans_open_on_number", key | {"now": now}),
            ("holds_on", key),
            ("plans_unknown_on_number", key),
        )
        rows, holds, unsettled = await self._store.glance(lambda tx: found_of(tx, *asks))
        unseen = [name for name, part in seen.items() if part.down or part.blind]
        first = found[0] if found else OwnedNumber(number, "")
        return NumberRoute(
            number=number,
            inbound=inbound,
            outbound=outbound,
            provider=first.provider,
            label=shown(first.label),
            purpose=first.purpose,
            open_plans=[row["plan_id"] for row in rows],
            notes=_notes(seen, inbound, holds, unsettled),
            message=route_message(number, inbound, outbound, len(rows), unseen),
        )


def _notes(
    seen: Mapping[str, _Seen],
    inbound: Sequence[RouteShape],
    holds: Sequence[Row],
    unsettled: Sequence[Row],
) -> list[str]:
    """What a reader must know beside the bindings."""
    notes = [f"{n} could not be read: {why_missing(p.down)}" for n, p in seen.items() if p.down]
    notes += [
        f"{name} does not tell which agent holds a number there."
        for name, p in seen.items()
        if p.blind
    ]
    if len(inbound) > 1:
        held = " and ".join(shape.agent for shape in inbound)
        notes.append(
            f"Two platforms hold an inbound binding ({held}): the carrier decides which answers."
        )
    notes += [
        f"At {row['platform']} it is held by plan {row['plan_id']}, which is not settled yet: get_plan tells."
        for row in holds
    ]
    waiting = {row["plan_id"] for row in holds}
    notes += [
        f"Plan {row['plan_id']} may have changed it, and nobody settled that: `cordboard plans settle`."
        for row in unsettled
        if row["plan_id"] not in waiting
    ]
    return notes


async def _nearest(platform: Platform, account: str, number: str) -> list[str]:
    """Owned numbers that look alike; none from a platform that does not answer."""
    try:
        return await platform.nearest(account, number)
    except (PlatformError, NotSupported):
        return []
