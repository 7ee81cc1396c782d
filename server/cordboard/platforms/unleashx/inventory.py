"""The numbers that the operator declared for UnleashX, which publishes no list of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from cordboard import number as numbers
from cordboard.binding import PROVIDERS, OwnedNumber
from cordboard.platforms import NumberFilter, Page

Item = TypeVar("Item")


class Inventory:
    """Declared numbers. With none declared, every number counts as the account's, unchecked."""

    def __init__(self, declared: Iterable[OwnedNumber]) -> None:
        """Bindings are taken off: who holds a number now is not for an operator to declare."""
        self._numbers: Mapping[str, OwnedNumber] = {
            owned.number: replace(owned, platform="unleashx", bindings=(), versions={})
            for owned in sorted(declared, key=lambda owned: owned.number)
        }
        self._slugs = {owned.slug: number for number, owned in self._numbers.items() if owned.slug}

    def __bool__(self) -> bool:
        return bool(self._numbers)

    @property
    def providers(self) -> frozenset[str]:
        """The declared carriers; where none is declared, all that UnleashX documents."""
        declared = frozenset(owned.provider for owned in self._numbers.values()) - {""}
        return declared or frozenset(PROVIDERS)

    def declared(self, number: str) -> OwnedNumber | None:
        """A number as it was declared, or None."""
        return self._numbers.get(number)

    def owned(self, number: str) -> OwnedNumber | None:
        """The declared number; None where others are declared; with none declared, as named."""
        return self._numbers.get(number) if self._numbers else OwnedNumber(number, "unleashx")

    def by_slug(self, slugs: Iterable[str]) -> dict[str, str]:
        """slug -> number, for those slugs that were declared."""
        return {slug: self._slugs[slug] for slug in slugs if slug in self._slugs}

    def nearest(self, number: str) -> list[str]:
        """Declared numbers one edit away."""
        return numbers.nearest(number, self._numbers)

    def page(self, only: NumberFilter, after: str, limit: int) -> Page[OwnedNumber]:
        """Declared numbers by provider and query, in their order; `after`: the last one's digits."""
        low = only.query.casefold()
        named = [
            owned
            for owned in self._numbers.values()
            if (low in owned.number or low in owned.label.casefold())
            and only.provider in ("", owned.provider)
        ]
        return page_of(named, lambda owned: owned.number.removeprefix("+"), after, limit)


def page_of(
    items: Sequence[Item], key: Callable[[Item], str], after: str, limit: int
) -> Page[Item]:
    """At most `limit` of the items after the key `after`; they are in the order of their keys."""
    rest = [item for item in items if key(item) > after]
    return Page(tuple(rest[:limit]), key(rest[limit - 1]) if len(rest) > limit else "")
