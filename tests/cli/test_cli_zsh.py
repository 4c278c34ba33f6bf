"""What zsh makes of the completion, at a terminal."""

from __future__ import annotations

import subprocess

import pytest
from shell_kit import a_home, check_all, shell

NEEDS = ("zsh",)


@pytest.mark.timeout(300)  # many prompts, one after another
def test_what_is_typed_is_completed_and_quoted(missive) -> None:  # type: ignore[no-untyped-def]
    a_home(missive)
    setup = "autoload -U compinit; compinit -D; source {script}"
    with shell(missive, "zsh", "-f", "-i", setup=setup, show="print -rl --") as typing:
        check_all(missive, typing)


def test_it_is_found_in_a_folder_of_functions(missive) -> None:  # type: ignore[no-untyped-def]
    missive.ok("agent", "add", "alpha", "http://127.0.0.1:1")
    (missive.home / "functions").mkdir()
    (missive.home / "functions/_missive").write_text(missive.ok("completion", "zsh"), "utf-8")
    setup = "fpath=($HOME/functions $fpath); autoload -U compinit; compinit -u -D; : {script}"
    with shell(missive, "zsh", "-f", "-i", setup=setup, show="print -rl --") as typing:
        assert typing.words("missive send al") == ["missive", "send", "alpha"]  # loads it
        assert typing.words("missive task wait --agent al") == ["missive", "task", "wait", "--agent", "alpha"]


def test_the_script_is_sound(missive) -> None:  # type: ignore[no-untyped-def]
    done = subprocess.run(["zsh", "-n"], input=missive.ok("completion", "zsh"), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
