"""Who holds numbers at a vendor now: the one answer that settling rests on."""

from __future__ import annotations

from collections.abc import Sequence

from cordboard.engine.steps import Held, Path
from cordboard.plan import Change
from cordboard.platforms import RemotePlatform
from cordboard.request import Look, Observed


async def who_holds(
    platform: RemotePlatform, account: str, ways: Sequence[Path]
) -> list[Held | None]:
    """Who holds the numbers: as their own agents tell, and as the whole account does besides, for
    somebody else may have them now.

    An agent that cannot be read leaves its number untold (None); one the scan does not show is not
    taken for free. Raises: PlatformError.
    """
    changes = [way.change for way in ways]
    told = await platform.read(account, changes, others=True)
    if not any(held is not None for held in told):
        return told
    agents = {side.agent for c in changes for side in (c.before, c.after)} - {""}
    look = Look(agents=frozenset(agents), numbers=tuple(c.number for c in changes))
    seen = await platform.observe(account, look)
    return [
        None if held is None else {**_others(change, seen), **held}
        for change, held in zip(changes, told, strict=True)
    ]


def _others(change: Change, seen: Observed) -> Held:
    """Whoever else holds it; source and target have told for themselves."""
    owned = seen.numbers.get(change.number)
    bound = owned.bound(change.direction) if owned else ()
    own = (change.before.agent, change.after.agent)
    return {b.agent: b.pathway for b in bound if b.agent not in own}
