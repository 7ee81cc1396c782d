"""What a token says, whether it may be believed here and now, and whom it stands for.

Checked here and not by the JWT library, because what introspection answers is held to the same
rules, on the same clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cordboard.config.http import OAuthSettings
from cordboard.errors import InvalidArguments
from cordboard.identity import SCOPES, Identity, check_account, check_subject

LEEWAY_SECONDS = 30
"""By how much the clocks of two machines may differ."""
_LONGEST_CLIENT = 200


class Refused(Exception):
    """A token that does not count; the text says why, and nothing of the token itself."""


def identity_of(
    claims: Mapping[str, Any], oauth: OAuthSettings, account: str, now: datetime
) -> Identity:
    """Whom these claims stand for. Raises: Refused for claims that do not count here and now."""
    _check_meant_for_us(claims, oauth)
    _check_times(claims, now.timestamp())
    subject = _text(claims, "sub")
    try:
        check_subject(subject)
    except InvalidArguments:
        raise Refused("its subject names nobody") from None
    scopes = frozenset(SCOPES).intersection(_scopes(claims))
    return Identity(
        _account(claims, oauth.account_claim, account), subject, scopes, _client(claims)
    )


def _check_meant_for_us(claims: Mapping[str, Any], oauth: OAuthSettings) -> None:
    if claims.get("iss") != oauth.issuer:
        raise Refused("another issuer")
    audience = claims.get("aud")
    if audience != oauth.audience and not (
        isinstance(audience, list) and oauth.audience in audience
    ):
        raise Refused("another audience")
    # Of use only to who proves that they hold a key (RFC 7800), and nobody is asked for that here.
    if "cnf" in claims:
        raise Refused("it is bound to a key")


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    # Asked so that what compares with nothing (NaN) is refused.
    if "exp" in claims and not _seconds(claims, "exp") > now - LEEWAY_SECONDS:
        raise Refused("expired")
    for name in ("nbf", "iat"):
        if name in claims and not _seconds(claims, name) <= now + LEEWAY_SECONDS:
            raise Refused("not valid yet")


def _seconds(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(f"its {name} is no time")
    return value


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str):
        raise Refused(f"its {name} is missing")
    return value


def _scopes(claims: Mapping[str, Any]) -> list[str]:
    """`scope` is a text (RFC 8693, 4.2); some servers have a list, or call it `scp`."""
    said = claims.get("scope", claims.get("scp"))
    if isinstance(said, str):
        return said.split()
    return [scope for scope in said if isinstance(scope, str)] if isinstance(said, list) else []


def _account(claims: Mapping[str, Any], claim: str, otherwise: str) -> str:
    if not claim:
        return otherwise
    account = _text(claims, claim)
    try:
        check_account(account)
    except InvalidArguments:
        raise Refused(f"its {claim} names no account") from None
    return account


def _client(claims: Mapping[str, Any]) -> str:
    """The program that has the token, for the record."""
    for name in ("client_id", "azp"):
        value = claims.get(name)
        if isinstance(value, str) and value.isprintable() and len(value) <= _LONGEST_CLIENT:
            return value
    return ""
