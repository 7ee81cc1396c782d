"""`cordboard install CLIENT` on real files in a throw-away home."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from rich.console import Console

from cordboard.cli.install import (
    ASKS,
    InstallError,
    Place,
    Proposal,
    diff,
    find_command,
    install_command,
    propose,
    server_environment,
    write,
)

NOW = datetime(2026, 11, 21, 9, 5, 7, tzinfo=UTC)
COMMAND = ("/opt/cordboard/bin/cordboard",)
STANDARD = {"CORDBOARD_POLICY": "standard"}
CLIENTS = {  # client: (its file under home or project, the key of its servers)
    "claude-desktop": ("home/.config/Claude/claude_desktop_config.json", "mcpServers"),
    "claude-code": ("project/.mcp.json", "mcpServers"),
    "cursor": ("home/.cursor/mcp.json", "mcpServers"),
    "vscode": ("project/.vscode/mcp.json", "servers"),
    "codex": ("home/.codex/config.toml", "mcp_servers"),
}
JSON_CLIENTS = [client for client in CLIENTS if client != "codex"]
CODEX = """\
# how I like it
model = "gpt"   # the good one

[mcp_servers.other]
command = "/bin/other"  # do not touch
[mcp_servers.other.env]
OTHER_TOKEN = "hush"

# my projects
[projects."/home/me"]
trust_level = "trusted"
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    for name in ("home", "project"):
        (tmp_path / name).mkdir()
    return Place({}, tmp_path / "home", tmp_path / "project", "linux")


def file_of(client: str, place: Place) -> Path:
    return place.home.parent / CLIENTS[client][0]


def put(client: str, place: Place, text: str) -> Path:
    path = file_of(client, place)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def with_another_server(client: str) -> str:
    root = CLIENTS[client][1]
    other = '"other": {"command": "/bin/other", "args": ["-y", "x"], "env": {"T": "hush"}}'
    return CODEX if client == "codex" else f'{{\n    "{root}": {{\n        {other}\n    }}\n}}'


def servers_in(client: str, text: str) -> dict[str, Any]:
    document = tomllib.loads(text) if client == "codex" else json.loads(text)
    servers: dict[str, Any] = document[CLIENTS[client][1]]
    return servers


def install(
    client: str,
    place: Place,
    *,
    scope: str = "",
    yes: bool = False,
    confirm: Callable[[str], bool] | None = lambda question: True,
) -> str:
    """The command as the CLI calls it; what it printed."""
    printed = io.StringIO()
    console = Console(file=printed, width=40)
    install_command(client, scope, yes, place, COMMAND, console, confirm, STANDARD)
    return printed.getvalue()


