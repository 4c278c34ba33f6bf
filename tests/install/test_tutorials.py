"""The tutorials for authors, done from beginning to end: tutorial-adapter.md, tutorial-policy.md, tutorial-reducer.md.

They install what they make, so they are done in an environment of their own, beside the wheel, and with real agents.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from docs_kit import DOCS, Step, blocks, environment, execute, matches, replaced, steps
from install_kit import PINS, Installed

from missive_host.demo.fleet import DEMO_AGENTS, Fleet

pytestmark = pytest.mark.timeout(300)

TUTORIALS = sorted((DOCS / "plugins").glob("tutorial-*.md"))
PLACES = {"echo": 8001, "worker": 8002}


@pytest.fixture(scope="module")
def places() -> Iterator[Mapping[str, str]]:
    with Fleet(DEMO_AGENTS) as fleet:
        yield {f"http://127.0.0.1:{port}": fleet[name].url for name, port in PLACES.items()}


@pytest.fixture(scope="module")
def pip(bench: Installed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a `pip` that installs into the bench, without the network."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "pip").write_text(
        f"#!/bin/sh\nexec '{sys.executable}' -m pip --python '{bench.bin}/python' --quiet"
        f" \"$@\" --no-build-isolation -c '{PINS / 'runtime.txt'}'\n"
    )
    (folder / "pip").chmod(0o755)
    return folder


def typed(page: Path) -> Iterator[Step]:
    """What is done, in the order of the page: files are written where they are shown, commands typed."""
    for block in blocks(page):
        if block.file is not None:
            yield Step(block.where, f"cat > '{block.file}' <<'END-OF-FILE'\n{block.text}END-OF-FILE", None)
        elif block.language in ("console", "sh") and not block.skipped:
            yield from steps(block)


def test_there_is_one_for_each_kind() -> None:
    assert [page.name for page in TUTORIALS] == ["tutorial-adapter.md", "tutorial-policy.md", "tutorial-reducer.md"]


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_does_what_it_says(
    bench: Installed, pip: Path, places: Mapping[str, str], page: Path, tmp_path: Path
) -> None:
    folder, home = tmp_path / "folder", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    todo = [replaced(step, places) for step in typed(page)]
    shell = environment(home, bench.bin, PYTHONDONTWRITEBYTECODE="1")
    shell["PATH"] = f"{pip}:{shell['PATH']}"
    wrong = []
    results = execute(todo, folder=folder, outputs=tmp_path / "outputs", environment=shell, seconds=200)
    for number, result in enumerate(results):
        step, following = result.step, todo[number + 1 : number + 2]
        if step.expected is not None and not matches(step.expected, result.output):
            shown = "\n".join(step.expected)
            wrong.append(f"{step.where}: `{step.command}` should print\n{shown}\n--- but printed\n{result.output}")
        if result.status and not (following and following[0].command == "echo $?"):
            wrong.append(f"{step.where}: `{step.command}` ended with {result.status}\n{result.output}")
    assert not wrong, "\n\n".join(wrong)
