"""Agents, messages, tasks, contexts, the journal; groups, routing and collectives."""

from __future__ import annotations

import json

from support.recordings.desk import Desk


def agents(desk: Desk) -> None:
    desk.types(
        "agent", "add", "echo", desk.agent("echo"), "--tag", "fast", "--metadata", "team=a", "--notes", "Repeats"
    )
    desk.types("agent", "inspect", "echo")
    desk.types("agent", "refresh", "echo")
    desk.types("agent", "capabilities", "echo")
    desk.types("agent", "list")
    desk.types("agent", "show", "echo")
    desk.types("agent", "update", "echo", "--tag", "quick", "--remove-tag", "fast")
    desk.types("agent", "rename", "echo", "parrot")
    desk.types("agent", "remove", "parrot")


def calls(desk: Desk) -> None:
    task, _ = prepared(desk)
    desk.types("send", "echo", "echo hello", "--metadata", "trace=42")
    desk.types("send", "worker", "task", variant="task")
    desk.types("send", "worker", "task", "--async", variant="begun")
    desk.types("stream", "worker", "stream 2", "--context", "trip", lines=True)
    desk.types("stream", "worker", "stream 1", variant="with_events")
    first = desk.types("task", "artifact", "list", task)["artifacts"][0]["artifact_id"]
    desk.types("task", "artifact", "show", task, first)
    desk.types("task", "artifact", "save", task, first, "-o", "summary.txt")
    desk.types("task", "artifact", "export", task, "-o", "out")


def prepared(desk: Desk) -> tuple[str, str]:
    """Two agents, and two tasks of the one in a context: one that has ended, and one that takes its time."""
    for name in ("echo", "worker"):
        desk.asks("agent", "add", name, desk.agent(name))
    desk.asks("context", "create", "--name", "trip", "--agent", "worker")
    ended = desk.asks("send", "worker", "task", "--context", "trip")["response"]["task_id"]
    slow = desk.asks("send", "worker", "sleep 600", "--async")["response"]["task_id"]
    return ended, slow


def tasks(desk: Desk) -> None:
    task, slow = prepared(desk)
    desk.types("task", "get", task)
    desk.types("task", "get", task, "--remote", variant="remote")
    desk.types("task", "list", "--agent", "worker")
    desk.types("task", "list", "--agent", "worker", "--remote", "--page-size", "1", variant="remote")
    desk.types("task", "wait", task)
    desk.types("task", "wait", slow, "--timeout", "100ms", "--interval", "50ms", variant="timeout", status=82)
    desk.types("task", "cancel", slow)


def contexts(desk: Desk) -> None:
    task, _ = prepared(desk)
    desk.types("context", "create", "--name", "stay", "--agent", "worker", "--metadata", "k=1")
    desk.types("context", "list")
    desk.types("context", "show", "trip")
    desk.types("context", "fork", "trip", "--name", "trip-by-train")
    desk.types("context", "export", "trip")
    desk.types("context", "close", "trip-by-train", "--summary", "Booked")
    desk.types("events", "list", "--task", task, lines=True)
    desk.types("events", "list", "--task", task)
    desk.types("events", "show", "1")
    desk.types("events", "export", "--task", task, "-o", "events.ndjson")
    desk.types("events", "replay")
    desk.types("events", "replay", "--verify", variant="verified")
    desk.types("events", "tail", "--task", task)
    desk.types("trace", task)


def groups(desk: Desk) -> None:
    for name in ("echo", "worker"):
        desk.asks("agent", "add", name, desk.agent(name))
    desk.types("group", "create", "pair", "--routing-policy", "round-robin", "--notes", "Both")
    desk.types("group", "add", "pair", "echo", "--rank", "1", "--tag", "fast", "--weight", "2.5")
    desk.types("group", "add", "pair", "worker", "--rank", "2", variant="bare")
    desk.types("group", "list")
    desk.types("group", "show", "pair")
    desk.types("group", "capabilities", "pair", "--refresh")
    desk.types("route", "explain", "--group", "pair")
    desk.types("send", "--group", "pair", "echo hello", variant="group")
    desk.types("send", "--group", "pair", "echo hello", "--policy", "broadcast")
    desk.types("group", "rename", "pair", "both")
    desk.types("group", "remove", "both", "worker")
    desk.types("group", "delete", "both")


def collectives(desk: Desk) -> None:
    desk.asks("group", "create", "pair")
    for rank, name in enumerate(("echo", "worker")):
        desk.asks("agent", "add", name, desk.agent(name))
        desk.asks("group", "add", "pair", name, "--rank", str(rank))
    context = desk.types("bcast", "pair", "choose yes no")["request"]["context_id"]
    desk.types("scatter", "pair", "task", "--part", "one", "--part", "two")
    desk.types("barrier", "pair", "--context", context)
    desk.types("gather", "pair", "--context", context)
    desk.types("reduce", "pair", "--context", context, "--strategy", "concat")
    desk.types("allreduce", "pair", "choose yes no", "--strategy", "vote")


def errors(desk: Desk) -> None:
    """One of each category."""
    desk.asks("agent", "add", "echo", desk.agent("echo"))
    desk.asks("agent", "add", "nobody", "http://127.0.0.1:9")
    desk.fails("send", "ehco", "hello", category="validation")
    desk.fails("send", "nobody", "hello", category="transport")
    slow = desk.asks("send", "echo", "sleep 600", "--async")["response"]["task_id"]
    desk.fails("task", "wait", slow, "--timeout", "100ms", "--interval", "50ms", category="orchestration")
    desk.fails("task", "get", "unheard-of", "--agent", "echo", "--remote", category="protocol")
    desk.fails("contract", "validate", "nowhere.json", category="io")
    desk.fails("webhook", "run", "--auth-token-env", "NOT_SET", category="auth")
    desk.home.configure("[qos]\ntimeout = 5\n")
    desk.fails("agent", "list", category="config")
    desk.home.configure("")
    desk.home.settings().paths.database.write_bytes(b"this is no database" * 1000)
    desk.fails("agent", "list", category="storage")


def contracts(desk: Desk) -> None:
    desk.types("contract", "list", "missive.http.v1")
    desk.types("contract", "list", variant="all")
    desk.types("contract", "show", "missive.http.v1/http_receipt")
    frame = {"schema_version": "missive.stdio.v1", "id": "req-1", "command": "task_list"}
    good, bad = json.dumps(frame), json.dumps({**frame, "mesage": "hello"})
    desk.types("contract", "validate", "-", stdin=good + "\n")
    (desk.folder / "frames.ndjson").write_text(f"{good}\n{bad}\n")
    desk.types("contract", "validate", "frames.ndjson", variant="refused", status=64)
