"""The house's rules on who may import what, read from the sources.

A room is a module or a folder in `missive_host`. Imports under ``if TYPE_CHECKING:`` cost nothing and make no cycle, so
the table is about what is imported when the code runs, at the top or inside a function; the bans are about both.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from missive_host.hookspecs import HOOKS

ROOT = Path(__file__).parents[2]
HOST = ROOT / "missive_host"
PLUGINS = {folder.name: folder for folder in sorted(ROOT.glob("plugins/*/missive_*")) if folder.is_dir()}

LEAVES = {"__version__", "errors", "folders", "ids", "telemetry"}
WORDS = LEAVES | {"commands", "outputs"}
"""The command model and the result documents."""
FOR_PEOPLE = {"outputs_host", "outputs_plugins", "outputs_chat", "outputs_doctor", "outputs_logs"}
"""The result documents that only the command line has."""
RESULTS = {file.stem for file in HOST.glob("outputs_*.py")} - FOR_PEOPLE
"""The result documents of one noun each, so that a command imports only its own."""
AUTHORS = {"hookspecs", "specs", "protocols", "envelopes", "commands", "errors"}
"""What a plugin is written against."""
SCHEMAS = {"contracts"}
"""What it may ask for the schemas of its documents."""
BELOW_CORE = WORDS | RESULTS | AUTHORS | {"a2a", "collectives", "config", "contracts", "routing", "security", "store"}

MAY_IMPORT: dict[str, set[str]] = {
    "deprecation": set(),
    "errors": set(),
    "folders": {"errors"},
    "ids": set(),
    "telemetry": set(),
    "commands": {"errors"},
    "outputs": {"errors"},
    "outputs_host": {"outputs"},
    "outputs_adapters": {"outputs"},
    "outputs_chat": {"outputs"},
    "outputs_collectives": {"errors", "outputs"},
    "outputs_events": {"outputs"},
    "outputs_gateway": {"outputs"},
    "outputs_doctor": {"outputs"},
    "outputs_groups": {"outputs"},
    "outputs_intake": {"errors", "outputs"},
    "outputs_jobs": {"errors", "outputs"},
    "outputs_logs": {"outputs"},
    "outputs_plugins": {"outputs", "outputs_chat"},
    "outputs_push": {"outputs"},
    "outputs_routes": {"errors", "outputs"},
    "outputs_sessions": {"outputs"},
    "outputs_store": {"outputs"},
    "outputs_tokens": {"outputs"},
    "envelopes": {"commands", "contracts", "deprecation", "errors", "outputs"},
    "contracts": {"commands", "config", "envelopes", "errors", "outputs"},
    "specs": {"deprecation"},
    "hookspecs": {"deprecation", "specs"},
    "protocols": {"deprecation", "envelopes", "errors", "specs"},
    "plugins": {"contracts", "deprecation", "errors", "hookspecs", "specs"},
    "config": WORDS | {"security"},
    "security": WORDS | {"config", "protocols"},
    "store": LEAVES,
    "a2a": WORDS,
    "routing": WORDS | {"a2a", "core", "outputs_routes", "protocols", "specs", "store"},
    "collectives": WORDS | {"a2a", "core", "outputs_collectives", "protocols", "specs", "store"},
    "core": BELOW_CORE | {"plugins"},
    "adapter_options": {"config", "errors", "security", "specs"},
    "filters": {
        "adapter_options",
        "commands",
        "config",
        "envelopes",
        "errors",
        "outputs",
        "protocols",
        "security",
        "specs",
    },
    "runner": BELOW_CORE | {"core"},
    "testing": WORDS | AUTHORS | {"adapter_options", "config", "contracts", "core", "gateway", "plugins", "security"},
    "demo": WORDS | AUTHORS | {"config", "core", "plugins", "security"},
    "gateway": BELOW_CORE | {"adapter_options", "filters", "core", "plugins", "runner"},
    "doctor": {
        "__version__",
        "a2a",
        "adapter_options",
        "config",
        "core",
        "errors",
        "filters",
        "gateway",
        "outputs_doctor",
        "outputs_gateway",
        "protocols",
        "security",
        "store",
    },
    "logs": {"config", "folders", "outputs_logs", "security", "telemetry"},
    "scaffold": {"__version__", "errors"},
    "cli": BELOW_CORE
    | FOR_PEOPLE
    | {"adapter_options", "core", "demo", "doctor", "filters", "gateway", "logs", "plugins", "runner", "scaffold"},
    "__init__": set(),
    "__main__": {"cli"},
}
"""Room -> the rooms that it may import."""

ONLY_IN: dict[str, set[str]] = {
    "a2a": {"a2a", "demo"},
    "grpc": {"a2a", "demo"},
    "google": {"a2a", "demo"},
    "sqlite3": {"store"},
    "click": {"cli"},
    "opentelemetry": {"telemetry"},
    "prometheus_client": {"gateway"},
    "starlette": {"demo", "gateway"},
    "uvicorn": {"demo", "gateway"},
}
"""A package -> the rooms that may know it."""

FOR_THE_HOST = {"a2a", "click", "grpc"}
"""What no plugin imports. `sqlite3` it may have, for a file of its own in its data folder."""
FOR_PLUGINS = {f"missive_host.{room}" for room in AUTHORS | SCHEMAS | {"testing"}}
FOR_DECLARATIONS = {"missive_host.hookspecs", "missive_host.specs"}
HEAVY = {"a2a", "anyio", "asyncio", "grpc", "httpx", "jsonschema", "pydantic", "socket", "sqlite3", "ssl", "starlette"}


@dataclass(frozen=True)
class Import:
    file: Path
    line: int
    module: str
    typing_only: bool

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]

    @property
    def room(self) -> str:
        """The room of `missive_host` that is imported."""
        return self.module.split(".")[1] if "." in self.module else "__init__"

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def imports_of(file: Path, source: str) -> Iterator[Import]:
    tree = ast.parse(source)
    for_typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        names: list[str]
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} has a relative import"
            whole = node.module or ""
            # `from missive_host import errors` is an import of the room, not of the package
            names = [f"{whole}.{alias.name}" for alias in node.names] if whole == "missive_host" else [whole]
        else:
            continue
        for name in names:
            yield Import(file, node.lineno, name, id(node) in for_typing)


def imports_below(folder: Path) -> list[Import]:
    files = sorted(folder.rglob("*.py"))
    assert files
    return [item for file in files for item in imports_of(file, file.read_text(encoding="utf-8"))]


def room_of(file: Path) -> str:
    return file.relative_to(HOST).parts[0].removesuffix(".py")


IMPORTS = imports_below(HOST)


def test_the_reader_of_imports_sees_them_all() -> None:
    source = (
        "import a.b, c\nfrom missive_host import errors, core\nfrom missive_host.cli.kit import App\n"
        "def f():\n    from d import e\nif TYPE_CHECKING:\n    import g\nelse:\n    import h\n"
    )
    found = {(item.module, item.typing_only) for item in imports_of(HOST / "x.py", source)}
    assert found == {
        ("a.b", False), ("c", False), ("missive_host.errors", False), ("missive_host.core", False),
        ("missive_host.cli.kit", False), ("d", False), ("g", True), ("h", False),
    }  # fmt: skip


def test_every_room_has_its_line_in_the_table() -> None:
    rooms = {room_of(file) for file in HOST.rglob("*.py")}
    assert rooms <= set(MAY_IMPORT), "decide what the new room may import, and write it into the table"


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_what_it_may(room: str) -> None:
    wrong = [
        str(item)
        for item in IMPORTS
        if item.package == "missive_host"
        and room_of(item.file) == room
        and item.room not in {room, *MAY_IMPORT[room]}
        and not item.typing_only
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", sorted(ONLY_IN))
def test_a_package_is_known_only_where_it_belongs(package: str) -> None:
    wrong = [str(item) for item in IMPORTS if item.package == package and room_of(item.file) not in ONLY_IN[package]]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_leaves_agents_and_the_store_to_the_host(plugin: str) -> None:
    wrong = [str(item) for item in imports_below(PLUGINS[plugin]) if item.package in FOR_THE_HOST]
    assert not wrong, "\n".join(wrong)


def test_nothing_below_the_doors_knows_them_even_for_typing() -> None:
    doors = {"cli", "gateway"}
    above = {*doors, "__main__", "doctor", "testing"}
    wrong = [
        str(item)
        for item in IMPORTS
        if item.package == "missive_host" and item.room in doors and room_of(item.file) not in above
    ]
    assert not wrong, "\n".join(wrong)


# --- plugins


def test_the_built_in_plugins_are_those_of_the_metadata() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    points = project["project"]["entry-points"]["missive.plugins"]
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert sorted(points.values()) == sorted(PLUGINS)
    assert {folder.relative_to(ROOT).as_posix() for folder in PLUGINS.values()} <= set(packages)
    for name, target in points.items():
        assert target == f"missive_{name}"


@pytest.mark.parametrize("plugin", PLUGINS)
def test_the_host_never_names_a_built_in_plugin(plugin: str) -> None:
    # one package has the name of a hook; there only what can reach it counts: an import, or "package:attribute"
    named = rf"(import|from)\s+{plugin}\b|\b{plugin}[.:]\w" if plugin in HOOKS else re.escape(plugin)
    wrong = [str(file) for file in HOST.rglob("*.py") if re.search(named, file.read_text(encoding="utf-8"))]
    assert not wrong


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_imports_only_what_a_strangers_may(plugin: str) -> None:
    wrong = []
    for item in imports_below(PLUGINS[plugin]):
        allowed = FOR_PLUGINS | ({"missive_host.outputs"} if item.typing_only else set())
        stranger = item.package.startswith("missive_") and item.package not in ("missive_host", plugin)
        if stranger or (item.package == "missive_host" and item.module not in allowed):
            wrong.append(str(item))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_declaration_module_imports_nothing_heavy(plugin: str) -> None:
    file = PLUGINS[plugin] / "__init__.py"
    light = sys.stdlib_module_names - HEAVY
    wrong = [
        str(item)
        for item in imports_of(file, file.read_text(encoding="utf-8"))
        if not item.typing_only
        and item.module not in FOR_DECLARATIONS | {f"{plugin}.{name}" for name in ("kinds", "noun", "options")}
        and item.package not in light
    ]
    assert not wrong, "\n".join(wrong)
    code = (
        "import sys, json, missive_host.hookspecs\nbefore = set(sys.modules)\n"
        f"import {plugin}\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    brought: list[Any] = json.loads(done.stdout)
    assert plugin in brought
    assert not {name.partition(".")[0] for name in brought} & HEAVY
    assert len(brought) <= 6, brought
