"""Numbers and bindings as rows of the store: one by one where they are few, else set by set.

A set is some thousand numbers in one statement, in the order of the key.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from typing import Any, cast

from cordboard.binding import Binding, Direction, OwnedNumber, Pathway, Side
from cordboard.plan import Change
from cordboard.request import FEW
from cordboard.stores import Ask, Row, Transaction

_SET = 5_000


def find_number(tx: Transaction, account: str, number: str) -> OwnedNumber | None:
    """A number of the account with its bindings, or None where the account has no such number."""
    tx.prefetch(*asks(account, number))
    row = tx.one("number_get", account=account, number=number)
    if row is None:
        return None
    return _Owned().number(row, tx.all("bindings_of", account=account, number=number))


def asks(account: str, number: str) -> tuple[Ask, Ask]:
    """What finding a number asks."""
    key = {"account": account, "number": number}
    return ("number_get", key), ("bindings_of", key)


def find_numbers(tx: Transaction, account: str, wanted: Iterable[str]) -> dict[str, OwnedNumber]:
    """Those of the wanted numbers that the account has, in rising order."""
    texts = sorted(set(wanted))
    if len(texts) <= FEW:
        tx.prefetch(*chain.from_iterable(asks(account, text) for text in texts))
        found = ((text, find_number(tx, account, text)) for text in texts)
        return {text: owned for text, owned in found if owned is not None}
    told = _Owned()
    every: dict[str, OwnedNumber] = {}
    for part in _sets(texts):
        rows = {r["number"]: r for r in tx.all("numbers_among", account=account, numbers=part)}
        bound = _bound(tx, account, part)
        every |= {t: told.number(rows[t], bound.get(t, ())) for t in part if t in rows}
    return every


def read_again(tx: Transaction, account: str, texts: list[str]) -> Iterator[OwnedNumber]:
    """The numbers in the order given, read some thousand at a time; one that is gone is left out."""
    for part in _sets(texts):
        found = find_numbers(tx, account, part)
        yield from (found[text] for text in part if text in found)


def owned_of(tx: Transaction, account: str, rows: Sequence[Row]) -> list[OwnedNumber]:
    """These rows of numbers, with their bindings."""
    told = _Owned()
    if len(rows) <= FEW:
        key = {"account": account}
        return [told.number(r, tx.all("bindings_of", **key, number=r["number"])) for r in rows]
    bound: dict[str, list[Row]] = {}
    for part in _sets([row["number"] for row in rows]):
        bound |= _bound(tx, account, part)
    return [told.number(row, bound.get(row["number"], ())) for row in rows]


class _Owned:
    """Makes numbers of rows; what is the same in many of them is kept once."""

    def __init__(self) -> None:
        self._same: dict[Any, Any] = {}
        self._tags: dict[str, tuple[str, ...]] = {}

    def number(self, row: Row, bound: Sequence[Row]) -> OwnedNumber:
        tags = row["tags"]
        if tags not in self._tags:
            self._tags[tags] = tuple(json.loads(tags))
        versions = row["inbound_version"], row["outbound_version"]
        number = row["number"]
        return OwnedNumber(
            number=number,
            platform="local",
            provider=self._kept(row["provider"]),
            label=row["label"],
            purpose=self._kept(row["purpose"]),
            tags=self._tags[tags],
            slug=row["slug"],
            bindings=tuple([self.binding(number, b) for b in bound]),
            versions=self._same.get(versions) or self._versions(versions),
        )

    def binding(self, number: str, row: Row) -> Binding:
        told = row["pathway_id"], row["pathway_version"], row["start_node_id"]
        pathway = self._same.get(told) or self._same.setdefault(told, Pathway(*told))
        agent, at = self._kept(row["agent"]), self._kept(row["attached_at"])
        return Binding(number, cast(Direction, self._kept(row["direction"])), agent, pathway, at)

    def _versions(self, told: tuple[int, int]) -> dict[Direction, int]:
        found: dict[Direction, int] = {"inbound": told[0], "outbound": told[1]}
        self._same[told] = found
        return found

    def _kept(self, text: str) -> str:
        return cast(str, self._same.setdefault(text, text))


def read_binding(row: Row) -> Binding:
    """A binding from its row."""
    pathway = Pathway(row["pathway_id"], row["pathway_version"], row["start_node_id"])
    return Binding(
        row["number"], cast(Direction, row["direction"]), row["agent"], pathway, row["attached_at"]
    )


def _bound(tx: Transaction, account: str, part: list[str]) -> dict[str, list[Row]]:
    """The bindings of each of these numbers that has any."""
    found: dict[str, list[Row]] = {}
    for row in tx.all("bindings_among", account=account, numbers=part):
        found.setdefault(row["number"], []).append(row)
    return found


def write(tx: Transaction, account: str, at: str, changes: Sequence[Change]) -> None:
    """Bind as the changes say, and raise the version of every number."""
    if len(changes) <= FEW:
        for change in changes:
            key = {"account": account, "number": change.number}
            _bind(tx, "", key, at, change.before, change.after)
        return
    kinds: dict[tuple[Side, Side], list[str]] = {}
    for change in changes:
        kinds.setdefault((change.before, change.after), []).append(change.number)
    for (before, after), texts in kinds.items():
        for part in _sets(sorted(texts)):
            _bind(tx, "s", {"account": account, "numbers": part}, at, before, after)


def _bind(
    tx: Transaction, many: str, key: dict[str, Any], at: str, before: Side, after: Side
) -> None:
    """One change, of a number, or of a set of them where `many` is "s": so the statements are named."""
    where = {**key, "direction": before.direction}
    if before.agent and before.agent == after.agent:
        pathway = asdict(after.pathway)
        tx.send(f"binding{many}_set_pathway", **where, agent=after.agent, **pathway)
    else:
        if before.agent:
            tx.send(f"binding{many}_remove", **where, agent=before.agent)
        if after.agent:
            tx.send(
                f"binding{many}_add", **where, agent=after.agent, at=at, **asdict(after.pathway)
            )
    tx.send(f"number{many}_bump_{before.direction}", **key, at=at)


def _sets(texts: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(texts), _SET):
        yield texts[start : start + _SET]
