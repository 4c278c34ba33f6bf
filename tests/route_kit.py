"""Groups whose members do what a test wants: real agents, scripted servers, nobody."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from missive_host import commands as c

if TYPE_CHECKING:
    from pathlib import Path

    from support.cores import Commands, Home
    from support.misbehaving import Exchange, Handler

    from missive_host.demo.fleet import AgentProcess
    from missive_host.store import EventRow, TaskRow


def nobody() -> str:
    """Return a URL at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def gang(core: Commands, policy: str, /, **members: AgentProcess | str) -> None:
    """Make the group ``gang`` of agents that are registered now, in this order."""
    core.local(c.GroupCreate(group="gang", routing_policy=policy))
    for rank, (alias, agent) in enumerate(members.items(), 1):
        core.add(alias, agent)
        core.local(c.GroupAdd(group="gang", agent=alias, rank=str(rank)))


# --- scripted agents


def says(**methods: Handler) -> Handler:
    """Return a handler that answers each JSON-RPC method by another one."""

    def handle(exchange: Exchange) -> None:
        methods[exchange.request.json()["method"]](exchange)

    return handle


def task(state: str, task_id: str = "t-1") -> dict[str, Any]:
    return {"id": task_id, "contextId": "ctx-1", "status": {"state": f"TASK_STATE_{state}"}}


def status(state: str, task_id: str = "t-1") -> dict[str, Any]:
    update = {"taskId": task_id, "contextId": "ctx-1", "status": {"state": f"TASK_STATE_{state}"}}
    return {"statusUpdate": update}


def answer(result: dict[str, Any]) -> Handler:
    return lambda exchange: exchange.result(result)


def message(text: str) -> dict[str, Any]:
    return {"message": {"messageId": "m-1", "role": "ROLE_AGENT", "parts": [{"text": text}]}}


def events(*results: dict[str, Any], end: Any = "clean") -> Handler:
    """Return a handler that streams these results."""

    def handle(exchange: Exchange) -> None:
        exchange.start_stream()
        for result in results:
            exchange.event({"jsonrpc": "2.0", "id": exchange.request.json()["id"], "result": result})
        exchange.end_stream(end)

    return handle


def hangs(exchange: Exchange) -> None:
    exchange.hang()


def methods(server: Any) -> list[str]:
    """Return the JSON-RPC methods that a server was asked for."""
    return [request.json()["method"] for request in server.requests]


# --- what came out


def tried(route: Any) -> list[tuple[str, str]]:
    """Return agent and status of each attempt of a `RouteView` or `RouteResult`."""
    return [(each.agent, each.status) for each in route.attempts]


def journal(core: Commands, kind: str) -> list[EventRow]:
    rows = core.read(lambda tables: tables.events.list())
    return [row for row in rows if row.event_type == f"missive.route.{kind}"]


def tasks(core: Commands) -> tuple[TaskRow, ...]:
    return core.read(lambda tables: tables.tasks.list().tasks)


# --- processes


def run(home: Home, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``missive`` on a home, as a user does."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "missive_host", "--config", str(home.config), *words],
        env={**os.environ, **home.environ},
        cwd=home.folder,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=60,
    )


def document(home: Home, *words: str) -> dict[str, Any]:
    """Run ``missive … --json``, expect success, return ``data``."""
    done = run(home, *words, "--json")
    assert done.returncode == 0, done.stderr
    data: dict[str, Any] = json.loads(done.stdout)["data"]
    return data


def plugin(folder: Path, *policies: str) -> Path:
    """Write a one-file plugin; each policy is ``name: body`` of the function ``plan(request, candidates, state)``."""
    lines = [
        "from missive_host.hookspecs import hookimpl",
        "from missive_host.specs import Decision, PolicySpec, RoutePlan",
        "MISSIVE_API = 1",
        "def decided(candidates, *taken):",
        "    return tuple(Decision(c.agent, c.agent in taken, 'so it was written') for c in candidates)",
    ]
    names = []
    for policy in policies:
        name, _, body = policy.partition(":")
        names.append(name)
        lines += [
            f"class {name.title().replace('-', '')}:",
            "    def plan(self, request, candidates, state):",
            *(f"        {line}" for line in body.strip().splitlines()),
        ]
    lines += ["@hookimpl", "def missive_routing_policies():"]
    lines += [
        f"    yield PolicySpec({name!r}, f'{{__name__}}:{name.title().replace('-', '')}', 'For a test.')"
        for name in names
    ]
    file = folder / "test_policies_plugin.py"
    file.write_text("\n".join(lines) + "\n")
    return file
