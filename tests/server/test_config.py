"""Settings: the environment beats the file beats the default, and every bad value is one clear line."""

from __future__ import annotations

import json
import os
import pwd
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from cordboard.config import load
from cordboard.errors import ConfigError
from cordboard.policy import PRESETS


def config(folder: Path, **values: Any) -> str:
    """A configuration file; its path."""
    file = folder / "config.toml"
    file.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items()), "utf-8")
    return str(file)


def test_with_nothing_set_the_defaults_of_the_contract_hold() -> None:
    settings = load({})
    assert settings.policy is PRESETS["standard"]
    assert settings.default_database and settings.database.name == "cordboard.db"
    assert (settings.account, settings.read_only, settings.ignore_arguments) == (
        "default",
        False,
        (),
    )
    assert (settings.ask_seconds, settings.plan_seconds, settings.approval_seconds) == (
        50,
        1800,
        86400,
    )
    assert settings.principal == pwd.getpwuid(os.getuid()).pw_name


CASES: dict[str, tuple[str, Any, str, Any, Any]] = {
    # setting: variable, what the environment says and means, what the file says and means
    "policy": ("CORDBOARD_POLICY", "strict", "relaxed", PRESETS["strict"], PRESETS["relaxed"]),
    "database": (
        "CORDBOARD_DATABASE",
        "/x/env.db",
        "/x/file.db",
        Path("/x/env.db"),
        Path("/x/file.db"),
    ),
    "read_only": ("CORDBOARD_READ_ONLY", "0", True, False, True),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("name", CASES)
def test_the_environment_beats_the_file_which_beats_the_default(tmp_path: Path, name: str) -> None:
    variable, said, written, by_environment, by_file = CASES[name]
    default = getattr(load({}), name)
    environ = {"CORDBOARD_CONFIG": config(tmp_path, **{name: written})}
    assert getattr(load({variable: said}), name) == by_environment
    assert getattr(load(environ), name) == by_file != default
    assert getattr(load(environ | {variable: said}), name) == by_environment


@pytest.mark.parametrize("variable", ["CORDBOARD_POLICY", "CORDBOARD_DATABASE", "CORDBOARD_CONFIG"])
def test_an_empty_variable_counts_as_not_set(variable: str) -> None:
    assert load({variable: ""}) == load({})


def test_the_file_sets_times_and_arguments_to_ignore(tmp_path: Path) -> None:
    settings = load({"CORDBOARD_CONFIG": config(
        tmp_path, ask_seconds=0.5, plan_seconds=60, approval_seconds=3600.0, ignore_arguments=["sessionId"]
    )})  # fmt: skip
    assert (settings.ask_seconds, settings.plan_seconds, settings.approval_seconds) == (
        0.5,
        60,
        3600,
    )
    assert settings.ignore_arguments == ("sessionId",)


@pytest.mark.parametrize("yes", ["1", "true", "YES", " on "])
def test_read_only_is_said_with_yes(yes: str) -> None:
    assert load({"CORDBOARD_READ_ONLY": yes}).read_only


@pytest.mark.parametrize("no", ["", "0", "false", "No", "off"])
def test_read_only_is_denied_with_no(no: str) -> None:
    assert not load({"CORDBOARD_READ_ONLY": no}).read_only


def test_a_path_is_made_absolute_and_the_home_folder_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load({"CORDBOARD_DATABASE": "my.db"}).database == tmp_path / "my.db"
    assert load({"CORDBOARD_DATABASE": "~/my.db"}).database == tmp_path / "my.db"
    assert not load({"CORDBOARD_DATABASE": "my.db"}).default_database


def test_the_principal_is_the_user_of_the_process_and_not_what_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, "somebody-else")
    assert load().principal == pwd.getpwuid(os.getuid()).pw_name


BAD_ENVIRONMENT = {
    "CORDBOARD_READ_ONLY": ["maybe", "2", "read"],
    "CORDBOARD_POLICY": ["lenient", "standard ", "/no/such/file.toml"],
    "CORDBOARD_CONFIG": ["/no/such/file.toml", "/"],
    "CORDBOARD_DATABASE": ["a\0b", "postgresql://localhost", "postgres://x", "mysql://h/x"],
}


