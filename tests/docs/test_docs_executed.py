"""The documentation is true: what can be executed in it is executed, with real agents."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from docs_kit import (
    PAGES,
    READMES,
    ROOT,
    Block,
    anchors,
    blocks,
    environment,
    execute,
    links,
    matches,
    name_of,
    prose,
    replaced,
    steps,
)
from support.secrets import planted

from missive_host.demo.fleet import DEMO_AGENTS, AgentSpec, Fleet

TESTED_ELSEWHERE = {
    "docs/plugins/first-steps.md": "tests/host/test_plugins_docs.py",
    "docs/http.md": "tests/http/test_http_docs.py",
    "docs/plugins/tutorial-adapter.md": "tests/install/test_tutorials.py",
    "docs/plugins/tutorial-policy.md": "tests/install/test_tutorials.py",
    "docs/plugins/tutorial-reducer.md": "tests/install/test_tutorials.py",
}
"""Pages whose commands another test executes."""
GUARDED_TOKEN = planted("guarded-agent")
PLACES = {"echo": 8001, "worker": 8002, "asker": 8003, "guarded": 8004, "old": 8005, "pusher": 8006}
"""The agents that the pages use, and the ports at which they say they are."""
GUARDED = AgentSpec("guarded", bearer_env="GUARDED_TOKEN", env={"GUARDED_TOKEN": GUARDED_TOKEN})
PUSHER = AgentSpec("pusher", push=True, streaming=False)
OLD = AgentSpec("old", protocol="0.3", bindings=("json-rpc", "http+json"))

ALL_BLOCKS = [block for page in PAGES for block in blocks(page)]


def of(language: str) -> list[Block]:
    return [block for block in ALL_BLOCKS if block.language == language]


def is_executed(block: Block) -> bool:
    return block.language in ("console", "sh") and not block.skipped and name_of(block.page) not in TESTED_ELSEWHERE


EXECUTED = sorted({block.page for block in ALL_BLOCKS if is_executed(block)})


@pytest.fixture(scope="module")
def places() -> Iterator[Mapping[str, str]]:
    """Real agents: what a page says of where they are, and where they really are."""
    with Fleet((*DEMO_AGENTS, GUARDED, OLD, PUSHER)) as fleet:
        yield {f"http://127.0.0.1:{port}": fleet[name].url for name, port in PLACES.items()}


@pytest.mark.secrets_in("folder/office.token")  # where docs/howto/rotate-token.md keeps it
@pytest.mark.parametrize("page", EXECUTED, ids=name_of)
@pytest.mark.secrets_in("folder/token")  # from which a page lets missive read it
def test_the_commands_of_a_page_do_what_it_says(page: Path, places: Mapping[str, str], tmp_path: Path) -> None:
    assert shutil.which("jq"), "the pages use jq: install it (apt-get install jq, brew install jq)"
    todo = [replaced(step, places) for block in blocks(page) if is_executed(block) for step in steps(block)]
    home, folder = tmp_path / "home", tmp_path / "folder"
    home.mkdir()
    folder.mkdir()
    for block in blocks(page):
        if block.file is not None:
            (folder / block.file).write_text(block.text, "utf-8")
    results = execute(
        todo,
        folder=folder,
        outputs=tmp_path / "outputs",
        environment=environment(home, Path(sys.executable).parent, GUARDED_TOKEN=GUARDED_TOKEN),
    )
    wrong = []
    for number, result in enumerate(results):
        step, following = result.step, todo[number + 1 : number + 2]
        if step.expected is not None and not matches(step.expected, result.output):
            shown = "\n".join(step.expected)
            wrong.append(f"{step.where}: `{step.command}` should print\n{shown}\n--- but printed\n{result.output}")
        if result.status and not (following and following[0].command == "echo $?"):
            wrong.append(f"{step.where}: `{step.command}` ended with {result.status}\n{result.output}")
    assert not wrong, "\n\n".join(wrong)


def test_hardly_anything_is_left_out() -> None:
    """A block that is not run says why, and there are few of them."""
    left_out = [block for block in ALL_BLOCKS if block.skipped]
    assert all(len(block.marker) > len("not run: ") + 10 for block in left_out)
    assert len(left_out) <= 7, [block.where for block in left_out]
    for page, test in TESTED_ELSEWHERE.items():
        assert page in {name_of(known) for known in PAGES}
        assert Path(page).name in (ROOT / test).read_text("utf-8")


@pytest.mark.parametrize("page", sorted({name_of(block.page) for block in of("pycon")}))
def test_sessions_with_python_are_tested_beside_what_they_show(page: str) -> None:
    """Each is a doctest in the test of its page, which has the plugin that is shown at hand."""
    name = Path(page).name
    tests = [file.read_text("utf-8") for file in (ROOT / "tests").rglob("test_*_docs.py")]
    assert any(name in text and "doctest" in text for text in tests), f"no test runs the sessions of {page}"


@pytest.mark.parametrize("page", [*PAGES, *READMES], ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert not wrong, f"{name_of(page)}: {wrong}"


@pytest.mark.parametrize("page", [*PAGES, *READMES], ids=name_of)
def test_files_that_are_named_exist(page: Path) -> None:
    """A path of the source tree in code style is one that is there."""
    tops = "missive_host|plugins|tests|docs|contracts|benchmarks|requirements"
    named = set(re.findall(rf"`((?:{tops})/[\w./-]*[\w/])`", prose(page)))
    wrong = sorted(path for path in named if not (ROOT / path).exists())
    assert not wrong, f"{name_of(page)}: {wrong}"
