"""`cordboard install CLIENT`: puts Cordboard into an MCP client's configuration file.

Of the ways to edit that file, the first is taken that parses to exactly what was meant.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import tomlkit
from rich.console import Console
from rich.text import Text
from tomlkit.exceptions import TOMLKitError

NAME = "cordboard"
AT_TERMINAL = "changes to live numbers wait for `cordboard approve` at a terminal."
ASKS: Mapping[str, str] = {
    "claude-desktop": f"Claude Desktop cannot ask you by a form: {AT_TERMINAL} Now reopen it.",
    "claude-code": f"Claude Code asks you by a form in the chat; without you there, {AT_TERMINAL}",
    "cursor": "Cursor asks you by a form in the chat.",
    "vscode": "VS Code asks you by a form in the chat.",
    "codex": f"Codex asks you by a form in the chat, but waits only 60 s; after that {AT_TERMINAL}",
}
COLOURS: Mapping[str, str] = {"+": "green", "-": "red", "@": "cyan"}
_dump = partial(json.dumps, ensure_ascii=False)
STRING = re.compile(r'"(?:[^"\\]|\\.)*"(?P<names>\s*[:=])?|\'[^\']*\'')


class InstallError(Exception):
    """Nothing was written; the text says why. `snippet` is what to paste by hand instead."""

    def __init__(self, message: str, snippet: str = "") -> None:
        super().__init__(message)
        self.snippet = snippet


@dataclass(frozen=True, slots=True)
class Place:
    """Where we are: all that is read of the machine besides the files. `platform`: sys.platform."""

    environ: Mapping[str, str]
    home: Path
    cwd: Path
    platform: str

    def folder(self, variable: str, default: str) -> Path:
        return self.cwd / (self.environ.get(variable) or self.home / default)


@dataclass(frozen=True, slots=True)
class Proposal:
    """One file before (None: not there yet) and after. `public`: the strings a diff may show."""

    path: Path
    before: str | None
    after: str
    already: bool
    snippet: str
    public: frozenset[str]


def _files(client: str, place: Place) -> dict[str, Path]:
    """The client's files by scope, its default first."""
    roaming = {"darwin": place.home / "Library" / "Application Support"}
    roaming["win32"] = place.folder("APPDATA", "AppData/Roaming")
    desktop = roaming.get(place.platform) or place.folder("XDG_CONFIG_HOME", ".config")
    claude, cursor = place.folder("CLAUDE_CONFIG_DIR", "") / ".claude.json", ".cursor/mcp.json"
    return {
        "claude-desktop": {"user": desktop / "Claude" / "claude_desktop_config.json"},
        "claude-code": {"project": place.cwd / ".mcp.json", "user": claude},
        "cursor": {"user": place.home / cursor, "project": place.cwd / cursor},
        "vscode": {"project": place.cwd / ".vscode" / "mcp.json"},
        "codex": {"user": place.folder("CODEX_HOME", ".codex") / "config.toml"},
    }[client]


def find_command(argv0: str, place: Place) -> tuple[str, ...]:
    """The running script's full path (hosts have a bare PATH); uvx if only uv's cache has it."""
    which = partial(shutil.which, path=place.environ.get("PATH", ""))
    for script in (place.cwd / argv0, place.cwd / (which(NAME) or "")):
        cached = any(re.fullmatch(r"(archive|builds|environments)-v\d+", p) for p in script.parts)
        if script.stem == NAME and script.is_file() and os.access(script, os.X_OK) and not cached:
            return (str(script),)
    return (which("uvx") or "uvx", NAME)


def server_environment(place: Place, defaults: Mapping[str, str]) -> dict[str, str]:
    """Our own settings where they are set and not the default; paths made absolute."""
    env: dict[str, str] = {}
    for name in map("CORDBOARD_".__add__, ("DATABASE", "POLICY", "CONFIG", "READ_ONLY")):
        value = place.environ.get(name, "")
        if re.search(r"://[^/\s]*:[^/\s]*@|[?&]password=", value):
            why = "it would stand in clear in the client's file; a ~/.pgpass file can hold it"
            raise InstallError(f"Take the password out of {name}: {why}.")
        plain = name.endswith("READ_ONLY") or value in ("relaxed", "standard", "strict")
        if value and "://" not in value and not plain:
            value = str(place.cwd / (place.home / value[2:] if value[:2] == "~/" else value))
        if value and value != defaults.get(name):
            env[name] = value
    return env


