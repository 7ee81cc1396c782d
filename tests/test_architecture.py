"""The shape of the code, held as a test: who may import whom, and how big a room may get.

The tables below are the rules. The rest of this file reads the source with `ast` and applies them;
the last part plants one violation of each kind to show that the reading finds it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parents[1]
SOURCE_ROOTS = ("server", "tools")

MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 40  # from `def` to its last line, the docstring not counted

# Such a name says that nobody knew what the module is about.
NAMELESS = {"common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}


@dataclass(frozen=True)
class Rule:
    """`who` may not import `never`, save the modules in `unless`.

    A name stands for a module and for all that is inside it, because a crowded module becomes a
    folder of the same name. `*` matches any text.
    """

    says: str
    who: tuple[str, ...]
    never: tuple[str, ...]
    unless: tuple[str, ...] = ()


EVERYTHING = ("cordboard", "cordboard_tools")
CLI = "cordboard.cli"
# The ends of the house: each is wired in app.py, and nothing below may know them.
ENDS = ("cordboard.app", CLI, "cordboard.mcp_server", "cordboard.web", "cordboard_tools")

IMPORT_RULES = (
    Rule(
        "only number.py imports phonenumbers", EVERYTHING, ("phonenumbers",), ("cordboard.number",)
    ),
    Rule("only http_client.py imports httpx", EVERYTHING, ("httpx",), ("cordboard.http_client",)),
    Rule(
        "only config.py reads the environment",
        EVERYTHING,
        ("os.environ", "os.environb", "os.getenv", "os.getenvb"),
        ("cordboard.config",),
    ),
    Rule(
        "only mcp_server speaks MCP, and the demo as its client",
        EVERYTHING,
        ("mcp", "mcp_types"),
        ("cordboard.mcp_server", "cordboard.cli.demo*"),
    ),
    Rule(
        "only the SQLite store imports sqlite3",
        EVERYTHING,
        ("sqlite3", "apsw"),
        ("cordboard.stores.sqlite*",),
    ),
    Rule("typer and rich stay in the command line", EVERYTHING, ("typer", "click", "rich"), (CLI,)),
    Rule(
        "tools are wired by app.py and cli alone",
        ("cordboard",),
        ("cordboard_tools",),
        ("cordboard.app", CLI),
    ),
    Rule(
        "tools call the service, nothing below or beside it",
        ("cordboard_tools",),
        (
            "cordboard.app",
            "cordboard.carriers.[a-z]*",  # an adapter; types begin with a capital
            "cordboard.cli",
            "cordboard.engine",
            "cordboard.http_client",
            "cordboard.platforms.[a-z]*",
            "cordboard.stores",
            "cordboard.web",
        ),
    ),
    Rule(
        "arrows go one way: the service and what is below it know none of the ends",
        (
            "cordboard.carriers",
            "cordboard.engine",
            "cordboard.guard",
            "cordboard.http_client",
            "cordboard.platforms",
            "cordboard.service",
            "cordboard.stores",
        ),
        ENDS,
    ),
    Rule(
        "arrows go one way: below the service nothing knows the service",
        (
            "cordboard.carriers",
            "cordboard.engine",
            "cordboard.guard",
            "cordboard.http_client",
            "cordboard.platforms",
            "cordboard.stores",
        ),
        ("cordboard.service",),
    ),
    Rule(
        "arrows go one way: stores, platforms and carriers know neither guard nor engine",
        ("cordboard.carriers", "cordboard.http_client", "cordboard.platforms", "cordboard.stores"),
        ("cordboard.engine", "cordboard.guard"),
    ),
    Rule(
        "an adapter knows no store, save the local platform, which is one",
        ("cordboard.platforms.*", "cordboard.carriers.*"),
        ("cordboard.stores",),
        ("cordboard.platforms.local",),
    ),
)

# A leaf may import the standard library, other people's packages, and of our own only these.
LEAVES = {
    "cordboard.canonical": (),
    "cordboard.errors": (),
    "cordboard.number": ("cordboard.errors",),
    "cordboard.binding": ("cordboard.errors", "cordboard.number"),
    "cordboard.identity": ("cordboard.errors",),
    "cordboard.progress": (),
    "cordboard.telemetry": ("cordboard.errors",),
    "cordboard.request": ("cordboard.binding", "cordboard.errors", "cordboard.number"),
    "cordboard.plan": (
        "cordboard.binding",
        "cordboard.canonical",
        "cordboard.errors",
        "cordboard.number",
        "cordboard.request",
    ),
    "cordboard.policy": (
        "cordboard.binding",
        "cordboard.canonical",
        "cordboard.errors",
        "cordboard.plan",
        "cordboard.request",
    ),
}

# One module may not import both, save those in the third place.
NEVER_TOGETHER = (("cordboard.service", "cordboard.stores.sqlite", ("cordboard.app", CLI)),)

# The modules directly in one of these are siblings, and do not know each other.
ADAPTERS = ("cordboard.platforms", "cordboard.carriers")


# --- reading the source -----------------------------------------------------------------------


@dataclass(frozen=True)
class Use:
    """One import, or one use of an imported module's attribute, and the names it may stand for."""

    line: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Module:
    """One source file: where it is, what it is called, and what it says."""

    path: str
    name: str
    text: str

    @property
    def tree(self) -> ast.Module:
        """The parsed source."""
        return _parsed(self.path, self.text)

    @property
    def is_package(self) -> bool:
        """Whether this is a folder's `__init__.py`."""
        return self.path.endswith("__init__.py")

    def uses(self) -> Iterator[Use]:
        """Every use of another module, wherever in the file: lazy and type-only imports too."""
        aliases: dict[str, str] = {}
        for node in ast.walk(self.tree):
            match node:
                case ast.Import():
                    for alias in node.names:
                        aliases[alias.asname or alias.name.split(".")[0]] = (
                            alias.name if alias.asname else alias.name.split(".")[0]
                        )
                        yield Use(node.lineno, (alias.name,))
                case ast.ImportFrom():
                    base = self._absolute(node)
                    for alias in node.names:
                        full = f"{base}.{alias.name}"
                        aliases[alias.asname or alias.name] = full
                        yield Use(node.lineno, (base, full))
        yield from self._indirect_uses(aliases)

    def _indirect_uses(self, aliases: dict[str, str]) -> Iterator[Use]:
        for node in ast.walk(self.tree):
            match node:
                case ast.Attribute() if (dotted := _dotted(node, aliases)) is not None:
                    yield Use(node.lineno, (dotted,))
                case ast.Call(args=[ast.Constant(value=str(name)), *_]) if _dotted(
                    node.func, aliases
                ) in {"__import__", "importlib.import_module"}:
                    yield Use(node.lineno, (name,))
                case ast.keyword(arg="envvar"):  # typer reads the environment through it
                    yield Use(node.value.lineno, ("os.environ",))

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.name.split(".") if self.is_package else self.name.split(".")[:-1]
        package = package[: len(package) - node.level + 1]
        return ".".join([*package, *([node.module] if node.module else [])])


