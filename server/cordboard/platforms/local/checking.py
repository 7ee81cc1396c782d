"""The rows of an inventory file, each checked by itself and against the others of the file.

What a row leaves out it says nothing about: of a number that is already there it stays as it is.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cordboard import number as numbers
from cordboard.binding import AGENT_PATTERN, PROVIDERS, SLUG_PATTERN
from cordboard.display import quoted
from cordboard.platforms.local.reading import COLUMNS, SECTIONS, Findings, Rows, kind_of, meant

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is of it."""

CHUNK = 5000
_LONGEST_TEXT = 200
_HIGHEST_VERSION = 2**31  # as the tools take it
_LETTERS = "letters, digits, dots, hyphens and underscores"


@dataclass(frozen=True)
class Declared:
    """The good rows of a file. `order`: the indexes of `numbers`, sorted by number."""

    providers: list[str]
    agents: Rows
    numbers: Rows
    pathways: Rows
    order: Sequence[int]

    def find(self, number: str) -> int | None:
        """The index of a number's row, or None."""
        rows = self.numbers.rows
        at = bisect_left(self.order, number, key=lambda index: rows[index]["number"])
        if at < len(self.order) and rows[self.order[at]]["number"] == number:
            return self.order[at]
        return None


def check(
    sections: Mapping[str, Rows], bad: Findings, warnings: Findings, tell: Progress
) -> Declared:
    """The good rows; bad ones are noted and left out."""
    given = {name: sections.get(name, Rows(name + "[{}]", [], ())) for name in SECTIONS}
    agents = _unlike(_sifted("agents", given["agents"], bad, tell), bad)
    pathways = _unlike(_sifted("pathways", given["pathways"], bad, tell), bad)
    found = _sifted("numbers", given["numbers"], bad, tell)
    found, order = _real_numbers(found, bad, warnings, tell)
    return Declared(_providers(given["providers"], bad), agents, found, pathways, order)


def _said(text: str) -> str:
    return quoted(text[:200], 60)


def _wrong_type(value: Any, wanted: str) -> str:
    return f"it is {kind_of(value)}; write {wanted}"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        return _wrong_type(value, "text")
    if len(value) > _LONGEST_TEXT:
        return f"it has {len(value)} characters; write at most {_LONGEST_TEXT}"
    # A lone surrogate, which JSON can write and no store can keep.
    half = not value.isascii() and any("\ud800" <= sign <= "\udfff" for sign in value)
    return "it holds half a character (a lone surrogate); write it anew" if half else ""


def _matching(pattern: str, wanted: str, *, empty: bool = False) -> Callable[[Any], str]:
    fits = re.compile(pattern, re.ASCII).fullmatch

    def check_one(value: Any) -> str:
        if not isinstance(value, str):
            return _wrong_type(value, "text")
        if fits(value) or (empty and not value):
            return ""
        return f"{_said(value)} is not allowed; write {wanted}"

    return check_one


def _one_of(*allowed: str, empty: bool = False) -> Callable[[Any], str]:
    def check_one(value: Any) -> str:
        if not isinstance(value, str):
            return _wrong_type(value, " or ".join(allowed))
        if value in allowed or (empty and not value):
            return ""
        return f"{_said(value)} is not allowed; write {' or '.join(allowed)}"

    return check_one


def _list_of(check_one: Callable[[Any], str]) -> Callable[[Any], str]:
    def check_list(value: Any) -> str:
        if not isinstance(value, list):
            return _wrong_type(value, "a list")
        for index, item in enumerate(value):
            if why := check_one(item):
                return f"at [{index}]: {why}"
        if len(set(value)) != len(value):
            twice = next(item for item in value if value.count(item) > 1)
            return f"{_said(twice)} stands twice; write it once"
        return ""

    return check_list


def _agent_id(value: Any) -> str:
    if not isinstance(value, str):
        return _wrong_type(value, "text")
    name = full_id(value)
    if name.startswith("local:") and re.fullmatch(AGENT_PATTERN, name, re.ASCII):
        return ""
    return (
        f"{_said(value)} is not allowed; write 1 to 100 {_LETTERS}, the first a letter or a "
        "digit, with nothing or local: before them"
    )


def full_id(name: str) -> str:
    """An agent's id with its platform."""
    return name if ":" in name else f"local:{name}"


def _a_string(value: Any) -> str:
    return "" if isinstance(value, str) else _wrong_type(value, "text, as +14155550123")


def _version(value: Any) -> str:
    if type(value) is not int:  # True is an int to Python
        return _wrong_type(value, "a whole number, 1 or more")
    return "" if 1 <= value <= _HIGHEST_VERSION else f"write 1 to {_HIGHEST_VERSION}"


def _versions(value: Any) -> str:
    return "" if isinstance(value, list) else _wrong_type(value, "a list of versions")


