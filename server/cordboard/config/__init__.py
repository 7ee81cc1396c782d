"""Settings: the only reader of the environment and of configuration and policy files.

The environment wins over the file named by CORDBOARD_CONFIG, which wins over defaults.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cordboard.errors import ConfigError, CordboardError
from cordboard.policy import PRESETS, Policy

if TYPE_CHECKING:
    from cordboard.config.http import HttpSettings
    from cordboard.config.platforms import PlatformSettings

DEFAULT_ACCOUNT = "default"
_TIMES = ("ask_seconds", "plan_seconds", "approval_seconds", "remember_seconds")
_VENDORS = ("bland", "synthflow", "unleashx")
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True)
class Settings:
    """Everything an operator can set. `default_database`: the store lies where it does by default.

    `ask_seconds`: how long a question waits in a client of protocol 2025-11-25.
    `account`: whose plans and numbers, and whose the vendors' credentials are; over HTTP tokens say
    whose their callers are. `plan_seconds`, `approval_seconds`: how long a plan stands, and one a person must approve.
    `platforms`: None where no vendor is spoken of. `http`: None where nothing is served by HTTP.
    `postgres`: the URL of the store where it is a PostgreSQL database ("" else, and `database` is the
    file); it may hold a password. `remember_seconds`: how old look-ups may be told there.
    """

    database: Path
    default_database: bool
    policy: Policy
    principal: str
    account: str = DEFAULT_ACCOUNT
    read_only: bool = False
    ignore_arguments: tuple[str, ...] = ()
    ask_seconds: float = 50.0
    plan_seconds: float = 1800.0
    approval_seconds: float = 86400.0
    platforms: PlatformSettings | None = None
    http: HttpSettings | None = None
    postgres: str = field(default="", repr=False)
    replica: str = field(default="", repr=False)
    remember_seconds: float = 0.25

    @property
    def place(self) -> str:
        """The store as it may be shown, and as CORDBOARD_DATABASE names it: without a password."""
        if not self.postgres:
            return str(self.database)
        from cordboard.config.postgres import without_password

        return without_password(self.postgres)


def load(
    environ: Mapping[str, str] | None = None, *, serving: Mapping[str, Any] | None = None
) -> Settings:
    """The settings of this process. `serving`: what the options of `serve --http` say; None for
    every other command, and `http` is None then.

    Raises: ConfigError naming the variable or file, the field, and what is allowed.
    """
    environ = os.environ if environ is None else environ
    file = _given(environ.get("CORDBOARD_CONFIG", ""))
    default = _default_database()
    named = environ.get("CORDBOARD_DATABASE", "") or file.get("database", "")
    url = _postgres(named)
    database = _database(named) if named and not url else default
    preset = "standard" if serving is None else "strict"
    return Settings(
        database=database,
        default_database=database == default and not url,
        postgres=url,
        replica=_replica(environ.get("CORDBOARD_REPLICA", ""), url),
        policy=_policy(environ.get("CORDBOARD_POLICY", "") or file.get("policy", "") or preset),
        principal=_user(),
        account=_account(environ.get("CORDBOARD_ACCOUNT", "")),
        read_only=_flag(environ, "CORDBOARD_READ_ONLY", default=file.get("read_only", False)),
        ignore_arguments=tuple(file.get("ignore_arguments", ())),
        platforms=_platforms(environ, file),
        http=None if serving is None else _http(environ, file, serving),
        **{name: value for name, value in file.items() if name in _TIMES},
    )


def _platforms(environ: Mapping[str, str], file: Mapping[str, Any]) -> PlatformSettings | None:
    """The platforms at vendors, where any is spoken of."""
    if not any(name in file for name in _VENDORS) and not any(
        name.startswith(tuple(f"{vendor.upper()}_" for vendor in _VENDORS)) for name in environ
    ):
        return None
    from cordboard.config.platforms import gather

    return gather(environ, file)


def _account(named: str) -> str:
    """Whose account this process works for, without a token that says it."""
    if not named:
        return DEFAULT_ACCOUNT
    from cordboard.identity import check_account

    try:
        check_account(named)
    except CordboardError as exc:
        raise ConfigError(f"CORDBOARD_ACCOUNT: {exc.what}", "Leave it out.") from None
    return named


def _http(
    environ: Mapping[str, str], file: Mapping[str, Any], flags: Mapping[str, Any]
) -> HttpSettings:
    from cordboard.config.http import gather

    return gather(environ, file, flags)


def _given(named: str) -> dict[str, Any]:
    """What the configuration file sets, if there is one."""
    if not named:
        return {}
    from cordboard.config.files import read_config

    return read_config(_path(named, "CORDBOARD_CONFIG")).model_dump(exclude_unset=True)


def environment() -> dict[str, str]:
    """A copy of the environment, for starting a client's configuration or a child process."""
    return dict(os.environ)