def propose(
    client: str, place: Place, command: Sequence[str], env: Mapping[str, str], scope: str = ""
) -> Proposal:
    """What the client's file would become. Reads that file and writes nothing."""
    if client not in ASKS:
        raise InstallError(f"No client {client!r}; choose one of: {', '.join(ASKS)}.")
    files = _files(client, place)
    if scope and scope not in files:
        raise InstallError(f"{client} takes no scope {scope!r}; use {' or '.join(files)}.")
    path, before = _read(files[scope or next(iter(files))])
    root = {"vscode": "servers", "codex": "mcp_servers"}.get(client, "mcpServers")
    toml = client == "codex"
    entry: dict[str, Any] = {} if client in ("codex", "claude-desktop") else {"type": "stdio"}
    entry |= {"command": command[0], "args": list(command[1:])}
    entry |= {"env": dict(env)} if env else {}
    snippet = (tomlkit.dumps if toml else partial(_dump, indent=2))({root: {NAME: entry}})
    text = (before or "") if toml or (before or "").strip() else "{}\n"
    wanted = _parse(path, text, snippet, toml)
    old = _entry_in(wanted, root, path)
    new = old | entry | ({"env": old.get("env", {}) | dict(env)} if env else {})
    public = frozenset(m[0] for m in STRING.finditer(_dump([entry, old | {"env": 0}])))
    wanted.setdefault(root, {})[NAME] = new
    for after in chain([text], (_toml_edits if toml else _json_edits)(text, root, new)):
        with suppress(ValueError):
            if (tomllib.loads if toml else json.loads)(after) == wanted:
                return Proposal(path, before, after, after is text, snippet, public)
    raise InstallError(f"{path}: cannot be edited safely; add the lines by hand.", snippet)


def _read(path: Path) -> tuple[Path, str | None]:
    """The file itself (links followed) and its text; None if there is no file."""
    try:
        path = path.resolve()
        return path, path.read_bytes().decode()
    except FileNotFoundError:
        return path, None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InstallError(f"{path}: line {line} is not UTF-8 text.") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise InstallError(f"{path}: cannot be read ({error}).") from None


def _parse(path: Path, text: str, snippet: str, toml: bool) -> Any:
    try:
        return tomllib.loads(text) if toml else json.loads(text)
    except json.JSONDecodeError as error:
        comment = text.startswith(("//", "/*"), error.pos)
        what = "has a comment; add the lines by hand" if comment else f"is not JSON ({error.msg})"
        raise InstallError(f"{path}: line {error.lineno} {what}.", snippet * comment) from None
    except (ValueError, RecursionError) as error:
        why = str(error).replace("end of document", f"the end, line {len(text.splitlines())}")
        raise InstallError(f"{path}: cannot be read: {why}.") from None


def _entry_in(document: object, root: str, path: Path) -> dict[str, Any]:
    """Our entry as it stands now, {} if there is none."""
    inside: Any = {"": document}
    names = {"": "line 1", root: root, NAME: f"{root}.{NAME}", "env": f"{root}.{NAME}.env"}
    for key, name in names.items():
        entry, inside = inside, inside.get(key, {})
        if not isinstance(inside, dict):
            raise InstallError(f"{path}: {name} should be a table of names and values.")
    if "url" in entry:
        raise InstallError(f"{path}: {root}.{NAME} is a remote server (url); remove it first.")
    return dict(entry)


def _json_edits(text: str, root: str, entry: dict[str, Any]) -> Iterator[str]:
    """Texts with `entry` put in where it may belong, every other byte as it was."""
    style = re.match(r'\s*\{[ \t]*(\r?\n)([ \t]+)"', text)
    newline, unit = style.groups() if style else ("\n", "  ")

    def lines(value: object, depth: int) -> str:
        return _dump(value, indent=unit).replace("\n", newline + unit * depth)

    def insert(at: int, depth: int, member: str) -> str:
        rest = text[at:]
        empty = rest.lstrip().startswith("}")
        rest = newline + unit * (depth - 1) + rest.lstrip() if empty else "," + rest
        return text[:at] + newline + unit * depth + member + rest

    def places(pattern: str) -> list[int]:
        found = re.finditer(rf"[ \t]*{pattern}", text)  # the least indented is the likeliest
        return [match.end() for match in sorted(found, key=lambda match: len(match[0]))]

    yield insert(text.index("{") + 1, 1, f'"{root}": {lines({NAME: entry}, 1)}')
    for at in places(rf'"{NAME}"\s*:\s*(?=\{{)'):
        with suppress(ValueError):
            yield text[:at] + lines(entry, 2) + text[json.JSONDecoder().raw_decode(text, at)[1] :]
    for at in places(rf'"{root}"\s*:\s*\{{'):
        yield insert(at, 2, f'"{NAME}": {lines(entry, 2)}')