def everything_under(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_fresh_file_holds_only_cordboard(client: str, place: Place) -> None:
    said = install(client, place)
    entry = {"command": COMMAND[0], "args": []}
    if client in ("claude-code", "cursor", "vscode"):
        entry = {"type": "stdio", **entry}
    assert servers_in(client, file_of(client, place).read_text()) == {"cordboard": entry}
    assert [Path(name) for name in everything_under(place.home.parent)] == [file_of(client, place)]
    assert "(no file yet)" in said
    assert said.endswith(ASKS[client] + "\n")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("nothing", ["", "  \n", "{}", "{ }\n", '{"a": 1}', "{\r\n\t\r\n}"])
def test_an_empty_or_foreign_file_gets_its_first_server(
    client: str, nothing: str, place: Place
) -> None:
    if client == "codex":
        nothing = nothing.strip("{} \r\n\t").replace('"a": 1', "a = 1")
    path = put(client, place, nothing)
    install(client, place)
    assert list(servers_in(client, path.read_text())) == ["cordboard"]
    assert '"a": 1' not in nothing or json.loads(path.read_text())["a"] == 1


@pytest.mark.parametrize("client", CLIENTS)
def test_other_servers_keep_every_byte(client: str, place: Place) -> None:
    old = with_another_server(client)
    path = put(client, place, old)
    install(client, place)
    new = path.read_text()
    assert servers_in(client, new)["cordboard"]["command"] == COMMAND[0]
    assert servers_in(client, new)["other"] == servers_in(client, old)["other"]
    kept = [line for line in new.splitlines() if line in old.splitlines()]
    assert [line for line in old.splitlines() if line] == [line for line in kept if line]


def test_codex_keeps_its_comments_where_they_were(place: Place) -> None:
    path = put("codex", place, CODEX)
    install("codex", place)
    assert path.read_text().startswith(CODEX)


def test_codex_keeps_its_comments_when_our_entry_changes(place: Place) -> None:
    ours = '[mcp_servers.cordboard]  # phones\ncommand = "old" # where\nargs = []\n'
    ours += 'startup_timeout_sec = 30\n[mcp_servers.cordboard.env]\nBLAND_API_KEY = "k"  # mine\n'
    path = put("codex", place, CODEX + "\n" + ours)
    place = Place({"CORDBOARD_DATABASE": "/d.db"}, place.home, place.cwd, place.platform)
    install("codex", place)
    new = path.read_text()
    assert new.startswith(CODEX)
    assert all(f"# {comment}" in new for comment in ("phones", "where", "mine"))
    assert servers_in("codex", new)["cordboard"] == {
        "command": COMMAND[0],
        "args": [],
        "startup_timeout_sec": 30,
        "env": {"BLAND_API_KEY": "k", "CORDBOARD_DATABASE": "/d.db"},
    }


@pytest.mark.parametrize(
    "text",
    [
        'mcp_servers = {other = {command = "x"}}  # inline\n',
        'mcp_servers.other.command = "x"  # dotted\n',
        '[mcp_servers]\nother = {command = "x"}  # inline in a table\n',
        '[mcp_servers.other]\r\ncommand = "x"  # windows\r\n',
    ],
)
def test_codex_tables_of_any_shape_are_kept(text: str, place: Place) -> None:
    path = put("codex", place, text)
    install("codex", place)
    new = path.read_bytes().decode()
    assert "  # " + text.split("# ")[1].strip() in new
    assert servers_in("codex", new)["other"] == {"command": "x"}
    assert servers_in("codex", new)["cordboard"]["command"] == COMMAND[0]
    assert ("\r\n" in text) is (new.count("\n") == new.count("\r\n"))


@pytest.mark.parametrize("client", CLIENTS)
def test_a_second_run_says_so_and_changes_nothing(client: str, place: Place) -> None:
    put(client, place, with_another_server(client))
    install(client, place)
    before = everything_under(place.home.parent)
    said = install(client, place, confirm=None)
    assert "already" in said
    assert ASKS[client] in said
    assert everything_under(place.home.parent) == before


@pytest.mark.parametrize("client", JSON_CLIENTS)
@pytest.mark.parametrize("indent", [None, 2, 4, "\t"])
def test_an_old_entry_is_updated_and_keeps_what_the_user_added(
    client: str, indent: int | str | None, place: Place
) -> None:
    root = CLIENTS[client][1]
    mine = {"command": "/old", "args": ["x"], "env": {"BLAND_API_KEY": "k"}, "disabled": True}
    decoy = {"note": f'"{root}": {{ "cordboard": {{', "projects": {"/p": {root: {"cordboard": {}}}}}
    document: dict[str, Any] = {**decoy, root: {"a": {}, "cordboard": mine, "z": {}}, "end": 1.50}
    path = put(client, place, json.dumps(document, indent=indent))
    install(client, place)
    new = json.loads(path.read_text())
    typed = {} if client == "claude-desktop" else {"type": "stdio"}
    assert new[root].pop("cordboard") == {**mine, **typed, "command": COMMAND[0], "args": []}
    del document[root]["cordboard"]
    assert new == document


def test_a_project_entry_of_the_same_name_is_not_mistaken_for_ours(place: Place) -> None:
    projects = {f"/p{n}": {"mcpServers": {"cordboard": {"command": "p"}}} for n in range(3)}
    path = place.home / ".claude.json"
    path.write_text(json.dumps({"projects": projects, "mcpServers": {}, "n": 1}, indent=2))
    install("claude-code", place, scope="user")
    new = json.loads(path.read_text())
    assert new["projects"] == projects
    assert list(new["mcpServers"]) == ["cordboard"]
    assert list(new) == ["projects", "mcpServers", "n"]


def test_windows_line_ends_and_letters_of_any_script_are_kept(place: Place) -> None:
    old = '{\r\n  "名": "\\ud83d 1e3 é",\r\n  "mcpServers": {\r\n  }\r\n}\r\n'
    path = put("cursor", place, old)
    install("cursor", place)
    new = path.read_bytes().decode()
    assert new.startswith(old[: old.index('"mcpServers": {') + len('"mcpServers": {')])
    assert new.count("\n") == new.count("\r\n")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("yes", [True, False])
def test_a_malformed_file_is_one_clear_line_and_stays(client: str, yes: bool, place: Place) -> None:
    broken = "a = 1\n[b\n" if client == "codex" else '{\n  "a": 1\n  "b": 2\n}\n'
    line = "line 2" if client == "codex" else "line 3"
    path = put(client, place, broken)
    before = everything_under(place.home.parent)
    with pytest.raises(InstallError) as refused:
        install(client, place, yes=yes)
    assert str(path) in str(refused.value)
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)
    assert everything_under(place.home.parent) == before