@pytest.mark.parametrize(
    ("variable", "value"), [(k, v) for k, values in BAD_ENVIRONMENT.items() for v in values]
)
def test_a_bad_variable_is_one_clear_error(variable: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load({variable: value})
    said = str(caught.value)
    assert said.startswith("INVALID_CONFIGURATION: ") and "\n" not in said
    assert variable in said or value in said
    assert caught.value.remedy


BAD_FILES: dict[str, tuple[str, str]] = {
    "no TOML": ("policy = \n", "TOML"),
    "an unknown setting": ("colour = 1\n", "colour"),
    "a secret in the wrong place": ('BLAND_API_KEY = "x"\n', "BLAND_API_KEY"),
    "a flag in words": ('read_only = "yes"\n', "read_only"),
    "seconds in words": ('ask_seconds = "50"\n', "ask_seconds"),
    "no seconds": ("ask_seconds = 0\n", "ask_seconds"),
    "seconds below zero": ("plan_seconds = -1\n", "plan_seconds"),
    "seconds without end": ("approval_seconds = inf\n", "approval_seconds"),
    "seconds beyond any calendar": ("approval_seconds = 1e12\n", "approval_seconds"),
    "seconds that are none": ("plan_seconds = nan\n", "plan_seconds"),
    "more seconds than a call may take": ("ask_seconds = 601\n", "ask_seconds"),
    "arguments that are no list": ('ignore_arguments = "a"\n', "ignore_arguments"),
    "arguments that are no words": ("ignore_arguments = [1]\n", "ignore_arguments"),
    "a policy that is not there": ('policy = "lenient"\n', "lenient"),
    "a database without a name": ('database = "postgresql://x"\n', "CORDBOARD_DATABASE"),
    "a look-up older than a minute": ("remember_seconds = 61\n", "remember_seconds"),
    "not UTF-8": ("# caf\udce9\n", "TOML"),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_a_bad_configuration_file_is_one_clear_error(tmp_path: Path, what: str) -> None:
    text, word = BAD_FILES[what]
    file = tmp_path / "config.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError) as caught:
        load({"CORDBOARD_CONFIG": str(file)})
    said = str(caught.value)
    assert said.startswith("INVALID_CONFIGURATION: ") and "\n" not in said
    assert word in said
    assert caught.value.remedy


# --- a PostgreSQL database ----------------------------------------------------------------------

SECRET = "canary-5d1c"  # noqa: S105 - no password of anything
SHOWN = {
    # what is said: what of it may be shown
    f"postgresql://op:{SECRET}@db.example/cb": "postgresql://op@db.example/cb",
    f"postgres://op:{SECRET}%40%2F@db.example:6432/cb": "postgresql://op@db.example:6432/cb",
    f"postgresql://op@h/cb?password={SECRET}&sslmode=verify-full": "postgresql://op@h/cb?sslmode=verify-full",
    f"postgresql://op@h/cb?passw%6Frd={SECRET}": "postgresql://op@h/cb",
    f"postgresql://h/cb?sslkey=k.pem&sslpassword={SECRET}": "postgresql://h/cb?sslkey=k.pem",
    "postgresql://h/cb?options=-c%20search_path%3Dx": "postgresql://h/cb?options=-c%20search_path%3Dx",
    f"postgresql://op:{SECRET}@one:1,two:2/cb": "postgresql://op@one:1,two:2/cb",
    f"postgresql://op:{SECRET}@[::1]:5433/cb": "postgresql://op@[::1]:5433/cb",
    "postgresql:///cb?host=/var/run/postgresql": "postgresql:///cb?host=/var/run/postgresql",
    "postgresql:///cb": "postgresql:///cb",
}


@pytest.mark.parametrize("url", SHOWN)
def test_a_database_is_shown_without_what_is_secret_and_otherwise_as_it_was_named(url: str) -> None:
    settings = load({"CORDBOARD_DATABASE": url})
    assert settings.place == SHOWN[url]
    assert load({"CORDBOARD_DATABASE": settings.place}).place == settings.place
    assert not settings.default_database
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://op:x@{SECRET}@h/cb",  # libpq takes the password to end at the first @,
        f"postgresql://op:12/{SECRET}@h/cb",  # the host at the first /
        f"postgresql://op:12?{SECRET}@h/cb",
        f"postgresql://op:x#{SECRET}@h/cb",
        f"postgresql://op:x%{SECRET}@h/cb",
        f"postgresql://op:x[{SECRET}@h/cb",
        f"postgresql://op@h/cb?passwort={SECRET}",
        f"postgresql://op:{SECRET}@h",
        f"postgresql:op:{SECRET}@h/cb",
        f"postgresql+psycopg://op:{SECRET}@h/cb",
        f" postgresql://op:{SECRET}@h/cb",
        f"postgresql://op:{SECRET}@h:port/cb",
    ],
)
def test_a_url_that_is_torn_or_not_known_is_refused_and_nothing_of_it_is_repeated(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load({"CORDBOARD_DATABASE": url})
    said = str(caught.value)
    assert "CORDBOARD_DATABASE" in said and SECRET not in said and "\n" not in said
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_replica_is_checked_like_the_database_and_goes_with_one() -> None:
    primary = {"CORDBOARD_DATABASE": "postgresql://op@h/cb"}
    settings = load(primary | {"CORDBOARD_REPLICA": f"postgres://op:{SECRET}@r/cb"})
    assert settings.replica == f"postgresql://op:{SECRET}@r/cb" and SECRET not in repr(settings)
    for bad in (f"postgresql://op:{SECRET}@h", f"postgresql://op:{SECRET}%@h/cb", f"/x/{SECRET}"):
        with pytest.raises(ConfigError, match="CORDBOARD_REPLICA") as caught:
            load(primary | {"CORDBOARD_REPLICA": bad})
        assert SECRET not in str(caught.value)
    with pytest.raises(ConfigError, match="set both"):
        load({"CORDBOARD_REPLICA": "postgresql://op@r/cb"})


def test_without_the_driver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg_pool", None)  # as where it is not installed
    with pytest.raises(ConfigError, match=r"cordboard\[postgres\]"):
        load({"CORDBOARD_DATABASE": f"postgresql://op:{SECRET}@h/cb"})


def test_the_file_says_how_old_look_ups_may_be(tmp_path: Path) -> None:
    assert load({}).remember_seconds == 0.25
    environ = {"CORDBOARD_CONFIG": config(tmp_path, remember_seconds=0)}
    assert load(environ).remember_seconds == 0
