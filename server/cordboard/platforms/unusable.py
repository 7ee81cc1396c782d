"""A platform that has a key and lacks something else: named everywhere, and usable nowhere.

Its tools then say what is missing, where a server that does not start would say nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from cordboard.binding import Agent, OwnedNumber, PathwayInfo
from cordboard.errors import PlatformAuth
from cordboard.platforms import Abilities, AgentEntry, Health, NumberFilter, Page
from cordboard.request import Action, Look, Observed


class UnusablePlatform:
    """Raises PlatformAuth for whatever is asked, with what is missing and how to set it."""

    abilities = Abilities()

    def __init__(self, name: str, what: str, remedy: str) -> None:
        self.name = name
        self._what, self._remedy = f"{name}: {what}", remedy

    def _refuse(self) -> NoReturn:
        raise PlatformAuth(self._what, f"For the operator: {self._remedy}")

    def unsupported(self, action: Action, agents: Sequence[str]) -> str:
        """Raises: PlatformAuth."""
        self._refuse()

    async def agents(self, account: str, query: str, after: str, limit: int) -> Page[AgentEntry]:
        self._refuse()

    async def numbers(
        self, account: str, only: NumberFilter, after: str, limit: int
    ) -> Page[OwnedNumber]:
        self._refuse()

    async def pathways(self, account: str, query: str, after: str, limit: int) -> Page[PathwayInfo]:
        self._refuse()

    async def pathway(self, account: str, pathway_id: str) -> PathwayInfo | None:
        self._refuse()

    async def agent(self, account: str, agent: str) -> Agent | None:
        self._refuse()

    async def count(self, account: str, agent: str) -> int:
        self._refuse()

    async def number(self, account: str, number: str) -> OwnedNumber | None:
        self._refuse()

    async def nearest(self, account: str, number: str) -> list[str]:
        self._refuse()

    async def observe(self, account: str, look: Look) -> Observed:
        self._refuse()

    async def check(self) -> Health:
        """What is missing."""
        return Health(ok=False, said=self._what, remedy=self._remedy, may_write="no")