@pytest.mark.parametrize(
    "text",
    ["[]", "3", "null", '{"mcpServers": []}', '{"mcpServers": null}', "\ufeff{}", '{"a": 1,}',
     '{"mcpServers": {"cordboard": "x"}}', '{"mcpServers": {"cordboard": {"env": []}}}',
     '{"mcpServers": {"cordboard": {"url": "https://x"}}}', "[" * 100_000, '{"a": 1' + "0" * 5000],
    ids=lambda text: text[:50],
)  # fmt: skip
def test_a_file_of_the_wrong_shape_is_refused(text: str, place: Place) -> None:
    path = put("cursor", place, text)
    with pytest.raises(InstallError, match=r"\.cursor/mcp\.json: ") as refused:
        install("cursor", place)
    assert "\n" not in str(refused.value)
    assert path.read_bytes() == text.encode()


def test_a_codex_file_that_breaks_off_is_refused_with_its_last_line(place: Place) -> None:
    put("codex", place, "a = 1\nb = [1,\n")
    with pytest.raises(InstallError, match=r"config\.toml: cannot be read: .*line 2"):
        install("codex", place)


def test_a_file_that_is_not_text_is_refused_with_its_line(place: Place) -> None:
    path = put("cursor", place, "")
    path.write_bytes(b'{\n"a": "\xff"}')
    with pytest.raises(InstallError, match="line 2 is not UTF-8"):
        install("cursor", place)


@pytest.mark.parametrize(
    "text", ["// mine\n{}", '{ // mine\n"a": 1}', '{"a": 1, /* mine */ "b": 2}', "{}\n// mine"]
)
def test_vscode_comments_are_refused_with_the_lines_to_paste(text: str, place: Place) -> None:
    path = put("vscode", place, text)
    printed = io.StringIO()
    console = Console(file=printed, width=40)
    with pytest.raises(InstallError, match=r"mcp\.json: line \d has a comment"):
        install_command("vscode", "", True, place, COMMAND, console, None, STANDARD)
    expected = {"type": "stdio", "command": COMMAND[0], "args": []}
    assert json.loads(printed.getvalue()) == {"servers": {"cordboard": expected}}
    assert path.read_text() == text


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("there", [True, False])
def test_without_a_terminal_it_refuses_and_prints_the_lines_to_paste(
    client: str, there: bool, place: Place
) -> None:
    if there:
        put(client, place, with_another_server(client))
    before = everything_under(place.home.parent)
    printed = io.StringIO()
    console = Console(file=printed, width=40)
    with pytest.raises(InstallError, match="--yes"):
        install_command(client, "", False, place, COMMAND, console, None, STANDARD)
    pasted = servers_in(client, printed.getvalue())
    assert pasted["cordboard"]["command"] == COMMAND[0]
    assert "hush" not in printed.getvalue()
    assert everything_under(place.home.parent) == before


