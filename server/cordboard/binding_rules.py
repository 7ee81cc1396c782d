"""The rules of binding: from what was asked and what was observed to the exact changes.

Pure, like plan.py whose values it fills. One function for each action decides one number:
a change, nothing to do, or a problem. A takeover is refused in `_attach`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cordboard import number as numbers
from cordboard.binding import NO_PATHWAY, Agent, Direction, OwnedNumber, Side
from cordboard.display import quoted
from cordboard.errors import (
    AgentNotFound,
    DuplicateNumber,
    InvalidNumberFormat,
    NotSupported,
    NumberAttachedElsewhere,
    NumberHeld,
    NumberNotAttached,
    NumberNotFound,
    PathwayNotFound,
    Problem,
    ProviderNotConfigured,
    refusal,
)
from cordboard.plan import Change, Draft, Image, Outcome
from cordboard.preconditions import find_pathway, mixing
from cordboard.request import Asked, Observed

Decision = Change | Problem
_MOST_JUDGED = 100
"""Up to how many numbers of one request are all held against the numbering plan, what the account
owns as well: so many a tool's call may name. Of more only those it does not own are, because an
inventory's numbers were judged, each with its warning, when they were imported."""


def draw_up(asked: Asked, seen: Observed) -> Draft:
    """The exact changes for a request, or the error that refuses it whole.

    Raises: AgentNotFound, NotSupported, ProviderNotConfigured, PathwayNotFound, and a
    NumberRefused that lists every bad number of the batch.
    """
    agent = _agents(asked, seen)
    blind = not seen.tells_carrier and not seen.providers
    if asked.provider and asked.provider not in seen.providers and not blind:
        raise _no_provider(asked, seen)
    warnings, unchecked = _pathway(asked, seen)
    owned, problems, remarks = _owned(asked, seen)
    left = [*seen.unchecked, *_carriers_unchecked(asked, owned)]
    remarks += left
    decide = _DECIDE[asked.action]
    decisions = [decide(asked, agent, number) for number in owned]
    problems += [d for d in decisions if isinstance(d, Problem)]
    if problems:
        raise refusal(problems)
    drawn = [d for d in decisions if isinstance(d, Change)]
    changes = tuple(c for c in drawn if c.outcome == "planned")
    mixed = mixing_warnings(changes, seen)
    return Draft(
        changes=changes,
        unchanged=tuple(c for c in drawn if c.outcome == "unchanged"),
        warnings=tuple(warnings + mixed + remarks),
        unchecked=(*unchecked, *left),
        mixes=bool(mixed),
        one_way=seen.one_way,
    )


def _no_provider(asked: Asked, seen: Observed) -> ProviderNotConfigured:
    platform = asked.agent.partition(":")[0]
    said = f'Provider "{asked.provider}" is not configured for your account'
    if platform == "local":
        return ProviderNotConfigured(f"{said}.")
    known = ", ".join(sorted(seen.providers)) or "none"
    remedy = "Leave provider out, or ask the user which is meant."
    return ProviderNotConfigured(f"{said} at {platform} (known there: {known}).", remedy)


def one_platform(asked: Asked) -> None:
    """Raises: NotSupported for agents of two platforms, before anybody asks whether they exist."""
    platforms = {agent.partition(":")[0] for agent in asked.agents}
    if len(platforms) > 1:
        raise NotSupported(
            f"A number cannot be moved across platforms ({asked.from_agent} to {asked.agent}).",
            "Detach it on one platform and attach it on the other, as two plans.",
        )


def mixing_warnings(changes: tuple[Change, ...], seen: Observed) -> list[str]:
    agents = mixing(changes, seen)
    return [f"{agent} would serve TEST and PRODUCTION numbers at once." for agent in agents]