def _dotted(node: ast.expr, aliases: dict[str, str]) -> str | None:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    if node.id == "__import__":
        return node.id
    return ".".join([aliases[node.id], *reversed(parts)]) if node.id in aliases else None


@cache
def _parsed(path: str, text: str) -> ast.Module:
    return ast.parse(text, filename=path)


@cache
def our_modules() -> tuple[Module, ...]:
    """Every Python file below the source roots."""
    found = []
    for root in SOURCE_ROOTS:
        for file in sorted((ROOT / root).rglob("*.py")):
            dotted = ".".join(file.relative_to(ROOT / root).with_suffix("").parts)
            path = file.relative_to(ROOT).as_posix()
            found.append(Module(path, dotted.removesuffix(".__init__"), file.read_text("utf-8")))
    return tuple(found)


def is_within(name: str, *patterns: str) -> bool:
    """Whether a name is one of these, or inside one of them."""
    return any(fnmatchcase(name, p) or fnmatchcase(name, f"{p}.*") for p in patterns)


# --- the checks -------------------------------------------------------------------------------


def broken_imports(module: Module, rule: Rule) -> list[str]:
    """Where this module breaks this rule."""
    if not is_within(module.name, *rule.who) or is_within(module.name, *rule.unless):
        return []
    return [
        f"{module.path}:{use.line}: uses {use.names[-1]}; {rule.says}"
        for use in module.uses()
        if any(is_within(name, *rule.never) for name in use.names)
    ]