@pytest.mark.parametrize("client", CLIENTS)
def test_yes_on_the_command_line_needs_no_terminal(client: str, place: Place) -> None:
    install(client, place, yes=True, confirm=None)
    assert "cordboard" in servers_in(client, file_of(client, place).read_text())


@pytest.mark.parametrize("client", CLIENTS)
def test_a_no_writes_nothing(client: str, place: Place) -> None:
    put(client, place, with_another_server(client))
    before = everything_under(place.home.parent)
    said = install(client, place, confirm=lambda question: False)
    assert said.endswith("Nothing was written.\n")
    assert everything_under(place.home.parent) == before


@pytest.mark.parametrize("client", CLIENTS)
def test_the_question_comes_before_the_write_and_names_the_file(client: str, place: Place) -> None:
    path, asked = file_of(client, place), []

    def confirm(question: str) -> bool:
        asked.append((question, path.exists()))
        return True

    install(client, place, confirm=confirm)
    assert asked == [(f"Write this to {path}?", False)]


@pytest.mark.parametrize("client", CLIENTS)
def test_the_old_file_is_kept_beside_the_new_one(client: str, place: Place) -> None:
    old = with_another_server(client).replace("\n", "\r\n")
    path = put(client, place, old)
    path.chmod(0o640)
    copy = write(propose(client, place, COMMAND, {}), NOW)
    assert copy == path.with_name(path.name + ".bak-20261121-090507")
    assert copy.read_bytes() == old.encode()
    assert sorted(path.parent.iterdir()) == sorted([path, copy])
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(copy.stat().st_mode) == 0o640


@pytest.mark.parametrize("client", CLIENTS)
def test_a_fresh_file_has_no_copy_and_is_the_users_alone(client: str, place: Place) -> None:
    assert write(propose(client, place, COMMAND, {}), NOW) is None
    if os.name == "posix":
        assert stat.S_IMODE(file_of(client, place).stat().st_mode) == 0o600


def test_the_new_file_replaces_the_old_in_one_step(place: Place) -> None:
    path = put("cursor", place, "{}")
    with path.open() as reader:  # who reads while we write sees the whole old file
        write(propose("cursor", place, COMMAND, {}), NOW)
        assert reader.read() == "{}"
    assert path.stat().st_nlink == 1


def test_a_copy_is_never_overwritten(place: Place) -> None:
    path = put("cursor", place, "{}")
    copy = path.with_name("mcp.json.bak-20261121-090507")
    copy.write_text("precious")
    with pytest.raises(InstallError, match="cannot be written"):
        write(propose("cursor", place, COMMAND, {}), NOW)
    assert (path.read_text(), copy.read_text()) == ("{}", "precious")


def test_a_file_that_changed_meanwhile_is_left_alone(place: Place) -> None:
    path = put("cursor", place, "{}")
    proposal = propose("cursor", place, COMMAND, {})
    path.write_text('{"new": 1}')
    with pytest.raises(InstallError, match="changed since it was read"):
        write(proposal, NOW)
    assert path.read_text() == '{"new": 1}'
    path.unlink()
    with pytest.raises(InstallError, match="changed since it was read"):
        write(proposal, NOW)
    assert list(path.parent.iterdir()) == []


def test_what_cannot_be_encoded_leaves_no_half_written_file(place: Place) -> None:
    path = put("cursor", place, "{}")
    broken = Proposal(path, "{}", "\ud83d", already=False, snippet="", public=frozenset())
    with pytest.raises(InstallError, match="cannot be written"):
        write(broken, NOW)
    assert path.read_text() == "{}"
    assert not list(path.parent.glob("*.tmp"))


def test_a_folder_in_place_of_the_file_is_a_clear_error(place: Place) -> None:
    file_of("cursor", place).mkdir(parents=True)
    with pytest.raises(InstallError, match="cannot be read"):
        install("cursor", place)


