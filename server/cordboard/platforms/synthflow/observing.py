"""Everything that a decision about Synthflow rests on, read for one request."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from cordboard import number as numbers
from cordboard.binding import AGENT_PATTERN, NO_PATHWAY, SLUG_PATTERN, Pathway
from cordboard.errors import PlatformError
from cordboard.plan import Change
from cordboard.platforms.synthflow.answers import PREFIX, Assistant, Number
from cordboard.platforms.synthflow.api import Api
from cordboard.platforms.synthflow.sight import PAGE, PAGES, Held, Sight, seizable
from cordboard.request import Look, Observed
from cordboard.together import together

CARRIERS = frozenset({"twilio", "telnyx", "vonage"})
"""The carriers Synthflow takes numbers from ("Import phone number") that are carriers of ours too.
It does not tell which of them a workspace has set up; each number tells its own."""

UNCONFIRMED = (
    "Synthflow's pages contradict each other on inbound agents: one says that numbers can be "
    "attached to them over its API, another that they cannot. It is proven by reading back only."
)
_LOOK_ALIKES = 10
"""For how many missing numbers of one call look-alikes are told."""


async def observed(api: Api, look: Look) -> Observed:
    """What the platform says to this look, with nothing from before."""
    sight = Sight(api)
    await sight.read(map(_model_id, filter(_is_ours, look.agents | look.gaining)))
    slugs = [s for s in dict.fromkeys(look.slugs) if re.fullmatch(SLUG_PATTERN, s)]
    by_slug = {
        slug: number
        for slug, number in (await sight.by_slug(slugs)).items()
        if numbers.is_canonical(number)
    }
    wanted = [
        n for n in dict.fromkeys((*look.numbers, *by_slug.values())) if numbers.is_canonical(n)
    ]
    held = await sight.held(wanted)
    gaining = {name: one for name in look.gaining if (one := _shown(sight, name)) is not None}
    inbound = {name for name, one in gaining.items() if one.direction == "inbound"}
    if inbound:
        _nobody_unseen(held)
    missing = [n for n in wanted if n not in held][:_LOOK_ALIKES]
    owned = await sight.listed() if missing else {}
    found = {name: one for name in look.agents if (one := _shown(sight, name)) is not None}
    return Observed(
        agents={name: one.agent for name, one in found.items() if one.agent},
        numbers={number: one.owned for number, one in held.items()},
        by_slug=by_slug,
        nearest={number: numbers.nearest(number, owned) for number in missing},
        serves={
            name: frozenset({"PRODUCTION"} if one.attached else ()) for name, one in gaining.items()
        },
        providers=CARRIERS | {one.owned.provider for one in held.values() if one.owned.provider},
        unchecked=tuple(_unchecked(gaining, inbound, bool(missing), sight.whole)),
    )


async def holders(api: Api, changes: Sequence[Change], others: bool) -> list[Mapping[str, Pathway]]:
    """For each change, in order, who holds its number in its direction: agent -> NO_PATHWAY.

    The agents themselves are asked: `attached_phone_numbers` proves or disproves a write. Where
    the old field `phone_number` alone has the number, the number decides. Of an inbound number
    every holder matters, so with `others` the number is asked which agents there are besides.
    """
    sight = Sight(api)
    sides = [_ids(change) for change in changes]
    await sight.read(one for ids in sides for one in ids)
    asked = [
        change.number
        for change, ids in zip(changes, sides, strict=True)
        if (others and change.direction == "inbound")
        or any(_doubtful(sight, i, change.number) for i in ids)
    ]
    found = await together(api.number, asked, "numbers read")
    detail = {number: one for number, one in zip(asked, found, strict=True) if one is not None}
    await sight.read(one for number in detail.values() for one in number.assistants)
    return [
        _holding(sight, change, ids, detail.get(change.number))
        for change, ids in zip(changes, sides, strict=True)
    ]


def _ids(change: Change) -> list[str]:
    return [_model_id(side.agent) for side in (change.before, change.after) if side.agent]


def _doubtful(sight: Sight, model_id: str, number: str) -> bool:
    one = sight.assistant(model_id)
    return one is not None and number not in one.attached and one.phone_number == number


def _holding(
    sight: Sight, change: Change, sides: list[str], detail: Number | None
) -> dict[str, Pathway]:
    named = detail.assistants if detail else ()
    asked = dict.fromkeys([*sides, *(named if change.direction == "inbound" else ())])
    agents = [
        one.agent
        for i in asked
        if (one := sight.assistant(i)) is not None
        and (change.number in one.attached or (_doubtful(sight, i, change.number) and i in named))
    ]
    return {a.agent: NO_PATHWAY for a in agents if a and a.direction == change.direction}


def _unchecked(
    gaining: dict[str, Assistant], inbound: set[str], missing: bool, whole: bool
) -> list[str]:
    """What Synthflow does not tell, for whoever approves."""
    told = [UNCONFIRMED] if inbound else []
    told += [
        f"{name} has an inbound webhook, which may give each call to another agent "
        "or end it; what it answers is not checked."
        for name in sorted(inbound)
        if gaining[name].has_webhook
    ]
    if missing and not whole:
        told.append(
            f"Only the first {PAGE * PAGES} numbers of the list were searched for look-alikes."
        )
    return told


def _nobody_unseen(held: dict[str, Held]) -> None:
    """Raises: PlatformError where a number has an inbound agent that Synthflow does not show."""
    reasons = [why for one in held.values() if (why := seizable(one))]
    if reasons:
        raise PlatformError(
            " ".join(reasons) + " So it cannot be told from whom it would be taken.",
            "Look the number up in Synthflow's dashboard, free it there, then call again.",
        )


def _shown(sight: Sight, name: str) -> Assistant | None:
    """An agent by our name, of those that were read and can be agents of ours."""
    one = sight.assistant(_model_id(name)) if _is_ours(name) else None
    return one if one is not None and one.agent is not None else None


def _is_ours(name: str) -> bool:
    return name.startswith(PREFIX) and re.fullmatch(AGENT_PATTERN, name) is not None


def _model_id(name: str) -> str:
    return name.removeprefix(PREFIX)
