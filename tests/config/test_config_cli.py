"""``missive config show|validate|path`` as a process."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from support.secrets import planted

SECRET = planted("show")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def missive(tmp_path: Path) -> Run:
    def run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
        base = {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "etc"), "PATH": "/usr/bin:/bin"}
        return subprocess.run(
            [sys.executable, "-m", "missive_host", "config", *args],
            env={**base, **env},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.toml"
    path.write_text("[agents.a]\nurl = 'http://a'\n[qos]\ntimeout = 30\n")
    return path


def test_show_for_people_is_toml(missive: Run, tmp_path: Path) -> None:
    file = tmp_path / "missive.toml"
    file.write_text("[auth_refs.a]\nenv = 'TOKEN'\n")
    done = missive("show", "--config", str(file), TOKEN=SECRET)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"# profile 'default', from {file}\n")
    assert tomllib.loads(done.stdout)["auth_refs"]["a"]["env"] == "TOKEN"
    assert SECRET not in done.stdout


def test_show_for_programs(missive: Run) -> None:
    document = json.loads(missive("show", "--json", "--profile", "work").stdout)
    assert (document["schema_version"], document["ok"], document["kind"]) == ("missive.output.v1", True, "config_show")
    data = document["data"]
    assert (data["profile"], data["source"], "path" in data) == ("work", "built_in_default", False)
    assert data["config"]["qos"]["timeout"] == "30s"


def test_validate_a_good_file(missive: Run, tmp_path: Path) -> None:
    file = tmp_path / "good.toml"
    file.write_text("[qos]\ntimeout = '1m'\n")
    done = missive("validate", "good.toml", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["data"] == {
        "valid": True,
        "problem_count": 0,
        "problems": [],
        "message": f"{file} is valid",
        "path": str(file),
    }
    assert missive("validate", "good.toml").stdout == f"{file} is valid\n"


def test_validate_without_a_file(missive: Run) -> None:
    done = missive("validate")
    assert (done.returncode, done.stdout) == (
        0,
        "there is no configuration file; the built-in defaults are in force\n",
    )
    assert missive("validate", MISSIVE_HOME="relative").returncode == 78
    assert missive("validate", "no-such.toml").returncode == 78


def test_validate_lists_every_fault_and_exits_with_78(missive: Run, broken: Path) -> None:
    done = missive("validate", "--config", str(broken))
    assert done.returncode == 78
    assert done.stdout.splitlines() == [
        f"{broken}:1: [agents.a] base_url: is missing",
        f"{broken}:2: [agents.a] url: unknown key; did you mean 'base_url'?",
        f"{broken}:4: [qos] timeout: expected a string, got a whole number",
    ]
    assert f"{broken} has 3 problems" in done.stderr
    done = missive("validate", str(broken), "--ndjson")
    assert done.returncode == 78
    assert json.loads(done.stdout)["data"]["problems"][2] == {
        "message": "expected a string, got a whole number",
        "line": 4,
        "table": "qos",
        "key": "timeout",
    }
    error = json.loads(done.stderr)
    assert (error["kind"], error["data"]["category"], error["data"]["exit_code"]) == ("error", "config", 78)


def test_path(missive: Run, tmp_path: Path) -> None:
    file = tmp_path / ".config" / "missive.toml"
    file.parent.mkdir()
    file.write_text("[storage]\ndatabase_path = 'x.db'\n")
    data = json.loads(missive("path", "--json", MISSIVE_HOME=str(tmp_path / "m")).stdout)["data"]
    assert (data["profile"], data["source"], data["path"]) == ("default", "xdg", str(file))
    assert data["candidates"] == [
        {"source": "xdg", "path": f"{tmp_path}/.config/missive/config.toml", "exists": False, "used": False},
        {"source": "xdg", "path": str(file), "exists": True, "used": True},
        {"source": "xdg", "path": f"{tmp_path}/etc/missive/config.toml", "exists": False, "used": False},
        {"source": "xdg", "path": f"{tmp_path}/etc/missive.toml", "exists": False, "used": False},
    ]
    assert data["folders"] == {
        "data": f"{tmp_path}/m/data/profiles/default",
        "state": f"{tmp_path}/m/state/profiles/default",
        "cache": f"{tmp_path}/m/cache/profiles/default",
        "database": f"{tmp_path}/m/state/profiles/default/x.db",
    }
    people = missive("path")
    assert str(file) in people.stdout
    assert people.returncode == 0


def test_path_works_with_a_broken_file(missive: Run, broken: Path) -> None:
    done = missive("path", "--config", str(broken))
    assert done.returncode == 0
    assert "base_url: is missing" in done.stdout
    data = json.loads(missive("path", "--config", str(broken), "--json").stdout)["data"]
    assert data["problem"].startswith(f"{broken}:1: ")


def test_show_of_a_broken_file(missive: Run, broken: Path) -> None:
    done = missive("show", "--config", str(broken), "--json")
    assert (done.returncode, done.stdout) == (78, "")
    message = json.loads(done.stderr)["data"]["message"]
    assert message == f"configuration error: {broken}:1: [agents.a] base_url: is missing (and 2 more)"
