"""``missive demo chat``: a person at a terminal writes to an agent, with nothing set up."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.terminals import CTRL_C, CTRL_D, AtTerminal

from missive_host.demo import irc
from missive_host.demo.irc import IrcServer

DEMO = ("-P", "-m", "missive_host", "demo", "chat")


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    return {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp"), "NO_COLOR": "1"}


def ports_of(shown: str) -> list[int]:
    found = [int(port) for port in re.findall(r"http://127\.0\.0\.1:(\d+)", shown)]
    assert len(found) == 3
    return found


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_person_types_to_an_agent(env: dict[str, str], tmp_path: Path) -> None:
    with AtTerminal([*DEMO, "--chat", "terminal"], env=env, cwd=tmp_path) as terminal:
        shown = terminal.until("> ")
        ports = ports_of(shown)
        assert all(map(is_open, ports))
        assert "Type to echo here" in shown
        terminal.type("hello\n")
        terminal.until("hello\r\nhello\r\n> ")
        terminal.type("!agent worker\n")
        terminal.until("From now on `worker` answers here.\r\n> ")
        terminal.type("ask which colour\n")
        terminal.until("which colour\r\n> ")
        terminal.type("blue\n")
        terminal.until("You answered: blue\r\n> ")
        terminal.type(CTRL_D)
        assert terminal.end() == 0
    assert not any(map(is_open, ports))
    assert list((tmp_path / "tmp").glob("missive-demo-*")) == []
    assert list((tmp_path / "home").iterdir()) == []


def test_ctrl_c_ends_all(env: dict[str, str], tmp_path: Path) -> None:
    with AtTerminal([*DEMO, "--chat", "terminal"], env=env, cwd=tmp_path) as terminal:
        ports = ports_of(terminal.until("> "))
        terminal.type(CTRL_C)
        assert terminal.end() == 0
    assert "Traceback" not in terminal.raw
    assert "have been stopped" in terminal.rest
    assert not any(map(is_open, ports))
    assert list((tmp_path / "tmp").glob("missive-demo-*")) == []


def test_all_three_answer(env: dict[str, str], tmp_path: Path) -> None:
    with AtTerminal([*DEMO, "--chat", "terminal", "--group"], env=env, cwd=tmp_path) as terminal:
        terminal.until("Type to crew here")
        terminal.until("> ")
        terminal.type("hello\n")
        shown = terminal.until("All together")
        assert [name for name in ("echo", "worker", "asker") if f"**{name}**" in shown] == ["echo", "worker", "asker"]


def test_a_program_drives_it(env: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, *DEMO, "--chat", "terminal", "--ndjson"],
        input="hello\n", capture_output=True, text=True, timeout=60, env={**os.environ, **env}, cwd=tmp_path,
    )  # fmt: skip
    document, answer = done.stdout.splitlines()
    told = json.loads(document)
    assert (told["kind"], told["data"]["chat"], told["data"]["answers"]) == ("demo_chat", "terminal", "echo")
    assert answer == "hello"
    assert done.returncode == 0


# --- IRC


def test_a_person_on_irc_writes_to_an_agent(env: dict[str, str], tmp_path: Path) -> None:
    with AtTerminal([*DEMO, "--chat", "irc"], env=env, cwd=tmp_path) as terminal:
        shown = terminal.until("it runs until Ctrl-C")
        ports = ports_of(shown)
        found = re.search(r"irssi --connect=127\.0\.0\.1 --port=(\d+)", shown)
        assert found is not None
        port = int(found[1])
        person = Client(port, "ada")
        person.say("JOIN #missive")
        person.until(" 366 ")
        deadline = time.monotonic() + 30
        while not person.is_there("missive"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        person.say("PRIVMSG #missive :missive: hello")
        assert person.until("PRIVMSG #missive :").endswith("hello")
        person.say("PRIVMSG missive :ask which colour")
        assert person.until("PRIVMSG ada :").endswith("which colour")
        person.say("PRIVMSG missive :blue")
        assert person.until("PRIVMSG ada :").endswith("You answered: blue")
        terminal.type(CTRL_C)
        assert terminal.end() == 0
        person.close()
    assert "Traceback" not in terminal.raw
    assert not any(map(is_open, [*ports, port]))
    assert list((tmp_path / "tmp").glob("missive-demo-*")) == []


# --- the server


class Client:
    """Somebody on IRC, with nothing but a socket."""

    def __init__(self, port: int, nick: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._lines = self._socket.makefile("r", encoding="utf-8", newline="\r\n")
        self.say(f"NICK {nick}\r\nUSER {nick} 0 * {nick}")
        self.until(" 001 ")

    def say(self, line: str) -> None:
        self._socket.sendall(f"{line}\r\n".encode())

    def until(self, words: str) -> str:
        while words not in (line := self._lines.readline()):
            assert line, f"the connection ended before {words!r}"
            if line.startswith("PING"):
                self.say("PONG" + line[4:].rstrip())
        return line.rstrip()

    def is_there(self, nick: str) -> bool:
        self.say(f"ISON {nick}")
        return nick in self.until(" 303 ").rpartition(":")[2]

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


@pytest.mark.parametrize("name", irc.PROGRAMS)
def test_the_irc_server_carries_messages(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(irc, "PROGRAMS", (name,))
    program = irc.installed()
    assert program is not None, f"{name} is not installed"
    with IrcServer(program, tmp_path) as server:
        ada, bob = Client(server.port, "ada"), Client(server.port, "bob")
        ada.say("JOIN #missive")
        ada.until(" 366 ")
        bob.say("JOIN #missive")
        bob.until(" 366 ")
        bob.say("PRIVMSG #missive :hello")
        assert ada.until("PRIVMSG").endswith("PRIVMSG #missive :hello")
        ada.close()
        bob.close()
    assert not is_open(server.port)


def test_nothing_is_left_of_the_server_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = irc.installed()
    assert program is not None
    script = (
        "import sys, time; from pathlib import Path; from missive_host.demo.irc import IrcServer\n"
        "with IrcServer(sys.argv[1], Path(sys.argv[2])) as server: print(server.port, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        assert is_open(port)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while is_open(port):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_server_that_does_not_start_is_told_with_its_words(tmp_path: Path) -> None:
    from missive_host.errors import TransportError

    with pytest.raises(TransportError, match="ended before it was ready"), IrcServer(sys.executable, tmp_path):
        pass
