"""Settings: the only reader of the environment and of configuration and policy files.

The environment wins over the file named by CORDBOARD_CONFIG, which wins over defaults.
"""

from __future__ import annotations

import getpass
import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cordboard import policy as policies
from cordboard.errors import ConfigError
from cordboard.policy import PRESETS, Policy

_YEAR = 366 * 86400
_YES, _NO = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


class ConfigFile(BaseModel):
    """The TOML file of CORDBOARD_CONFIG. Seconds are decimal numbers above 0."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    database: str = ""
    policy: str = ""
    read_only: bool = False
    ignore_arguments: list[str] = Field(default_factory=list[str])
    ask_seconds: float = Field(default=50.0, gt=0, le=600)
    plan_seconds: float = Field(default=1800.0, gt=0, le=_YEAR)
    approval_seconds: float = Field(default=86400.0, gt=0, le=_YEAR)


@dataclass(frozen=True)
class Settings:
    """Everything an operator can set. `default_database`: the store lies where it does by default.

    `ask_seconds`: how long a question waits in a client of protocol 2025-11-25.
    `plan_seconds`, `approval_seconds`: how long a plan stands, and one a person must approve.
    """

    database: Path
    default_database: bool
    policy: Policy
    principal: str
    account: str = "default"
    read_only: bool = False
    ignore_arguments: tuple[str, ...] = ()
    ask_seconds: float = 50.0
    plan_seconds: float = 1800.0
    approval_seconds: float = 86400.0


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process.

    Raises: ConfigError naming the variable or file, the field, and what is allowed.
    """
    environ = os.environ if environ is None else environ
    file = _config_file(environ.get("CORDBOARD_CONFIG", ""))
    default = _default_database()
    named = environ.get("CORDBOARD_DATABASE", "") or file.database
    database = _database(named) if named else default
    return Settings(
        database=database,
        default_database=database == default,
        policy=_policy(environ.get("CORDBOARD_POLICY", "") or file.policy or "standard"),
        principal=_user(),
        read_only=_flag(environ, "CORDBOARD_READ_ONLY", file.read_only),
        ignore_arguments=tuple(file.ignore_arguments),
        ask_seconds=file.ask_seconds,
        plan_seconds=file.plan_seconds,
        approval_seconds=file.approval_seconds,
    )


def environment() -> dict[str, str]:
    """A copy of the environment, for starting a client's configuration or a child process."""
    return dict(os.environ)


def _default_database() -> Path:
    from platformdirs import user_data_path

    return user_data_path("cordboard", appauthor=False) / "cordboard.db"


def _database(named: str) -> Path:
    if named.startswith(("postgresql:", "postgres:")):
        raise ConfigError(
            "CORDBOARD_DATABASE: this version keeps its store in a SQLite file.",
            "Set it to a path, or leave it out.",
        )
    if "\0" in named or not _is_text(named):
        raise ConfigError("CORDBOARD_DATABASE: a path of UTF-8 text is needed.")
    return _path(named.removeprefix("sqlite://"), "CORDBOARD_DATABASE")


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


def _flag(environ: Mapping[str, str], name: str, default: bool) -> bool:
    if name not in environ:
        return default
    said = environ[name].strip().lower()
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
    return policies.from_file(_toml(_path(named, "CORDBOARD_POLICY"), "Policy file"), named)


def _config_file(named: str) -> ConfigFile:
    if not named:
        return ConfigFile()
    text = _toml(_path(named, "CORDBOARD_CONFIG"), "Configuration file")
    try:
        return ConfigFile.model_validate(text)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f'Configuration file {named}: "{field}": {first["msg"]}.',
            f"Allowed: {', '.join(ConfigFile.model_fields)}.",
        ) from None


def _toml(path: Path, what: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise ConfigError(f"{what} {path}: {exc.strerror or exc}.", "Check the path.") from None
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"{what} {path}: not valid TOML: {str(exc)[:200]}.") from None