def _agents(asked: Asked, seen: Observed) -> Agent:
    missing = [a for a in asked.agents if a not in seen.agents]
    if missing:
        many = "Agents" if len(missing) > 1 else "Agent"
        hint = " The store is empty: `cordboard import FILE` fills it." if seen.empty else ""
        raise AgentNotFound(f"{many} {' and '.join(missing)} not found.{hint}")
    agent = seen.agents[asked.agent]
    source = seen.agents.get(asked.from_agent)
    if source is not None and source.direction != agent.direction:
        raise NotSupported(
            f"{source.agent} is {source.direction} and {agent.agent} is {agent.direction}: "
            "a number cannot be moved between them.",
            "Name two agents of one direction; list_agents shows it.",
        )
    return agent


def _owned(asked: Asked, seen: Observed) -> tuple[list[OwnedNumber], list[Problem], list[str]]:
    """The account's numbers that were meant, the ones that are refused, and remarks."""
    owned: list[OwnedNumber] = []
    problems: list[Problem] = []
    remarks: list[str] = []
    named = asked.numbers or asked.slugs
    verdicts = numbers.check_all(_to_judge(asked, seen))
    done: set[str] = set()
    for text in named:
        verdict = verdicts.get(text)
        if text in done:
            problems.append(Problem(text, DuplicateNumber.code, f'"{_short(text)}" stands twice.'))
            continue
        done.add(text)
        if verdict is not None and not verdict.ok:
            problems.append(_bad_format(verdict))
            continue
        found = seen.numbers.get(seen.by_slug.get(text, "") if asked.slugs else text)
        if found is None or _with_another(asked, found, seen):
            problems.append(_not_owned(asked, text, found, seen))
            continue
        if verdict is not None and verdict.warning:
            remarks.append(verdict.warning)
        if found.number in seen.held:
            problems.append(held_by(found.number, seen.held[found.number]))
            continue  # how it stands now says little
        owned.append(found)
    return owned, problems, remarks


def _to_judge(asked: Asked, seen: Observed) -> Sequence[str]:
    """The texts to be held against the numbering plan."""
    if len(asked.numbers) <= _MOST_JUDGED:
        return asked.numbers
    return [text for text in asked.numbers if text not in seen.numbers]


def _carriers_unchecked(asked: Asked, owned: list[OwnedNumber]) -> list[str]:
    """That nobody could say whether the named carrier has these numbers."""
    if not asked.provider or all(number.provider for number in owned):
        return []
    return [f"Whether {asked.provider} is the carrier was not checked: the platform does not tell."]


def _with_another(asked: Asked, found: OwnedNumber, seen: Observed) -> bool:
    """Whether the number is not with the carrier that was named, as far as that can be known."""
    if not asked.provider or found.provider == asked.provider:
        return False
    return bool(found.provider) or seen.tells_carrier


def held_by(number: str, plan_id: str) -> Problem:
    """A number that another plan has not settled yet."""
    why = f"{number} is held by plan {plan_id}, which is not settled yet."
    return Problem(number, NumberHeld.code, why)


def _bad_format(verdict: numbers.Verdict) -> Problem:
    meant = f" Did you mean {verdict.did_you_mean}?" if verdict.did_you_mean else ""
    why = f'"{_short(verdict.text)}" is not a number in E.164 form: {verdict.reason}.{meant}'
    return Problem(_short(verdict.text), InvalidNumberFormat.code, why)


def _short(text: str) -> str:
    """A refused text, made harmless: printable ASCII stays, the rest is escaped, 40 at most."""
    return text[:40].encode("unicode_escape").decode("ascii").replace('"', "'")


def _not_owned(asked: Asked, text: str, found: OwnedNumber | None, seen: Observed) -> Problem:
    if found is not None:
        why = f"{text} does not belong to provider {asked.provider} (it is with {found.provider or 'none'})."
        return Problem(text, NumberNotFound.code, why)
    if asked.slugs:
        platform = asked.agent.partition(":")[0]
        return Problem(text, NumberNotFound.code, f'No number has the slug "{text}" on {platform}.')
    near = seen.nearest.get(text, [])
    meant = f" Nearest owned: {', '.join(near)}; not used, ask the user." if near else ""
    hint = " The store is empty: `cordboard import FILE` fills it." if seen.empty else ""
    platform = asked.agent.partition(":")[0]
    said = f"{text} is not among this account's numbers at {platform}."
    said = f"{text} does not belong to this account." if platform == "local" else said
    return Problem(text, NumberNotFound.code, f"{said}{meant}{hint}")


