"""``docs/http.md`` and the plugin's README tell the truth: what is typed there is typed here, tables are complete."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from docs_kit import DOCS, ROOT, blocks, environment, execute, matches, replaced, steps
from http_kit import SPEC
from missive_http.documents import STATUS_OF

if TYPE_CHECKING:
    from missive_host.demo.fleet import AgentProcess

PAGE = DOCS / "http.md"
TEXT = PAGE.read_text("utf-8")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def test_what_is_typed_on_the_page(agent: AgentProcess, tmp_path: Path) -> None:
    assert shutil.which("curl"), "the page uses curl: install it"
    port = free_port()
    found = blocks(PAGE)
    places = {
        "http://127.0.0.1:8001": agent.url,
        "127.0.0.1:7347": f"127.0.0.1:{port}",
        "gateway run": f"gateway run --port {port}",
    }
    todo = [replaced(step, places) for block in found if block.language == "console" for step in steps(block)]
    home, folder = tmp_path / "home", tmp_path / "folder"
    home.mkdir()
    folder.mkdir()
    for block in found:
        if block.file is not None:
            (folder / block.file).write_text(block.text, "utf-8")
    typing = environment(home, Path(sys.executable).parent)
    try:
        results = execute(todo, folder=folder, outputs=tmp_path / "outputs", environment=typing)
    finally:  # if the page has not come so far
        subprocess.run([sys.executable, "-m", "missive_host", "gateway", "stop"], env=typing, capture_output=True)
    wrong = [
        f"{result.step.where}: `{result.step.command}` ({result.status})\n{result.output}"
        for result in results
        if result.status or (result.step.expected is not None and not matches(result.step.expected, result.output))
    ]
    assert not wrong, "\n\n".join(wrong)


def test_every_setting_is_there() -> None:
    body = TEXT.split("\n## Settings\n")[1]
    assert re.findall(r"^\| `([a-z_]+)` \|", body, re.MULTILINE) == [option.name for option in SPEC.options]


def test_every_status_of_a_failure_is_there() -> None:
    body = TEXT.split("A command that was run and failed:")[1].split("\n`GET`")[0]
    rows = re.findall(r"^\| ([0-9, ]+) \| ([0-9]+) \|", body, re.MULTILINE)
    assert {int(code): int(status) for codes, status in rows for code in codes.split(", ")} == dict(STATUS_OF)


def test_the_readme_names_every_file() -> None:
    folder = ROOT / "plugins" / "http"
    readme = (folder / "README.md").read_text("utf-8")
    assert {file.name for file in folder.glob("missive_http/*.py")} <= set(re.findall(r"(\w+\.py)`", readme))
