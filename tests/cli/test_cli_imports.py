"""What the quick commands import: an allow-list, so that nothing heavy creeps in."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

CHILD = """
import json, sys
before = set(sys.modules)
sys.argv = ["missive", *{words!r}]
import io
sys.stdout, out = io.TextIOWrapper(io.BytesIO()), sys.stdout
try:
    from missive_host.cli import main
    main()
except SystemExit as leave:
    assert not leave.code, leave.code
out.write(json.dumps(sorted(set(sys.modules) - before)))
"""
HEAVY = {
    "a2a",
    "anyio",
    "asyncio",
    "httpx",
    "msgspec",
    "pydantic",
    "sqlite3",
    "logging",
    "ssl",
    "google",
    "pluggy",
    "json",
}
OURS_FOR_HELP = {
    "missive_host",
    "missive_host.cli",
    "missive_host.cli.app",
    "missive_host.cli.flags",
    "missive_host.cli.groups",
    "missive_host.cli.options",
    "missive_host.cli.overview",
    "missive_host.cli.root",
    "missive_host.logs",
    "missive_host.plugins",
    "missive_host.plugins.catalogue",
    "missive_host.plugins.importing",
    "missive_host.plugins.loading",
    "missive_host.plugins.nouns",
}


def imported(*words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", CHILD.format(words=words)], capture_output=True, text=True, timeout=60, check=True
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version_imports_nothing_but_itself(flag: str) -> None:
    assert imported(flag) - {"__future__"} == {"missive_host", "missive_host.cli"}


@pytest.mark.parametrize("words", [("--help",), ("-h",), ("--json", "--version")])
def test_help_imports_click_and_no_noun(words: tuple[str, ...]) -> None:
    modules = imported(*words)
    assert {name for name in modules if name.startswith("missive_")} <= OURS_FOR_HELP
    tops = {name.partition(".")[0] for name in modules}
    assert tops & HEAVY - {"json"} == set()  # importlib.metadata brings it since Python 3.12
    assert {top for top in tops if top not in sys.stdlib_module_names} == {"click", "missive_host"}


@pytest.mark.parametrize(("line", "more"), [("missive sen", {"msgspec", "sqlite3"}), ("missive send al", set())])
def test_completion_reads_the_store_alone(missive, line: str, more: set[str]) -> None:  # type: ignore[no-untyped-def]
    """Somebody waits at a prompt: no core, no agent library, no event loop, no plugin; for a noun not even the noun."""
    missive.ok("agent", "add", "alpha", "http://127.0.0.1:1")
    env = {**missive.env, "_MISSIVE_COMPLETE": "bash_complete", "_MISSIVE_WORDS": line}
    done = subprocess.run(
        [sys.executable, "-P", "-c", CHILD.format(words=())], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    modules = set(json.loads(done.stdout))
    heavy = {"a2a", "anyio", "asyncio", "httpx", "pydantic", "logging", "google", "pluggy", "ssl", "jsonschema"}
    assert {name.partition(".")[0] for name in modules} & (heavy | more) == set()
    assert not {"missive_host.core", "missive_host.gateway", "missive_host.routing"} & modules


def test_a_local_command_needs_no_event_loop_and_no_agent_library(missive) -> None:  # type: ignore[no-untyped-def]
    code = CHILD.format(words=("agent", "list", "--json"))
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=missive.env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    tops = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert tops & {"a2a", "anyio", "asyncio", "httpx", "pydantic", "logging", "google", "pluggy", "ssl"} == set()
