"""``missive chat``: beside a gateway that runs, and without one; with real processes and a chat server on a socket."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from missive_chat import pairing
from missive_chat.owner import AccountLock
from missive_chat.state import State, insert
from support.chat.bridges import ENV, bridge_of
from support.chat.line_server import TOKEN, WRONG_TOKEN

if TYPE_CHECKING:
    from support.chat.bridges import Town
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

PAIRED = 'agent = "echo"\ndm_policy = "pairing"\nchannels = ["lobby"]\n'


async def chat(home: Home, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run ``missive chat …``."""
    command = [sys.executable, "-P", "-m", "missive_host", "--plugin", str(home.folder / "line_plugin.py"), "chat"]
    environ = {**os.environ, **home.environ, **ENV, "MISSIVE_CONFIG": str(home.config), **env}
    return await asyncio.to_thread(
        subprocess.run, [*command, *words], env=environ, cwd=home.folder, capture_output=True, text=True, timeout=60
    )


async def data(home: Home, *words: str, status: int = 0, **env: str) -> dict[str, Any]:
    """Run it with ``--json``, and return ``data``."""
    done = await chat(home, *words, "--json", **env)
    assert done.returncode == status, done.stderr
    document = json.loads(done.stdout or done.stderr)
    assert document["schema_version"] == "missive.output.v1"
    assert document["ok"] is bool(done.stdout)
    found: dict[str, Any] = document["data"]
    return found


def checks(found: dict[str, Any]) -> dict[str, str]:
    return {check["id"]: check["status"] for check in found["checks"]}


def said_by(found: dict[str, Any], name: str) -> dict[str, str]:
    (check,) = [check for check in found["checks"] if check["id"] == name]
    return dict(check)


async def asked_to_be_let_in(town: Town) -> str:
    town.say("hello", room="@ann")
    await town.until(town.texts)
    (person,) = (await data(town.home, "pairing", "list", "team"))["pairings"]
    code: str = person["code"]
    assert code in town.texts()[0]
    return code


# --- pairing


async def test_a_stranger_is_let_in_and_out_again(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, settings=PAIRED) as town:
        code = await asked_to_be_let_in(town)
        listed = await data(home, "pairing", "list", "team")
        assert (listed["adapter"], listed["count"], listed["message"]) == ("team", 1, "1 waiting, 0 let in")
        (person,) = listed["pairings"]
        assert (person["sender"], person["state"], person["expires_at"] > person["asked_at"]) == ("ann", "asked", True)
        approved = await data(home, "pairing", "approve", "team", code.lower())
        assert (approved["pairing"]["state"], approved["message"]) == ("approved", "ann may write to 'team' now")
        await town.until(lambda: any("let in" in text for text in town.texts()))  # the gateway itself tells them
        town.say("echo good morning", room="@ann")
        await town.until(lambda: "good morning" in town.texts())
        (person,) = (await data(home, "pairing", "list", "team"))["pairings"]
        assert (person["state"], "code" in person) == ("approved", False)
        refused = await data(home, "pairing", "refuse", "team", "ann")
        assert (refused["pairing"]["state"], refused["message"]) == ("refused", "ann may not write to 'team'")
        town.say("echo once more", room="@ann")
        await town.quiet()
        assert "once more" not in town.texts()


async def test_a_code_is_let_in_without_a_gateway_and_without_secrets(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, settings=PAIRED) as town:
        code = await asked_to_be_let_in(town)
        await town.kill()
        done = await chat(home, "pairing", "approve", "team", code, LINE_TOKEN="")
        assert done.returncode == 0, done.stderr
        assert "may write to 'team' now; they are told when the gateway runs" in done.stderr
        assert "sender" in done.stdout
        await town.start()
        await town.until(lambda: any("let in" in text for text in town.texts()))


async def test_a_code_that_is_none(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, settings=PAIRED) as town:
        code = await asked_to_be_let_in(town)
        for wrong in ("AAAAAAAA", "'; DROP TABLE pairing", code[:-1], ""):
            found = await data(home, "pairing", "approve", "team", wrong, status=64)
            assert f"nobody waits with the code '{wrong}'" in found["message"]
        state = town.state()
        state.change_now(lambda db: db.execute("UPDATE pairing SET expires_at = ?", (time.time() - 1,)))
        state.close()
        assert "nobody waits" in (await data(home, "pairing", "approve", "team", code, status=64))["message"]
        assert (await data(home, "pairing", "list", "team"))["count"] == 0


async def test_nothing_is_there_yet(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, start=False) as town:
        assert (await data(home, "pairing", "list", "team"))["pairings"] == []
        assert (await data(home, "approvals", "list", "team"))["approvals"] == []
        assert not town.state().exists, "looking makes nothing"
        (team,) = (await data(home, "list"))["adapters"]
        assert team == {"name": "team", "kind": "line", "enabled": True, "state": "stopped"}


# --- approvals


async def test_approvals_are_listed(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, start=False) as town:
        now = time.time()
        state = town.state()
        for code, kind, until in (("AAA", "open", 60), ("BBB", "open", -1), ("CCC", "approved", 60)):
            row = {
                "code": code,
                "conversation": "lobby",
                "place": json.dumps({"chat": "lobby"}),
                "task": "t1",
                "agent": "echo",
                "question": "May I?\x1b[31m",
                "owner": code,
                "slot": "0",
                "asked_at": now - 10,
                "expires_at": now + until,
                "state": kind,
                "decided_by": "ann" if kind == "approved" else None,
            }
            await state.change(lambda db: insert(db, "approvals", row))  # noqa: B023
        state.close()
        listed = await data(home, "approvals", "list", "team")
        assert [(each["code"], each["state"], each["task_id"]) for each in listed["approvals"]] == [
            ("AAA", "open", "t1")
        ]
        listed = await data(home, "approvals", "list", "team", "--all")
        states = {each["code"]: (each["state"], each.get("decided_by")) for each in listed["approvals"]}
        assert states == {"AAA": ("open", None), "BBB": ("expired", None), "CCC": ("approved", "ann")}
        (team,) = (await data(home, "list"))["adapters"]
        assert team["approvals"] == 1
        done = await chat(home, "approvals", "list", "team")
        assert "May I?" in done.stdout
        assert "\x1b" not in done.stdout


# --- list, doctor


async def test_the_doctor_finds_a_bridge_that_is_well(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent) as town:
        town.say("@bot echo hello")
        await town.until(lambda: town.texts() == ["hello"])
        await town.until(lambda: town.state().note("alive"))
        found = await data(home, "doctor", "team")
        assert found["healthy"], found
        assert set(checks(found).values()) == {"ok"}
        wanted = ["config", "gateway", "access", "login", "token", "owner", "state", "alive", "inbox", "outbox"]
        assert list(checks(found)) == wanted
        assert said_by(found, "token")["message"] == "logged in as bot", "what the platform itself has found"
        assert town.gateway is not None
        assert str(town.gateway.process.pid) in said_by(found, "owner")["message"]
        (team,) = (await data(home, "list"))["adapters"]
        assert (team["state"], team["waiting_in"], team["waiting_out"], team["failed_out"]) == ("live", 0, 0, 0)
        assert team["alive_at"].endswith("Z")
        done = await chat(home, "doctor", "team")
        assert [line.split()[:2] for line in done.stdout.splitlines()[:3]] == [
            ["CHECK", "STATUS"],
            ["config", "ok"],
            ["gateway", "ok"],
        ]
        assert "all is well" in done.stderr
        town.say("@bot echo still there")  # nothing of it was in the gateway's way
        await town.until(lambda: "still there" in town.texts())


async def test_a_wrong_token_is_told_at_once_in_the_platforms_words(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, start=False):
        done = await chat(home, "doctor", "team", "--json", "-vvv", LINE_TOKEN=WRONG_TOKEN)
        assert done.returncode == 1
        found = json.loads(done.stdout)["data"]
        assert not found["healthy"]
        assert said_by(found, "login")["status"] == "fail"
        assert "who are you?" in said_by(found, "login")["message"]
        assert "token" not in checks(found), "what comes after the login is left out"
        failed = await data(home, "test", "team", "--to", "lobby", "hello", status=77, LINE_TOKEN=WRONG_TOKEN)
        assert "who are you?" in failed["message"]
        assert WRONG_TOKEN not in done.stdout + done.stderr + json.dumps(failed)


async def test_what_is_wrong_with_the_configuration_is_a_finding(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, start=False, settings='channels = ["lobby"]\n'):
        found = await data(home, "doctor", "team", status=1)
        assert "neither `agent` nor `group` is set" in said_by(found, "config")["message"]
        assert said_by(found, "config")["fix"] == 'agent = "NAME"'
        found = await data(home, "doctor", "team", status=1, LINE_TOKEN="")
        assert "LINE_TOKEN" in said_by(found, "config")["message"]


async def test_without_a_gateway_and_with_nobody_who_may_write(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, start=False, settings='agent = "echo"\n'):
        found = await data(home, "doctor", "team")
        assert said_by(found, "gateway")["fix"] == "missive gateway run"
        assert said_by(found, "access")["status"] == "warn"
        assert "`users`" in said_by(found, "access")["fix"]
        assert said_by(found, "owner")["message"] == "nobody is connected as this account"
        done = await chat(home, "doctor", "team")
        assert "gateway: missive gateway run" in done.stdout
        assert "all is well" not in done.stderr


async def test_everybody_may_write_and_no_admin_is_named(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, start=False, settings='agent = "echo"\ndm_policy = "open"\n'):
        found = await data(home, "doctor", "team")
        assert checks(found)["access"] == "ok"
        assert said_by(found, "admins")["status"] == "warn"


async def test_a_server_that_is_not_there(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, start=False):
        text = home.config.read_text()
        start = text.index("port = ") + len("port = ")
        home.config.write_text(text[:start] + "1" + text[text.index("\n", start) :])
        found = await data(home, "doctor", "team", status=1)
        assert "cannot be reached" in said_by(found, "login")["message"]
        assert "cannot be reached" in (await data(home, "test", "team", "--to", "x", "y", status=69))["message"]


async def test_queues_that_do_not_move_losses_and_a_wrong_clock(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, start=False) as town:
        old, state = time.time() - 3600, town.state()

        def fill(db: sqlite3.Connection) -> None:
            event = {"conversation": "c", "message_id": "1", "event": "{}", "received_at": old}
            insert(db, "inbox", {"event_id": "1", **event})
            row = {"conversation": "c", "key": "k", "place": "{}", "wanted": "w", "final": 1, "created_at": old}
            insert(db, "outbox", {"owner": "a", "slot": "0", **row})
            insert(db, "outbox", {"owner": "a", "slot": "1", **row, "state": "failed", "error": "channel is archived"})
            insert(db, "notes", {"name": "alive", "value": repr(time.time() + 7200)})

        await state.change(fill)
        state.close()
        found = await data(home, "doctor", "team", status=1)
        assert said_by(found, "inbox")["message"] == "1 message to be begun, for up to 60 min"
        assert said_by(found, "outbox")["status"] == "warn"
        assert "channel is archived" in said_by(found, "lost")["message"]
        assert said_by(found, "clock")["status"] == "fail"
        (team,) = (await data(home, "list"))["adapters"]
        assert (team["waiting_in"], team["waiting_out"], team["failed_out"]) == (1, 1, 1)


async def test_a_gateway_that_is_not_connected(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, start=False) as town:
        text = home.config.read_text()
        home.config.write_text(text.replace('kind = "line"', 'kind = "line"\nenabled = false'))
        await town.start()
        found = await data(home, "doctor", "team")
        assert said_by(found, "gateway")["message"] == "the adapter is not enabled"
        assert (await data(home, "list"))["adapters"][0]["state"] == "stopped"
        home.config.write_text(text)  # the gateway has not read it again
        found = await data(home, "doctor", "team", status=1)
        assert said_by(found, "owner")["status"] == "fail"
        listed = await data(home, "list")
        assert (listed["gateway_running"], listed["adapters"][0]["state"]) == (True, "silent")


async def test_another_process_that_has_the_account(home: Home, agent: AgentProcess, monkeypatch: Any) -> None:
    async with bridge_of(home, agent, start=False):
        monkeypatch.setenv("XDG_RUNTIME_DIR", ENV["XDG_RUNTIME_DIR"])
        lock = AccountLock("line", "bot")
        lock.take()
        try:
            found = await data(home, "doctor", "team")
            assert said_by(found, "owner")["status"] == "warn"
            assert f"process {os.getpid()}, which is no gateway" in said_by(found, "owner")["message"]
        finally:
            lock.release()
        assert said_by(await data(home, "doctor", "team"), "owner")["status"] == "ok"
        lock.take()  # the doctor has let it go
        lock.release()


