"""What the pages show of a plan: from the stored record to texts, nothing decided here.

Every text of somebody else's is made harmless here already (`display`), and escaped by the
template; a text in the requester's words is always quoted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cordboard import facts, outcomes
from cordboard.binding import Side
from cordboard.display import printable, quoted, shown
from cordboard.plan import Change, Level, Outcome, Plan
from cordboard.stores.plans import WAITING, PlanRecord
from cordboard.web.approvals.moments import ago

PER_PAGE = 50
_MOST_KINDS = 8
LEVELS: dict[Level, str] = {
    "plan": "the assistant may apply it by itself, in a second call",
    "client": "a person confirms it in their own client",
    "person": "an enrolled approver approves it with their passphrase",
    "frozen": "nobody may approve it",
}
OUTCOMES: dict[Outcome, str] = {
    "planned": "Not yet",
    "unchanged": "As it was",
    "applied": "Done",
    "not_applied": "Not done",
    "unknown": "Not known yet",
}
_PLAIN_NUMBER = str.maketrans("", "", " ().-/\u00a0")


@dataclass(frozen=True, slots=True)
class SideView:
    """One end of a change. `agent` "": nobody, or whoever it is (`nobody` says which)."""

    agent: str
    name: str
    nobody: str
    pathway: str
    version: str
    node: str


@dataclass(frozen=True, slots=True)
class ChangeView:
    """One number of a plan. `differs`: the parts of it that change."""

    number: str
    label: str
    purpose: str
    tags: tuple[str, ...]
    carrier: str
    outbound: bool
    before: SideView
    after: SideView
    differs: frozenset[str]
    outcome: Outcome
    detail: str

    def contains(self, words: str) -> bool:
        """Whether any text of it contains these words, in any case."""
        sides = (self.before, self.after)
        told = [self.number, self.label, self.purpose, self.carrier, *self.tags]
        told += [t for s in sides for t in (s.agent, s.name, s.pathway, s.node)]
        told += ["outbound" if self.outbound else "inbound", OUTCOMES[self.outcome], self.detail]
        text = "\n".join(told).casefold()
        number = words.translate(_PLAIN_NUMBER)
        return words.casefold() in text or (number != "" and number in self.number)


@dataclass(frozen=True, slots=True)
class Kind:
    """So many numbers that all change alike."""

    before: SideView
    after: SideView
    differs: frozenset[str]
    outbound: bool
    count: int


@dataclass(frozen=True, slots=True)
class Shown:
    """The changes that a page shows: the `first` to the `last` of those that match, of all.

    `matching` is less than `total` where words narrow them.
    """

    changes: tuple[ChangeView, ...]
    words: str
    page: int
    pages: int
    first: int
    last: int
    matching: int
    total: int

    @property
    def is_all(self) -> bool:
        return len(self.changes) == self.total


def changes(record: PlanRecord, now: str, words: str, page: int) -> Shown:
    """A page of a plan's changes; once it was begun what went wrong stands first."""
    every = outcomes.of_changes(record, now)
    plan, found = record.plan, every
    if words:
        found = [each for each in every if _change(plan, *each).contains(words)]
    pages = max(1, -(-len(found) // PER_PAGE))
    page = min(page, pages)
    start = (page - 1) * PER_PAGE
    views = tuple(_change(plan, *each) for each in found[start : start + PER_PAGE])
    first, last = start + 1 if views else 0, start + len(views)
    return Shown(views, words, page, pages, first, last, len(found), len(every))


def _change(plan: Plan, change: Change, outcome: Outcome, detail: str) -> ChangeView:
    image = change.image
    return ChangeView(
        number=change.number,
        label=shown(image.label),
        purpose=image.purpose,
        tags=tuple(shown(tag) for tag in image.tags),
        carrier=shown(image.provider),
        outbound=change.direction == "outbound",
        before=_side(plan, change.before, now=True),
        after=_side(plan, change.after),
        differs=_differs(change.before, change.after),
        outcome=outcome,
        detail=shown(detail, 400),
    )


def _side(plan: Plan, side: Side, *, now: bool = False) -> SideView:
    pathway = side.pathway
    # A platform that has no way back tells no holders either.
    blind = now and plan.draft.one_way
    version = str(pathway.pathway_version) if pathway.pathway_version else "newest"
    return SideView(
        agent=printable(side.agent),
        name=shown(dict(plan.draft.names).get(side.agent, "")),
        nobody="not known who" if blind else "nobody",
        pathway=printable(pathway.pathway_id),
        version=version if pathway.pathway_id else "",
        node=printable(pathway.start_node_id),
    )


def _differs(before: Side, after: Side) -> frozenset[str]:
    """Which parts are not the same after as before."""
    parts = {
        "agent": before.agent != after.agent,
        "pathway": before.pathway.pathway_id != after.pathway.pathway_id,
        "version": before.pathway.pathway_version != after.pathway.pathway_version,
        "node": before.pathway.start_node_id != after.pathway.start_node_id,
    }
    return frozenset(name for name, differs in parts.items() if differs)


def kinds(plan: Plan) -> tuple[tuple[Kind, ...], int]:
    """The different changes, most numbers first, and of how many further kinds nothing is shown."""
    every = facts.alike(plan)
    told = tuple(
        Kind(
            _side(plan, before, now=True),
            _side(plan, after),
            _differs(before, after),
            before.direction == "outbound",
            count,
        )
        for before, after, count in every[:_MOST_KINDS]
    )
    return told, len(every) - len(told)


@dataclass(frozen=True, slots=True)
class Row:
    """A plan in a list."""

    plan_id: str
    url: str
    headline: str
    requester: str
    level: Level
    purposes: str
    made: str
    made_ago: str
    expires_at: str
    expires_in: str
    status: str
    kind: str
    by: str


def row(record: PlanRecord, now: str, url: str) -> Row:
    """A plan as a list shows it."""
    plan = record.plan
    kind, status = stands(record, now)
    return Row(
        plan_id=plan.plan_id,
        url=url,
        headline=headline(plan),
        requester=shown(plan.principal),
        level=plan.level,
        purposes=purposes(plan),
        made=plan.created_at,
        made_ago=ago(plan.created_at, now),
        expires_at=plan.expires_at,
        expires_in=ago(plan.expires_at, now),
        status=status,
        kind=kind,
        by=shown(record.closed_by),
    )


def headline(plan: Plan) -> str:
    """What would be done: `Attach 2 numbers to local:support`."""
    said = facts.headline(plan)
    return said[:1].upper() + said[1:]


def purposes(plan: Plan) -> str:
    """Whose callers it is about: `2 PRODUCTION, 1 TEST`."""
    return ", ".join(f"{n:,} {kind or 'purpose unknown'}" for kind, n in facts.purposes(plan))


_STANDS = {
    "open": ("waiting", "Waiting for approval"),
    "approved": ("waiting", "Approved, not applied yet"),
    "applying": ("busy", "Being applied"),
    "applied": ("done", "Applied"),
    "partly_applied": ("mixed", "Applied in part"),
    "unknown": ("mixed", "Not known yet"),
    "failed": ("off", "Not carried out"),
    "declined": ("off", "Declined"),
    "stale": ("off", "Stale"),
    "expired": ("off", "Expired"),
    "discarded": ("off", "Discarded"),
}


def stands(record: PlanRecord, now: str) -> tuple[str, str]:
    """How a plan stands: a kind for the looks of it, and the word for it."""
    return _STANDS["expired"] if record.expired(now) else _STANDS[record.state]


def is_waiting(record: PlanRecord, now: str) -> bool:
    """Whether it can still be decided."""
    return record.state in WAITING and not record.expired(now)


def remark(reason: str) -> str:
    """Somebody's own words, quoted; "" for none."""
    return quoted(reason) if reason.strip() else ""


def lines(texts: Sequence[str]) -> list[str]:
    """Sentences with words from outside in them."""
    return [shown(text, 600) for text in texts]
