"""What answers a number now: over all platforms, in both directions, and why."""

from __future__ import annotations

from collections.abc import Mapping

from cordboard import number as numbers
from cordboard.answers import NumberRoute, RouteShape
from cordboard.binding import OwnedNumber
from cordboard.clock import Clock, stamp
from cordboard.display import shown
from cordboard.errors import NumberNotFound, PlatformError, RequestError
from cordboard.platforms import Platform
from cordboard.service.looking import bad_format, is_empty, shaped
from cordboard.service.shapes import EMPTY, route_message, route_shape
from cordboard.stores import Store


class Routes:
    """The one verb that tells what a caller reaches."""

    def __init__(self, store: Store, platforms: Mapping[str, Platform], clock: Clock) -> None:
        self._store, self._platforms, self._clock = store, platforms, clock

    async def get_number_route(self, account: str, number: str) -> NumberRoute:
        """What answers a number now. Raises: InvalidNumberFormat, NumberNotFound."""
        shaped(number)
        found: list[OwnedNumber] = []
        down: list[PlatformError] = []
        notes: list[str] = []
        for name, platform in self._platforms.items():
            try:
                owned = await platform.number(account, number)
            except PlatformError as exc:
                notes.append(f"{name} did not answer: {exc.what}")
                down.append(exc)
                continue
            if owned is not None:
                found.append(owned)
        if not found:
            raise down[0] if down else await self._not_found(account, number)
        return await self._route(account, number, found, notes)

    async def _not_found(self, account: str, number: str) -> RequestError:
        verdict = numbers.check(number)
        if not verdict.ok:
            return bad_format(verdict)
        near = [n for p in self._platforms.values() for n in await p.nearest(account, number)]
        said = f"{number} does not belong to this account."
        if near:
            said += f" Nearest owned: {', '.join(near)}; ask the user which is meant."
        else:
            said += f" {EMPTY}" if await is_empty(self._platforms, account) else ""
        return NumberNotFound(said)

    async def _route(
        self, account: str, number: str, found: list[OwnedNumber], notes: list[str]
    ) -> NumberRoute:
        inbound: list[RouteShape] = []
        outbound: list[RouteShape] = []
        for owned in found:
            for binding in owned.bindings:
                agent = await self._platforms[owned.platform].agent(account, binding.agent)
                shape = route_shape(binding, agent)
                (inbound if binding.direction == "inbound" else outbound).append(shape)
        if len(inbound) > 1:
            held = " and ".join(r.agent for r in inbound)
            notes.append(
                f"Two platforms hold an inbound binding ({held}): the carrier decides which answers."
            )
        now = stamp(self._clock())
        rows = await self._store.glance(
            lambda tx: tx.all("plans_open_on_number", account=account, number=number, now=now)
        )
        first = found[0]
        return NumberRoute(
            number=number,
            inbound=inbound,
            outbound=outbound,
            provider=first.provider,
            label=shown(first.label),
            purpose=first.purpose,
            open_plans=[row["plan_id"] for row in rows],
            notes=notes,
            message=route_message(number, inbound, outbound, len(rows)),
        )
