"""An authorization server made of Authlib's parts: it signs people and programs in for real.

Grants: client credentials, and authorization code with PKCE (a person is signed in by saying so:
`login=alice`). Its tokens are JWTs as RFC 9068 has them, or opaque ones. It publishes its keys,
answers introspection and revokes. An ASGI app, `app`; `signed` makes what it would never issue.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
import uvicorn
from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    ClientMixin,
    JsonRequest,
    OAuth2Request,
    TokenMixin,
    grants,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from joserfc import jws
from joserfc.jwk import ECKey, KeyParameters, KeySet, OKPKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

Key = RSAKey | ECKey | OKPKey
ISSUER = "https://sign-in.example"
AUDIENCE = "https://numbers.example/mcp"
CALLBACK = "http://127.0.0.1:9/callback"
PROGRAM, PROGRAM_SECRET = "night-desk", "not-that-secret"
RESOURCE, RESOURCE_SECRET = "cordboard", "resource secret: 100%"


def made(algorithm: str = "RS256", bits: int = 2048) -> Key:
    """A new signing key for an algorithm."""
    told: KeyParameters = {"kid": secrets.token_hex(4), "use": "sig", "alg": algorithm}
    match algorithm:
        case "ES256":
            return ECKey.generate_key("P-256", told)
        case "EdDSA":
            return OKPKey.generate_key("Ed25519", told)
        case _:
            return RSAKey.generate_key(bits, told)


@dataclass
class Client(ClientMixin):
    """A program that is registered here."""

    client_id: str
    secret: str

    def get_client_id(self) -> str:
        return self.client_id

    def get_allowed_scope(self, scope: Any) -> str:
        return str(scope or "")

    def check_client_secret(self, client_secret: str) -> bool:
        return secrets.compare_digest(self.secret, client_secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in ("client_credentials", "authorization_code")

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == CALLBACK


@dataclass
class Person:
    """Somebody who signed in."""

    name: str

    def get_user_id(self) -> str:
        return self.name


@dataclass
class Code:
    """An authorization code that waits to be exchanged."""

    code: str
    client_id: str
    redirect_uri: str
    scope: str
    person: Person
    code_challenge: str
    code_challenge_method: str

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope


@dataclass
class Issued(TokenMixin):
    """A token that was issued, and what introspection tells of it."""

    claims: dict[str, Any]
    revoked: bool = False

    def check_client(self, client: Client) -> bool:
        return bool(self.claims["client_id"] == client.client_id)

    def is_expired(self) -> bool:
        return bool(self.claims["exp"] < time.time())

    def is_revoked(self) -> bool:
        return self.revoked


class _Payload(OAuth2Request):
    """A request as Authlib reads it."""

    def __init__(self, request: Request, said: dict[str, str]) -> None:
        super().__init__(request.method, str(request.url), headers=request.headers)
        self.payload = BasicOAuth2Payload(said)
        self._said = said

    @property
    def args(self) -> dict[str, str | None]:
        return dict(self._said)

    @property
    def form(self) -> dict[str, str]:
        return self._said


class _Core(AuthorizationServer):
    """Authlib's server on Starlette's requests and answers."""

    def __init__(self, house: AuthServer) -> None:
        super().__init__()
        self.house = house

    def query_client(self, client_id: str) -> Any:
        return self.house.clients.get(client_id)

    def save_token(self, token: dict[str, Any], request: Any) -> None:
        who = request.user.name if request.user else request.client.client_id
        now = int(time.time())
        self.house.issued[token["access_token"]] = Issued(
            {
                "iss": ISSUER,
                "aud": AUDIENCE,
                "sub": who,
                "client_id": request.client.client_id,
                "scope": token.get("scope", ""),
                "iat": now,
                "exp": now + token["expires_in"],
                "token_type": "Bearer",
            }
        )

    def create_oauth2_request(self, request: Any) -> Any:
        return request

    def create_json_request(self, request: Any) -> JsonRequest:
        raise NotImplementedError

    def handle_response(self, status: int, body: Any, headers: Any) -> Response:
        told = dict(headers)
        if "Location" in told:
            return RedirectResponse(told["Location"], status)
        return JSONResponse(body, status, told)

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""


class _ByCode(grants.AuthorizationCodeGrant):
    def save_authorization_code(self, code: str, request: Any) -> None:
        said = request.payload.data
        self.server.house.codes[code] = Code(
            code,
            request.client.client_id,
            said["redirect_uri"],
            request.scope,
            request.user,
            said["code_challenge"],
            said["code_challenge_method"],
        )

    def query_authorization_code(self, code: str, client: Any) -> Code | None:
        found: Code | None = self.server.house.codes.get(code)
        return found if found and found.client_id == client.client_id else None

    def delete_authorization_code(self, authorization_code: Code) -> None:
        del self.server.house.codes[authorization_code.code]

    def authenticate_user(self, authorization_code: Code) -> Person:
        return authorization_code.person


class _AsJwt(JWTBearerTokenGenerator):
    def __init__(self, house: AuthServer) -> None:
        super().__init__(ISSUER, str(house.key.alg))
        self.house = house

    def get_jwks(self) -> Any:
        return KeySet([self.house.key])

    def get_audiences(self, client: Any, user: Person | None, scope: str) -> str:
        return AUDIENCE

    def get_extra_claims(
        self, client: Any, grant_type: str, user: Person | None, scope: str
    ) -> dict[str, Any]:
        return self.house.extra


class _Introspection(IntrospectionEndpoint):
    def check_permission(self, token: Issued, client: Any, request: Any) -> bool:
        return bool(client.client_id == RESOURCE)

    def query_token(self, token_string: str, token_type_hint: str) -> Issued | None:
        found: Issued | None = self.server.house.issued.get(token_string)
        return found

    def introspect_token(self, token: Issued) -> dict[str, Any]:
        return dict(token.claims)


class _Revocation(RevocationEndpoint):
    def query_token(self, token_string: str, token_type_hint: str) -> Issued | None:
        found: Issued | None = self.server.house.issued.get(token_string)
        return found

    def revoke_token(self, token: Issued, request: Any) -> None:
        token.revoked = True


@dataclass
class AuthServer:
    """The server: `key` signs, `published` are the keys it shows, `extra` claims go into each JWT."""

    key: Key
    opaque: bool = False
    published: list[Key] = field(default_factory=list[Key])
    extra: dict[str, Any] = field(default_factory=dict[str, Any])
    clients: dict[str, Client] = field(default_factory=dict[str, Client])
    codes: dict[str, Code] = field(default_factory=dict[str, Code])
    issued: dict[str, Issued] = field(default_factory=dict[str, Issued])

    def __post_init__(self) -> None:
        self.published = [self.key]
        for client in (Client(PROGRAM, PROGRAM_SECRET), Client(RESOURCE, RESOURCE_SECRET)):
            self.clients[client.client_id] = client
        self.core: Any = _Core(self)
        self.core.register_grant(grants.ClientCredentialsGrant)
        self.core.register_grant(_ByCode, [CodeChallenge(required=True)])
        self.core.register_endpoint(_Introspection)
        self.core.register_endpoint(_Revocation)
        generator = (
            BearerTokenGenerator(lambda *a, **k: secrets.token_urlsafe(32))
            if self.opaque
            else _AsJwt(self)
        )
        self.core.register_token_generator("default", generator)
        self.app = Starlette(
            routes=[
                Route("/jwks", self._jwks),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/{name:str}", self._endpoint, methods=["POST"]),
            ]
        )

    def rotate(self, *, keep: bool = True) -> Key:
        """Sign with a new key from now on; the old one stays published or not."""
        self.key = made(self.key.alg or "RS256")
        self.published = [*(self.published if keep else []), self.key]
        return self.key

    def signed(
        self, claims: Mapping[str, Any] | bytes, key: Key | None = None, **header: Any
    ) -> str:
        """A JWT with exactly these claims, by a key of its own or by any other; a part of the
        header that is None is left out."""
        key = key or self.key
        told = {"alg": key.alg, "typ": "at+jwt", "kid": key.kid} | header
        kept = {name: value for name, value in told.items() if value is not None}
        said = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
        return jws.serialize_compact(kept, said, key, algorithms=[str(key.alg)])

    async def _jwks(self, request: Request) -> Response:
        del request
        return JSONResponse(KeySet(list(self.published)).as_dict(private=False))

    async def _authorize(self, request: Request) -> Response:
        said = await _read(request)
        person = Person(request.query_params["login"])
        grant = self.core.get_consent_grant(said, person)
        answer: Response = self.core.create_authorization_response(said, person, grant)
        return answer

    async def _token(self, request: Request) -> Response:
        answer: Response = self.core.create_token_response(await _read(request))
        return answer

    async def _endpoint(self, request: Request) -> Response:
        name = request.path_params["name"]
        answer: Response = self.core.create_endpoint_response(name, await _read(request))
        return answer


async def _read(request: Request) -> OAuth2Request:
    said = dict(request.query_params)
    if request.method == "POST":
        async with request.form() as form:
            said |= {name: str(value) for name, value in form.items()}
    return _Payload(request, said)


class Line(httpx.AsyncBaseTransport):
    """The way to the server: it can be cut, held up, or answer with something else, and counts what
    passes."""

    def __init__(self, house: AuthServer) -> None:
        self._inner = httpx.ASGITransport(house.app)
        self.cut = False
        self.held: anyio.Event | None = None
        self.instead: httpx.Response | None = None
        self.seen: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        if self.held is not None:
            await self.held.wait()
        if self.cut:
            raise httpx.ConnectError("nobody there")
        if self.instead is not None:
            return self.instead
        return await self._inner.handle_async_request(request)


@dataclass(frozen=True)
class SignIn:
    """A client's way of getting tokens, over HTTP."""

    http: httpx.AsyncClient

    async def as_program(self, scope: str) -> str:
        """A token for the program itself (client credentials)."""
        return await self._exchange({"grant_type": "client_credentials", "scope": scope})

    async def as_person(self, name: str, scope: str) -> str:
        """A token for a person who signs in (authorization code with PKCE)."""
        verifier = secrets.token_urlsafe(48)
        digest = hashlib.sha256(verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": PROGRAM,
            "redirect_uri": CALLBACK,
            "scope": scope,
            "code_challenge": urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            "login": name,
        }
        sent_back = await self.http.get("/authorize", params=asked)
        code = httpx.URL(sent_back.headers["location"]).params["code"]
        told = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier}
        return await self._exchange(told | {"redirect_uri": CALLBACK})

    async def revoke(self, token: str) -> None:
        """Give a token back."""
        answer = await self.http.post("/revocation", data={"token": token}, auth=_PROGRAM)
        assert answer.status_code == 200, answer.text

    async def _exchange(self, form: dict[str, str]) -> str:
        answer = await self.http.post("/token", data=form, auth=_PROGRAM)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


_PROGRAM = httpx.BasicAuth(PROGRAM, PROGRAM_SECRET)


@asynccontextmanager
async def signing_in(house: AuthServer, url: str = "") -> AsyncIterator[SignIn]:
    """A client of the server: in this process, or at the address where it is served."""
    transport = None if url else httpx.ASGITransport(house.app)
    base = url or "http://127.0.0.1:9"
    async with httpx.AsyncClient(transport=transport, base_url=base, trust_env=False) as http:
        yield SignIn(http)


@contextmanager
def served(house: AuthServer) -> Iterator[str]:
    """The server on a loopback socket; its address."""
    config = uvicorn.Config(
        house.app, port=0, log_level="error", lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
