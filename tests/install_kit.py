"""missive as a user installs it: virtual environments.

Each environment is a clean one, made with ``venv``. pip gets no option about indexes, so it uses what the machine uses;
the versions are those of ``requirements/``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PINS = ROOT / "requirements"
FRAME = {"schema_version": "missive.stdio.v1", "id": "req-1"}


def clean(**more: str) -> dict[str, str]:
    """The environment of this machine without what would let a child see this checkout's own installation."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "MISSIVE_HOME", "MISSIVE_CONFIG")
    return {**{name: value for name, value in os.environ.items() if name not in hidden}, **more}


def check_output(*words: str | Path, cwd: Path, **env: str) -> str:
    done = subprocess.run([*map(str, words)], cwd=cwd, env=clean(**env), capture_output=True, text=True)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class Installed:
    """A virtual environment, and an empty home for the missive in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.work = folder / "work"
        self.bin = folder / "venv" / "bin"
        for each in (self.home, self.work):
            each.mkdir(parents=True)
        venv.create(folder / "venv", symlinks=True, with_pip=False)

    def install(self, *what: str | Path) -> None:
        pip = (sys.executable, "-m", "pip", "--python", self.bin / "python", "install", "--quiet", "--no-compile")
        check_output(*pip, "-c", PINS / "runtime.txt", *what, cwd=self.work)

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.bin / "missive"), *words],
            input=stdin,
            env={"PATH": str(self.bin), "MISSIVE_HOME": str(self.home), "HOME": str(self.home)},
            cwd=self.work,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def ok(self, *words: str, stdin: str = "") -> str:
        done = self.run(*words, stdin=stdin)
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def data(self, *words: str) -> Any:
        return json.loads(self.ok(*words, "--json"))["data"]

    def frame(self, **fields: Any) -> Any:
        """Pipe one frame through the adapter, single-shot, and return the answer."""
        return json.loads(self.run("adapter", "stdio", stdin=json.dumps({**FRAME, **fields})).stdout)

    def python(self, code: str) -> Any:
        """Return what `code` prints as JSON. It runs isolated: only what is installed can be imported."""
        return json.loads(check_output(self.bin / "python", "-I", "-c", code, cwd=self.work))

    # --- for authors of plugins

    def edit(self, *projects: Path) -> None:
        """``pip install -e`` of projects, built with what is installed here."""
        self.install("--no-build-isolation", *(word for project in projects for word in ("--editable", project)))

    def tests_of(self, project: Path) -> str:
        """Run the tests of a project, and return what pytest says at its end. Warnings are errors."""
        words = (self.bin / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error")
        return check_output(*words, cwd=project, PATH=str(self.bin)).splitlines()[-1]

    def sh(self, script: str, cwd: Path, stdin: str = "") -> str:
        """Return what a script prints that finds this missive."""
        done = subprocess.run(
            ["/bin/sh", "-ec", script],
            input=stdin,
            env=clean(
                PATH=f"{self.bin}{os.pathsep}{os.environ['PATH']}", MISSIVE_HOME=str(self.home), HOME=str(self.home)
            ),
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout
