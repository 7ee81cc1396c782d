"""Serving over HTTP: where, for whom, and whose tokens count.

Imported only by `cordboard serve --http`: a server on stdio starts without it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from cordboard.errors import ConfigError

_KEY_BYTES = 32
_TELEMETRY = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not bound to
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class OAuthSettings:
    """An authorization server whose tokens count here, for this audience.

    Exactly one of `jwks_url` (tokens are JWTs) and `introspection_url` (they are opaque) is set.
    `account_claim`: the claim that names the account; "": every token is of the one account here.
    """

    issuer: str
    audience: str
    jwks_url: str = ""
    introspection_url: str = ""
    client_id: str = ""
    client_secret: str = ""
    account_claim: str = ""


@dataclass(frozen=True)
class HttpSettings:
    """Everything about being on the network. `public_url`: what clients and people call us by,
    without a slash at its end. `state_keys`: given by the operator in place of the key beside the
    store; the first seals, all open. `telemetry`: the standard variables say where spans go."""

    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str = ""
    workers: int = 1
    tls_cert: Path | None = None
    tls_key: Path | None = None
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    body_bytes: int = 1024 * 1024
    grace_seconds: float = 30.0
    state_keys: tuple[bytes, ...] = ()
    oauth: OAuthSettings | None = None
    telemetry: bool = False

    @property
    def url(self) -> str:
        """The base of every link we hand out."""
        if self.public_url:
            return self.public_url
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls_cert else 'http'}://{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches us."""
        return is_loopback(self.host)

    @property
    def sessions(self) -> bool:
        """Whether clients of 2025-11-25 get sessions: one process must then see all they send."""
        return self.workers == 1


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    if host in _LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def gather(
    environ: Mapping[str, str], file: Mapping[str, Any], flags: Mapping[str, Any]
) -> HttpSettings:
    """The settings of `serve --http`; `flags` are the command's own and win.

    Raises: ConfigError naming the option, the field or the variable.
    """
    given: dict[str, Any] = dict(file.get("http", {}))
    given |= {name: value for name, value in flags.items() if value is not None}
    for name in ("tls_cert", "tls_key"):
        named = given.get(name)
        given[name] = Path(named).expanduser().absolute() if named else None
    for name in ("allowed_hosts", "allowed_origins"):
        given[name] = tuple(given.get(name, ()))
    keys = environ.get("CORDBOARD_STATE_KEYS", "")
    settings = HttpSettings(
        **given,
        state_keys=_keys(keys),
        oauth=_oauth(environ, file.get("oauth")),
        telemetry=_telemetry(environ),
    )
    _check(settings)
    return settings


def _telemetry(environ: Mapping[str, str]) -> bool:
    told = any(environ.get(name) for name in _TELEMETRY)
    return told and environ.get("OTEL_SDK_DISABLED", "").lower() != "true"


def _check(settings: HttpSettings) -> None:
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise ConfigError("TLS needs both a certificate and its key.", "Give tls_cert and tls_key.")
    for path in (settings.tls_cert, settings.tls_key):
        if path is not None and not path.is_file():
            raise ConfigError(f"TLS: there is no file {path}.", "Check the path.")
    if settings.public_url:
        _check_public(settings.public_url)
    if settings.host in _EVERYWHERE and not settings.public_url and settings.tls_cert:
        raise ConfigError(
            f"Host {settings.host or '(none)'} is every address, and none of them a name to call us by.",
            "Give --public-url https://NAME too.",
        )
    if settings.is_loopback or settings.tls_cert or settings.public_url.startswith("https://"):
        return
    raise ConfigError(
        f"Host {settings.host} is reachable by others, and tokens would travel in the open.",
        "Give TLS files (--tls-cert, --tls-key), or an https --public-url of a proxy before it.",
    )


def _split(name: str, url: str) -> SplitResult:
    """The parts of an address. Raises: ConfigError naming what it was for."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        raise ConfigError(f"{name} {url!r} is no usable address.", "Correct it.") from None
    return parts


def _check_public(url: str) -> None:
    parts = _split("public_url", url)
    plain = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if parts.scheme != "https" and not plain:
        raise ConfigError(f"public_url {url!r} is not https.", "Only this machine may go without.")
    if not parts.hostname or parts.query or parts.fragment or parts.username or parts.path:
        raise ConfigError(
            f"public_url {url!r} is not just https://host or https://host:port.",
            "Leave out path, query, user and the slash at the end.",
        )


def _keys(given: str) -> tuple[bytes, ...]:
    keys: list[bytes] = []
    for text in filter(None, (part.strip() for part in given.split(","))):
        try:
            key = bytes.fromhex(text)
        except ValueError:
            key = b""
        if len(key) < _KEY_BYTES:
            raise ConfigError(
                "CORDBOARD_STATE_KEYS: each key is 64 or more hexadecimal digits.",
                "Make one with `openssl rand -hex 32`; separate several by commas.",
            )
        keys.append(key)
    return tuple(keys)


def _oauth(environ: Mapping[str, str], table: Mapping[str, Any] | None) -> OAuthSettings | None:
    if table is None:
        return None
    secret = environ.get("CORDBOARD_OAUTH_CLIENT_SECRET", "") or table.get("client_secret", "")
    oauth = OAuthSettings(**{**table, "client_secret": secret})
    if bool(oauth.jwks_url) == bool(oauth.introspection_url):
        raise ConfigError("oauth: exactly one of jwks_url and introspection_url is needed.")
    if oauth.introspection_url and not (oauth.client_id and oauth.client_secret):
        raise ConfigError(
            "oauth: introspection_url needs client_id and the client's secret.",
            "Give the secret as CORDBOARD_OAUTH_CLIENT_SECRET.",
        )
    for name in ("issuer", "jwks_url", "introspection_url"):
        url = getattr(oauth, name)
        parts = _split(f"oauth.{name}", url)
        if url and parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            raise ConfigError(f"oauth.{name}: {url!r} is not https.")
    return oauth
