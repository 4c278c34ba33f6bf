"""What needs no agent: the program itself, its configuration, plugins, the store, tokens, the doctor, the demo."""

from __future__ import annotations

import json
import subprocess
import sys

from support.recordings.desk import Desk

DECLARATION = """
from missive_host.hookspecs import hookimpl
from missive_host.specs import CommandSpec, VerbSpec


@hookimpl
def missive_commands():
    yield CommandSpec("pigeon", "Look after pigeons.", (VerbSpec(("lofts",), f"{__name__}:lofts", "List lofts."),))


async def lofts(context):
    from missive_host.protocols import Summary

    return Summary("lofts", {"profile_seen": context.profile, "message": "seen"})
"""


def program(desk: Desk) -> None:
    desk.types("task")
    desk.types("completion", "fish")
    desk.types("manpage", "contract")
    desk.types("skill", "show")
    desk.types("skill", "install")
    desk.types("config", "path")
    desk.types("config", "show")
    desk.types("config", "validate")
    desk.home.configure("[qos]\ntimeout = 5\n")
    desk.types("config", "validate", variant="refused", status=78)


def plugins(desk: Desk) -> None:
    desk.types("plugin", "new", "pigeon", "--kind", "adapter")
    desk.types("plugin", "new", "dove", "--kind", "adapter", "--contract", variant="contract")
    (desk.folder / "pigeons.py").write_text(DECLARATION)
    desk.types("--plugin", "pigeons.py", "pigeon", "lofts")
    desk.home.configure('[plugins]\nenabled = ["stdio", "policies"]\nfiles = ["pigeons.py"]\n')
    desk.types("plugin", "list")
    desk.types("plugin", "check")
    desk.types("plugin", "show", "stdio")


def store(desk: Desk) -> None:
    desk.asks("agent", "add", "echo", desk.agent("echo"))
    desk.asks("send", "echo", "hello")
    desk.types("store", "check")
    desk.types("store", "backup", "backup.sqlite3")
    desk.types("store", "prune", "--older-than", "30d")
    desk.types("store", "vacuum")
    desk.types("store", "restore", "backup.sqlite3")
    desk.types("token", "create", "ci", "--command", "send", "--agent", "echo", "--expires", "90d")
    desk.types("token", "list")
    desk.types("token", "revoke", "ci")


def doctor(desk: Desk) -> None:
    """One agent is there, the other is not, so that there are checks of both kinds."""
    desk.asks("agent", "add", "echo", desk.agent("echo"))
    desk.asks("agent", "add", "nobody", "http://127.0.0.1:9")
    desk.types("doctor", "--timeout", "5s", status=69)


def service(desk: Desk) -> None:
    for verb in ("install", "start", "stop", "uninstall"):
        desk.types("gateway", verb)


def demo(desk: Desk) -> None:
    desk.types("demo")
    with desk.starts("demo", "serve", "--port", "0", "--port", "0") as running:
        running.next()
        running.ends()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "missive_host", "demo", "chat", "--chat", "terminal", "--ndjson"],
        input="hello\n", capture_output=True, text=True, timeout=120, env=desk.env, cwd=desk.folder,
    )  # fmt: skip
    desk.keep(json.loads(done.stdout.splitlines()[0]))
