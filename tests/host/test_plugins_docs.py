"""What `docs/plugins/first-steps.md` says, done: its plugins are loaded, run and installed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from missive_host import hookspecs, protocols
from missive_host.demo.fleet import AgentSpec, Fleet
from missive_host.plugins import catalog, load
from missive_host.specs import AgentResult, Candidate, Reduced, ReductionContext, RouteRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from missive_host.plugins import Plugins

PAGE = (Path(__file__).parents[2] / "docs" / "plugins" / "first-steps.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`(\S+)`:\n\n```\w+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def plugins(folder: Path) -> Plugins:
    """The page's plugins, loaded in strict mode."""
    files = sorted(folder.glob("*.py"))
    assert [file.name for file in files] == ["lines.py", "longest.py", "turns.py"]
    plugins = load(catalog(files=files), strict=True)
    records = plugins.check()
    assert all(record.state == "loaded" and record.reason is None for record in records)
    return plugins


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    with Fleet([AgentSpec("echo")]) as fleet:
        yield fleet["echo"].url


def test_every_python_block_of_the_page_is_a_file_that_is_tried() -> None:
    assert PAGE.count("```python") == sum(name.endswith(".py") for name in FILES) == 3


def test_the_adapter_carries_lines_to_an_agent_and_back(site: Any, folder: Path, echo: str) -> None:
    assert site.missive("agent", "add", "echo", echo).returncode == 0
    (folder / "in.txt").write_text("echo hello there\nnobody are you there\necho and again\n")
    for command in re.findall(r"^\$ missive (.* --plugin \./lines\.py.*)$", PAGE, re.MULTILINE):
        done = site.missive(*command.split(), cwd=folder)
        assert done.returncode == 0, done.stderr
    first, failed, again = done.stdout.splitlines()
    assert "hello there" in first
    assert failed.startswith("error:")
    assert "nobody" in failed
    assert "and again" in again


def test_the_adapter_is_the_same_as_a_distribution(site: Any, folder: Path) -> None:
    project = tomllib.loads(FILES["pyproject.toml"])["project"]
    points = project["entry-points"]["missive.plugins"]
    site.install(project["name"], points, {"lines": FILES["lines.py"]}, version=project["version"])
    assert project["dependencies"] == ["missive-host"]
    checked = site.load("plugins.check()")["lines"]
    assert (checked["state"], checked["provides"], checked["reason"], checked["warnings"]) == (
        "loaded",
        ["adapter lines"],
        None,
        [],
    )


def test_the_policy_gives_each_agent_its_turn(plugins: Plugins) -> None:
    spec, record = plugins.policy("turns")
    policy: protocols.RoutingPolicy = plugins.factory(spec)()
    assert record.name == "turns"
    candidates = (Candidate("a"), Candidate("b"))
    state: dict[str, Any] = {}
    chosen: list[str] = []
    for _ in range(3):
        plan = policy.plan(RouteRequest(), candidates, state)
        assert {decision.agent for decision in plan.decisions if decision.selected} == set(plan.targets)
        chosen += plan.targets
        state = plan.state
    assert chosen == ["a", "b", "a"]


def test_the_reducer_answers_in_any_order_and_without_results(plugins: Plugins) -> None:
    spec, _ = plugins.reducer("longest")
    reducer: protocols.Reducer = plugins.factory(spec)()
    results = [AgentResult(agent, "1", "completed", text=text) for agent, text in (("a", "long"), ("b", "longer"))]
    for order in (results, results[::-1]):
        reduction = reducer.start(ReductionContext("g", "c", ("a", "b")))
        assert [reduction.add(result) for result in order] == [None, None]
        assert reduction.close(()) == Reduced("longer", used=("b",))
    assert reducer.start(ReductionContext("g", "c", ("a",))).close(("a",)) == Reduced("no answer from a")


@pytest.mark.parametrize("hook", hookspecs.HOOKS)
def test_every_hook_has_a_heading_with_its_exact_signature(hook: str) -> None:
    import inspect

    signature = str(inspect.signature(getattr(hookspecs, hook))).replace("'", "")
    assert f"### `{hook}{signature}`\n" in PAGE


@pytest.mark.parametrize("name", ["Adapter", "Restoring", "Viewer", "Intake", "RoutingPolicy", "Reducer", "Reduction"])
def test_every_protocol_method_is_shown_with_its_exact_signature(name: str) -> None:
    import inspect

    for method, function in vars(getattr(protocols, name)).items():
        if inspect.isfunction(function) and not method.startswith("_"):
            signature = str(inspect.signature(function)).replace("'", "")
            assert f"{name}.{method}{signature}\n" in PAGE
