"""The plugin as it is installed, and `docs/plugins/policies.md`: its table is true and its examples run."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from routing_kit import POLICIES, SPECS, group, plan

from missive_host.plugins import catalog, load
from missive_host.specs import Candidate, RouteRequest

PAGE = (Path(__file__).parents[2] / "docs" / "plugins" / "policies.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`(\S+\.py)`:\n\n```\w+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
ROWS = dict(re.findall(r"^\| `([a-z-]+)` \| `([a-z_]+)` \|", PAGE, re.MULTILINE))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_the_plugin_is_found_by_its_entry_point_and_loads_in_strict_mode() -> None:
    records = tuple(record for record in catalog() if record.name == "policies")
    (record,) = load(records, strict=True).check()
    assert (record.state, record.reason, record.warnings) == ("loaded", None, ())
    assert record.distribution == "missive-host"
    assert set(record.provides) == {f"routing policy {name}" for name in ROWS}


def test_the_table_has_every_policy_with_its_mode() -> None:
    assert set(ROWS) == set(SPECS)
    assert {name: plan(name, group("a", "b")).mode for name in POLICIES} == ROWS


def test_every_example_of_the_page_is_tried() -> None:
    assert list(FILES) == ["cheapest.py"]
    assert PAGE.count("```python\n") == len(FILES)
    assert PAGE.count("```pycon\n") == PAGE.count("```console\n") == 1


def test_the_example_loads_and_chooses(folder: Path) -> None:
    plugins = load(catalog(files=[str(folder / "cheapest.py")]), strict=True)
    spec, record = plugins.policy("cheapest")
    assert record.warnings == ()
    policy = plugins.factory(spec)()
    made = policy.plan(RouteRequest(), (Candidate("a"), Candidate("b", metadata={"price": 1})), {})
    assert made.targets == ("b",)
    assert policy.plan(RouteRequest(), (), {}).targets == ()


def test_the_session_on_the_page_goes_as_it_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "cheapest", raising=False)
    (block,) = re.findall(r"^```pycon\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    session = doctest.DocTestParser().get_doctest(block, {}, "policies.md", None, None)
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(session, out=said.append)
    assert result.failed == 0, "".join(said)
    assert result.attempted >= 6
    monkeypatch.delitem(sys.modules, "cheapest")


def test_the_commands_on_the_page_run(folder: Path) -> None:
    commands = re.findall(r"^\$ missive (.*)$", PAGE, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", "missive_host", *command.split()],
            cwd=folder,
            env={**os.environ, "MISSIVE_HOME": str(folder / "home")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert "cheapest" in done.stdout
