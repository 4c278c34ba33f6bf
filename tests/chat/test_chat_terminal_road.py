"""A person at a terminal talks to a real agent, with one command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.cores import Home
from support.terminals import CTRL_C, CTRL_D, AtTerminal

from missive_host.demo.fleet import AgentProcess

MISSIVE = ("-P", "-m", "missive_host")
TERMINAL = (*MISSIVE, "adapter", "terminal", "--agent", "echo")


@pytest.fixture
def home(tmp_path: Path, agent: AgentProcess) -> Home:
    made = Home(tmp_path)
    missive(made, "agent", "add", "echo", agent.url)
    return made


def missive(home: Home, *words: str, typed: str = "") -> str:
    done = subprocess.run(
        [sys.executable, *MISSIVE, *words],
        input=typed, capture_output=True, text=True, timeout=60, cwd=home.folder, env={**os.environ, **home.environ},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def at_terminal(home: Home) -> AtTerminal:
    return AtTerminal(TERMINAL, env=home.environ, cwd=home.folder)


def test_lines_of_a_pipe_are_answered_and_then_it_ends(home: Home) -> None:
    assert missive(home, "adapter", "terminal", "--agent", "echo", typed="hello\n\ntwo \\\nlines\n!new\n") in (
        "hello\ntwo \nlines\nA new conversation begins.\n",
        "A new conversation begins.\nhello\ntwo \nlines\n",
        "hello\nA new conversation begins.\ntwo \nlines\n",
    )
    assert missive(home, "adapter", "terminal", "--agent", "echo") == ""


def test_a_conversation(home: Home) -> None:
    with at_terminal(home) as terminal:
        terminal.until("Ctrl-D ends it")
        terminal.until("> ")
        terminal.type("hello\n")
        assert terminal.until("\r\n> ").splitlines()[-2:] == ["hello", "> "]
        terminal.type("ask which colour\n")
        terminal.until("which colour\r\n> ")
        terminal.type("blue\n")
        terminal.until("You answered: blue\r\n> ")
        terminal.type(CTRL_D)
        assert terminal.end() == 0
    assert terminal.rest.strip() == ""


def test_an_answer_grows(home: Home) -> None:
    with at_terminal(home) as terminal:
        terminal.until("> ")
        terminal.type("stream one\n")
        shown = terminal.until("Done.\r\n> ")
        assert [shown.count(f"chunk {number}") for number in (1, 2, 3)] == [1, 1, 1]


def test_leave_is_given_by_its_code(home: Home) -> None:
    with at_terminal(home) as terminal:
        terminal.until("> ")
        terminal.type("auth deploy\n")
        terminal.until("Approve with `!approve ")
        code = terminal.until("`").rstrip("`")
        terminal.until("> ")
        terminal.type("!approve WRONG1\n")
        terminal.until("There is no such question.")
        terminal.until("> ")
        terminal.type(f"!approve {code}\n")
        assert terminal.until("You answered: ").count("Please authorise") == 0
        terminal.type(f"!approve {code}\n")
        terminal.until("already")


def test_ctrl_c_ends_it_while_an_agent_works(home: Home) -> None:
    with at_terminal(home) as terminal:
        terminal.until("> ")
        terminal.type("sleep 60\n")
        terminal.until("sleep 60")
        terminal.type("!status\n")
        terminal.until("Running for")
        terminal.type(CTRL_C)
        terminal.type(CTRL_C)
        terminal.end()
    assert "Traceback" not in terminal.raw


def test_an_agent_that_is_not_there_is_told_in_words(home: Home) -> None:
    said = missive(home, "adapter", "terminal", "--agent", "nobody", typed="hello\n")
    assert said.startswith("⚠️ no agent 'nobody' is registered")


def test_two_at_once_do_not_take_each_others_answers(home: Home) -> None:
    with at_terminal(home) as terminal:
        terminal.until("> ")
        done = subprocess.run(
            [sys.executable, *TERMINAL],
            input="hello\n", capture_output=True, text=True, timeout=60, env={**os.environ, **home.environ},
        )  # fmt: skip
        assert done.returncode != 0
        assert "is in use by another process" in done.stderr
