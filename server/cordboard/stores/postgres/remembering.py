"""What was looked up is told again, never older than a bound: the counter of an account's changes is
asked for when the bound has passed, which works behind a pooler and on sharded engines too.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

_MOST = 50_000


State = tuple[int, str]
"""How far an account's changes have come: seq and hash of its newest journal row. Both, because
after a failover that lost changes a number comes again."""
_NO_STATE: State = (-1, "")
_NOTHING: tuple[str, State, Any] = ("", _NO_STATE, None)


@dataclass(slots=True)
class _Account:
    """Its state, as first answered at `since` and last asked at `asked_at`."""

    state: State
    since: float
    asked_at: float


class Memory:
    """What one process remembers. `bound`: seconds; 0 remembers nothing. Times are monotonic."""

    def __init__(self, bound: float, now: Callable[[], float] = time.monotonic) -> None:
        self.bound, self._now = bound, now
        self._accounts: dict[str, _Account] = {}
        self._found: OrderedDict[Hashable, tuple[str, State, Any]] = OrderedDict()

    def get(self, key: Hashable) -> Any:
        """What was found under a key, where that may be told without asking; else None."""
        account, state, value = self._found.get(key, _NOTHING)
        known = self._accounts.get(account)
        fresh = (
            known is not None and known.state == state and self._now() - known.asked_at < self.bound
        )
        return value if fresh else None

    def account_of(self, key: Hashable) -> str:
        """Whose state would tell whether this still counts; "" where nothing is remembered."""
        account, state, _ = self._found.get(key, _NOTHING)
        known = self._accounts.get(account)
        return account if known is not None and known.state == state else ""

    def is_due(self, account: str) -> bool:
        """Whether the state must be asked for again."""
        known = self._accounts.get(account)
        return known is None or self._now() - known.asked_at >= self.bound

    def asked(self, account: str, state: State, asked_at: float) -> None:
        """The state, as answered just now to a question begun at `asked_at`; one at a time."""
        known = self._accounts.get(account)
        if known is not None and known.state == state:
            known.asked_at = asked_at
        else:
            self._accounts[account] = _Account(state, self._now(), asked_at)

    def keep(self, key: Hashable, account: str, begun: float, value: Any) -> bool:
        """Remember what was read by a question begun then; whether the state is known at all.

        Only a state that was answered before the reading began says, if it stays the same, that
        nothing was changed since. At one and the same time nobody knows which was before.
        """
        known = self._accounts.get(account)
        if known is None:
            return False
        if known.since < begun:
            self.keep_dated(key, account, known.state, value)
        return True

    def keep_dated(self, key: Hashable, account: str, state: State, value: Any) -> None:
        """Remember what was read of this very state; None is not kept."""
        if value is None:
            return
        if key not in self._found and len(self._found) >= _MOST:
            self._found.popitem(last=False)
        self._found[key] = (account, state, value)

    def state(self, account: str) -> State:
        """The state last answered."""
        known = self._accounts.get(account)
        return _NO_STATE if known is None else known.state

    def clear(self) -> None:
        """Forget everything."""
        self._found.clear()
        self._accounts.clear()
