"""What bash makes of the completion, at a terminal."""

from __future__ import annotations

import subprocess

import pytest
from shell_kit import a_home, check_all, shell, with_missive_on_the_path


@pytest.mark.timeout(300)  # many prompts, one after another
def test_what_is_typed_is_completed_and_quoted(missive) -> None:  # type: ignore[no-untyped-def]
    a_home(missive)
    with shell(
        missive, "bash", "--noprofile", "--norc", "-i", setup="source {script}", show="printf '%s\\n'"
    ) as typing:
        check_all(missive, typing)


def test_the_script_is_sound_and_says_nothing_without_missive(missive) -> None:  # type: ignore[no-untyped-def]
    script = missive.ok("completion", "bash")
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    asked = f"{script}\nCOMP_LINE='missive task s' COMP_POINT=14; _missive_completion missive; echo ${{#COMPREPLY[@]}}"
    for path, count in ((with_missive_on_the_path(missive)["PATH"], 1), ("/nowhere", 0)):
        done = subprocess.run(
            ["/bin/bash", "--noprofile", "--norc", "-c", asked],
            env={**missive.env, "PATH": path},
            capture_output=True,
            text=True,
        )
        assert (done.stdout, done.stderr) == (f"{count}\n", "")