def _default_database() -> Path:
    from platformdirs import user_data_path

    return user_data_path("cordboard", appauthor=False) / "cordboard.db"


def _postgres(named: str) -> str:
    """The URL where a PostgreSQL database is named; else ""."""
    if not named.startswith(("postgresql:", "postgres:")):
        return ""
    from cordboard.config.postgres import checked

    return checked(named)


def _replica(named: str, url: str) -> str:
    """The URL of a standby of that database; "" where none is named."""
    if not named:
        return ""
    from cordboard.config.postgres import checked

    if not url or not named.startswith(("postgresql:", "postgres:")):
        raise ConfigError(
            "CORDBOARD_REPLICA names a standby, by postgresql://…, of the PostgreSQL database that "
            "CORDBOARD_DATABASE names.",
            "Leave it out, or set both.",
        )
    return checked(named, "CORDBOARD_REPLICA")


def _database(named: str) -> Path:
    if "\0" in named or not _is_text(named):
        raise ConfigError("CORDBOARD_DATABASE: a path of UTF-8 text is needed.")
    path = named.removeprefix("sqlite://")
    if "://" in path:  # nor is it shown: it may hold a password
        raise ConfigError(
            "CORDBOARD_DATABASE: this is neither a path nor a URL that begins with postgresql://.",
            "Correct it, or leave it out.",
        )
    return _path(path, "CORDBOARD_DATABASE")


def _is_text(value: str) -> bool:
    """Whether it can be written as UTF-8: other bytes of the environment come as half characters."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _path(named: str, what: str) -> Path:
    """An absolute path. Raises: ConfigError for a home or a folder that is not there."""
    try:
        return Path(named).expanduser().absolute()
    except (RuntimeError, OSError) as exc:
        raise ConfigError(f"{what}: {named!r} is no usable path: {exc}.", "Check it.") from None


def _user() -> str:
    """The operating-system user of this process, not what LOGNAME or USER say it is."""
    if sys.platform == "win32":
        return getpass.getuser()
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a user without a name, as in some containers
        return f"uid-{os.getuid()}"


def _flag(environ: Mapping[str, str], name: str, *, default: bool) -> bool:
    said = environ.get(name, "").strip().lower()
    if not said:
        return default
    if said in _YES or said in _NO:
        return said in _YES
    raise ConfigError(f"{name}: {said!r} is neither yes nor no.", "Set it to 1, or leave it out.")


def _policy(named: str) -> Policy:
    if named in PRESETS:
        return PRESETS[named]
    if not named.endswith(".toml") and "/" not in named and not Path(named).exists():
        raise ConfigError(
            f"CORDBOARD_POLICY: there is no policy {named!r}.",
            f"Use {', '.join(PRESETS)}, or the path of a TOML file.",
        )
    from cordboard.config.files import read_policy

    return read_policy(_path(named, "CORDBOARD_POLICY"), named)
