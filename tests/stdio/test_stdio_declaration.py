"""The plugin as a stranger would write it: what it declares, and what it imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import missive_stdio
import pytest
from stdio_kit import adapter

from missive_host.hookspecs import HOOK_API
from missive_host.protocols import Adapter

if TYPE_CHECKING:
    from missive_host.specs import AdapterSpec

SOURCES = sorted(Path(missive_stdio.__file__).parent.glob("*.py"))
MAY_IMPORT = {"hookspecs", "specs", "protocols", "envelopes", "commands", "errors"}


def spec() -> AdapterSpec:
    (found,) = missive_stdio.missive_adapters()
    return found


def test_the_declaration() -> None:
    found = spec()
    assert found.name == "stdio"
    assert found.accepts == found.emits == ("missive.stdio.v1",)
    assert missive_stdio.MISSIVE_API == HOOK_API
    options = {option.name: option for option in found.options}
    assert {name: option.default for name, option in options.items()} == {
        "mode": None,
        "framing": None,
        "concurrency": 4,
        "max_line": 8 * 1024 * 1024,
    }
    assert options["mode"].choices == ("single-shot", "long-running")
    assert options["framing"].choices == ("json", "ndjson")
    assert (options["concurrency"].minimum, options["concurrency"].maximum) == (1, 1024)
    assert all(option.help for option in found.options)
    assert found.examples


def test_the_factory_makes_an_adapter() -> None:
    module, _, name = spec().factory.partition(":")
    factory = getattr(import_module(module), name)
    door = adapter(0, 1)
    assert type(door) is factory
    assert isinstance(door, Adapter)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_it_imports_only_what_a_plugin_may(path: Path) -> None:
    tree = ast.parse(path.read_text())
    for_typing = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            package, _, module = name.partition(".")
            allowed = MAY_IMPORT | ({"outputs"} if node in for_typing else set())
            assert package != "missive_host" or module in allowed, f"{path.name} imports {name}"


def test_the_declaration_imports_nothing_heavy() -> None:
    script = (
        "import sys; import missive_host.hookspecs, missive_host.specs; before = set(sys.modules); "
        "import missive_stdio; list(missive_stdio.missive_adapters()); print(*(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["missive_stdio"]
