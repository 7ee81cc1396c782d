"""What was looked up is told again, never older than a bound: the counter of an account's changes is
asked for when the bound has passed, which works behind a pooler and on sharded engines too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from cordboard.clock import steady

State = tuple[int, str]
"""How far an account's changes have come: seq and hash of its newest journal row. Both, because
after a failover that lost changes a number comes again."""
NO_STATE: State = (0, "")
"""Of an account that nothing was ever changed in."""
_NOTHING: tuple[str, State, Any] = ("", NO_STATE, None)
_MOST = 50_000


@dataclass(slots=True)
class _Account:
    """The newest state, as answered to a question that was begun then: the latest such question."""

    state: State
    asked_at: float


class Memory:
    """What one process remembers. `bound`: seconds; 0 remembers nothing. `most`: accounts, and
    things found. Times are those of `clock.steady`."""

    def __init__(self, bound: float, now: Callable[[], float] = steady, most: int = _MOST) -> None:
        self.bound, self._now, self._most = bound, now, most
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._found: OrderedDict[Hashable, tuple[str, State, Any]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._accounts) + len(self._found)

    def get(self, key: Hashable) -> Any:
        """What was found under a key, where that may be told without asking; else None."""
        account, state, value = self._found.get(key, _NOTHING)
        return value if self.newest(account) == state else None

    def get_of(self, key: Hashable, state: State) -> Any:
        """What was found under a key if it was of this very state; else None."""
        _, kept, value = self._found.get(key, _NOTHING)
        return value if kept == state else None

    def account_of(self, key: Hashable) -> str:
        """Whose state would tell whether this still counts; "" where nothing is remembered."""
        account, state, _ = self._found.get(key, _NOTHING)
        known = self._accounts.get(account)
        return account if known is not None and known.state == state else ""

    def newest(self, account: str) -> State | None:
        """The state, if the primary had it as the newest within the bound."""
        known = self._accounts.get(account)
        if known is None or self._now() - known.asked_at >= self.bound:
            return None
        return known.state

    def asked(self, account: str, state: State, begun: float) -> None:
        """The newest state, as the primary answered just now to a question begun then.

        Answers may come late and cross. Each is true of some moment since its question began; of two
        the one asked later counts, but what may be told already is not taken back for an earlier one.
        """
        known = self._accounts.get(account)
        if known is None:
            _make_room(self._accounts, self._most)
            self._accounts[account] = _Account(state, begun)
        elif known.state == state:
            known.asked_at = max(known.asked_at, begun)
        elif begun >= known.asked_at and not (
            state[0] < known.state[0] and self.newest(account) is not None
        ):
            known.state, known.asked_at = state, begun

    def keep(self, key: Hashable, account: str, state: State, value: Any) -> None:
        """Remember what was read of this very state."""
        if key not in self._found:
            _make_room(self._found, self._most)
        self._found[key] = (account, state, value)

    def clear(self) -> None:
        """Forget everything."""
        self._found.clear()
        self._accounts.clear()


def _make_room(kept: OrderedDict[Any, Any], most: int) -> None:
    while len(kept) >= most:
        kept.popitem(last=False)
