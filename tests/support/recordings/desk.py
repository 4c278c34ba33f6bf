"""A desk with a home of its own: commands are typed, and every document that they print is kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from support.cores import Home

from missive_host.demo.fleet import Fleet

Json = dict[str, Any]

MANAGERS = {
    "systemctl": r"""case "$*" in *show*) printf 'ActiveState=active\nMainPID=4711\nUnitFileState=enabled\n';; esac""",
    "launchctl": r"""case "$1" in print) printf 'state = running\npid = 4711\n';; esac""",
}
"""Service managers that do what they are told, whatever this machine has."""


class Desk:
    """What commands print is kept by its kind, and the first of several; a variant has a name of its own."""

    def __init__(self, folder: Path, fleet: Fleet, keep: Callable[[str, Json], object]) -> None:
        folder.mkdir()
        self.folder = folder
        self.fleet = fleet
        self.home = Home(folder)
        programs = folder / "bin"
        programs.mkdir()
        for name, text in MANAGERS.items():
            (programs / name).write_text(f"#!/bin/sh\n{text}\n")
            (programs / name).chmod(0o755)
        self.env = {"PATH": f"{programs}:{os.environ['PATH']}", "XDG_RUNTIME_DIR": str(folder), **self.home.environ}
        self._keep = keep

    def keep(self, document: Json, variant: str = "") -> None:
        self._keep(f"{document['kind']}.{variant}" if variant else document["kind"], document)

    def argv(self, words: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-P", "-m", "missive_host", "--config", str(self.home.config), *words]

    def types(
        self,
        *words: str,
        variant: str = "",
        status: int = 0,
        stdin: str = "",
        lines: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> Json:
        """Run a command and keep its results. Return ``data`` of the last one."""
        documents = self._run(words, status, stdin, lines=lines, env=env)
        for document in documents:
            self.keep(document, variant)
        found: Json = documents[-1]["data"]
        return found

    def fails(self, *words: str, category: str) -> None:
        """Run a command that goes wrong, and keep its error as a variant of this category."""
        done = self._process(words, "--json", "", None)
        document = json.loads(done.stderr[done.stderr.rfind("\n{") + 1 :])  # behind what was said meanwhile
        assert document["data"]["category"] == category, document
        self.keep(document, category)

    def asks(self, *words: str) -> Json:
        """Run a command to see how things stand. Return ``data`` of its result."""
        found: Json = self._run(words, 0)[-1]["data"]
        return found

    def _run(
        self,
        words: tuple[str, ...],
        status: int,
        stdin: str = "",
        *,
        lines: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> list[Json]:
        done = self._process(words, "--ndjson" if lines else "--json", stdin, env)
        assert done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
        return [json.loads(text) for text in (done.stdout.splitlines() if lines else [done.stdout])]

    def _process(
        self, words: tuple[str, ...], form: str, stdin: str, env: Mapping[str, str] | None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv((*words, form)), env={**self.env, **(env or {})},
            cwd=self.folder, input=stdin, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    def starts(self, *words: str) -> Running:
        """Start a command that goes on running."""
        return Running(self, words)

    def agent(self, name: str) -> str:
        return self.fleet[name].url


class Running:
    """A command that runs, and prints a document a line."""

    def __init__(self, desk: Desk, words: tuple[str, ...]) -> None:
        self._desk = desk
        self._process = subprocess.Popen(
            desk.argv((*words, "--ndjson")),
            env=desk.env,
            cwd=desk.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def next(self) -> Json:
        """Return ``data`` of the next document."""
        assert self._process.stdout is not None
        document: Json = json.loads(self._process.stdout.readline())
        self._desk.keep(document)
        found: Json = document["data"]
        return found

    def ends(self, *, told: bool = True) -> None:
        """Let it end, by itself or as an operator would, and keep what it has still to say."""
        if told:
            self._process.send_signal(signal.SIGTERM)
        out, _ = self._process.communicate(timeout=60)
        for line in out.splitlines():
            self._desk.keep(json.loads(line))


def until(true: Callable[[], Any]) -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + 60
    while not (found := true()):
        assert time.monotonic() < deadline, true
        time.sleep(0.1)
    return found