async def test_a_state_that_cannot_be_read_is_a_finding(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, start=False) as town:
        folder = home.settings().paths.data / "adapters" / "team"
        folder.mkdir(parents=True)
        (folder / "chat.db").write_bytes(b"this is no database, and long enough to be seen as none" * 40)
        assert town.state().exists
        found = await data(home, "doctor", "team", status=1)
        assert said_by(found, "state")["status"] == "fail"
        assert "chat.db" in said_by(found, "state")["message"]


# --- test


@pytest.mark.parametrize("running", [True, False])
async def test_a_message_is_sent_beside_the_gateway_or_without_it(
    home: Home, agent: AgentProcess, running: bool
) -> None:
    async with bridge_of(home, agent, start=running) as town:
        found = await data(home, "test", "team", "--to", "lobby", "--thread", "t1", "hello @all")
        (message,) = town.messages
        assert (message["text"], message["room"], message["thread"]) == ("hello @\u200ball", "lobby", "t1")
        assert found == {
            "profile": "default",
            "adapter": "team",
            "platform": "line",
            "chat": "lobby",
            "message_id": message["id"],
            "thread": "t1",
            "message": "sent",
        }
        done = await chat(home, "test", "team", "--to", "@ann")
        assert (done.returncode, town.messages[1]["text"]) == (0, "A test message of missive.")
        assert town.messages[1]["id"] in done.stdout.split()
        assert TOKEN not in done.stdout + done.stderr


async def test_a_text_that_is_too_long_is_not_sent(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, start=False) as town:
        for text in ("x" * 401, " "):
            found = await data(home, "test", "team", "--to", "lobby", text, status=64)
            assert "must have 1 to 400 characters" in found["message"]
        assert town.messages == []


async def test_the_longer_there_is_no_sign_of_life_the_worse(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent) as town:
        await town.until(lambda: town.state().note("alive"))
        for silent, status, fares in ((10, "ok", "live"), (600, "warn", "live"), (4000, "fail", "silent")):
            state = town.state()
            await state.set_note("alive", repr(time.time() - silent))
            state.close()
            found = await data(home, "doctor", "team", status=1 if status == "fail" else 0)
            assert said_by(found, "alive")["status"] == status
            assert (await data(home, "list"))["adapters"][0]["state"] == fares


async def test_the_terminal_and_what_only_tells(home: Home, agent: AgentProcess) -> None:
    more = (
        '[adapters.desk]\nkind = "terminal"\n[adapters.desk.settings]\nagent = "echo"\n'
        '[adapters.bell]\nkind = "notify"\n[adapters.bell.settings]\nurls = [{ secret = "env:LINE_TOKEN" }]\n'
    )
    async with bridge_of(home, agent, start=False, more=more):
        assert [each["name"] for each in (await data(home, "list"))["adapters"]] == ["desk", "team"]
        assert "access" not in checks(await data(home, "doctor", "desk"))
        assert "`notify` only tells" in (await data(home, "doctor", "bell", status=64))["message"]
        assert "`notify` only tells" in (await data(home, "test", "bell", "--to", "x", status=64))["message"]


async def test_a_table_that_is_no_chat(home: Home, agent: AgentProcess) -> None:
    async with bridge_of(home, agent, start=False, more='[adapters.web]\nkind = "http"\n'):
        assert "did you mean 'team'?" in (await data(home, "doctor", "taem", status=64))["message"]
        found = await data(home, "pairing", "list", "web", status=64)
        assert "`missive chat` has nothing to do with it" in found["message"]
        assert [each["name"] for each in (await data(home, "list"))["adapters"]] == ["team"]


def test_a_code_is_good_for_one_account_only(tmp_path: Any) -> None:
    from missive_chat.platform import Place, Sender

    one, other = State(tmp_path / "one"), State(tmp_path / "other")
    sender, place = Sender(id="ann"), Place(chat="@ann", is_direct=True)
    code = one.change_now(lambda db: pairing.ask(db, sender, place, time.time()))
    assert code is not None
    assert not other.exists
    assert pairing.decide(one, code, approve=True, now=time.time()).sender == "ann"
    one.close()
