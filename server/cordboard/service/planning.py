"""Planning: from what was asked to a stored plan, the same way for changes and for undo."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from cordboard import binding_rules
from cordboard.binding import NO_PATHWAY
from cordboard.clock import Clock, later, stamp
from cordboard.engine import frozen, spent
from cordboard.errors import AgentNotFound, Frozen, InvalidArguments, NotSupported, ReadOnly
from cordboard.guard import Answer, Asker, Guard, NobodyToAsk
from cordboard.identity import Identity
from cordboard.plan import Draft, Plan
from cordboard.platforms import Platform, TransactionalPlatform
from cordboard.policy import Required
from cordboard.request import Asked, Look, Observed
from cordboard.stores import Store, Transaction, operations, plans
from cordboard.stores.plans import PlanRecord

_ANY_LEVEL = Required("plan", "")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and how a person can be asked through their client.

    `answer`: a verdict that came with this call, to a question this server asked before. `least`:
    the level that is wanted at least, whatever the policy says, and why.
    """

    identity: Identity
    asker: Asker = field(default_factory=NobodyToAsk)
    answer: Answer | None = None
    least: Required = _ANY_LEVEL

    @property
    def account(self) -> str:
        return self.identity.account

    @property
    def principal(self) -> str:
        return self.identity.principal


@dataclass(frozen=True)
class Times:
    """How long a plan stands, in seconds: at level plan or client, and where a person approves."""

    plan: float = 30 * 60
    person: float = 24 * 3600


class Planner:
    """Makes plans: is it possible at all, what is there now, and which level does it need."""

    def __init__(
        self,
        store: Store,
        platforms: Mapping[str, Platform],
        guard: Guard,
        clock: Clock,
        times: Times,
        read_only: bool,
    ) -> None:
        self._store, self._platforms, self._guard = store, platforms, guard
        self._transactional = {
            name: platform
            for name, platform in platforms.items()
            if isinstance(platform, TransactionalPlatform)
        }
        self._clock, self._times, self._read_only = clock, times, read_only

    def writable(self) -> None:
        """Raises: ReadOnly where this process was started read-only."""
        if self._read_only:
            raise ReadOnly("This Cordboard is read-only.")

    def ready(self, asked: Asked) -> None:
        """Raises: ReadOnly, AgentNotFound, NotSupported where this cannot be changed at all."""
        self.writable()
        why = self._platform(asked.agent).unsupported(asked.action, asked.agents)
        if why:
            raise NotSupported(why)

    def named(self, seen: Observed, draft: Draft) -> Draft:
        """With the agents' names where ids say nothing to a person: at a vendor."""
        asked = {side.agent for c in draft.changes for side in (c.before, c.after)}
        agents = [seen.agents[agent] for agent in sorted(asked) if agent in seen.agents]
        names = tuple((a.agent, a.name) for a in agents if a.name and a.platform != "local")
        return replace(draft, names=names)

    def supported(self, asked: Asked, draft: Draft) -> None:
        """Raises: NotSupported where a change brings a pathway to an agent that can have none;
        InvalidArguments where the platform wants the carrier and nobody named it."""
        if self._platform(asked.agent).abilities.wants_carrier and not asked.provider:
            unknown = [c.number for c in draft.changes if not c.image.provider]
            if unknown:
                raise InvalidArguments(
                    f"provider: this platform wants the carrier of {', '.join(unknown[:5])}.",
                    "Name it as provider; ask the user, do not guess.",
                )
        for change in draft.changes:
            side = change.after
            if side.pathway not in (NO_PATHWAY, change.before.pathway) or (
                side.pathway != NO_PATHWAY and side.agent != change.before.agent
            ):
                why = self._platform(side.agent).unsupported("set_pathway", (side.agent,))
                if why:
                    raise NotSupported(f"{change.number} would keep a pathway of its own. {why}")

    async def not_frozen(self, account: str) -> None:
        """Raises: Frozen."""
        await self._store.glance(lambda tx: frozen(tx, account))

    def _platform(self, agent: str) -> Platform:
        name = agent.partition(":")[0]
        platform = self._platforms.get(name)
        if platform is None:
            known = ", ".join(self._platforms)
            raise AgentNotFound(
                f"{agent}: the platform {name} is not configured here (there is {known}).",
                "list_agents shows the agents there are; a server that has the key can change this one.",
            )
        return platform

    async def drawn_up(self, account: str, asked: Asked) -> Draft:
        """The exact changes for a request; what was observed is let go of before they are stored.

        Raises: as `binding_rules.draw_up` and `supported` do.
        """
        seen = await self.observed(account, asked)
        draft = self.named(seen, binding_rules.draw_up(asked, seen))
        self.supported(asked, draft)
        return draft

    async def observed(self, account: str, asked: Asked) -> Observed:
        """What there is now, and which of the numbers an unfinished plan holds. Raises: Frozen."""
        platform, look = self._platform(asked.agent), Look.at(asked)
        if platform.name in self._transactional:  # done at once: it never holds anything
            read = self._store.glance if look.is_small else self._store.read
            return await read(
                partial(self._seen, account=account, platform=platform.name, look=look)
            )
        await self.not_frozen(account)
        seen = await platform.observe(account, look)
        held = await self._store.glance(
            lambda tx: operations.holders(tx, account, platform.name, seen.numbers)
        )
        can = platform.abilities
        return replace(seen, held=held, one_way=not can.detach, tells_carrier=can.tells_carrier)

    def _seen(self, tx: Transaction, account: str, platform: str, look: Look) -> Observed:
        tx.prefetch(("account_get", {"account": account}))
        seen = self._transactional[platform].observe_in(tx, account, look)
        frozen(tx, account)
        return seen

    async def plan(self, caller: Caller, asked: Asked, draft: Draft, reason: str) -> PlanRecord:
        """Store the plan, with the level it needs; or find the same one, still open.

        Raises: Frozen where policy freezes this change.
        """

        def work(tx: Transaction) -> PlanRecord:
            now = self._clock()
            hour = spent(tx, caller.account, caller.principal, later(now, -3600))
            platform = asked.agent.partition(":")[0]
            can_ask, least = caller.asker.can_ask, caller.least
            need = self._guard.level(asked.action, platform, draft, hour, can_ask, least)
            if need.level == "frozen":
                raise Frozen(f"Policy freezes this change ({need.why}).", "Ask the operator.")
            seconds = self._times.person if need.level == "person" else self._times.plan
            plan = Plan(
                plan_id=f"plan_{secrets.token_hex(12)}",
                account=caller.account,
                principal=caller.principal,
                asked=asked,
                draft=draft,
                level=need.level,
                why=need.why,
                policy_hash=self._guard.policy.digest,
                four_eyes=self._guard.policy.four_eyes,
                created_at=stamp(now),
                expires_at=later(now, seconds),
            )
            return plans.save(tx, plan, reason)

        return await self._store.write(work)
