"""Plans that were read lately, by the hash of their text: 100,000 changes take a second to read, and
one is read three times before it is applied.

A plan never changes, and another text has another hash; so what is kept can never be out of date.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace

from cordboard.plan import Plan, parse

_ITSELF = 50
"""What a plan takes besides its changes, in changes."""
_MOST_KEPT = 200_000 + 2 * _ITSELF
"""So many changes of all plans together are kept: 40 to 60 MB."""


class Parsed:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self._plans: OrderedDict[str, Plan] = OrderedDict()
        self._size = 0
        self._turn = threading.Lock()

    def plan(self, body: str, hashed: str) -> Plan:
        """The plan of this text, of which `hashed` is the hash."""
        with self._turn:
            known = self._plans.get(hashed)
            if known is not None:
                self._plans.move_to_end(hashed)
                return known
        found = parse(body)
        self.keep(hashed, found)
        return found

    def keep(self, hashed: str, plan: Plan) -> None:
        """Remember a plan; those not asked for longest make room."""
        size = _size(plan)
        if size > _MOST_KEPT:
            return
        # What an undo restores is not in the text: it stands in the changes.
        known = replace(plan, asked=replace(plan.asked, restore=()))
        with self._turn:
            if hashed not in self._plans:
                self._plans[hashed] = known
                self._size += size
            while self._size > _MOST_KEPT:
                self._size -= _size(self._plans.popitem(last=False)[1])


def _size(plan: Plan) -> int:
    return len(plan.draft.changes) + len(plan.draft.unchanged) + _ITSELF


PARSED = Parsed()
