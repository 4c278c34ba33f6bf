"""``missive gateway status|stop|reload`` and the daemon that they talk to, each a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

DAEMON = """
import anyio, json, os, sys
from missive_host.config.paths import profile_paths
from missive_host.errors import ConfigError
from missive_host.gateway.control import control_path, serve_control
from missive_host.gateway.lock import DaemonLock

async def main():
    paths = profile_paths("default", os.environ)
    stopping, changed = anyio.Event(), [["drop"], None]
    async def handle(request):
        if request["command"] == "status":
            return json.loads(sys.argv[2])
        if request["command"] == "reload":
            found = changed.pop(0)
            if found is None:
                raise ConfigError("missive.toml has 1 problem", help="see it")
            return {"changed": found}
        stopping.set()
        print("stopping", flush=True)
        return {}
    with DaemonLock(paths):
        async with anyio.create_task_group() as tasks:
            async def serve(*, task_status):
                await serve_control(control_path(paths), handle, task_status=task_status)
            await tasks.start(serve)
            print("ready", flush=True)
            await stopping.wait()
            await anyio.sleep(float(sys.argv[1]))
            tasks.cancel_scope.cancel()
anyio.run(main)
"""
STATUS = {
    "profile": "default", "pid": 4711, "version": "1.2.3", "started_at": "2026-01-01T00:00:00.000000Z",
    "uptime_seconds": 3700.0, "state": "running", "ready": False, "reasons": ["the adapter 'drop' is down"],
    "bind_address": "127.0.0.1:7347", "components": [{"name": "jobs", "state": "retrying", "detail": "locked"}],
    "adapters": [{"name": "drop", "kind": "file-drop", "state": "retrying", "required": True, "restarts": 3,
                  "since": "2026-01-01T00:00:00.000000Z", "in_flight": 0, "counters": {},
                  "last_error": "the inbox is gone"}],
    "queue": {"queued": 2, "ready": 1, "running": 4, "dead": 1, "by_adapter": {}, "oldest_waiting_seconds": 12.0},
    "store": {"writable": False, "events": 5, "bytes": 6},
    "agents": [{"agent": "echo", "breaker": "open", "failures": 3, "in_flight": 0}],
    "sinks": [], "sessions": 7, "jobs": {"waiting": 0, "running": 1, "schedules": 2},
    "subscriptions": {"followed": 1},
}  # fmt: skip


class Gateway:
    def __init__(self, home: Path) -> None:
        self.env = {**os.environ, "HOME": str(home), "MISSIVE_HOME": str(home / "missive"), "PATH": str(home)}
        self.process: subprocess.Popen[str] | None = None

    def start(self, ending: float = 0.0, says: dict[str, Any] = STATUS) -> subprocess.Popen[str]:
        self.process = subprocess.Popen(
            [sys.executable, "-c", DAEMON, str(ending), json.dumps(says)],
            env=self.env,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        return self.process

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "missive_host", "gateway", *words],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def json(self, *words: str, status: int = 0) -> dict[str, Any]:
        done = self.run(*words, "--json")
        assert done.returncode == status, done.stderr
        data: dict[str, Any] = json.loads(done.stdout or done.stderr)["data"]
        return data


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    found = Gateway(tmp_path)
    yield found
    if found.process is not None:
        found.process.kill()
        found.process.communicate()


def test_the_status_for_programs_and_for_people(gateway: Gateway) -> None:
    down = gateway.json("status", status=3)
    assert (down["running"], down["message"]) == (False, "the gateway is not running")
    assert gateway.run("status").stderr == "start it: missive gateway run\n"
    gateway.start()
    up = gateway.json("status")
    assert up["running"]
    assert up["daemon"] == STATUS
    shown = gateway.run("status").stdout
    for text in (
        "running, not ready", "the adapter 'drop' is down", "4 running, 3 waiting, the oldest for 12.0 s",
        "the store cannot be written", "1 h 1 min", "the inbox is gone", "open", "locked", "2 schedules",
    ):  # fmt: skip
        assert text in shown, shown


def test_a_daemon_of_another_version_is_told_apart(gateway: Gateway) -> None:
    gateway.start(says={"profile": "default", "news": 1})
    error = gateway.json("status", status=76)
    assert "another version" in error["message"]


def test_reloading_tells_what_has_changed_or_why_nothing_has(gateway: Gateway) -> None:
    gateway.start()
    assert gateway.json("reload")["changed"] == ["drop"]
    refused = gateway.json("reload", status=78)
    assert (refused["message"], refused["help"]) == ("configuration error: missive.toml has 1 problem", "see it")


def test_stopping_waits_for_the_end(gateway: Gateway) -> None:
    process = gateway.start(0.5)
    stopped = gateway.json("stop")
    assert stopped == {
        "pid": process.pid,
        "stopped": True,
        "message": f"the gateway (process {process.pid}) has ended",
    }
    assert process.wait(10) == 0
    again = gateway.json("stop", status=69)
    assert again["help"] == "start it with `missive gateway run`"


def test_stopping_can_be_left_to_the_daemon(gateway: Gateway) -> None:
    process = gateway.start(0.5)
    assert not gateway.json("stop", "--no-wait")["stopped"]
    assert process.wait(10) == 0


def test_a_daemon_that_takes_too_long_is_named(gateway: Gateway) -> None:
    process = gateway.start(30)
    late = gateway.json("stop", "--timeout", "300ms", status=82)
    assert f"(process {process.pid}) has not ended within 0.3 s" in late["message"]


def test_one_that_is_killed_while_it_ends_has_ended(gateway: Gateway) -> None:
    process = gateway.start(30)
    assert process.stdout is not None
    command = [sys.executable, "-P", "-m", "missive_host", "gateway", "stop", "--json"]
    with subprocess.Popen(command, env=gateway.env, stdout=subprocess.PIPE, text=True) as stopping:
        assert process.stdout.readline() == "stopping\n"
        process.kill()
        process.wait()
        out, _ = stopping.communicate(timeout=30)
    assert stopping.returncode == 0
    assert json.loads(out)["data"]["stopped"]
