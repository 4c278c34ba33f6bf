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
    desk.types("agent", "add", "echo", desk.agent("echo"))
    desk.types("agent", "add", "worker", desk.agent("worker"))
    desk.types("context", "create", "--name", "trip", "--agent", "worker", "--metadata", "k=1")
    desk.types("send", "echo", "echo hello", "--metadata", "trace=42")
    task = desk.types("send", "worker", "task", "--context", "trip", variant="task")["response"]["task_id"]
    desk.types("stream", "worker", "stream 2", "--context", "trip", lines=True)
    desk.types("stream", "worker", "stream 1", variant="with_events")
    desk.types("task", "get", task)
    desk.types("task", "get", task, "--remote", variant="remote")
    desk.types("task", "list", "--agent", "worker")
    desk.types("task", "list", "--agent", "worker", "--remote", "--page-size", "1", variant="remote")
    desk.types("task", "wait", task)
    slow = desk.types("send", "worker", "sleep 600", "--async", variant="begun")["response"]["task_id"]
    desk.types("task", "wait", slow, "--timeout", "100ms", "--interval", "50ms", variant="timeout", status=82)
    desk.types("task", "cancel", slow)
    first = desk.types("task", "artifact", "list", task)["artifacts"][0]["artifact_id"]
    desk.types("task", "artifact", "show", task, first)
    desk.types("task", "artifact", "save", task, first, "-o", "summary.txt")
    desk.types("task", "artifact", "export", task, "-o", "out")
    desk.types("context", "list")
    desk.types("context", "show", "trip")
    desk.types("context", "fork", "trip", "--name", "trip-by-train")
    desk.types("context", "export", "trip")
    desk.types("context", "close", "trip-by-train", "--summary", "Booked")
    journal(desk, task)


def journal(desk: Desk, task: str) -> None:
    desk.types("events", "list", "--limit", "2", lines=True)
    desk.types("events", "list", "--limit", "2")
    desk.types("events", "show", "1")
    desk.types("events", "export", "--limit", "2", "-o", "events.ndjson")
    desk.types("events", "replay")
    desk.types("events", "replay", "--verify", variant="verified")
    desk.types("events", "tail", "--limit", "2")
    desk.types("trace", task)


def groups(desk: Desk) -> None:
    for name in ("echo", "worker"):
        desk.types("agent", "add", name, desk.agent(name))
    desk.types("group", "create", "pair", "--routing-policy", "round-robin", "--notes", "Both")
    desk.types("group", "add", "pair", "echo", "--rank", "1", "--tag", "fast", "--weight", "2.5")
    desk.types("group", "add", "pair", "worker", "--rank", "2")
    desk.types("group", "list")
    desk.types("group", "show", "pair")
    desk.types("group", "capabilities", "pair", "--refresh")
    desk.types("route", "explain", "--group", "pair")
    desk.types("send", "--group", "pair", "echo hello", variant="group")
    desk.types("send", "--group", "pair", "echo hello", "--policy", "broadcast")
    started = desk.types("bcast", "pair", "choose yes no")
    context = started["request"]["context_id"]
    desk.types("scatter", "pair", "task", "--part", "one", "--part", "two")
    desk.types("barrier", "pair", "--context", context)
    desk.types("gather", "pair", "--context", context)
    desk.types("reduce", "pair", "--context", context, "--strategy", "concat")
    desk.types("allreduce", "pair", "choose yes no", "--strategy", "vote")
    desk.types("group", "rename", "pair", "both")
    desk.types("group", "remove", "both", "worker")
    desk.types("group", "delete", "both")


def errors(desk: Desk) -> None:
    """One of each category; `orchestration` is a task that is not waited for any longer."""
    desk.types("agent", "add", "echo", desk.agent("echo"))
    desk.types("agent", "add", "nobody", "http://127.0.0.1:9")
    desk.types("send", "ehco", "hello", status=64)
    desk.types("send", "nobody", "hello", status=69)
    desk.types("task", "get", "unheard-of", "--agent", "echo", "--remote", status=76)
    desk.types("contract", "validate", "nowhere.json", status=74)
    desk.types("webhook", "run", "--auth-token-env", "NOT_SET", status=77)
    desk.home.configure("[qos]\ntimeout = 5\n")
    desk.types("agent", "list", status=78)
    desk.home.configure("")
    database = desk.home.settings().paths.database
    database.write_bytes(b"this is no database" * 1000)
    desk.types("agent", "list", status=75)


def contracts(desk: Desk) -> None:
    desk.types("contract", "list", "missive.http.v1")
    desk.types("contract", "list", variant="all")
    desk.types("contract", "show", "missive.http.v1/http_receipt")
    frame = {"schema_version": "missive.stdio.v1", "id": "req-1", "command": "task_list"}
    good, bad = json.dumps(frame), json.dumps({**frame, "mesage": "hello"})
    desk.types("contract", "validate", "-", stdin=good + "\n")
    (desk.folder / "frames.ndjson").write_text(f"{good}\n{bad}\n")
    desk.types("contract", "validate", "frames.ndjson", variant="refused", status=64)