def _side(owned: OwnedNumber, direction: Direction, agent: str) -> Side | None:
    """The binding of this agent, as a side of a change; None where it holds nothing."""
    for binding in owned.bound(direction):
        if binding.agent == agent:
            return Side.held(binding)
    return None


def change_of(owned: OwnedNumber, before: Side, after: Side, detail: str = "") -> Change:
    outcome: Outcome = "unchanged" if before == after else "planned"
    return Change(owned.number, before, after, Image.of(owned, before.direction), detail, outcome)


def _attach(_: Asked, agent: Agent, owned: OwnedNumber) -> Decision:
    way = agent.direction
    mine = _side(owned, way, agent.agent)
    if mine is not None:
        return change_of(owned, mine, mine, "already attached")
    if way == "inbound" and owned.bound(way):
        holder = owned.bound(way)[0].agent
        why = f"{owned.number} is attached to {holder}, which answers it now."
        return Problem(owned.number, NumberAttachedElsewhere.code, why)
    return change_of(owned, Side(way), Side(way, agent.agent))


def _move(asked: Asked, agent: Agent, owned: OwnedNumber) -> Decision:
    way = agent.direction
    here, there = _side(owned, way, asked.from_agent), _side(owned, way, agent.agent)
    if here is not None and there is not None and here != there:
        # Both serve it in an outbound pool: the move is then only the leaving.
        return change_of(owned, here, Side(way), f"{agent.agent} serves it already")
    if there is not None:
        return change_of(owned, there, there, "already there")
    if here is None:
        return _not_held_by(asked.from_agent, owned, way)
    pathway = here.pathway if asked.keep_pathway else NO_PATHWAY
    return change_of(owned, here, Side(way, agent.agent, pathway))


def _not_held_by(agent: str, owned: OwnedNumber, way: Direction) -> Problem:
    holders = [b.agent for b in owned.bound(way)]
    if way == "inbound" and holders:
        why = f"{owned.number} is attached to {holders[0]}, not to {agent}."
        return Problem(owned.number, NumberAttachedElsewhere.code, why)
    return Problem(
        owned.number, NumberNotAttached.code, f"{owned.number} is not attached to {agent}."
    )


def _detach(_: Asked, agent: Agent, owned: OwnedNumber) -> Decision:
    way = agent.direction
    mine = _side(owned, way, agent.agent)
    if mine is not None:
        return change_of(owned, mine, Side(way))
    if way == "inbound" and owned.bound(way):
        return _not_held_by(agent.agent, owned, way)
    return change_of(owned, Side(way), Side(way), "not attached")


def _set_pathway(asked: Asked, agent: Agent, owned: OwnedNumber) -> Decision:
    mine = _side(owned, agent.direction, agent.agent)
    if mine is None:
        return _not_held_by(agent.agent, owned, agent.direction)
    return change_of(owned, mine, Side(agent.direction, agent.agent, asked.pathway))


_DECIDE: dict[str, Callable[[Asked, Agent, OwnedNumber], Decision]] = {
    "attach": _attach,
    "move": _move,
    "detach": _detach,
    "set_pathway": _set_pathway,
    "clear_pathway": _set_pathway,
}


def _pathway(asked: Asked, seen: Observed) -> tuple[list[str], list[str]]:
    """Warnings and what could not be checked of the pathway asked for."""
    if asked.action != "set_pathway":
        return [], []
    if not seen.pathways_recorded:
        left = f"pathway {quoted(asked.pathway.pathway_id)}: not checked, this account has no pathways recorded"
        return [left], [left]
    found, why = find_pathway(asked.pathway, seen)
    if not found:
        raise PathwayNotFound(f"{why[0].upper()}{why[1:]}.")
    return [], []
