"""What importing the kit costs, and that its names are there."""

from __future__ import annotations

import json
import subprocess
import sys

import missive_host.testing as kit


def imported_by(statement: str) -> set[str]:
    """Return the modules that a statement imports in a new process."""
    code = f"{statement}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_the_kit_imports_nothing_until_it_is_asked() -> None:
    brought = imported_by("import missive_host.testing")
    assert not brought & {"anyio", "asyncio", "msgspec", "pytest", "missive_host.errors"}


def test_the_fake_agent_needs_the_standard_library_only() -> None:
    brought = imported_by("from missive_host.testing import FakeAgent, StreamReply") - imported_by("import http.server")
    assert {name for name in brought if name.startswith("missive_host")} == {
        "missive_host",
        "missive_host.testing",
        "missive_host.testing.agent",
        "missive_host.testing.script",
    }
    others = {name.partition(".")[0] for name in brought} - set(sys.stdlib_module_names) - {"missive_host"}
    assert not {name for name in others if not name.startswith("_")}


def test_pytest_is_needed_for_the_adapters_only() -> None:
    for name in ("FakeAgent", "PolicyContract", "RecordingIntake", "ReducerContract", "run_host"):
        assert "pytest" not in imported_by(f"from missive_host.testing import {name}")


def test_missive_itself_does_not_know_the_kit() -> None:
    assert not {name for name in imported_by("import missive_host.cli.root") if "missive_host.testing" in name}


def test_every_public_name_is_there() -> None:
    assert sorted(kit.__all__) == sorted(kit._WHERE)
    for name in kit.__all__:
        assert getattr(kit, name) is not None
    assert set(kit.__all__) <= set(dir(kit)) | set(kit._WHERE)
