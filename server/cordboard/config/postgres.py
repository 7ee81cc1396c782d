"""The URL of a PostgreSQL database: checked, and told without what is secret in it."""

from __future__ import annotations

import importlib
from urllib.parse import SplitResult, unquote, urlsplit

from cordboard.errors import ConfigError

_SECRETS = frozenset(
    ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
)


def checked(url: str, name: str = "CORDBOARD_DATABASE") -> str:
    """The URL as libpq takes it. `name`: what it was given as.

    Raises: ConfigError, which repeats nothing of it.
    """
    parts = _parts(url)
    if parts is None:
        raise ConfigError(
            f"{name}: a PostgreSQL database is named as postgresql://USER@HOST/DATABASE.",
            "Correct it; characters other than letters and digits in a password are written as %XX.",
        )
    url = _joined(parts)
    _check_parameters(url, name)
    return url


def without_password(url: str) -> str:
    """The same database as it may be shown. A password comes from ~/.pgpass or PGPASSWORD then."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    told = [one for one in parts.query.split("&") if _name(one) not in _SECRETS]
    shown = parts._replace(netloc=user.partition(":")[0] + at + host, query="&".join(told))
    return _joined(shown)


def _name(parameter: str) -> str:
    return unquote(parameter.partition("=")[0])


def _joined(parts: SplitResult) -> str:
    """As libpq takes it: `urlunsplit` drops the two slashes where there is no host."""
    query = f"?{parts.query}" if parts.query else ""
    return f"postgresql://{parts.netloc}{parts.path}{query}"


def _parts(url: str) -> SplitResult | None:
    """The URL taken apart; None where it is none, or libpq would take it apart in another way.

    Of a password with a sign that should be %XX, libpq takes the rest for the host or the database,
    and those are shown.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port if "," not in parts.netloc else None  # several hosts have several ports
        url.encode()
    except ValueError:
        return None
    database = parts.path.removeprefix("/")
    is_whole = "://" in url and "#" not in url and "\0" not in url and database
    is_torn = parts.netloc.count("@") > 1 or any(sign in database for sign in "/@:")
    return parts if is_whole and not is_torn else None


def _check_parameters(url: str, name: str) -> None:
    """Raises: ConfigError for what the driver cannot read; its own words would repeat a part."""
    try:
        importlib.import_module("psycopg_pool")  # the other half of what the store is made with
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict
    except ImportError:
        raise ConfigError(
            f"{name} names a PostgreSQL database, and its driver is not installed.",
            'Install "cordboard[postgres]".',
        ) from None
    try:
        conninfo_to_dict(url)
    except (ProgrammingError, UnicodeDecodeError):
        raise ConfigError(
            f"{name}: a parameter behind the ? is not known, or a sign is not UTF-8 written "
            "as %XX.",
            "Correct it; PostgreSQL's documentation of libpq lists the parameters.",
        ) from None