@pytest.mark.skipif(os.name != "posix", reason="symbolic links need rights on Windows")
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("there", [True, False])
def test_a_symlink_is_followed_and_stays(client: str, there: bool, place: Place) -> None:
    link, target = file_of(client, place), place.home / "dotfiles" / "the-file"
    for folder in (link.parent, target.parent):
        folder.mkdir(parents=True, exist_ok=True)
    target = target.with_suffix(link.suffix)
    link.symlink_to(target)
    if there:
        target.write_text(with_another_server(client))
    install(client, place)
    assert link.is_symlink()
    assert "cordboard" in servers_in(client, target.read_text())
    assert len(list(target.parent.glob("*.bak-*"))) == there


@pytest.mark.skipif(os.name != "posix", reason="symbolic links need rights on Windows")
def test_a_loop_of_symlinks_is_a_clear_error(place: Place) -> None:
    link = file_of("claude-code", place)
    link.symlink_to(link)
    with pytest.raises(InstallError, match=r"\.mcp\.json: cannot be read"):
        install("claude-code", place)


@pytest.mark.parametrize("client", CLIENTS)
def test_the_diff_shows_our_lines_and_hides_the_secrets_of_others(
    client: str, place: Place
) -> None:
    put(client, place, with_another_server(client))
    place = Place({"CORDBOARD_POLICY": "strict"}, place.home, place.cwd, place.platform)
    said = install(client, place)
    assert "hush" not in said
    assert f'"{COMMAND[0]}"' in said
    assert '"strict"' in said
    assert f"+++ {file_of(client, place)}" in said
    assert not [line for line in said.splitlines() if line.startswith("-") and line[:3] != "---"]


def test_a_minified_file_with_a_secret_shows_none_of_it(place: Place) -> None:
    put("cursor", place, '{"mcpServers":{"cordboard":{"command":"/old","env":{"KEY":"hush"}}}}')
    said = install("cursor", place)
    assert "hush" not in said
    assert "/old" in said
    assert "show as" in said


def test_the_diff_is_coloured_on_a_terminal_only(place: Place) -> None:
    change = diff(propose("cursor", place, COMMAND, {}))
    for terminal in (True, False):
        printed = io.StringIO()
        colours: Literal["standard"] | None = "standard" if terminal else None
        console = Console(file=printed, force_terminal=terminal, color_system=colours)
        console.print(change)
        assert ("\x1b[32m" in printed.getvalue()) is terminal


@pytest.mark.parametrize(
    ("client", "scope", "platform", "environ", "expected"),
    [
        ("claude-desktop", "", "darwin", {}, "home/Library/Application Support/Claude/%"),
        ("claude-desktop", "user", "win32", {"APPDATA": "{}/roam"}, "roam/Claude/%"),
        ("claude-desktop", "", "win32", {}, "home/AppData/Roaming/Claude/%"),
        ("claude-desktop", "", "linux", {"XDG_CONFIG_HOME": "{}/xdg"}, "xdg/Claude/%"),
        ("claude-code", "project", "linux", {}, "project/.mcp.json"),
        ("claude-code", "user", "linux", {}, "home/.claude.json"),
        ("claude-code", "user", "linux", {"CLAUDE_CONFIG_DIR": "{}/c"}, "c/.claude.json"),
        ("cursor", "project", "linux", {}, "project/.cursor/mcp.json"),
        ("codex", "user", "linux", {"CODEX_HOME": "{}/codex"}, "codex/config.toml"),
    ],
)
def test_each_client_and_scope_has_its_file(
    client: str, scope: str, platform: str, environ: dict[str, str], expected: str, place: Place
) -> None:
    base = place.home.parent
    filled = {name: value.format(base) for name, value in environ.items()}
    there = Place(filled, place.home, place.cwd, platform)
    path = base / expected.replace("%", "claude_desktop_config.json")
    assert propose(client, there, COMMAND, {}, scope).path == path


@pytest.mark.parametrize(
    ("client", "scope", "said"),
    [
        ("emacs", "", "No client 'emacs'; choose one of: claude-desktop, "),
        ("vscode", "user", "vscode takes no scope 'user'; use project."),
        ("cursor", "global", "cursor takes no scope 'global'; use user or project."),
    ],
)
def test_an_unknown_client_or_scope_names_the_known_ones(
    client: str, scope: str, said: str, place: Place
) -> None:
    with pytest.raises(InstallError) as refused:
        install(client, place, scope=scope)
    assert str(refused.value).startswith(said)


