"""The door in a gateway: a file is written down before it is run, and what is written down is not lost."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import pytest
from filedrop_kit import Drop, until
from support.cores import Home
from support.gateways import GatewayProcess

CONFIG = """
[qos]
retry_backoff = "10ms"

[adapters.drop]
kind = "file-drop"

[adapters.drop.settings]
inbox = "{inbox}"
outbox = "{outbox}"
poll_interval = "100ms"
{more}
"""
Logged = Callable[[], list[str]]


@pytest.fixture
def gateway_home(drop: Drop) -> Home:
    home = Home(drop.folder)
    configure(drop, home)
    return home


def configure(drop: Drop, home: Home, more: str = "") -> None:
    home.configure(CONFIG.format(inbox=drop.inbox, outbox=drop.outbox, more=more))


def test_a_file_through_the_gateway(drop: Drop, gateway_home: Home, logged: Logged) -> None:
    (drop.inbox / "note.txt").write_text("hello")
    with GatewayProcess(gateway_home).ready() as gateway:
        drop.send("a.json", "echo hello", idempotency_key="k")
        drop.send("b.json", "echo hello", file_bytes=["note.txt"])
        drop.put("c.json", b"[")
        until(lambda: len(drop.names()) == 3)
        drop.put(
            "d.json", {"id": "a", "command": "send", "agent": "echo", "message": "echo hello", "idempotency_key": "k"}
        )
        drop.send("e.json", "echo other", idempotency_key="k")
        until(lambda: len(drop.names()) == 5)
        assert gateway.stop() == 0
    assert drop.names() == ["a.result.json", "b.result.json", "c.error.json", "d.result.json", "e.error.json"]
    assert drop.answer("d.result.json")["outputs"] == drop.answer("a.result.json")["outputs"]
    assert "another command was given under this key" in drop.answer("e.error.json")["error"]["message"]
    assert drop.names("in/processed") == ["a.json", "b.json", "d.json", "note.txt"]
    assert sorted(logged()) == ["echo hello", "echo hello "]
    assert drop.clean()


def test_what_runs_when_the_gateway_stops_goes_on_in_the_next(drop: Drop, gateway_home: Home, logged: Logged) -> None:
    drop.send("a.json", "slow 2")
    with GatewayProcess(gateway_home).ready() as gateway:
        until(logged)
        gateway.kill()
    (claim,) = drop.names("in")
    assert ".claim-h" in claim
    assert drop.summary()["processed_files"] == 0, "it is the gateway's"
    with GatewayProcess(gateway_home).ready() as gateway:
        until(lambda: drop.names() == ["a.result.json"])
        assert gateway.stop() == 0
    assert drop.clean()


def test_killed_at_random_each_file_has_one_answer(drop: Drop, gateway_home: Home, logged: Logged) -> None:
    """And the agent has seen one messageId for each."""
    chance = random.Random(7)
    count, kills = 150, 6
    texts = [f"echo {number:03}" for number in range(count)]
    for number, text in enumerate(texts):
        drop.send(f"{number:03}.json", text)
    for _ in range(kills):
        before = len(drop.answers())
        with GatewayProcess(gateway_home) as gateway:
            until(partial(drop.has_more_than, before))
            time.sleep(chance.uniform(0, 0.2))
            gateway.kill()
    with GatewayProcess(gateway_home).ready() as gateway:
        until(lambda: len(drop.answers()) >= count and drop.clean())
        assert gateway.stop() == 0
    assert drop.names() == [f"{number:03}.result.json" for number in range(count)]
    assert drop.names("in/processed") == [f"{number:03}.json" for number in range(count)]
    messages = {tuple(line.split("\t")) for line in (drop.folder / "messages").read_text().splitlines()}
    assert Counter(text for _, text in messages) == Counter(texts)
    assert set(logged()) == set(texts)


def test_two_gateways_on_one_inbox(drop: Drop, gateway_home: Home, logged: Logged) -> None:
    other = drop.folder / "other"
    other.mkdir()
    homes = [gateway_home, Home(other)]
    configure(drop, homes[1])
    drop.add(drop.agents["echo"], home=other / "home")
    texts = [f"echo {number:03}" for number in range(200)]
    with ExitStack() as stack:
        gateways = [stack.enter_context(GatewayProcess(home)).ready() for home in homes]
        for number, text in enumerate(texts):
            drop.send(f"{number:03}.json", text)
        until(lambda: len(drop.answers()) == len(texts) and drop.clean())
        assert [gateway.stop() for gateway in gateways] == [0, 0]
    assert Counter(logged()) == Counter(texts)


def test_a_full_gateway_leaves_files_where_they_are(drop: Drop, gateway_home: Home, logged: Logged) -> None:
    text = gateway_home.config.read_text().replace('kind = "file-drop"', 'kind = "file-drop"\ncapacity = 3')
    gateway_home.config.write_text(text)
    for number in range(10):
        drop.send(f"{number}.json", "slow 2")
    with GatewayProcess(gateway_home).ready() as gateway:
        until(lambda: len(logged()) == 3)
        assert len([name for name in drop.names("in") if name[0] != "."]) >= 6
        until(lambda: len(drop.answers()) == 10)
        assert gateway.stop() == 0


def test_folders_as_sessions_are_conversations(drop: Drop, gateway_home: Home, logged: Logged) -> None:
    configure(drop, gateway_home, "session_folders = true")
    for team in ("red", "blue"):
        for number in range(2):
            drop.put(
                f"{team}{number}.json",
                {"id": f"{team}{number}", "command": "send", "agent": "echo", "message": "context"},
                folder=team,
            )
    drop.send("alone.json", "context")
    with GatewayProcess(gateway_home).ready() as gateway:
        until(lambda: len(drop.answers()) == 5)
        assert gateway.stop() == 0
    contexts = [
        drop.answer(f"{name}.result.json")["outputs"][0]["data"]["data"]["response"]["context_id"]
        for name in ("red0", "red1", "blue0", "blue1", "alone")
    ]
    assert contexts[0] == contexts[1]
    assert contexts[2] == contexts[3]
    assert len({contexts[0], contexts[2], contexts[4]}) == 3


def test_a_busy_session_holds_up_no_other(drop: Drop, gateway_home: Home, logged: Logged) -> None:
    configure(drop, gateway_home, "session_folders = true")
    count = 50

    def put(name: str, text: str, folder: str) -> None:
        command = {"id": name, "command": "send", "agent": "echo", "message": text}
        drop.put(f"{name}.json", command, folder=folder)

    for number in range(count):
        put(f"{number:03}", "slow 1" if number == 0 else f"echo {number:03}", "alice")
    with GatewayProcess(gateway_home).ready() as gateway:
        until(logged)
        put("zz", "echo bob", "bob")
        until(lambda: "zz.result.json" in drop.names())
        assert len(drop.names("in/alice")) == count, "none of hers is answered yet"
        until(lambda: len(drop.answers()) == count + 1)
        assert gateway.stop() == 0
    order = [text for text in logged() if text.startswith("echo 0")]
    assert order == sorted(order)
    assert len(order) == count - 1