def broken_leaf(module: Module) -> list[str]:
    """What a leaf imports of our own that is not on its list."""
    leaf = next((leaf for leaf in LEAVES if is_within(module.name, leaf)), None)
    if leaf is None:
        return []
    allowed = (leaf, *LEAVES[leaf])
    return [
        f"{module.path}:{use.line}: uses {use.names[-1]}; {leaf} is a leaf and may import of our "
        f"own only {', '.join(LEAVES[leaf]) or 'nothing'}"
        for use in module.uses()
        if is_within(use.names[-1], *EVERYTHING)
        and not any(is_within(name, *allowed) for name in use.names)
    ]


def broken_pairs(module: Module) -> list[str]:
    """Where this module knows two others that only the wiring may know together."""
    found = []
    for one, other, unless in NEVER_TOGETHER:
        lines = {
            end: use.line
            for use in module.uses()
            for end in (one, other)
            if any(is_within(name, end) for name in use.names)
        }
        if len(lines) == 2 and not is_within(module.name, *unless):
            line = max(lines.values())
            found.append(
                f"{module.path}:{line}: uses both {one} and {other}; only {', '.join(unless)} may"
            )
    return found


def broken_siblings(module: Module, names: frozenset[str]) -> list[str]:
    """What an adapter imports of another adapter in its folder; `names` are all our modules."""
    found = []
    for folder in ADAPTERS:
        if not is_within(module.name, f"{folder}.*"):
            continue
        me = ".".join(module.name.split(".")[: folder.count(".") + 2])
        siblings = {n for n in names if is_within(n, f"{folder}.*") and not is_within(n, me)}
        found += [
            f"{module.path}:{use.line}: uses {use.names[-1]}; an adapter knows none of its siblings"
            for use in module.uses()
            if any(is_within(name, *siblings) for name in use.names)
        ]
    return found


def oversized(module: Module) -> list[str]:
    """A module or a function that has grown too long."""
    lines = len(module.text.splitlines())
    found = []
    if lines > MAX_MODULE_LINES:
        found.append(f"{module.path}:1: {lines} lines; a module has at most {MAX_MODULE_LINES}")
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = _length(node)
            if length > MAX_FUNCTION_LINES:
                found.append(
                    f"{module.path}:{node.lineno}: {node.name} has {length} lines; "
                    f"a function has at most {MAX_FUNCTION_LINES}"
                )
    return found


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    match node.body[0]:
        case ast.Expr(value=ast.Constant(value=str())) as docstring:
            length -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return length


def nameless(module: Module) -> list[str]:
    """A module or folder whose name says nothing."""
    return [
        f"{module.path}:1: nothing is named {part}; name it for what it holds"
        for part in module.name.split(".")
        if part in NAMELESS
    ]


# --- the rules, held on our own source ---------------------------------------------------------


def told(broken: list[str]) -> str:
    """A failure that names every place."""
    return "\n" + "\n".join(broken)


def test_the_source_is_where_this_test_looks() -> None:
    for package in ("server/cordboard", "tools/cordboard_tools"):
        assert (ROOT / package).is_dir(), f"{package} is gone: change SOURCE_ROOTS"
    assert our_modules(), "no source found, so nothing was checked"


@pytest.mark.parametrize("rule", IMPORT_RULES, ids=lambda rule: rule.says)
def test_import_rule_holds(rule: Rule) -> None:
    broken = [line for module in our_modules() for line in broken_imports(module, rule)]
    assert not broken, told(broken)


