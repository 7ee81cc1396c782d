"""`cordboard import FILE`: what a file declares is put into the local platform's store.

One transaction, all or nothing. Nothing is deleted or detached; a row that is already so is not
written, so that it keeps its `updated_at`.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from cordboard import journal
from cordboard.errors import ConfigError, Frozen, StoreUnavailable
from cordboard.journal import Event
from cordboard.platforms.local import checking
from cordboard.platforms.local.checking import CHUNK, Declared, Progress, full_id, quiet
from cordboard.platforms.local.reading import SECTIONS, Findings, label_of, read
from cordboard.stores import Row, Store, Transaction

_MANY = 1000
"""From so many rows on the store's statistics are renewed."""
_UNCHANGED, _NEW, _CHANGED, _RENAMED = range(4)

Counts = dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did: {section: {added, changed, unchanged}}. `warnings`: at most 50, told."""

    counts: Counts
    sha256: str
    warnings: list[str]

    @property
    def written(self) -> int:
        """How many rows were added or changed."""
        return sum(count["added"] + count["changed"] for count in self.counts.values())


def contents(path: Path) -> bytes:
    """The bytes of a file. Raises: ConfigError."""
    try:
        return path.read_bytes()
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise ConfigError(f"{label_of(str(path))}: {why}.", "Check the path.") from None
    except MemoryError:
        raise ConfigError(f"{label_of(str(path))}: too large.", "Import it in parts.") from None


async def import_file(
    store: Store,
    account: str,
    principal: str,
    at: str,
    data: bytes,
    name: str,
    tell: Progress = quiet,
) -> Imported:
    """Import the bytes of a file named `name`; `tell` may be called from another thread.

    Raises: ConfigError naming every bad row; Frozen; StoreUnavailable. Nothing is written then.
    """
    bad, warnings = Findings(), Findings()
    sha256 = hashlib.sha256(data).hexdigest()
    label = label_of(name)
    sections = read(data, name, bad)
    del data
    declared = checking.check(sections, bad, warnings, tell)
    del sections

    def compare(tx: Transaction) -> _Import:  # findings of its own: a store may run it again
        work = _Import(tx, account, declared, tell, deepcopy(bad), deepcopy(warnings))
        work.compare()
        work.bad.refuse(label)
        return work

    def write(tx: Transaction) -> Imported:
        work = compare(tx)
        if work.writes:
            _not_frozen(tx, account)
        work.write(at, principal)
        if work.writes:
            said = {"counts": work.counts, "file": label, "sha256": sha256}
            journal.append(tx, account, at, Event("imported", principal, data=said))
        return Imported(work.counts, sha256, work.warnings.listed())

    if bad.count:  # what only the store can tell belongs into the same answer
        await store.read(compare)
    done = await store.write(write)
    if done.written >= _MANY:
        with suppress(StoreUnavailable):  # it is imported all the same
            await store.optimize()
    return done


def _not_frozen(tx: Transaction, account: str) -> None:
    state = tx.one("account_get", account=account)
    if state is not None and state["frozen_at"]:
        raise Frozen(f"Changes are frozen since {state['frozen_at']} by {state['frozen_by']}.")


@dataclass
class _Import:
    """One import inside one transaction: first compared with what is there, then written."""

    tx: Transaction
    account: str
    declared: Declared
    tell: Progress
    bad: Findings
    warnings: Findings
    counts: Counts = field(default_factory=Counts)
    puts: dict[str, list[dict[str, Any]]] = field(default_factory=dict[str, list[dict[str, Any]]])
    status: bytearray = field(default_factory=bytearray)
    empty: bool = False

    @property
    def writes(self) -> bool:
        """Whether anything is to be written."""
        return any(count["added"] or count["changed"] for count in self.counts.values())

    def compare(self) -> None:
        """What is new, what changes, and what only the store knows to be wrong."""
        self.empty = self.tx.one("number_any", account=self.account) is None
        for section in SECTIONS:
            self.counts[section] = {"added": 0, "changed": 0, "unchanged": 0}
        for query in ("provider_add", "agent_put", "pathway_put", "pathway_version_put"):
            self.puts[query] = []
        self._compare_providers()
        self._compare_agents()
        self._compare_pathways()
        self._compare_numbers()

    def _count(self, section: str, *, new: bool, changed: bool) -> None:
        self.counts[section]["added" if new else "changed" if changed else "unchanged"] += 1

    def _compare_providers(self) -> None:
        known = {row["provider"] for row in self.tx.all("providers", account=self.account)}
        for provider in self.declared.providers:
            self._count("providers", new=provider not in known, changed=False)
            if provider not in known:
                self.puts["provider_add"].append({"provider": provider})
        named = {row.get("provider", "") for row in self.declared.numbers.rows}
        for provider in sorted(named - known - {"", *self.declared.providers}, reverse=True):
            self.warnings.lines.insert(
                0,
                f"provider {provider} is not among the account's: a request that names it is refused "
                'until "providers" lists it and is imported',
            )
            self.warnings.count += 1

    def _compare_agents(self) -> None:
        for index, row in enumerate(self.declared.agents.rows):
            name = full_id(row["id"])
            stored = self.tx.one("agent_get", account=self.account, agent=name)
            new = {"name": row["id"].removeprefix("local:"), "pathway_id": ""}
            before = _some(stored, "name", "direction", "pathway_id") or new
            after = before | _some(row, *(key for key in row if key != "id"))
            if stored and after["direction"] != before["direction"] and self._bound(name):
                why = (
                    f"{name} is {before['direction']} and has numbers; detach them first, "
                    "or give the other direction to a new agent"
                )
                self.bad.bad(self.declared.agents.place(index), "direction", why)
            self._count("agents", new=not stored, changed=after != before)
            if not stored or after != before:
                self.puts["agent_put"].append({"agent": name, **after})

    def _bound(self, agent: str) -> bool:
        return self.tx.one("agent_bound", account=self.account, agent=agent) is not None

    def _compare_pathways(self) -> None:
        for row in self.declared.pathways.rows:
            key = {"account": self.account, "pathway_id": row["id"]}
            stored = self.tx.one("pathway_get", **key)
            name = row.get("name", stored["name"] if stored else row["id"])
            known = {
                v["version"]: json.loads(v["nodes"]) for v in self.tx.all("pathway_versions", **key)
            }
            versions = [
                {"pathway_id": row["id"], "version": v["version"], "nodes": json.dumps(v["nodes"])}
                for v in row.get("versions", ())
                if known.get(v["version"]) != v["nodes"]
            ]
            self.puts["pathway_version_put"] += versions
            renamed = not stored or stored["name"] != name
            if renamed:
                self.puts["pathway_put"].append({"pathway_id": row["id"], "name": name})
            self._count("pathways", new=not stored, changed=renamed or bool(versions))

    def _stored(self, number: str) -> Row | None:
        if self.empty:
            return None
        return self.tx.one("number_get", account=self.account, number=number)

    def _compare_numbers(self) -> None:
        rows = self.declared.numbers.rows
        self.status = bytearray(len(rows))
        chosen: dict[str, int] = {}  # slugs that are not just the number's own digits
        for index, row in enumerate(rows):
            stored = self._stored(row["number"])
            before = _kept(row["number"], stored)
            after = _merged(row, before)
            slug = after["slug"]
            if stored is None:
                self.status[index] = _NEW
            elif after != before:
                self.status[index] = _CHANGED if slug == before["slug"] else _RENAMED
            if slug != row["number"][1:]:
                other = chosen.setdefault(slug, index)
                if other != index:
                    self._slug_taken(index, slug, self.declared.numbers.place(other))
            if self.status[index] in (_NEW, _RENAMED):
                self._check_holder(index, slug)
            self._count("numbers", new=stored is None, changed=after != before)
            if index % CHUNK == 0:
                self.tell("comparing numbers", index, len(rows))
        for slug, index in chosen.items():
            owner = self.declared.find(f"+{slug}")
            if owner is not None and self._slug_after(owner) == slug:
                self._slug_taken(index, slug, self.declared.numbers.place(owner))

    def _check_holder(self, index: int, slug: str) -> None:
        """A number of the store that is not in the file keeps its slug; one in it may give it up."""
        if self.empty:
            return
        holder = self.tx.one("number_by_slug", account=self.account, slug=slug)
        if holder is not None and self.declared.find(holder["number"]) is None:
            self._slug_taken(index, slug, holder["number"])

    def _slug_after(self, index: int) -> str:
        row = self.declared.numbers.rows[index]
        return str(_merged(row, _kept(row["number"], self._stored(row["number"])))["slug"])

    def _slug_taken(self, index: int, slug: str, by: str) -> None:
        why = f"{slug} is taken by {by}; give each number its own"
        self.bad.bad(self.declared.numbers.place(index), "slug", why)

    def write(self, at: str, principal: str) -> None:
        """Write what compare found."""
        more = {"account": self.account, "at": at, "user_id": principal}
        for query, rows in self.puts.items():
            self.tx.many(query, [row | more for row in rows])
        self._write_numbers(at)

    def _write_numbers(self, at: str) -> None:
        last = self.tx.one("number_last_id", account=self.account)
        highest = (last["id"] if last else None) or 0
        # New numbers get ids in the order of the file, and are written in the order of the key.
        ids = array("L", accumulate((s == _NEW for s in self.status), initial=highest))[1:]
        parked = [i for i, status in enumerate(self.status) if status == _RENAMED]
        # Slugs may change hands within one file: first each lets go of its old one.
        free = [row | {"slug": f"~{row['id']}"} for row in self._rows(parked, ids, at)]
        self.tx.many("number_put", free)
        order = [i for i in self.declared.order if self.status[i] != _UNCHANGED]
        for start in range(0, len(order), CHUNK):
            self.tell("writing numbers", start, len(order))
            part = order[start : start + CHUNK]
            self.tx.many("number_put", list(self._rows(part, ids, at)))

    def _rows(self, indexes: list[int], ids: array[int], at: str) -> Iterator[dict[str, Any]]:
        for index in indexes:
            row = self.declared.numbers.rows[index]
            stored = self._stored(row["number"])
            values = _merged(row, _kept(row["number"], stored))
            values["tags"] = json.dumps(values["tags"])
            key = {"account": self.account, "number": row["number"], "at": at}
            yield key | values | {"id": stored["id"] if stored else ids[index]}


def _some(row: Any, *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names} if row else {}


def _kept(number: str, stored: Row | None) -> dict[str, Any]:
    """What a number is before the import; of a new one, what it is where nothing is said."""
    if stored is None:
        return {"provider": "", "label": "", "purpose": "", "tags": [], "slug": number[1:]}
    found = {key: stored[key] for key in ("provider", "label", "purpose", "slug")}
    return found | {"tags": json.loads(stored["tags"])}


def _merged(row: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """What a number is after the import."""
    return {name: row.get(name, value) for name, value in before.items()}
