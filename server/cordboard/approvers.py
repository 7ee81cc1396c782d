"""Enrolled approvers: people with a passphrase of their own, asked at every approval.

Every try is counted and journaled before it is known to be wrong. Names that nobody has share one
count: guessing names is as slow as guessing passphrases, and keeps out nobody who is enrolled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cordboard import journal, passphrases
from cordboard.clock import Clock, stamp
from cordboard.errors import InvalidArguments, NotAllowed
from cordboard.identity import check_subject
from cordboard.journal import Event
from cordboard.stores import Row, Store, Transaction

_SEAL = object()
SHORTEST_PASSPHRASE = 8
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)
_MOST_SUBJECTS = 20
_UNKNOWN = "(unknown name)"
"""Stands in the journal for a name nobody has: what was typed there may be somebody's passphrase."""
_FORGOTTEN_SECONDS = 3600
"""Then the count of unknown names begins anew: nobody has a passphrase that would end it."""


@dataclass(frozen=True, slots=True)
class Approver:
    """Who may approve. `principal` is the operating-system user at whose terminal they enrolled;
    `subjects`: what they sign in as elsewhere, by OAuth or with a static token."""

    name: str
    principal: str
    added_at: str
    added_by: str
    subjects: tuple[str, ...] = ()

    @property
    def people(self) -> frozenset[str]:
        """Every name this person goes by, case folded: what asked for a change must be none of them
        where policy wants a second pair of eyes."""
        return frozenset(n.casefold() for n in (self.name, self.principal, *self.subjects))


