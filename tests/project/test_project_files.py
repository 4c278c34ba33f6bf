"""What stands at the top of the repository is true: the two commands, the example, versions, pins, the licence."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import missive_host

if TYPE_CHECKING:
    from missive_host.demo.fleet import AgentProcess

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHANGES = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = sorted(ROOT.glob("requirements/*.txt"))
PAGES = sorted(ROOT.glob("*.md"))


def scripts(text: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def missing(expected: Any, found: Any, where: str = "") -> list[str]:
    """Where `found` does not hold what `expected` says; members that are not named may be there, too."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return [at for key, value in expected.items() for at in missing(value, found.get(key), f"{where}.{key}")]
    return [] if expected == found else [f"{where}: {found!r}"]


# --- README


def test_the_readme_begins_with_three_sentences_and_two_commands() -> None:
    opening = README.split("\n\n")[1]
    assert len(re.findall(r"\.(?:\s|$)", opening)) == 3
    first, second = scripts(README.split("## What it does")[0])
    assert first == "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/missive demo\n"
    assert second == "bash .ci/run\n"


def test_the_example_gives_what_the_readme_shows(agent: AgentProcess, tmp_path: Path) -> None:
    (script,) = scripts(README.split("## What it does")[1].split("\n## ")[0])
    (answer,) = re.findall(r"^```json\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert "http://127.0.0.1:8001" in script
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/sh", "-ec", script.replace("http://127.0.0.1:8001", agent.url)],
        env={"PATH": path, "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    said, brace, frame = done.stdout.partition("{")
    assert said.startswith("agent 'echo' registered")
    assert missing(json.loads(answer), json.loads(brace + frame)) == []


def test_the_comparison_of_the_example_finds_what_differs() -> None:
    assert missing({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}) == []
    assert missing({"a": {"b": 1}, "d": 0}, {"a": {"b": 2}}) == [".a.b: 2", ".d: None"]


# --- versions and pins


def test_the_changelog_has_the_version_and_a_place_for_the_next() -> None:
    headings = re.findall(r"^## \[(.+?)\]", CHANGES, re.MULTILINE)
    assert headings[:2] == ["Unreleased", missive_host.__version__]
    assert f"version {missive_host.__version__}" in README


@pytest.mark.parametrize("file", PINS, ids=lambda file: file.name)
def test_pins_are_plain(file: Path) -> None:
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)] == []


def test_everything_that_missive_asks_for_has_a_pin() -> None:
    pins = (ROOT / "requirements" / "runtime.txt").read_text().splitlines()
    pinned = {line.partition("==")[0] for line in pins}
    wanted = [
        *PROJECT["dependencies"],
        *PROJECT["optional-dependencies"]["keyring"],
        *PROJECT["optional-dependencies"]["push-jwt"],
    ]
    assert {re.split(r"[\[<>=]", each)[0] for each in wanted} <= pinned


# --- the licence, and where faults are reported


def test_the_licence() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert PROJECT["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert "Copyright The missive authors" in text
    assert "[Apache-2.0](LICENSE)" in README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_names_a_person_or_a_machine(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"[\w.+-]+@[\w-]+\.\w+", text) == []
    assert re.findall(r"(?:^|[\s(`])/(?:home|root|work|Users|tmp)/\S+", text) == []


def test_the_script_that_runs_everything_is_sound() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", str(script)], timeout=20).returncode == 0
    text = script.read_text(encoding="utf-8")
    assert "set -euo pipefail" in text
    for step in ("ruff check", "ruff format --check", "mypy", "pytest -q -p no:cacheprovider"):
        assert re.search(rf"^(?:python -m )?{step}\b", text, re.MULTILINE), step
