"""What a person reads before they approve: rendered here from facts, for every channel alike.

The requester's words appear once, quoted and stripped; nothing else of the text is theirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from cordboard.binding import Side
from cordboard.display import quoted, shown
from cordboard.plan import Change, Plan

SHOWN_CHANGES = 25
IN_RESOURCE = 1_000
"""How many changes a plan's resource shows; the approvals page pages through all, a terminal lists them."""
GUARDED = ("protected", "emergency_callback")
"""Tags that want a person's word in most policies: whoever approves must not miss them."""
_MOST_KINDS = 5
"""So many carriers, purposes and holders are named with their counts."""
_VERBS = {
    "attach": "attach {n} to {agent}",
    "move": "move {n} from {from_agent} to {agent}",
    "detach": "detach {n} from {agent}",
    "set_pathway": "set the pathway of {n} at {agent}",
    "clear_pathway": "clear the pathway of {n} at {agent}",
    "undo": "undo {undoes}: change {n} back",
}


def headline(plan: Plan) -> str:
    """What would be done, in one clause: `attach 2 numbers to local:support`."""
    count = len(plan.draft.changes)
    asked = plan.asked
    numbers = "1 number" if count == 1 else f"{count:,} numbers"
    said = _VERBS[plan.action].format(
        n=numbers,
        agent=_named(plan, asked.agent),
        from_agent=_named(plan, asked.from_agent),
        undoes=asked.undoes,
    )
    if plan.action == "attach" and all(c.direction == "outbound" for c in plan.draft.changes):
        said += " for outbound calls"
    return said


def _named(plan: Plan, agent: str) -> str:
    """An agent with its name, where the plan has one."""
    name = dict(plan.draft.names).get(agent, "")
    return f"{agent} ({quoted(name)})" if name else agent


def describe_side(side: Side) -> str:
    """One end of a change: the agent and its pathway, or `nobody`."""
    if not side.agent:
        return "nobody"
    pathway = side.pathway
    if not pathway.pathway_id:
        return side.agent
    version = (
        f" version {pathway.pathway_version}" if pathway.pathway_version else ", newest version"
    )
    node = f" from node {quoted(pathway.start_node_id)}" if pathway.start_node_id else ""
    return f"{side.agent} on pathway {quoted(pathway.pathway_id)}{version}{node}"


def describe_change(change: Change, *, blind: bool = False) -> str:
    """One line: number, label, purpose and tags, before -> after. `blind`: nobody could be asked
    who holds it."""
    image = change.image
    about = [quoted(image.label)] if image.label else []
    about.append(image.purpose or "purpose unknown")
    about += [f"tag {quoted(tag)}" for tag in image.tags]
    if change.direction == "outbound":
        about.append("outbound")
    before, after = describe_side(change.before), describe_side(change.after)
    before = "not known who" if blind and not change.before.agent else before
    return f"{change.number} ({', '.join(about)}): {before} -> {after}"


def lines(plan: Plan) -> list[str]:
    """The changes, one a line, then warnings (also what was not checked), at most 25 of each."""
    changes = plan.draft.changes
    # A platform that has no way back tells no holders either.
    blind = plan.draft.one_way
    said = [describe_change(change, blind=blind) for change in changes[:SHOWN_CHANGES]]
    if len(changes) > SHOWN_CHANGES:
        more = len(changes) - SHOWN_CHANGES
        said.append(f"… and {more:,} more: `cordboard plans show {plan.plan_id}` lists them all")
    said += [f"Warning: {warning}" for warning in plan.draft.warnings[:SHOWN_CHANGES]]
    if len(plan.draft.warnings) > SHOWN_CHANGES:
        said.append(f"… and {len(plan.draft.warnings) - SHOWN_CHANGES:,} more warnings")
    if plan.draft.unchanged:
        said.append(f"{len(plan.draft.unchanged):,} more already as asked: left alone.")
    return said


def question(plan: Plan, reason: str) -> str:
    """The whole text that is shown to whoever approves."""
    many = [*counted(plan), ""] if len(plan.draft.changes) > SHOWN_CHANGES else []
    said = [f"{plan.principal} asks to {headline(plan)}.", "", *many, *lines(plan), ""]
    if reason:
        said.append(f"Reason given, in the requester's words: {quoted(reason)}")
    moment = plan.expires_at[:16].replace("T", " ")
    said.append(f"Plan {plan.plan_id}, valid until {moment} UTC. Asked because: {plan.why}.")
    return "\n".join(said)


def warnings(plan: Plan) -> list[str]:
    """The warnings that are not about something that could not be checked."""
    return [said for said in plan.draft.warnings if said not in plan.draft.unchecked]


def tally(plan: Plan) -> dict[str, dict[str, int]]:
    """Of how many numbers what is true, most first: by carrier and purpose ("" where that is not
    known), by who holds them now ("": nobody), and by the tags that are guarded (0 as well)."""
    images = [change.image for change in plan.draft.changes]
    tags = Counter(tag for image in images for tag in {tag.casefold() for tag in image.tags})
    return {
        "by_provider": _most_first(image.provider for image in images),
        "by_purpose": dict(purposes(plan)),
        "by_holder": _most_first(agent for image in images for agent in image.holders or ("",)),
        "by_guarded_tag": {tag: tags[tag] for tag in GUARDED},
    }


def _most_first(told: Iterable[str]) -> dict[str, int]:
    return dict(Counter(told).most_common())


def counted(plan: Plan) -> list[str]:
    """The tally in words, for plans of which nobody reads every line."""
    found = tally(plan)
    nobody = "not known who" if plan.draft.one_way else "nobody"
    marked = {tag: count for tag, count in found["by_guarded_tag"].items() if count}
    return [
        f"Carrier: {_counts(found['by_provider'], 'not known')}.",
        f"Purpose: {_counts(found['by_purpose'], 'not known')}.",
        f"Held now by: {_counts(found['by_holder'], nobody)}.",
        f"Tagged {' or '.join(GUARDED)}: {_counts(marked, '') if marked else 'none'}.",
    ]


def _counts(found: dict[str, int], empty: str) -> str:
    """`1,990 telnyx, 10 vonage`; of many kinds the first."""
    first = list(found.items())[:_MOST_KINDS]
    said = [f"{count:,} {shown(what) or empty}" for what, count in first]
    more = sum(list(found.values())[_MOST_KINDS:])
    return ", ".join([*said, f"{more:,} of others"] if more else said)


def purposes(plan: Plan) -> list[tuple[str, int]]:
    """Whose callers it is about: how many numbers of each purpose, "" where that is unknown."""
    found = Counter(change.image.purpose for change in plan.draft.changes)
    return [(told, found[told]) for told in ("PRODUCTION", "", "TEST") if found[told]]


def alike(plan: Plan) -> list[tuple[Side, Side, int]]:
    """The different changes of a plan, before and after, each with how many numbers it is of."""
    found = Counter((change.before, change.after) for change in plan.draft.changes)
    return [(before, after, count) for (before, after), count in found.most_common()]
