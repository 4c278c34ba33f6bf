"""Files that a frame names: only those below the folder that the adapter was started with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from missive_host.demo.fleet import AgentProcess


def missive(home: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "missive_host", *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"MISSIVE_HOME": str(home), "PATH": "/usr/bin:/bin"},
    )


@pytest.fixture
def home(tmp_path: Path, agent: AgentProcess) -> Path:
    home = tmp_path / "home"
    added = missive(home, "agent", "add", "echo", agent.url)
    assert added.returncode == 0, added.stderr
    return home


def send(home: Path, names: list[str], *flags: str) -> dict[str, Any]:
    frame = {"id": "f", "command": "send", "agent": "echo", "message": "echo-parts", "file_bytes": names}
    result = missive(home, "adapter", "stdio", *flags, stdin=json.dumps(frame))
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_without_a_root_no_file_is_read(home: Path, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello")
    answer = send(home, [str(tmp_path / "note.txt")])
    assert answer["error"]["message"] == "validation error: field `file_bytes`: this door may not read files"
    assert "--file-root" in answer["error"]["help"]


def test_a_file_below_the_root_is_sent(home: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "deep").mkdir(parents=True)
    (root / "deep" / "note.txt").write_text("hello")
    for name in ("deep/note.txt", str(root / "deep" / "note.txt"), "deep/../deep/note.txt"):
        answer = send(home, [name], "--file-root", str(root))
        parts = answer["data"]["data"]["response"]["raw"]["parts"]
        assert parts[-1]["filename"] == "note.txt"
        assert parts[-1]["raw"] == "aGVsbG8="


def test_nothing_outside_of_the_root_is_read(home: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.txt").write_text("hidden")
    (root / "link.txt").symlink_to(tmp_path / "secret.txt")
    for name in ("../secret.txt", str(tmp_path / "secret.txt"), "link.txt"):
        answer = send(home, [name], "--file-root", str(root))
        assert answer["ok"] is False
        assert "lies outside of the folder that this door may read" in answer["error"]["message"]


def test_a_root_that_is_no_folder_is_refused(home: Path, tmp_path: Path) -> None:
    result = missive(home, "adapter", "stdio", "--file-root", str(tmp_path / "nothing"))
    assert result.returncode == 64
    assert "is not a folder" in result.stderr