_id = _matching("[A-Za-z0-9._-]{1,100}", f"1 to 100 {_LETTERS}")
_tag = _matching("[A-Za-z0-9._-]{1,64}", f"1 to 64 {_LETTERS}")
_provider = _one_of(*PROVIDERS)
_FIELDS: Mapping[str, Mapping[str, Callable[[Any], str]]] = {
    "agents": {
        "id": _agent_id,
        "name": _text,
        "direction": _one_of("inbound", "outbound"),
        "pathway_id": _matching("[A-Za-z0-9._-]{1,100}", f"1 to 100 {_LETTERS}", empty=True),
    },
    "numbers": dict(
        zip(
            COLUMNS,
            (
                _a_string,
                _one_of(*PROVIDERS, empty=True),
                _text,
                _one_of("TEST", "PRODUCTION", empty=True),
                _list_of(_tag),
                _matching(SLUG_PATTERN, f"1 to 64 {_LETTERS}"),
            ),
            strict=True,
        )
    ),
    "pathways": {"id": _id, "name": _text, "versions": _versions},
    "versions": {"version": _version, "nodes": _list_of(_id)},
}
_REQUIRED = {
    "agents": ("id", "direction"),
    "numbers": ("number",),
    "pathways": ("id",),
    "versions": ("version", "nodes"),
}


def _good(section: str, row: Any, place: str, bad: Findings) -> bool:
    if not isinstance(row, dict):
        bad.bad(place, "", _wrong_type(row, "an object"))
        return False
    before, fields = bad.count, _FIELDS[section]
    for name, value in row.items():
        check_field = fields.get(name)
        if check_field is None:
            bad.bad(place, name, f"unknown key{meant(name, fields)}; use {', '.join(fields)}")
        elif why := check_field(value):
            bad.bad(place, name, why)
    for name in _REQUIRED[section]:
        if name not in row:
            bad.bad(place, name, "it is missing; add it")
    if section == "pathways" and isinstance(row.get("versions"), list):
        versions = Rows(place + ".versions[{}]", row["versions"], range(len(row["versions"])))
        _unlike(_sifted("versions", versions, bad), bad, "version")
    return bad.count == before


def quiet(phase: str, done: int, total: int) -> None:
    """Progress that nobody follows."""


def _sifted(section: str, given: Rows, bad: Findings, tell: Progress = quiet) -> Rows:
    """The rows that are good by themselves."""
    rows, at = list[dict[str, Any]](), array("L")
    for index, row in enumerate(given.rows):
        if _good(section, row, given.place(index), bad):
            rows.append(row)
            at.append(given.at[index])
        if index % CHUNK == 0:
            tell(f"reading {section}", index, len(given.rows))
    return Rows(given.template, rows, at)


def _unlike(given: Rows, bad: Findings, key: str = "id") -> Rows:
    """The rows whose key no earlier row has."""
    first: dict[Any, int] = {}
    for index, row in enumerate(given.rows):
        name = full_id(row[key]) if given.template.startswith("agents") else row[key]
        if name in first:
            why = f"{name} stands twice, first at {given.place(first[name])}; give it once"
            bad.bad(given.place(index), key, why)
        else:
            first[name] = index
    return _only(given, list(first.values()))


def _only(given: Rows, indexes: Sequence[int]) -> Rows:
    rows = given.rows if len(indexes) == len(given.rows) else [given.rows[i] for i in indexes]
    return Rows(given.template, rows, array("L", (given.at[i] for i in indexes)))


def _providers(given: Rows, bad: Findings) -> list[str]:
    """The carriers of the account."""
    good: list[str] = []
    for index, value in enumerate(given.rows):
        why = _provider(value)
        if why or value in good:
            bad.bad(given.place(index), "", why or f"{value} stands twice; name it once")
        else:
            good.append(value)
    return good


def _real_numbers(
    given: Rows, bad: Findings, warnings: Findings, tell: Progress
) -> tuple[Rows, Sequence[int]]:
    """The rows whose number is one, and stands there first; and their order by number.

    Checked in sorted order, which costs phonenumbers a sixth.
    """
    rows, wrong = given.rows, set[int]()
    order = array("L", sorted(range(len(rows)), key=lambda index: rows[index]["number"]))
    before, first = "", 0
    for start in range(0, len(order), CHUNK):
        tell("checking numbers", start, len(order))
        part = order[start : start + CHUNK]
        verdicts = numbers.check_all([rows[index]["number"] for index in part])
        for index in part:
            text = rows[index]["number"]
            verdict = verdicts[text]
            if text == before and not verdict.reason:
                why = f"{text} stands twice, first at {given.place(first)}; give it once"
                bad.bad(given.place(index), "number", why)
                wrong.add(index)
            elif verdict.reason:
                bad.bad(given.place(index), "number", no_number(verdict))
                wrong.add(index)
            elif verdict.warning:
                warnings.add(f"{given.place(index)}: {verdict.warning}")
            if text != before:
                before, first = text, index
    if not wrong:
        return given, order
    kept = [index for index in range(len(rows)) if index not in wrong]
    good = _only(given, kept)
    return good, sorted(range(len(kept)), key=lambda index: good.rows[index]["number"])


def no_number(verdict: numbers.Verdict) -> str:
    """Why a text is no number, what it may have been meant as, or how one is written."""
    meant_as = f"; did you mean {verdict.did_you_mean}?" if verdict.did_you_mean else ""
    said = f"{_said(verdict.text)} is no number: {verdict.reason}{meant_as}"
    return said if meant_as else f"{said}; write it as +14155550123"