class VerifiedApprover:
    """An approver of one account who gave their passphrase just now. Only `Approvers` makes one."""

    __slots__ = ("account", "name", "people")

    def __init__(self, approver: Approver, account: str = "", *, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("only a verified passphrase makes a VerifiedApprover")
        self.account, self.name, self.people = account, approver.name, approver.people


@dataclass(frozen=True, slots=True)
class _Try:
    """A passphrase that is about to be checked: the approver it lets in, the hash it is compared
    with, and how many seconds to wait if it lets nobody in."""

    approver: Approver | None
    kept: str
    wait: int


def check_name(name: str) -> None:
    """Raises: InvalidArguments for what cannot be an approver's name."""
    if not _NAME.fullmatch(name):
        raise InvalidArguments(
            "An approver's name is 1 to 64 letters, digits, dots, hyphens, underscores or @."
        )


def check_subjects(subjects: Sequence[str]) -> tuple[str, ...]:
    """These subjects, each once. Raises: InvalidArguments."""
    for subject in subjects:
        check_subject(subject)
    if len(subjects) > _MOST_SUBJECTS:
        raise InvalidArguments(f"An approver signs in as at most {_MOST_SUBJECTS} subjects.")
    return tuple(dict.fromkeys(subjects))


def people_of(tx: Transaction, account: str, name: str) -> frozenset[str]:
    """Every name an enrolled approver goes by, case folded; none where nobody has that name."""
    row = tx.one("approver_get", account=account, name=name)
    return frozenset() if row is None else _approver(row).people


class Approvers:
    """The approvers of one account."""

    def __init__(self, store: Store, account: str, clock: Clock) -> None:
        self._store, self._account, self._clock = store, account, clock

    async def everyone(self) -> list[Approver]:
        """All approvers by name."""

        def work(tx: Transaction) -> list[Approver]:
            return [_approver(row) for row in tx.all("approvers", account=self._account)]

        return await self._store.read(work)

    async def enrol(
        self,
        name: str,
        passphrase: str,
        principal: str,
        by: VerifiedApprover | None,
        subjects: Sequence[str] = (),
    ) -> VerifiedApprover:
        """Enrol an approver. The first enrols alone; every other needs `by`, one already enrolled.

        Raises: InvalidArguments for a bad name or subject or a short passphrase; NotAllowed.
        """
        check_name(name)
        known_as = check_subjects(subjects)
        if len(passphrase) < SHORTEST_PASSPHRASE:
            raise InvalidArguments(f"A passphrase has at least {SHORTEST_PASSPHRASE} characters.")
        hashed = await passphrases.hashed(passphrase)

        def work(tx: Transaction) -> VerifiedApprover:
            now = stamp(self._clock())
            if by is None and tx.all("approvers", account=self._account):
                raise NotAllowed(
                    "Somebody is enrolled already; a further approver needs their passphrase."
                )
            if tx.one("approver_get", account=self._account, name=name) is not None:
                raise InvalidArguments(f"An approver named {name} is enrolled already.")
            new = Approver(name, principal, now, by.name if by else principal, known_as)
            self._add(tx, new, hashed)
            return VerifiedApprover(new, self._account, seal=_SEAL)

        return await self._store.write(work)

    def _add(self, tx: Transaction, new: Approver, hashed: str) -> None:
        tx.run(
            "approver_add",
            account=self._account,
            name=new.name,
            principal=new.principal,
            passphrase=hashed,
            at=new.added_at,
            by=new.added_by,
            subjects=json.dumps(new.subjects),
        )
        data = {"name": new.name} | ({"subjects": list(new.subjects)} if new.subjects else {})
        added = Event("approver_added", new.added_by, data=data)
        journal.append(tx, self._account, new.added_at, added)

    async def remove(self, name: str, by: VerifiedApprover) -> None:
        """Remove an approver; `by` is one who gave their passphrase just now."""

        def work(tx: Transaction) -> None:
            if not tx.run("approver_remove", account=self._account, name=name):
                raise InvalidArguments(f"No approver is named {name}.")
            now = stamp(self._clock())
            journal.append(
                tx, self._account, now, Event("approver_removed", by.name, data={"name": name})
            )

        await self._store.write(work)

    async def verify(self, name: str, passphrase: str) -> VerifiedApprover:
        """The approver of that name, if the passphrase is theirs.

        Raises: NotAllowed for a wrong name or passphrase (which of the two is not told), or while
        the next try has to wait; `retry_after` says how long.
        """
        # Counted before it is known to be wrong: many at once do not slip past the wait.
        tried = await self._store.write(lambda tx: self._count(tx, name))
        # Compared with somebody's hash where it can let nobody in, and answered alike: neither time
        # nor words tell which names there are.
        right = await passphrases.matches(tried.kept, passphrase)
        if tried.approver is None or not right:
            if tried.wait:
                what = "Too many wrong names or passphrases in a row."
                remedy = f"Wait {tried.wait} seconds, then try again."
                raise NotAllowed(what, remedy, retry_after=tried.wait)
            raise NotAllowed("Unknown name or wrong passphrase.", "Try again.")

        def work(tx: Transaction) -> None:
            tx.run("approver_failed", account=self._account, name=name, failures=0, at="")

        await self._store.write(work)
        return VerifiedApprover(tried.approver, self._account, seal=_SEAL)

    def _count(self, tx: Transaction, name: str) -> _Try:
        """Count and journal a try; one that has to wait is none, and lets nobody in."""
        now = self._clock()
        guesses, others_wait = self._unknown_names(tx, now)
        row = None
        if _NAME.fullmatch(name):  # anything else is nobody's, and may not even be text
            row = tx.one("approver_get", account=self._account, name=name)
        if row is None:
            # Nothing is written for an account that nobody ever used: strangers may name any.
            if not others_wait and journal.head(tx, self._account).seq:
                self._tried(tx, now, _UNKNOWN, guesses + 1)
                at = stamp(now)
                tx.run("name_guess_put", account=self._account, failures=guesses + 1, at=at)
            somebody = next(iter(tx.all("approvers", account=self._account)), None)
            return _Try(None, somebody["passphrase"] if somebody else "", others_wait)
        failures = row["failures"]
        own_wait = passphrases.seconds_to_wait(failures, row["failed_at"], now)
        if own_wait:
            return _Try(None, row["passphrase"], own_wait)
        self._tried(tx, now, name, failures + 1)
        at = stamp(now)
        tx.run("approver_failed", account=self._account, name=name, failures=failures + 1, at=at)
        return _Try(_approver(row), row["passphrase"], others_wait)

    def _unknown_names(self, tx: Transaction, now: datetime) -> tuple[int, int]:
        """How many unknown names came in a row, and how long the next one has to wait."""
        row = tx.one("name_guess_get", account=self._account)
        if row is None or passphrases.seconds_since(row["failed_at"], now) > _FORGOTTEN_SECONDS:
            return 0, 0
        failures = row["failures"]
        return failures, passphrases.seconds_to_wait(failures, row["failed_at"], now)

    def _tried(self, tx: Transaction, now: datetime, name: str, in_a_row: int) -> None:
        tried = Event("passphrase_tried", name, data={"in_a_row": in_a_row})
        journal.append(tx, self._account, stamp(now), tried)


def _approver(row: Row) -> Approver:
    subjects = tuple(json.loads(row["subjects"]))
    return Approver(row["name"], row["principal"], row["added_at"], row["added_by"], subjects)