def test_leaves_import_only_the_leaves_on_their_list() -> None:
    broken = [line for module in our_modules() for line in broken_leaf(module)]
    assert not broken, told(broken)


def test_only_the_wiring_knows_both_the_service_and_its_store() -> None:
    broken = [line for module in our_modules() for line in broken_pairs(module)]
    assert not broken, told(broken)


def test_adapters_do_not_know_each_other() -> None:
    names = frozenset(module.name for module in our_modules())
    broken = [line for module in our_modules() for line in broken_siblings(module, names)]
    assert not broken, told(broken)


def test_modules_and_functions_stay_small() -> None:
    broken = [line for module in our_modules() for line in oversized(module)]
    assert not broken, told(broken)


def test_every_module_is_named_for_what_it_holds() -> None:
    broken = [line for module in our_modules() for line in nameless(module)]
    assert not broken, told(broken)


# --- the checker, checked on planted violations ------------------------------------------------


def planted(name: str, source: str, *, package: bool = False) -> Module:
    """A module that is not in the tree."""
    path = name.replace(".", "/") + ("/__init__.py" if package else ".py")
    return Module(f"planted/{path}", name, dedent(source))


PLANTED_IMPORTS = (
    ("cordboard.plan", "import phonenumbers", "phonenumbers"),
    ("cordboard.plan", "from phonenumbers import parse", "phonenumbers"),
    ("cordboard.service", "def late():\n    import httpx", "httpx"),
    ("cordboard_tools.numbers", "import os\nx = os.environ['HOME']", "environment"),
    ("cordboard.app", "from os import getenv as read", "environment"),
    ("cordboard.app", "import os as system\nsystem.getenv('HOME')", "environment"),
    ("cordboard.cli.plans", "import typer\ntyper.Option('', envvar='HOME')", "environment"),
    ("cordboard_tools.routing", "from mcp.types import TextContent", "MCP"),
    ("cordboard.cli.doctor", "import mcp_types", "MCP"),
    ("cordboard.engine", "import sqlite3", "SQLite"),
    ("cordboard.engine", "import importlib\nimportlib.import_module('sqlite3')", "SQLite"),
    ("cordboard.engine", "db = __import__('sqlite3')", "SQLite"),
    ("cordboard.service", "from rich.console import Console", "command line"),
    ("cordboard.mcp_server", "from cordboard_tools import TOOLS", "tools are wired"),
    ("cordboard_tools.plans", "from cordboard.stores import Store", "tools call the service"),
    ("cordboard_tools.plans", "from cordboard import engine", "tools call the service"),
    ("cordboard_tools.plans", "from cordboard.platforms.local import X", "tools call the service"),
    ("cordboard.service.changing", "from ..app import build", "none of the ends"),
    ("cordboard.engine", "from .service import BindingService", "knows the service"),
    ("cordboard.stores.plans", "from cordboard.guard import Clearance", "neither guard nor engine"),
    ("cordboard.platforms.bland", "from cordboard.stores import Store", "no store"),
    ("cordboard.carriers.twilio", "from cordboard import stores", "no store"),
)


@pytest.mark.parametrize(("name", "source", "expected"), PLANTED_IMPORTS)
def test_the_checker_finds_a_planted_import(name: str, source: str, expected: str) -> None:
    module = planted(name, source)
    broken = [line for rule in IMPORT_RULES for line in broken_imports(module, rule)]
    assert any(expected in line for line in broken), broken
    line = source.count("\n") + 1
    assert all(found.startswith(f"{module.path}:{line}: ") for found in broken if expected in found)


