"""What fish makes of the completion. ``complete -C`` answers as TAB does; fish itself quotes what it inserts."""

from __future__ import annotations

import subprocess

import pytest
from shell_kit import CASES, HOSTILE, a_home, with_missive_on_the_path

NEEDS = ("fish",)


def completed(missive, *lines: str) -> list[list[str]]:  # type: ignore[no-untyped-def]
    """Return the rows that fish would offer at the end of each line."""
    script = missive.home / "missive.fish"
    script.write_text(missive.ok("completion", "fish"), "utf-8")
    ask = "source missive.fish; for line in $argv; complete -C$line; echo ==; end"
    done = subprocess.run(
        ["fish", "--no-config", "-c", ask, *lines],
        env=with_missive_on_the_path(missive),
        cwd=missive.home,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [rows.splitlines() for rows in done.stdout.split("==\n")[:-1]]


@pytest.mark.timeout(300)  # many prompts, one after another
def test_what_is_typed_is_completed(missive) -> None:  # type: ignore[no-untyped-def]
    a_home(missive)
    found = completed(missive, *CASES)
    for (typed, whole), rows in zip(CASES.items(), found, strict=True):
        expected = [] if typed == whole else [whole.split(" ")[-1].replace("{hostile}", HOSTILE)]
        assert [row.partition("\t")[0] for row in rows] == expected, typed
    assert not (missive.home / "pwned").exists()


def test_each_comes_with_a_word_about_it_in_our_order(missive) -> None:  # type: ignore[no-untyped-def]
    missive.ok("agent", "add", "alpha", "http://127.0.0.1:1")
    sent, added = completed(missive, "missive send ", "missive agent a")
    assert sent == ["alpha\thttp://127.0.0.1:1"]
    assert added == ["add\tRegister an agent under an alias."]
