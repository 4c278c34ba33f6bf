"""The command line as a process, with a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import TracebackType


class _Process(subprocess.Popen[bytes]):
    """As a context manager it does not wait for ever for what a test that has failed did not end."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, error, trace)


class Missive:
    """Runs ``missive`` as a user does. ``run`` returns the finished process, ``start`` one that runs."""

    def __init__(self, home: Path) -> None:
        self.home = home
        keep = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        self.env = {**keep, "MISSIVE_HOME": str(home / "missive"), "HOME": str(home), "TERM": "xterm"}

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-P", "-m", "missive_host", *words]

    def run(self, *words: str, stdin: str | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*words),
            env={**self.env, **env},
            cwd=self.home,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
        )

    def ok(self, *words: str, stdin: str | None = None, **env: str) -> str:
        """Run, expect success, return stdout."""
        done = self.run(*words, stdin=stdin, **env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *words: str, **env: str) -> dict[str, Any]:
        """Run with ``--json``, expect success, return ``data``."""
        document = json.loads(self.ok(*words, "--json", **env))
        assert document["ok"] is True
        data: dict[str, Any] = document["data"]
        return data

    def error(self, *words: str, **env: str) -> dict[str, Any]:
        """Run with ``--json``, expect a failure with nothing on stdout, return the error's ``data``."""
        done = self.run(*words, "--json", **env)
        assert done.stdout == ""
        document = json.loads(done.stderr)
        assert document["schema_version"] == "missive.output.v1"
        assert document["ok"] is False
        assert document["kind"] == "error"
        data: dict[str, Any] = document["data"]
        assert data["exit_code"] == done.returncode
        return data

    def start(self, *words: str, **streams: Any) -> subprocess.Popen[bytes]:
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
        return _Process(self.argv(*words), env=self.env, cwd=self.home, **streams)


@pytest.fixture
def missive(tmp_path: Path) -> Missive:
    return Missive(tmp_path)
