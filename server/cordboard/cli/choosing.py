"""Which numbers are meant: those of a file, or those of the inventory that match."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase

from cordboard import number as numbers
from cordboard import progress
from cordboard.app import App
from cordboard.binding import PROVIDERS, OwnedNumber
from cordboard.display import quoted
from cordboard.errors import AgentNotFound, InvalidArguments, LimitExceeded, NumberRefused
from cordboard.platforms import NumberFilter
from cordboard.platforms.local.importing import contents
from cordboard.platforms.local.reading import Findings, Rows, label_of, read
from cordboard.request import MOST_NUMBERS

_TOLD = 5
"""How many bad lines are told, and how many refused numbers of each kind."""
_PAGE = 1_000
_STATES = ("free", "attached", "any")
_ASCII_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
_FORMS = "Write label:PREFIX, tag:TAG, provider:NAME, or state:free, state:attached, state:any."


@dataclass(frozen=True)
class Chosen:
    """Numbers, and the line that each has in the file they are from."""

    numbers: tuple[str, ...]
    places: Mapping[str, str] = field(default_factory=dict[str, str])

    def refused(self, exc: NumberRefused) -> NumberRefused:
        """The same refusal in short: how many there are of each kind, and the first of them."""
        kinds: dict[str, list[str]] = {}
        for problem in exc.problems:
            place = self.places.get(problem.number)
            said = f"{place}: {problem.why}" if place else problem.why
            kinds.setdefault(problem.code, []).append(said)
        lines = [
            line
            for code, said in kinds.items()
            for line in (f"{code}, {len(said):,}:", *(f"  {told}" for told in in_short(said)))
        ]
        many = "1 number is" if len(exc.problems) == 1 else f"{len(exc.problems):,} numbers are"
        what = f"{many} refused of {len(self.numbers):,}, and so all of them:"
        remedy = exc.remedy
        if "NUMBER_ATTACHED_ELSEWHERE" in kinds:
            remedy = (
                "Taking a number over is a move, which names whom it is taken from. Leave them out: "
                "--match state:free takes only numbers that nobody has."
            )
        return type(exc)("\n".join([what, *lines]) + "\n", remedy, exc.problems)


def in_short(lines: Sequence[str], most: int = _TOLD) -> list[str]:
    """The first lines, and how many more there are."""
    more = len(lines) - most
    return [*lines[:most], f"… and {more:,} more"] if more > 0 else list(lines)


def from_file(path: str) -> Chosen:
    """The numbers of a file as `cordboard import` reads it, or of standard input (`-`), in its order.

    Raises: ConfigError for what cannot be read; InvalidArguments that names the bad lines.
    """
    piped = path == "-"
    label = "standard input" if piped else label_of(path)
    data = sys.stdin.buffer.read() if piped else contents(Path(path))
    bad = Findings()
    # Not sniffed: what comes through a pipe is a list of numbers.
    rows = read(data, "numbers.csv" if piped else path, bad).get("numbers") or Rows("{}", [], ())
    places: dict[str, str] = {}
    wrong = list(bad.lines)
    for index, row in enumerate(rows.rows):
        text, place = row.get("number") if isinstance(row, dict) else None, rows.place(index)
        why = _why_not(text, places)
        if why:
            wrong.append(f"{place}: {why}")
        elif isinstance(text, str):
            places[text] = place
    count = len(wrong) + bad.count - len(bad.lines)
    if count:
        said = f"{label}: 1 bad row" if count == 1 else f"{label}: {count:,} bad rows"
        more = [f"… and {count - _TOLD:,} more"] if count > _TOLD else []
        told = "".join(f"\n- {line}" for line in (*wrong[:_TOLD], *more))
        raise InvalidArguments(f"{said}, so nothing is planned:{told}\n", "Correct the file.")
    return _enough(places, f"{label} names no number.")


def _why_not(text: object, before: Mapping[str, str]) -> str:
    """Why a row is not taken; whether the account has the number is told later."""
    if not isinstance(text, str):
        return "it has no number; write it as text, as +14155550123"
    if not numbers.is_canonical(text):
        verdict = numbers.check(text)
        meant = f"; did you mean {verdict.did_you_mean}?" if verdict.did_you_mean else ""
        return f"{quoted(text[:200], 60)} is no number: {verdict.reason}{meant}"
    if text in before:
        return f"{text} stands twice, first at {before[text]}"
    return ""


def _enough(places: Mapping[str, str], nothing: str) -> Chosen:
    if not places:
        raise InvalidArguments(nothing, "Choose others.")
    too_many(len(places))
    return Chosen(tuple(places), places)


def too_many(count: int) -> None:
    """Raises: LimitExceeded for more numbers than one plan takes."""
    if count > MOST_NUMBERS:
        raise LimitExceeded(
            f"One plan takes {MOST_NUMBERS:,} numbers at most.", "Choose fewer, as several plans."
        )


@dataclass(frozen=True)
class Match:
    """What the inventory is narrowed to: a number must meet all of it."""

    labels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    provider: str = ""
    state: str = "any"

    @classmethod
    def of(cls, words: Sequence[str]) -> Match:
        """From the words of `--match`, as `tag:pool`. Raises: InvalidArguments."""
        found: dict[str, list[str]] = {"label": [], "tag": [], "provider": [], "state": []}
        for word in words:
            kind, colon, value = word.partition(":")
            if not colon or not value or kind not in found:
                raise InvalidArguments(f"--match {quoted(word)} is none of its forms.", _FORMS)
            found[kind].append(value)
        for kind, known in (("provider", PROVIDERS), ("state", _STATES)):
            if len(found[kind]) > 1:
                raise InvalidArguments(f"--match {kind}: stands twice.", "Give it once.")
            if found[kind] and found[kind][0] not in known:
                told = f"--match {kind}:{quoted(found[kind][0])} is not known."
                raise InvalidArguments(told, f"Known are {', '.join(known)}.")
        provider, state = "".join(found["provider"]), "".join(found["state"]) or "any"
        labels, tags = map(_lower, found["label"]), map(_lower, found["tag"])
        return cls(tuple(labels), tuple(tags), provider, state)

    def fits(self, owned: OwnedNumber) -> bool:
        """Whether label and tags are as asked; in which case ASCII letters are says nothing."""
        label, tags = _lower(owned.label), {_lower(tag) for tag in owned.tags}
        return all(map(label.startswith, self.labels)) and tags.issuperset(self.tags)


def _lower(text: str) -> str:
    """As every engine's lower() does for a label: ASCII letters only."""
    return text.translate(_ASCII_LOWER)


async def matching(app: App, agent: str, match: Match) -> Chosen:
    """The numbers of the agent's platform that match. Raises: AgentNotFound, PlatformError."""
    name = agent.partition(":")[0]
    platform = app.platforms.get(name)
    if platform is None:
        known = ", ".join(app.platforms)
        raise AgentNotFound(f"{quoted(agent)}: its platform is not configured here ({known} are).")
    only = NumberFilter(provider=match.provider, state=match.state, query="".join(match.labels[:1]))
    found: dict[str, str] = {}
    after, seen = "", 0
    while True:
        page = await platform.numbers(app.settings.account, only, after, _PAGE)
        seen += len(page.items)
        found |= {owned.number: "" for owned in page.items if match.fits(owned)}
        await progress.tell(seen, 0, "numbers looked at")
        too_many(len(found))
        after = page.after
        if not after:
            return _enough(found, "No number of the account matches.")
