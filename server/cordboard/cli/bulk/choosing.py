"""Which numbers are meant: those of a file, those of the inventory that match, or those of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from string import ascii_lowercase, ascii_uppercase

from cordboard import progress
from cordboard.app import App
from cordboard.binding import PROVIDERS, Direction, OwnedNumber
from cordboard.cli.bulk.number_file import NumberFile, Problem
from cordboard.display import quoted, shown
from cordboard.errors import AgentNotFound, InvalidArguments, NumberRefused
from cordboard.platforms import NumberFilter, Platform
from cordboard.request import Look, few_enough

_TOLD = 5
"""How many bad lines are told, and how many refused numbers of each kind."""
_PAGE = 1_000
_STATES = ("free", "attached", "any")
_ASCII_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
_FORMS = "Write label:PREFIX, tag:TAG, provider:NAME, or state:free, state:attached, state:any."


@dataclass(frozen=True)
class Chosen:
    """Numbers, and the line that each has in the file they are from. `remarks`: what whoever chose
    them should know, in sentences. `there`: the agent has them all by now."""

    numbers: tuple[str, ...]
    places: Mapping[str, str] = field(default_factory=dict[str, str])
    remarks: tuple[str, ...] = ()
    there: bool = False

    @classmethod
    def of_file(cls, file: NumberFile) -> Chosen:
        """All numbers of a file, in its order. Raises: InvalidArguments."""
        if file.problems:
            count = len(file.problems)
            said = "1 bad row" if count == 1 else f"{count:,} bad rows"
            told = "".join(f"\n- {line}" for line in in_short([str(p) for p in file.problems]))
            what = f"{file.label}: {said}, so nothing is planned:{told}\n"
            remedy = f"Correct the file.{_all_of(count)}"
            raise InvalidArguments(what, remedy, file.problems)
        if not file.places:
            raise InvalidArguments(f"{file.label} names no number.", "Put one on each line.")
        left = ", ".join(shown(name, 60) for name in file.unused)
        remarks = (f"{file.label}: only number is read, not {left}.",) if left else ()
        return cls(tuple(file.places), file.places, remarks)

    def refused(self, exc: NumberRefused) -> NumberRefused:
        """The same refusal in short: how many there are of each kind, and the first of them."""
        order = {number: index for index, number in enumerate(self.numbers)}
        problems = [Problem(p.number, p.code, p.why, self._place(p.number)) for p in exc.problems]
        problems.sort(key=lambda problem: order.get(problem.number, len(order)))
        kinds: dict[str, list[str]] = {}
        for problem in problems:
            kinds.setdefault(problem.code, []).append(str(problem))
        lines = [
            line
            for code, said in kinds.items()
            for line in (f"{code}, {len(said):,}:", *(f"  {told}" for told in in_short(said)))
        ]
        many = "1 number is" if len(problems) == 1 else f"{len(problems):,} numbers are"
        what = f"{many} refused of {len(self.numbers):,}, and so all of them:"
        remedy = exc.remedy
        if "NUMBER_ATTACHED_ELSEWHERE" in kinds:
            remedy = (
                "Taking a number over is a move, which names whom it is taken from. With --match "
                "state:free numbers that another agent has are left out."
            )
        told = "\n".join([what, *lines]) + "\n"
        return type(exc)(told, remedy + _all_of(len(problems)), problems)

    def _place(self, number: str) -> str:
        return self.places.get(number, "")


def _all_of(count: int) -> str:
    return " --list FILE or --json tells all of them." if count > _TOLD else ""


def in_short(lines: Sequence[str], most: int = _TOLD) -> list[str]:
    """The first lines, and how many more there are."""
    more = len(lines) - most
    return [*lines[:most], f"… and {more:,} more"] if more > 0 else list(lines)


@dataclass(frozen=True)
class Match:
    """What the inventory is narrowed to: a number must meet all of it. `words`: as it was asked."""

    label: str = ""
    tags: tuple[str, ...] = ()
    provider: str = ""
    state: str = "any"
    words: str = ""

    @classmethod
    def of(cls, words: Sequence[str]) -> Match:
        """From the words of `--match`, as `tag:pool`. Raises: InvalidArguments."""
        found: dict[str, list[str]] = {"label": [], "tag": [], "provider": [], "state": []}
        for word in words:
            kind, colon, value = word.partition(":")
            if not colon or not value or kind not in found:
                raise InvalidArguments(f"--match {quoted(word)} is none of its forms.", _FORMS)
            found[kind].append(_lower(value))
        for kind, known in (("label", ()), ("provider", PROVIDERS), ("state", _STATES)):
            if len(found[kind]) > 1:
                remedy = "Give it once: all that is given must hold. Only tags may be several."
                raise InvalidArguments(f"--match {kind}: stands twice.", remedy)
            if known and found[kind] and found[kind][0] not in known:
                told = f"--match {kind}:{quoted(found[kind][0])} is not known."
                raise InvalidArguments(told, f"Known are {', '.join(known)}.")
        label, provider, state = ("".join(found[kind]) for kind in ("label", "provider", "state"))
        told = " and ".join(shown(word, 60) for word in words)
        return cls(label, tuple(found["tag"]), provider, state or "any", told)

    def fits(self, owned: OwnedNumber, way: Direction) -> bool:
        """Whether it is as asked; in which case ASCII letters are says nothing. `way`: the direction
        that counts as attached."""
        label, tags = _lower(owned.label), {_lower(tag) for tag in owned.tags}
        return (
            label.startswith(self.label)
            and tags.issuperset(self.tags)
            and self.provider in ("", owned.provider)
            and (self.state == "any" or (self.state == "attached") == bool(owned.bound(way)))
        )


def _lower(text: str) -> str:
    """As every engine's lower() does for a label: ASCII letters only."""
    return text.translate(_ASCII_LOWER)


