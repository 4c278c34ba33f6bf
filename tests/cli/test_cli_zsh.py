"""What zsh makes of the completion, at a terminal."""

from __future__ import annotations

import subprocess

from shell_kit import a_home, check_all, shell

NEEDS = ("zsh",)


def test_what_is_typed_is_completed_and_quoted(missive) -> None:  # type: ignore[no-untyped-def]
    a_home(missive)
    setup = "autoload -U compinit; compinit -D; source {script}"
    with shell(missive, "zsh", "-f", "-i", setup=setup, show="print -rl --") as typing:
        check_all(missive, typing)


def test_the_script_is_sound(missive) -> None:  # type: ignore[no-untyped-def]
    done = subprocess.run(["zsh", "-n"], input=missive.ok("completion", "zsh"), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