def test_only_our_settings_go_into_the_file_never_a_vendors_key(place: Place) -> None:
    environ = {
        "CORDBOARD_DATABASE": "data/my.db",
        "CORDBOARD_POLICY": "strict",
        "CORDBOARD_CONFIG": "~/c.toml",
        "BLAND_API_KEY": "hush",
        "TWILIO_AUTH_TOKEN": "hush",
    }
    place = Place(environ, place.home, place.cwd, place.platform)
    install("claude-desktop", place)
    text = file_of("claude-desktop", place).read_text()
    assert "hush" not in text
    assert servers_in("claude-desktop", text)["cordboard"]["env"] == {
        "CORDBOARD_DATABASE": str(place.cwd / "data/my.db"),
        "CORDBOARD_POLICY": "strict",
        "CORDBOARD_CONFIG": str(place.home / "c.toml"),
    }


def test_settings_at_their_default_are_not_written(place: Place) -> None:
    environ = {
        "CORDBOARD_POLICY": "standard",
        "CORDBOARD_DATABASE": "/d.db",
        "CORDBOARD_CONFIG": "",
    }
    there = Place(environ, place.home, place.cwd, place.platform)
    assert server_environment(there, STANDARD | {"CORDBOARD_DATABASE": "/d.db"}) == {}


@pytest.mark.parametrize("address", ["postgresql://host/db", "postgresql://me@host:5432/db?a=b"])
def test_a_database_address_is_written_as_it_is(address: str, place: Place) -> None:
    there = Place({"CORDBOARD_DATABASE": address}, place.home, place.cwd, place.platform)
    assert server_environment(there, {}) == {"CORDBOARD_DATABASE": address}


@pytest.mark.parametrize(
    "address", ["postgresql://me:hush@host/db", "postgresql:///db?user=me&password=hush"]
)
def test_a_database_password_is_refused_and_not_repeated(address: str, place: Place) -> None:
    there = Place({"CORDBOARD_DATABASE": address}, place.home, place.cwd, place.platform)
    with pytest.raises(InstallError, match="password") as refused:
        install("cursor", there)
    assert "hush" not in str(refused.value)
    assert not file_of("cursor", place).exists()


def script(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def on_path(place: Place, *folders: Path) -> Place:
    path = os.pathsep.join(str(folder) for folder in folders)
    return Place({"PATH": path}, place.home, place.cwd, place.platform)


NAME = "cordboard.exe" if sys.platform == "win32" else "cordboard"


def test_the_running_script_is_written_by_its_full_path(place: Place) -> None:
    running = script(place.cwd / "venv" / NAME)
    other = script(place.home / "bin" / NAME)
    assert find_command(str(running), on_path(place, other.parent)) == (str(running),)
    assert find_command(f"venv/{NAME}", place) == (str(running),)


def test_run_as_a_module_the_script_on_the_path_is_written(place: Place) -> None:
    found = script(place.home / "bin" / NAME)
    module = script(place.cwd / "cordboard" / "__main__.py")
    assert find_command(str(module), on_path(place, found.parent)) == (str(found),)


@pytest.mark.parametrize("gone", ["", "/nowhere/cordboard"])
def test_without_a_script_uvx_is_written(gone: str, place: Place) -> None:
    assert find_command(gone, place) == ("uvx", "cordboard")


def test_a_script_that_lives_in_uvs_cache_gives_way_to_uvx(place: Place) -> None:
    cached = script(place.home / ".cache" / "uv" / "archive-v0" / "kUbb" / "bin" / NAME)
    uvx = script(place.home / "bin" / NAME.replace("cordboard", "uvx"))
    there = on_path(place, cached.parent, uvx.parent)
    assert find_command(str(cached), there) == (str(uvx), "cordboard")


def test_only_claude_desktop_is_told_that_it_cannot_ask() -> None:
    cannot = [client for client, line in ASKS.items() if "cannot ask" in line]
    assert cannot == ["claude-desktop"]
    assert all("form" in line for line in ASKS.values())
    assert set(ASKS) == set(CLIENTS)