@dataclass(frozen=True)
class Inventory:
    """The numbers of the platform of one agent, as seen from there."""

    app: App
    platform: Platform
    agent: str
    way: Direction

    @classmethod
    async def at(cls, app: App, agent: str) -> Inventory:
        """Raises: AgentNotFound, PlatformError."""
        name = agent.partition(":")[0]
        platform = app.platforms.get(name)
        if platform is None:
            known = ", ".join(app.platforms)
            raise AgentNotFound(
                f"{quoted(agent)}: its platform is not configured here ({known} are)."
            )
        found = await platform.agent(app.settings.account, agent)
        if found is None:
            raise AgentNotFound(f"{quoted(agent)} is no agent at {name}.")
        return cls(app, platform, agent, found.direction)

    async def matching(self, match: Match) -> Chosen:
        """The numbers that match. Where none is free any more, those that the agent itself has by
        now: what was asked for is so already. Raises: InvalidArguments, LimitExceeded, PlatformError.
        """
        # A listing's state is of inbound.
        state = match.state if self.way == "inbound" else "any"
        only = NumberFilter("", match.provider, state, match.label)
        found = await self._listed(only, lambda owned: match.fits(owned, self.way))
        there = not found and match.state == "free"
        if there:
            mine = replace(match, state="any")
            only = NumberFilter(self.agent, match.provider, "any", match.label)
            found = await self._listed(only, lambda owned: mine.fits(owned, self.way))
        if not found:
            what = f"No number at {self.platform.name} matches {match.words}."
            raise InvalidArguments(what, "`cordboard numbers` lists what there is.")
        return Chosen(tuple(found), there=there)

    async def narrowed(self, chosen: Chosen, match: Match) -> Chosen:
        """Those of the chosen numbers that match. What the agent has already counts as free; what
        is not the account's stays, to be refused. Raises: InvalidArguments, PlatformError."""
        look = Look(numbers=chosen.numbers)
        seen = (await self.platform.observe(self.app.settings.account, look)).numbers

        def keep(number: str) -> bool:
            owned = seen.get(number)
            if owned is None:
                return True
            mine = any(bound.agent == self.agent for bound in owned.bound(self.way))
            wanted = replace(match, state="any") if mine and match.state == "free" else match
            return wanted.fits(owned, self.way)

        kept = tuple(filter(keep, chosen.numbers))
        if not kept:
            raise InvalidArguments(f"No number of the file matches {match.words}.", "Match less.")
        left = len(chosen.numbers) - len(kept)
        said = f"Left out, because they do not match {match.words}: {left:,}."
        return replace(chosen, numbers=kept, remarks=(*chosen.remarks, *([said] if left else [])))

    async def _listed(
        self, only: NumberFilter, fits: Callable[[OwnedNumber], bool]
    ) -> dict[str, None]:
        found: dict[str, None] = {}
        after, seen = "", 0
        while True:
            page = await self.platform.numbers(self.app.settings.account, only, after, _PAGE)
            seen += len(page.items)
            found |= {owned.number: None for owned in page.items if fits(owned)}
            await progress.tell(seen, 0, "numbers looked at")
            few_enough(len(found))
            after = page.after
            if not after:
                return found
