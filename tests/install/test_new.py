"""``missive plugin new``: what it writes is installed beside the wheel, loads, passes its own tests, and works."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from missive_host.cli.plugin_new import _KINDS
from missive_host.scaffold import KINDS

if TYPE_CHECKING:
    from install_kit import Installed

    from missive_host.demo.fleet import AgentProcess

pytestmark = pytest.mark.timeout(300)

NEW: dict[str, tuple[str, ...]] = {
    "frames-in": ("--kind", "adapter"),
    "lines-in": ("--kind", "adapter", "--contract"),
    "first-one": ("--kind", "policy"),
    "longest": ("--kind", "reducer"),
}
"""One plugin of each kind, and how it is asked for."""
PROVIDES = {
    "frames-in": ["adapter frames-in"],
    "lines-in": ["adapter lines-in", "contract missive.lines_in.v1"],
    "first-one": ["routing policy first-one"],
    "longest": ["reducer longest"],
}


@pytest.fixture(scope="module")
def made(bench: Installed) -> dict[str, Path]:
    """The projects, written by the wheel's own command and installed."""
    projects = {}
    for name, words in NEW.items():
        data = bench.data("plugin", "new", name, *words)
        assert data["next"] == [
            f"pip install -e './missive-{name}[test]'",
            "missive plugin check",
            f"pytest ./missive-{name}",
        ]
        projects[name] = Path(data["folder"])
        assert sorted(data["files"]) == sorted(
            path.relative_to(projects[name]).as_posix() for path in projects[name].rglob("*") if path.is_file()
        )
    bench.edit(*projects.values())
    return projects


def test_every_kind_is_tried() -> None:
    assert {words[1] for words in NEW.values()} == set(KINDS) == set(_KINDS)


def test_each_is_loaded(bench: Installed, made: dict[str, Path]) -> None:
    found = {plugin["name"]: plugin for plugin in bench.data("plugin", "check")["plugins"]}
    for name in made:
        assert (found[name]["state"], found[name]["provides"]) == ("loaded", PROVIDES[name])
        assert "reason" not in found[name]
        assert "warnings" not in found[name]


@pytest.mark.parametrize("name", NEW)
def test_its_tests_pass(bench: Installed, made: dict[str, Path], name: str) -> None:
    last = bench.tests_of(made[name])
    assert " passed" in last
    assert "skipped" not in last


@pytest.mark.parametrize("name", NEW)
def test_nothing_is_left_of_the_template(made: dict[str, Path], name: str) -> None:
    for path in made[name].rglob("*"):
        assert "@" not in path.name
        if path.suffix in (".toml", ".md", ".json"):
            assert "@" not in path.read_text("utf-8"), path


def test_what_the_readmes_say_works(bench: Installed, made: dict[str, Path], agent: AgentProcess) -> None:
    bench.ok("agent", "add", "echo", agent.url)
    bench.ok("group", "create", "experts")
    bench.ok("group", "add", "experts", "echo", "--rank", "1")
    try:
        for name in ("frames-in", "lines-in"):
            answers = bench.sh(script_of(made[name], "missive adapter"), cwd=bench.work)
            (answer,) = [json.loads(line) for line in answers.splitlines()]
            assert answer["ok"]
            assert answer["data"]["data"]["agent"] == "echo"
            (bench.work / "answers.ndjson").unlink()
        assert "the first that is awake" in bench.sh(script_of(made["first-one"], "missive send"), cwd=bench.work)
        assert "what do you think?" in bench.sh(script_of(made["longest"], "missive allreduce"), cwd=bench.work)
    finally:
        bench.ok("group", "delete", "experts")
        bench.ok("agent", "remove", "echo")


def script_of(project: Path, word: str) -> str:
    """The block of its README in which a word is."""
    text = (project / "README.md").read_text("utf-8")
    (script,) = [block.partition("```")[0] for block in text.split("```sh\n")[1:] if word in block.partition("```")[0]]
    return script


# --- names that are somebody's already


def test_a_name_that_is_taken_is_refused(bench: Installed, made: dict[str, Path]) -> None:
    for words, who in (
        (("longest", "--kind", "policy"), "plugin `longest` (missive-longest 0.1.0)"),
        (("vote", "--kind", "reducer"), "reducer `vote` already, of plugin `reducers`"),
        (("host", "--kind", "policy"), "module `missive_host`"),
    ):
        done = bench.run("plugin", "new", *words, "--dir", "elsewhere")
        assert done.returncode == 64
        assert who in done.stderr
    assert not (bench.work / "elsewhere").exists()


def test_two_of_one_name_load_neither_and_a_config_that_needs_one_says_both(
    bench: Installed, made: dict[str, Path]
) -> None:
    """Somebody else's `frames-in` is a one-file plugin here; who it is, and who needs it, is in one error."""
    other = bench.work / "frames-in.py"
    other.write_text((made["frames-in"] / "missive_frames_in" / "__init__.py").read_text())
    config = bench.work / "clash.toml"
    config.write_text(
        f'[plugins]\nfiles = ["{other}"]\n[adapters.drawer]\nkind = "frames-in"\n'
        'settings = { file = "frames.ndjson", answers = "answers.ndjson" }\n'
    )
    done = bench.run("plugin", "check", "--json", "--config", str(config))
    assert done.returncode == 1
    document: Any = json.loads(done.stdout)
    clashing = [plugin for plugin in document["data"]["plugins"] if plugin["name"] == "frames-in"]
    assert [plugin["state"] for plugin in clashing] == ["failed", "failed"]
    for plugin in clashing:
        assert "missive-frames-in 0.1.0" in plugin["reason"]
        assert str(other) in plugin["reason"]
        assert "neither is loaded" in plugin["reason"]
    run = bench.run("gateway", "run", "--config", str(config))
    assert run.returncode == 78, run.stderr
    for what in ("drawer", "missive-frames-in 0.1.0", str(other)):
        assert what in run.stderr
    other.unlink()