def _toml_edits(text: str, root: str, entry: dict[str, Any]) -> Iterator[str]:
    """`text` with a new table [root.cordboard] at its end, and with the one it has changed."""
    newline = "\r\n" if "\r\n" in text else "\n"
    added = tomlkit.dumps({root: {NAME: entry}}).replace("\n", newline)
    yield text.rstrip() + newline * 2 + added if text.strip() else added
    with suppress(TOMLKitError):
        document: Any = tomlkit.parse(text)
        table = document.setdefault(root, {}).setdefault(NAME, {})
        changes = {key: value for key, value in entry.items() if table.get(key) != value}
        if "env" in table:
            table["env"].update(changes.pop("env", {}))
        table.update(changes)
        yield tomlkit.dumps(document)


def write(proposal: Proposal, now: datetime) -> Path | None:
    """Write it, all or nothing. Returns the copy of the old file; None if there was none."""
    path, before = proposal.path, proposal.before
    if _read(path)[1] != before:
        raise InstallError(f"{path}: changed since it was read; nothing was written. Try again.")
    copy = path.with_name(f"{path.name}.bak-{now:%Y%m%d-%H%M%S}") if before is not None else None
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o7777 if copy else 0o600
        if copy:
            _create(copy, before or "", mode)
        try:
            _create(temporary, proposal.after, mode)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, UnicodeEncodeError) as error:
        raise InstallError(f"{path}: cannot be written ({error}).") from None
    return copy


def _create(path: Path, text: str, mode: int) -> None:
    """A new file, on the disk when this returns, and never open to more people than `mode`."""
    with open(path, "xb", opener=partial(os.open, mode=0o600)) as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    path.chmod(mode)


def diff(proposal: Proposal) -> Text:
    """The change, coloured. Strings of other entries show as "…": they may be secrets."""

    def public(string: re.Match[str]) -> str:
        return string[0] if string["names"] or string[0] in proposal.public else '"…"'

    old, path = (proposal.before or "").splitlines(), str(proposal.path)
    was = path if proposal.before is not None else "(no file yet)"
    rows = difflib.unified_diff(old, proposal.after.splitlines(), was, path, lineterm="")
    return Text("\n").join(Text(STRING.sub(public, row), COLOURS.get(row[0], "")) for row in rows)


def install_command(
    client: str,
    scope: str,
    yes: bool,
    place: Place,
    command: Sequence[str],
    console: Console,
    confirm: Callable[[str], bool] | None,
    defaults: Mapping[str, str],
) -> bool:
    """The command; `confirm` is None where there is no terminal. False: the person said no."""
    say = partial(console.print, markup=False, highlight=False, emoji=False, soft_wrap=True)
    try:
        proposal = propose(client, place, command, server_environment(place, defaults), scope)
        if not (proposal.already or yes or confirm):
            how = f"run it again with --yes, or add the lines above to {proposal.path} by hand"
            raise InstallError(f"No terminal to ask at: {how}.", proposal.snippet)
    except InstallError as error:
        if error.snippet:
            say(error.snippet)
        raise
    if proposal.already:
        say(f"Cordboard is already in {proposal.path}; nothing was changed.")
    else:
        change = diff(proposal)
        say(change, *(["\n(strings of other entries show as “…”)"] if "…" in change.plain else []))
        if not yes and confirm and not confirm(f"Write this to {proposal.path}?"):
            say("Nothing was written.")
            return False
        copy = write(proposal, datetime.now().astimezone())
        say(f"Written. The old file is kept as {copy}." if copy else "Written.")
    say(ASKS[client])
    return True
