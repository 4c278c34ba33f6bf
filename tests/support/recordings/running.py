"""The gateway and its jobs, sessions and dead letters; doors; push notifications; a chat."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from typing import Any

from missive_chat.state import insert
from support.chat.bridges import ENV, bridge_of
from support.deliveries import put_ended
from support.recordings.desk import Desk, until
from support.secrets import planted

GATEWAY = """
[gateway]
max_attempts = 1
drain = "1s"

[adapters.drop]
kind = "file-drop"
settings = { inbox = "in", outbox = "out" }
"""


def gateway(desk: Desk) -> None:
    desk.asks("agent", "add", "echo", desk.agent("echo"))
    desk.asks("agent", "add", "worker", desk.agent("worker"))
    (desk.folder / "in").mkdir()
    desk.home.configure(GATEWAY)
    with desk.starts("gateway", "run", "--port", "0") as running:
        running.next()
        until(lambda: desk.asks("gateway", "status")["daemon"].get("ready"))
        source = {"source_id": "alice", "resume_name": "work"}
        frame = {"id": "a", "command": "send", "agent": "echo", "message": "echo hello", "source": source}
        drop(desk, frame)
        sessions(desk)
        jobs(desk)
        desk.types("gateway", "status")
        desk.types("gateway", "reload")
        desk.types("gateway", "stop")
        running.ends(told=False)
    desk.types("logs")
    desk.types("logs", lines=True)


def drop(desk: Desk, frame: dict[str, Any]) -> None:
    """Put a frame into the inbox, as a whole."""
    (desk.folder / "a.json").write_text(json.dumps(frame))
    (desk.folder / "a.json").rename(desk.folder / "in" / "a.json")


def sessions(desk: Desk) -> None:
    found = until(lambda: [each for each in desk.asks("session", "list")["sessions"] if "context_id" in each])
    desk.types("session", "list")
    desk.types("session", "show", found[0]["session_id"])
    desk.types("session", "reset", found[0]["session_id"])


def intake(desk: Desk) -> None:
    """Two deliveries that were tried as often as may be."""
    first, second = (put_ended(desk.home, "dead", text) for text in ("one", "two"))
    desk.types("intake", "list")
    desk.types("intake", "show", first)
    desk.types("intake", "retry", first)
    desk.types("intake", "drop", second)


def jobs(desk: Desk) -> None:
    started = desk.types("job", "start", "send", "worker", "sleep 600", "--max-attempts", "3")["job"]["job_id"]
    until(lambda: "task_id" in desk.asks("job", "show", started)["job"])
    desk.types("job", "list")
    desk.types("job", "show", started)
    desk.types("job", "cancel", started, "--remote")
    planned = desk.types("job", "start", "send", "echo", "hello", "--every", "1h")["schedule"]["schedule_id"]
    for verb in ("show", "pause", "resume"):
        desk.types("job", "schedule", verb, planned)
    desk.types("job", "schedule", "list")
    desk.types("job", "schedule", "delete", planned)


def doors(desk: Desk) -> None:
    desk.asks("agent", "add", "echo", desk.agent("echo"))
    (desk.folder / "in").mkdir()
    drop(desk, {"id": "a", "command": "send", "agent": "echo", "message": "echo hello"})
    desk.types("adapter", "file-drop", "--inbox", "in", "--outbox", "out")


def push(desk: Desk) -> None:
    desk.env["PUSH_TOKEN"] = planted("push-config")
    desk.asks("agent", "add", "pusher", desk.agent("pusher"))
    with desk.starts("webhook", "run", "--port", "0", "--max-events", "1", "--timeout", "60s") as running:
        url = running.next()["url"]
        refused = urllib.request.Request(url, b"{", {"content-type": "application/json"})
        try:
            urllib.request.urlopen(refused, timeout=30).close()
        except urllib.error.HTTPError as error:
            error.close()
        running.next()
        task = desk.asks("send", "pusher", "sleep 6", "--async")["response"]["task_id"]
        made = desk.types("push", "create", "pusher", task, url, "--token-env", "PUSH_TOKEN", "--metadata", "team=a")
        config = made["config"]["config_id"]
        desk.types("push", "get", "pusher", task, config)
        desk.types("push", "list", "pusher", task)
        running.next()
        running.ends(told=False)
        desk.types("push", "delete", "pusher", task, config)


def chat(desk: Desk) -> None:
    asyncio.run(_chat(desk))


async def _chat(desk: Desk) -> None:
    settings = 'agent = "echo"\ndm_policy = "pairing"\nchannels = ["lobby"]\n'
    async with bridge_of(desk.home, desk.fleet["echo"], settings=settings) as town:

        async def types(*words: str) -> Any:
            plugin = ("--plugin", str(desk.folder / "line_plugin.py"))
            return await asyncio.to_thread(lambda: desk.types(*plugin, "chat", *words, env=ENV))

        for name in ("ann", "bob"):
            town.say("hello", room=f"@{name}", who=name)
        await town.until(lambda: len(town.texts()) == 2)
        await town.until(lambda: town.state().note("alive"))
        people = (await types("pairing", "list", "team"))["pairings"]
        await types("pairing", "approve", "team", people[0]["code"])
        await types("pairing", "refuse", "team", people[1]["code"])
        now, state = time.time(), town.state()
        row = {
            "code": "K7QD3MXA",
            "conversation": "lobby",
            "place": json.dumps({"chat": "lobby"}),
            "task": "task-1",
            "agent": "echo",
            "question": "May I?",
            "owner": "K7QD3MXA",
            "slot": "0",
            "asked_at": now - 10,
            "expires_at": now + 600,
            "state": "open",
        }
        await state.change(lambda db: insert(db, "approvals", row))
        state.close()
        await types("approvals", "list", "team")
        await types("test", "team", "--to", "lobby", "--thread", "t1", "hello")
        await types("doctor", "team")
        await types("list")
