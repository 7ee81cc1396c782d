"""Tickets: what the button of our MCP App shows to prove that it is ours.

A ticket is made for one plan as it stands: its account, id, text, requester and expiry. It goes to
the App alone, in the `_meta` of a result, which an honest host keeps from the model. Nothing is
stored: settling the plan, which happens once, uses up every ticket of it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from cordboard.canonical import canonical
from cordboard.plan import Plan

_NONCE_BYTES = 16
_LABEL = b"cordboard tickets\0"


class Tickets:
    """Makes and checks tickets under the keys beside the store: the first makes, all check."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = [hashlib.sha256(_LABEL + key).digest() for key in keys]

    def issue(self, plan: Plan, plan_hash: str) -> str:
        """A new ticket for this plan, 64 characters of base64url."""
        return _spelled(self._keys[0], secrets.token_bytes(_NONCE_BYTES), plan, plan_hash)

    def fits(self, ticket: str, plan: Plan, plan_hash: str) -> bool:
        """Whether we made this ticket, and for this very plan."""
        try:
            nonce = base64.urlsafe_b64decode(ticket.encode("ascii"))[:_NONCE_BYTES]
        except ValueError:
            return False
        # The whole text is compared, not the tag: base64 has several spellings for the same bytes.
        spelled = [_spelled(key, nonce, plan, plan_hash) for key in self._keys]
        return any(hmac.compare_digest(ours, ticket) for ours in spelled)


def _spelled(key: bytes, nonce: bytes, plan: Plan, plan_hash: str) -> str:
    bound = canonical(
        {
            "account": plan.account,
            "plan_id": plan.plan_id,
            "plan_hash": plan_hash,
            "principal": plan.principal,
            "expires_at": plan.expires_at,
            "nonce": nonce.hex(),
        }
    )
    tag = hmac.new(key, bound.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(nonce + tag).decode("ascii")
