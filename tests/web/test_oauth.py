"""Tokens of an authorization server: which count, for whom, and what happens while it is away.

The server is a real one (auth_server.py); what it would never issue is signed with its keys, or
with others.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
import logging
import secrets
import traceback
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import anyio
import httpx
import pytest
from joserfc.jwk import OctKey, RSAKey
from tests.web.auth_server import (
    AUDIENCE,
    ISSUER,
    PROGRAM,
    RESOURCE,
    RESOURCE_SECRET,
    AuthServer,
    Line,
    SignIn,
    made,
    served,
    signing_in,
)
from tests.web.site import on_the_web
from tests.world import Clock, Worlds

from cordboard.config.http import OAuthSettings
from cordboard.errors import ConfigError, PlatformUnreachable
from cordboard.identity import SCOPES, Identity
from cordboard.web.oauth import OAuthVerifier

pytestmark = pytest.mark.anyio

HERE = "http://127.0.0.1:9"
BOTH = "numbers:read numbers:write"
READS_AND_WRITES = frozenset({"numbers:read", "numbers:write"})
_UNSET = object()


async def at_once(seconds: float) -> None:
    """Waits between two tries are not waited for."""
    del seconds


@dataclass
class Scene:
    """An authorization server, the way to it, and a verifier that trusts it."""

    house: AuthServer
    line: Line
    clock: Clock
    verifier: OAuthVerifier
    client: SignIn

    def claims(self, **other: Any) -> dict[str, Any]:
        """What a good token says, but for these; one given as _UNSET is left out."""
        now = int(self.clock().timestamp())
        good: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "alice@example.com",
            "client_id": PROGRAM,
            "scope": BOTH,
            "iat": now,
            "exp": now + 3600,
        }
        return {name: value for name, value in (good | other).items() if value is not _UNSET}

    async def known(self, **other: Any) -> Identity | None:
        """Whom a token with these claims stands for, signed as the server signs."""
        return await self.verifier.verify(self.house.signed(self.claims(**other)))

    def reads(self) -> int:
        """How often the published keys were read."""
        return len(self.line.seen)


_first_key = functools.cache(made)  # making one takes longer than most tests


@asynccontextmanager
async def scene(
    algorithm: str = "RS256", *, opaque: bool = False, **settings: str
) -> AsyncIterator[Scene]:
    house = AuthServer(_first_key(algorithm), opaque=opaque)
    line, clock = Line(house), Clock()
    clock.now = datetime.now(UTC)  # the server's own time
    where = (
        {"introspection_url": f"{HERE}/introspection", "client_id": RESOURCE}
        | {"client_secret": RESOURCE_SECRET}
        if opaque
        else {"jwks_url": f"{HERE}/jwks"}
    )
    told: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE} | where | settings
    oauth = OAuthSettings(**told)
    verifier = OAuthVerifier(oauth, "default", clock, transport=line, sleep=at_once)
    async with signing_in(house) as client:
        yield Scene(house, line, clock, verifier, client)
    await verifier.close()


def by_hand(header: Mapping[str, Any], claims: Mapping[str, Any], secret: bytes = b"") -> str:
    """A JWT that no library would make: unsigned, or with an HMAC."""

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    signed = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims).encode())}"
    tag = hmac.new(secret, signed.encode(), hashlib.sha256).digest() if secret else b""
    return f"{signed}.{part(tag)}"


# --- tokens that are JWTs ---------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
async def test_a_program_s_token_stands_for_the_program(algorithm: str) -> None:
    async with scene(algorithm) as s:
        token = await s.client.as_program(BOTH)
        assert await s.verifier.verify(token) == Identity(
            "default", PROGRAM, READS_AND_WRITES, PROGRAM
        )


async def test_a_person_s_token_stands_for_the_person_whatever_program_has_it() -> None:
    async with scene() as s:
        token = await s.client.as_person("alice", "changes:approve openid email")
        assert await s.verifier.verify(token) == Identity(
            "default", "alice", frozenset({"changes:approve"}), PROGRAM
        )


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # of the library that signs
@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
async def test_every_algorithm_on_the_list_counts(algorithm: str) -> None:
    async with scene(algorithm) as s:
        found = await s.known()
        assert found is not None and found.principal == "alice@example.com"


@pytest.mark.parametrize("typ", ["at+jwt", "application/at+jwt", "JWT", "AT+JWT"])
async def test_an_access_token_s_type_counts(typ: str) -> None:
    async with scene() as s:
        assert await s.verifier.verify(s.house.signed(s.claims(), typ=typ)) is not None


async def test_one_of_several_audiences_is_enough() -> None:
    async with scene() as s:
        assert await s.known(aud=["https://elsewhere.example", AUDIENCE]) is not None


@pytest.mark.parametrize(
    ("said", "scopes"),
    [
        ({"scope": "numbers:read  admin nonsense numbers:READ"}, {"numbers:read", "admin"}),
        ({"scope": _UNSET, "scp": ["routes:read", 7, "root"]}, {"routes:read"}),
        ({"scope": _UNSET, "scp": "numbers:read admin"}, {"numbers:read", "admin"}),
        ({"scope": ["numbers:read"]}, {"numbers:read"}),
        ({"scope": ""}, set()),
        ({"scope": _UNSET}, set()),
        ({"scope": {"numbers:read": True}}, set()),
        ({"scope": " ".join(SCOPES)}, set(SCOPES)),
    ],
)
async def test_only_known_scopes_are_kept(said: dict[str, Any], scopes: set[str]) -> None:
    async with scene() as s:
        found = await s.known(**said)
        assert found is not None and found.scopes == scopes


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ({}, PROGRAM),
        ({"client_id": _UNSET, "azp": "desk"}, "desk"),
        ({"client_id": _UNSET}, ""),
        ({"client_id": "\x1b[2J"}, ""),
        ({"client_id": 5, "azp": ["x"]}, ""),
        ({"client_id": "x" * 201}, ""),
    ],
)
async def test_the_program_is_kept_for_the_record_where_it_is_named(
    said: dict[str, Any], client: str
) -> None:
    async with scene() as s:
        found = await s.known(**said)
        assert found is not None and found.client == client


REFUSED: Mapping[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://sign-in.example.evil"},
    "an issuer with a slash more": {"iss": f"{ISSUER}/"},
    "no issuer": {"iss": _UNSET},
    "a list of issuers": {"iss": [ISSUER]},
    "another audience": {"aud": "https://numbers.example"},
    "other audiences": {"aud": ["https://elsewhere.example"]},
    "no audience": {"aud": _UNSET},
    "an audience within another": {"aud": [[AUDIENCE]]},
    "an audience as a key": {"aud": {AUDIENCE: 1}},
    "no subject": {"sub": _UNSET},
    "an empty subject": {"sub": ""},
    "a blank subject": {"sub": "  "},
    "a number as subject": {"sub": 1000},
    "a subject that a terminal obeys": {"sub": "alice\x1b[2J"},
    "a subject without end": {"sub": "a" * 201},
    "no end": {"exp": _UNSET},
    "an end in words": {"exp": "tomorrow"},
    "an end as text": {"exp": "99999999999"},
    "true as end": {"exp": True},
    "nothing as end": {"exp": None},
    "true as beginning": {"nbf": True},
    "a beginning in words": {"nbf": "yesterday"},
    "an issue time in words": {"iat": "yesterday"},
    "bound to a key": {"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}},
}


@pytest.mark.parametrize("said", REFUSED.values(), ids=REFUSED.keys())
async def test_a_token_whose_claims_do_not_count_here_is_refused(said: dict[str, Any]) -> None:
    async with scene() as s:
        assert await s.known(**said) is None
        assert await s.known() is not None


async def test_a_token_expires_a_little_after_its_end_for_clocks_differ() -> None:
    async with scene() as s:
        now = int(s.clock().timestamp())
        assert await s.known(exp=now - 25) is not None
        assert await s.known(exp=now - 31) is None
        token = await s.client.as_program(BOTH)
        assert await s.verifier.verify(token) is not None
        s.clock.advance(10 * 86400 + 31)
        assert await s.verifier.verify(token) is None


@pytest.mark.parametrize("claim", ["nbf", "iat"])
async def test_a_token_of_the_future_is_refused(claim: str) -> None:
    async with scene() as s:
        now = int(s.clock().timestamp())
        assert await s.known(**{claim: now + 25}) is not None
        assert await s.known(**{claim: now + 40}) is None
        s.clock.advance(20)
        assert await s.known(**{claim: now + 40}) is not None


async def test_a_token_that_ends_at_no_number_is_refused() -> None:
    async with scene() as s:
        for end in ("NaN", "[NaN]", '"NaN"'):
            said = json.dumps(s.claims()).replace(str(s.claims()["exp"]), end)
            assert await s.verifier.verify(s.house.signed(said.encode())) is None


@pytest.mark.parametrize("said", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b'"x"'])
async def test_claims_that_are_no_object_are_refused(said: bytes) -> None:
    async with scene() as s:
        assert await s.verifier.verify(s.house.signed(said[:6000])) is None


async def test_another_key_under_the_same_name_is_refused() -> None:
    async with scene() as s:
        forged = s.house.signed(s.claims(), made("RS256"), kid=s.house.key.kid)
        assert await s.verifier.verify(forged) is None


async def test_an_unsigned_token_is_refused() -> None:
    async with scene() as s:
        for algorithm in ("none", "None", "NONE", ""):
            header = {"alg": algorithm, "typ": "at+jwt", "kid": s.house.key.kid}
            assert await s.verifier.verify(by_hand(header, s.claims())) is None
        assert s.reads() == 0


async def test_a_public_key_is_no_shared_secret() -> None:
    async with scene() as s:
        key = s.house.key
        header = {"alg": "HS256", "typ": "at+jwt", "kid": key.kid}
        spellings = [key.as_pem(private=False), key.as_der(private=False)]
        spellings.append(json.dumps(key.as_dict(private=False)).encode())
        for secret in spellings:
            assert await s.verifier.verify(by_hand(header, s.claims(), secret)) is None


async def test_a_published_shared_secret_verifies_nothing() -> None:
    async with scene() as s:
        secret = secrets.token_bytes(32)
        shared = OctKey.import_key(secret, {"kid": "shared", "alg": "HS256"}).as_dict()
        published = {"keys": [shared, s.house.key.as_dict(private=False)]}
        s.line.instead = httpx.Response(200, json=published)
        header = {"alg": "HS256", "typ": "at+jwt", "kid": "shared"}
        assert await s.verifier.verify(by_hand(header, s.claims(), secret)) is None
        assert await s.known() is not None


async def test_a_key_is_used_for_its_own_algorithm_only() -> None:
    async with scene("RS256") as s:
        token = s.house.signed(s.claims(), RSAKey.import_key(
            s.house.key.as_dict(private=True) | {"alg": "PS256"}
        ))  # fmt: skip
        assert await s.verifier.verify(token) is None


@pytest.mark.parametrize(
    "published",
    [
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"kty": "oct"},
        {"kty": "RSA", "n": "AQAB"},
        {"n": 5},
        {"kid": "another"},
        {"alg": "RS512"},
    ],
    ids=str,
)
async def test_a_key_that_is_published_for_something_else_verifies_nothing(
    published: dict[str, Any],
) -> None:
    async with scene() as s:
        odd = s.house.key.as_dict(private=False) | published
        s.line.instead = httpx.Response(200, json={"keys": [7, odd, None, []]})
        assert await s.known() is None


async def test_a_key_that_its_issuer_let_everybody_have_verifies_nothing() -> None:
    async with scene() as s:
        s.line.instead = httpx.Response(200, json={"keys": [s.house.key.as_dict(private=True)]})
        assert await s.known() is None


@pytest.mark.filterwarnings("ignore:Key size should be")
async def test_a_weak_key_verifies_nothing() -> None:
    async with scene() as s:
        weak = s.house.key = made("RS256", 1024)
        s.house.published = [weak]
        assert await s.known() is None


@pytest.mark.parametrize(
    "header", [{"typ": None}, {"typ": "id_token+jwt"}, {"typ": "dpop+jwt"}, {"kid": "nobody's"}]
)
async def test_a_token_of_another_kind_is_refused(header: dict[str, Any]) -> None:
    async with scene() as s:
        assert await s.verifier.verify(s.house.signed(s.claims(), **header)) is None


async def test_a_token_that_demands_what_is_not_known_is_refused() -> None:
    async with scene() as s:
        key = s.house.key
        header = {"alg": "RS256", "typ": "at+jwt", "kid": key.kid, "crit": ["x"], "x": 1}
        assert await s.verifier.verify(by_hand(header, s.claims(), b"any")) is None
        assert s.reads() == 0


async def test_a_token_that_names_no_key_counts_where_one_key_alone_can_be_meant() -> None:
    async with scene() as s:
        token = s.house.signed(s.claims(), kid=None)
        assert await s.verifier.verify(token) is not None
        s.house.rotate()
        s.clock.advance(301)
        assert await s.verifier.verify(token) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "a.b.c",
        "..",
        "eyJhbGciOiJSUzI1NiJ9..",
        "🤖.🤖.🤖",
        "a b",
        "a\nb",
        "[1].e30.",
        "e" * 20_000,
        "cb.default.0123456789abcdef01234567." + "x" * 43,
    ],
)
async def test_what_is_no_token_at_all_is_refused_and_nobody_is_asked(text: str) -> None:
    async with scene() as s:
        assert await s.verifier.verify(text) is None
        assert s.reads() == 0


# --- whose numbers ----------------------------------------------------------------------------


async def test_the_account_stands_in_the_claim_that_the_operator_names() -> None:
    async with scene(account_claim="https://numbers.example/account") as s:
        found = await s.known(**{"https://numbers.example/account": "acme-2"})
        assert found is not None and found.account == "acme-2"
        s.house.extra = {"https://numbers.example/account": "acme-3"}
        found = await s.verifier.verify(await s.client.as_program(BOTH))
        assert found is not None and found.account == "acme-3"


@pytest.mark.parametrize("account", [_UNSET, "", "../default", "a b", 7, None, ["default"]])
async def test_without_a_clear_account_a_token_is_refused_where_one_is_asked_for(
    account: object,
) -> None:
    async with scene(account_claim="org") as s:
        assert await s.known(org=account) is None


async def test_an_account_nobody_asks_for_is_not_looked_at() -> None:
    async with scene() as s:
        found = await s.known(account="acme", org="acme")
        assert found is not None and found.account == "default"


# --- the published keys -----------------------------------------------------------------------


async def test_the_keys_are_read_once_and_kept() -> None:
    async with scene() as s:
        for _ in range(5):
            assert await s.known() is not None
        assert s.reads() == 1


async def test_a_new_key_is_found_when_a_token_names_it() -> None:
    async with scene() as s:
        assert await s.known() is not None
        s.clock.advance(30)
        s.house.rotate()
        assert await s.known() is not None
        assert s.reads() == 2


async def test_unknown_keys_make_us_read_at_most_every_30_seconds() -> None:
    async with scene() as s:
        stranger = made("RS256")
        for _ in range(20):
            assert await s.verifier.verify(s.house.signed(s.claims(), stranger)) is None
        assert s.reads() == 1
        s.clock.advance(29)
        assert await s.verifier.verify(s.house.signed(s.claims(), stranger)) is None
        assert s.reads() == 1
        s.clock.advance(1)
        assert await s.verifier.verify(s.house.signed(s.claims(), stranger)) is None
        assert s.reads() == 2


async def test_a_withdrawn_key_counts_no_more_after_five_minutes() -> None:
    async with scene() as s:
        old = s.house.signed(s.claims())
        assert await s.verifier.verify(old) is not None
        s.house.rotate(keep=False)
        s.clock.advance(299)
        assert await s.verifier.verify(old) is not None
        s.clock.advance(1)
        assert await s.verifier.verify(old) is None


async def test_a_clock_set_back_does_not_keep_a_withdrawn_key() -> None:
    async with scene() as s:
        old = s.house.signed(s.claims())
        assert await s.verifier.verify(old) is not None
        s.house.rotate(keep=False)
        s.clock.advance(-3600)
        assert await s.verifier.verify(s.house.signed(s.claims(iat=_UNSET))) is not None
        assert await s.verifier.verify(old) is None


async def test_known_keys_count_while_the_issuer_is_down() -> None:
    async with scene() as s:
        assert await s.known() is not None
        s.line.cut = True
        for _ in range(10):
            s.clock.advance(301)
            assert await s.known() is not None
        s.line.cut = False
        s.clock.advance(30)
        assert await s.known() is not None


async def test_a_key_that_cannot_be_looked_up_now_is_not_told_to_be_wrong() -> None:
    async with scene() as s:
        assert await s.known() is not None
        s.line.cut = True
        s.house.rotate()
        s.clock.advance(30)
        for _ in range(2):
            with pytest.raises(PlatformUnreachable, match="cannot be checked"):
                await s.known()
        s.line.cut = False
        s.clock.advance(30)
        assert await s.known() is not None


async def test_an_issuer_that_was_never_reached_is_told_and_asked_again_later() -> None:
    async with scene() as s:
        s.line.cut = True
        for _ in range(5):
            with pytest.raises(PlatformUnreachable, match="Nothing was changed"):
                await s.known()
        assert s.reads() == 2  # one look, tried twice
        s.line.cut = False
        s.clock.advance(30)
        assert await s.known() is not None


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404, text="not here"),
        httpx.Response(500, text="oops"),
        httpx.Response(302, headers={"location": "https://elsewhere.example/jwks"}),
        httpx.Response(200, text="<html>sign in</html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"keys": "none"}),
    ],
    ids=lambda r: f"{r.status_code} {r.text}",
)
async def test_an_issuer_that_answers_with_something_else_is_down(answer: httpx.Response) -> None:
    async with scene() as s:
        s.line.instead = answer
        with pytest.raises(PlatformUnreachable):
            await s.known()


# --- opaque tokens ----------------------------------------------------------------------------


async def test_an_opaque_token_stands_for_whom_its_issuer_says() -> None:
    async with scene(opaque=True) as s:
        token = await s.client.as_person("alice", BOTH)
        assert await s.verifier.verify(token) == Identity(
            "default", "alice", READS_AND_WRITES, PROGRAM
        )


async def test_an_opaque_token_travels_to_its_issuer_in_no_address() -> None:
    async with scene(opaque=True) as s:
        token = await s.client.as_program(BOTH)
        await s.verifier.verify(token)
        [request] = s.line.seen
        assert str(request.url) == f"{HERE}/introspection" and request.method == "POST"
        assert token in request.content.decode()


async def test_a_token_nobody_issued_is_refused() -> None:
    async with scene(opaque=True) as s:
        assert await s.verifier.verify(secrets.token_urlsafe(32)) is None


async def test_a_revoked_token_is_refused_after_ten_seconds_at_most() -> None:
    async with scene(opaque=True) as s:
        token = await s.client.as_program(BOTH)
        assert await s.verifier.verify(token) is not None
        await s.client.revoke(token)
        s.clock.advance(9.9)
        assert await s.verifier.verify(token) is not None
        assert len(s.line.seen) == 1
        s.clock.advance(0.1)
        assert await s.verifier.verify(token) is None
        assert await s.verifier.verify(token) is None
        assert len(s.line.seen) == 2


async def test_a_token_revoked_before_it_was_seen_is_refused() -> None:
    async with scene(opaque=True) as s:
        token = await s.client.as_program(BOTH)
        await s.client.revoke(token)
        assert await s.verifier.verify(token) is None


async def test_what_was_said_of_a_token_is_not_believed_beyond_its_end() -> None:
    async with scene(opaque=True) as s:
        token = await s.client.as_program(BOTH)
        s.house.issued[token].claims["exp"] = int(s.clock().timestamp()) + 5
        assert await s.verifier.verify(token) is not None
        await s.client.revoke(token)
        s.clock.advance(6)
        assert await s.verifier.verify(token) is None


OPAQUE_REFUSED: Mapping[str, dict[str, Any]] = {
    name: said for name, said in REFUSED.items() if name not in ("no issuer", "no end")
}


@pytest.mark.parametrize("said", OPAQUE_REFUSED.values(), ids=OPAQUE_REFUSED.keys())
async def test_what_introspection_tells_is_held_to_the_same_rules(said: dict[str, Any]) -> None:
    async with scene(opaque=True) as s:
        s.line.instead = httpx.Response(200, json={"active": True} | s.claims(**said))
        assert await s.verifier.verify("any-token") is None


async def test_introspection_may_leave_out_its_own_name_and_the_end() -> None:
    async with scene(opaque=True) as s:
        told = s.claims(iss=_UNSET, exp=_UNSET, iat=_UNSET)
        s.line.instead = httpx.Response(200, json={"active": True} | told)
        assert await s.verifier.verify("any-token") is not None


@pytest.mark.parametrize("active", ["true", 1, None, [True], False])
async def test_active_is_true_or_the_token_does_not_count(active: object) -> None:
    async with scene(opaque=True) as s:
        s.line.instead = httpx.Response(200, json=s.claims() | {"active": active})
        assert await s.verifier.verify("any-token") is None


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(401, json={"error": "invalid_client"}),
        httpx.Response(404, text="not here"),
        httpx.Response(429, text="slower"),
        httpx.Response(503, text="later"),
        httpx.Response(200, text="<html>sign in</html>"),
        httpx.Response(200, json=["active"]),
    ],
    ids=lambda r: f"{r.status_code} {r.text}",
)
async def test_an_issuer_that_does_not_tell_is_down_and_asked_again(
    answer: httpx.Response,
) -> None:
    async with scene(opaque=True) as s:
        token = await s.client.as_program(BOTH)
        s.line.instead = answer
        with pytest.raises(PlatformUnreachable, match="does not tell"):
            await s.verifier.verify(token)
        s.line.instead = None
        assert await s.verifier.verify(token) is not None


async def test_our_own_wrong_credentials_are_told_to_the_operator(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scene(opaque=True, client_secret="wrong") as s:  # noqa: S106
        token = await s.client.as_program(BOTH)
        with pytest.raises(PlatformUnreachable):
            await s.verifier.verify(token)
        assert "refused our own credentials" in caplog.text


async def test_a_static_token_of_ours_is_never_sent_to_the_issuer() -> None:
    async with scene(opaque=True) as s:
        for text in ("cb.default.0123456789abcdef01234567." + "x" * 43, "cb.x", "a b", "é"):
            assert await s.verifier.verify(text) is None
        assert not s.line.seen


async def test_whoever_comes_with_the_same_token_at_once_asks_once() -> None:
    async with scene(opaque=True) as s:
        token = await s.client.as_program(BOTH)
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(s.verifier.verify, token)
        assert len(s.line.seen) == 1


async def test_strangers_keep_nobody_out_whose_token_was_active_before() -> None:
    async with scene(opaque=True) as s:
        token = await s.client.as_program(BOTH)
        assert await s.verifier.verify(token) is not None
        s.clock.advance(10)
        held = s.line.held = anyio.Event()
        busy = 0

        async def strange(number: int) -> None:
            nonlocal busy
            try:
                assert await s.verifier.verify(f"stranger-{number}") is None
            except PlatformUnreachable:
                busy += 1

        async with anyio.create_task_group() as group:
            for number in range(100):
                group.start_soon(strange, number)
            await anyio.wait_all_tasks_blocked()
            asked = len(s.line.seen)
            s.line.held = None
            with anyio.fail_after(10):
                assert await s.verifier.verify(token) is not None
            held.set()
        assert (asked, busy) == (1 + 8, 100 - 64)
        assert await s.verifier.verify("stranger-99") is None


# --- what must not be seen --------------------------------------------------------------------


async def test_no_token_and_no_secret_stands_in_a_log_or_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    async with scene(opaque=True) as s:
        token = await s.client.as_program(BOTH)
        caplog.clear()  # what the authorization server itself logs is its own affair
        for status in (200, 400, 429, 500):
            s.line.instead = httpx.Response(status, json={"error": f"bad token {token}"})
            if status == 200:
                assert await s.verifier.verify(token) is None
                s.clock.advance(10)
                continue
            with pytest.raises(PlatformUnreachable) as caught:
                await s.verifier.verify(token)
            told.append("".join(traceback.format_exception(caught.value)))
        basic = s.line.seen[0].headers["authorization"].removeprefix("Basic ")
    async with scene() as s:
        signed = s.house.signed(s.claims(aud="elsewhere"))
        assert await s.verifier.verify(signed) is None
        assert "another audience" in caplog.text
    said = caplog.text + "".join(told)
    assert told and not any(
        part in said for part in (token, token[:20], basic, RESOURCE_SECRET, *signed.split("."))
    )


async def test_the_operator_is_told_why_tokens_are_refused_and_not_with_each_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scene() as s:
        for _ in range(5):
            assert await s.known(aud="elsewhere") is None
        assert await s.known(iss="another") is None
        s.clock.advance(60)
        assert await s.known(aud="elsewhere") is None
        told = [r.message for r in caplog.records if r.levelno >= logging.WARNING]
        assert [text.rpartition(": ")[2] for text in told] == [
            "another audience",
            "another issuer",
            "another audience",
        ]


# --- settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://sign-in.example/jwks",
        "https://user:secret@sign-in.example/jwks",
        "https:///jwks",
        "https://[x",
    ],
)
async def test_an_address_that_cannot_be_used_is_told_at_once(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        OAuthVerifier(OAuthSettings(ISSUER, AUDIENCE, url), "default", Clock())
    assert "secret" not in str(caught.value)


# --- over real sockets, through the whole server ----------------------------------------------


async def test_a_served_cordboard_takes_tokens_of_the_authorization_server(
    make_world: Worlds,
) -> None:
    house, clock = AuthServer(made()), Clock()
    clock.now = datetime.now(UTC)
    with served(house) as url:
        oauth = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_url": f"{url}/jwks"}
        world = make_world(clock=clock, oauth=oauth)
        async with on_the_web(world) as web, signing_in(house, url) as client:
            token = await client.as_person("alice", BOTH)
            assert await called(web.http, token) == 200
            assert await called(web.http, await client.as_person("alice", "openid")) == 403
            assert await called(web.http, await web.token("ci", "numbers:read")) == 200
            refused = await web.http.post("/mcp", headers={"authorization": f"Bearer {token}x"})
            assert refused.status_code == 401
            challenge = refused.headers["www-authenticate"]
            assert 'error="invalid_token"' in challenge
            assert token not in refused.text + str(refused.headers)
            place = challenge.partition('resource_metadata="')[2].partition('"')[0]
            metadata = (await web.http.get(place)).json()
            assert metadata["authorization_servers"] == [ISSUER]


async def test_an_issuer_that_is_down_is_a_503_and_static_tokens_still_count(
    make_world: Worlds,
) -> None:
    house = AuthServer(made())
    with served(house) as url:
        gone = url
    oauth = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_url": f"{gone}/jwks"}
    world = make_world(oauth=oauth)
    async with on_the_web(world) as web:
        now = int(world.clock().timestamp())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": now + 60, "scope": BOTH}
        token = house.signed(claims)
        answer = await web.http.post("/mcp", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "PLATFORM_UNREACHABLE"
        assert await called(web.http, await web.token("ci", "numbers:read")) == 200


async def called(http: httpx.AsyncClient, token: str) -> int:
    """The status of a call that lists the tools."""
    headers = {
        "authorization": f"Bearer {token}",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2025-11-25",
    }
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }
    return (await http.post("/mcp", headers=headers, json=hello)).status_code


async def test_metadata_names_the_issuer_and_every_scope(make_world: Worlds) -> None:
    oauth = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_url": f"{HERE}/jwks"}
    serving = {"public_url": "https://numbers.example"}
    async with on_the_web(make_world(oauth=oauth), **serving) as web:
        for path in ("/mcp", ""):
            answer = await web.http.get(
                f"/.well-known/oauth-protected-resource{path}", headers={"host": "numbers.example"}
            )
            assert answer.json() == {
                "resource": "https://numbers.example/mcp",
                "authorization_servers": [ISSUER],
                "scopes_supported": list(SCOPES),
                "bearer_methods_supported": ["header"],
                "resource_name": "Cordboard",
            }


async def test_without_oauth_there_is_no_metadata_for_it_would_drop_static_tokens(
    make_world: Worlds,
) -> None:
    async with on_the_web(make_world()) as web:
        for path in ("/mcp", ""):
            answer = await web.http.get(f"/.well-known/oauth-protected-resource{path}")
            assert answer.status_code == 404
        refused = await web.http.post("/mcp")
        assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
