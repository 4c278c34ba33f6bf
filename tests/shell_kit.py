"""Shells at a terminal: what is typed, TAB, and the words that the shell then has."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.terminals import AtTerminal

_EXEC = "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])"
HOME_KEY, END_KEY = "\x01", "\x05"
CASES = {
    "missive send al": "missive send alpha",
    "missive send --agent=al": "missive send --agent=alpha",
    "missive task wait --agent al": "missive task wait --agent alpha",
    "missive context show tr": "missive context show trip",
    "missive context show it": "missive context show it's",
    "missive context show it\\'": "missive context show it's",
    "missive context show 'it": "missive context show it's",
    'missive context show "it': "missive context show it's",
    "missive context show a:b": "missive context show {hostile}",
    "missive context show 'a:": "missive context show {hostile}",
    'missive context show "a:b;': "missive context show {hostile}",
    "missive config validate s-fi": "missive config validate s-file.toml",
    "missive --config=s-fi": "missive --config=s-file.toml",
    "missive --profile=w": "missive --profile=work",
    "missive --config s-file.toml intake list --adapter in": "missive --config s-file.toml intake list --adapter inbox",
    "missive plugin show std": "missive plugin show stdio",
    "missive completion fi": "missive completion fish",
    "~/bin/missive send al": "{home}/bin/missive send alpha",
    "missive send nobody-of-this-na": "missive send nobody-of-this-na",
}
"""What is typed, and the words that are there after TAB."""
HOSTILE = "a:b;$(touch${IFS}pwned)`touch${IFS}pwned`"
"""An id that is a command to whoever does not quote it."""


def with_missive_on_the_path(missive: Any) -> dict[str, str]:
    return {**missive.env, "PATH": f"{sysconfig.get_path('scripts')}:{missive.env['PATH']}"}


def a_home(missive: Any) -> None:
    """Put into the store what the cases complete."""
    (missive.home / "s-file.toml").write_text('[adapters.inbox]\nkind = "filedrop"\n', "utf-8")
    missive.ok("agent", "add", "alpha", "http://127.0.0.1:1")
    missive.ok("agent", "list", "--profile", "work")
    missive.ok("context", "create", "--name", "trip")
    (missive.home / "bin").mkdir()
    (missive.home / "bin" / "missive").symlink_to(f"{sysconfig.get_path('scripts')}/missive")
    for each in ("it's", HOSTILE):
        missive.ok("context", "create", "--id", each)


def check_all(missive: Any, at_prompt: Shell) -> None:
    wrong = []
    for typed, whole in CASES.items():
        expected = whole.replace("{hostile}", HOSTILE).replace("{home}", str(missive.home)).split(" ")
        words = at_prompt.words(typed)
        if words != expected:
            wrong.append((typed, words, expected))
    assert not wrong, wrong
    assert not (missive.home / "pwned").exists()


class Shell:
    """A shell with the completion script of missive in it."""

    def __init__(self, terminal: AtTerminal, home: Path, show: str) -> None:
        self._terminal = terminal
        self._home = home
        self._show = show
        self._count = 0

    def words(self, line: str) -> list[str]:
        """Type the beginning of a command line and TAB, and return the words of what is then there."""
        self._count += 1
        file = self._home / f"words-{self._count}"
        after = f"{HOME_KEY}{self._show} {END_KEY} > {file.name}; echo done-$(({self._count}+1000))\r"
        self._terminal.type(f"{line}\t{after}")
        self._terminal.until(f"done-{self._count + 1000}", 60)
        return file.read_text("utf-8").splitlines()


@contextmanager
def shell(missive: Any, name: str, *words: str, setup: str, show: str) -> Iterator[Shell]:
    script = missive.home / f"completion.{name}"
    script.write_text(missive.ok("completion", name), "utf-8")
    env = {**with_missive_on_the_path(missive), "TERM": "dumb", "PS1": "> "}
    with AtTerminal(["-c", _EXEC, name, *words], env=env, cwd=missive.home) as terminal:
        terminal.type(f"{setup.format(script=script.name)}; echo ready-$((41+1))\r")
        terminal.until("ready-42", 60)
        yield Shell(terminal, missive.home, show)
        terminal.type("exit\r")
        terminal.end()