ALLOWED_IMPORTS = (
    ("cordboard.number", "import phonenumbers"),
    ("cordboard.number.parsing", "import phonenumbers"),
    ("cordboard.config", "import os\nos.environ.get('HOME')"),
    ("cordboard.engine", "import os\nos.fsync(1)"),
    ("cordboard.mcp_server.strict", "from mcp.server import MCPServer"),
    ("cordboard.cli.demo_story", "from mcp import Client"),
    ("cordboard.stores.sqlite_schema", "import sqlite3"),
    ("cordboard.platforms.local.importing", "from cordboard.stores import Store"),
    ("cordboard.platforms", "from cordboard.stores import Transaction"),
    ("cordboard.app", "from cordboard_tools import TOOLS\nfrom cordboard.service import Service"),
    ("cordboard_tools.numbers", "from cordboard.service import Service"),
    ("cordboard_tools.numbers", "from cordboard.platforms import NumberFilter"),
    ("cordboard.service", "import httpx2\nenviron = {}\nenviron.get('HOME')"),
)


@pytest.mark.parametrize(("name", "source"), ALLOWED_IMPORTS)
def test_the_checker_lets_an_allowed_import_pass(name: str, source: str) -> None:
    module = planted(name, source)
    assert [line for rule in IMPORT_RULES for line in broken_imports(module, rule)] == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("cordboard.errors", "from cordboard.number import Number"),
        ("cordboard.binding", "from cordboard import plan"),
        ("cordboard.plan", "from .policy import Level"),
        ("cordboard.policy", "import cordboard.guard"),
        ("cordboard.number.checking", "from .. import config"),
    ],
)
def test_the_checker_finds_a_leaf_that_grew_a_branch(name: str, source: str) -> None:
    assert len(broken_leaf(planted(name, source))) == 1


def test_the_checker_lets_a_leaf_use_the_leaves_on_its_list() -> None:
    source = """
        import hashlib
        import rfc8785
        from cordboard import number
        from cordboard.binding import Agent
        from .errors import CordboardError
    """
    assert broken_leaf(planted("cordboard.plan", source)) == []
    assert broken_leaf(planted("cordboard.plan.hashing", "from . import images")) == []


def test_the_checker_finds_a_second_place_that_wires() -> None:
    source = """
        from cordboard.service import BindingService
        from cordboard.stores import sqlite
    """
    [broken] = broken_pairs(planted("cordboard.web.routes", source))
    assert broken.startswith("planted/cordboard/web/routes.py:3: uses both cordboard.service and ")
    assert broken_pairs(planted("cordboard.app", source)) == []
    assert broken_pairs(planted("cordboard.web.routes", source.splitlines()[1].strip())) == []


def test_the_checker_finds_an_adapter_that_knows_its_sibling() -> None:
    names = frozenset(
        {"cordboard.platforms", "cordboard.platforms.bland", "cordboard.platforms.unleashx.calls"}
    )
    for source in ("from cordboard.platforms import bland", "from .bland import Bland"):
        assert len(broken_siblings(planted("cordboard.platforms.unleashx", source), names)) == 1
    fine = "from . import calls\nfrom cordboard.platforms import Abilities"
    assert broken_siblings(planted("cordboard.platforms.unleashx", fine, package=True), names) == []
    assert (
        broken_siblings(planted("cordboard.app", "from cordboard.platforms import bland"), names)
        == []
    )


def test_the_checker_measures_modules_and_functions() -> None:
    full = "def f():\n" + "    x = 1\n" * (MAX_FUNCTION_LINES - 1)
    assert oversized(planted("cordboard.service", full)) == []
    [broken] = oversized(planted("cordboard.service", full + "    x = 2\n"))
    assert broken.startswith(
        f"planted/cordboard/service.py:1: f has {MAX_FUNCTION_LINES + 1} lines"
    )
    documented = full.replace("def f():\n", 'async def f():\n    """One.\n\n    Two.\n    """\n')
    assert oversized(planted("cordboard.service", documented)) == []
    assert oversized(planted("cordboard.service", "x = 1\n" * MAX_MODULE_LINES)) == []
    assert len(oversized(planted("cordboard.service", "x = 1\n" * (MAX_MODULE_LINES + 1)))) == 1


def test_the_checker_finds_a_name_that_says_nothing() -> None:
    assert nameless(planted("cordboard.utils", "")) != []
    assert nameless(planted("cordboard.stores.helpers.rows", "")) != []
    assert nameless(planted("cordboard.service", "")) == []
