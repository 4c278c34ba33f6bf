"""The platform of docs/chat/adding-a-platform.md holds the contract; its page is the source that is tested."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from docs_kit import DOCS, blocks

PAGE = DOCS / "chat" / "adding-a-platform.md"
SERVER = Path(__file__).parents[1] / "support" / "chat" / "line_server.py"


def test_the_page_holds_what_it_says(tmp_path: Path) -> None:
    platform, tests = (block.text for block in blocks(PAGE) if block.language == "python")
    (tmp_path / "line.py").write_text(platform, "utf-8")
    (tmp_path / "line_server.py").write_text(SERVER.read_text("utf-8"), "utf-8")
    (tmp_path / "test_line.py").write_text(tests, "utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nanyio_mode = auto\nfilterwarnings = error\n", "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_line.py"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}  # the server's token is one of the tests'
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
