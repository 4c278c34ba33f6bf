"""Completion: the scripts, and what the shells are answered."""

from __future__ import annotations

import json
import subprocess

import pytest

SHELLS = ["bash", "zsh", "fish", "powershell"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_for_each_shell(missive, shell: str) -> None:  # type: ignore[no-untyped-def]
    script = missive.ok("completion", shell)
    assert "_MISSIVE_COMPLETE" in script
    assert f"{shell}_complete" in script
    data = missive.json("completion", shell)
    assert data["script"] == script
    assert (data["shell"], data["command"]) == (shell, "missive")
    assert missive.ok("completion", shell, _MISSIVE_COMPLETE=f"{shell}_source").strip() == script.strip()


def test_the_script_of_bash_has_no_syntax_errors(missive) -> None:  # type: ignore[no-untyped-def]
    done = subprocess.run(["bash", "-n"], input=missive.ok("completion", "bash"), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def bash(missive, line: str) -> list[str]:  # type: ignore[no-untyped-def]
    """Return the values that bash would offer at the end of `line`."""
    words = line.split(" ")
    out = missive.ok(_MISSIVE_COMPLETE="bash_complete", COMP_WORDS="\n".join(words), COMP_CWORD=str(len(words) - 1))
    return [entry.partition(",")[2] for entry in out.splitlines() if entry]


def test_commands_flags_and_choices(missive) -> None:  # type: ignore[no-untyped-def]
    assert bash(missive, "missive s") == ["send", "stream", "session", "scatter", "store"]
    assert bash(missive, "missive task artifact e") == ["export"]
    assert "--no-color" in bash(missive, "missive --no")
    assert {"--state", "--service-param"} <= set(bash(missive, "missive task list --s"))
    assert bash(missive, "missive task list --state in") == ["input_required"]
    assert bash(missive, "missive completion f") == ["fish"]
    assert bash(missive, "missive nonsense x") == []


def test_names_from_the_store(missive) -> None:  # type: ignore[no-untyped-def]
    missive.ok("agent", "add", "alpha", "http://127.0.0.1:1")
    missive.ok("agent", "add", "beta", "http://127.0.0.1:2")
    missive.ok("context", "create", "--name", "trip")
    assert bash(missive, "missive send a") == ["alpha"]
    assert bash(missive, "missive task list --agent ") == ["alpha", "beta"]
    assert bash(missive, "missive context show t") == ["trip"]
    assert bash(missive, "missive agent add a") == []


def test_adapters_and_their_options(missive) -> None:  # type: ignore[no-untyped-def]
    assert bash(missive, "missive adapter s") == ["stdio"]
    assert bash(missive, "missive adapter stdio --mode l") == ["long-running"]


def test_a_broken_config_does_not_disturb(missive) -> None:  # type: ignore[no-untyped-def]
    (missive.home / "c.toml").write_text("nonsense")
    done = missive.run(
        _MISSIVE_COMPLETE="bash_complete",
        COMP_WORDS="missive\nsend\n",
        COMP_CWORD="2",
        MISSIVE_CONFIG=str(missive.home / "c.toml"),
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_powershell_speaks_the_same_protocol(missive) -> None:  # type: ignore[no-untyped-def]
    out = missive.ok(_MISSIVE_COMPLETE="powershell_complete", COMP_WORDS="missive\ntask\nw", COMP_INCOMPLETE="w")
    assert out.startswith("plain\twait\tWait until a task has ended")


def test_an_unknown_shell(missive) -> None:  # type: ignore[no-untyped-def]
    assert missive.run(_MISSIVE_COMPLETE="csh_complete").returncode == 1
    assert json.loads(missive.run("completion", "csh", "--json").stderr)["data"]["exit_code"] == 2
