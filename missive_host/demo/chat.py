"""What ``missive demo chat`` runs: the demo agents, and a chat in which people write to them.

Chats are plugins, and known here by the names of their kinds only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from missive_host.demo.server import HOST
from missive_host.demo.steps import GROUP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from missive_host.demo.outputs import DemoAgent, DemoChatResult

TERMINAL, IRC = "terminal", "irc"
ADAPTER = "chat"
NICK, ROOM = "missive", "#missive"


def settings(chat: str, agents: Sequence[DemoAgent], *, group: bool, port: int) -> dict[str, Any]:
    """Return the settings of the adapter: who answers, and for IRC where the server is."""
    names = [each.agent for each in agents]
    who: dict[str, Any] = {"group": GROUP} if group else {"agent": names[0], "agents": names[1:]}
    if chat != IRC:
        return who
    # On this machine alone, where everybody is the same person: nicks may be trusted.
    return {
        **who, "server": HOST, "port": port, "tls": False, "nick": NICK, "trust_nicks": True, "channels": [ROOM],
        "dm_policy": "open", "line_interval": "100ms", "line_burst": 50,
    }  # fmt: skip


def write_config(file: Path, chat: str, agents: Sequence[DemoAgent], values: Mapping[str, Any]) -> None:
    """Write a configuration with the agents, the group of them, and the adapter."""
    lines = ["# The configuration of `missive demo chat`.", "[gateway]", 'drain = "2s"']
    for each in agents:
        lines += [f"[agents.{each.agent}]", f"base_url = {json.dumps(each.url)}"]
    for rank, each in enumerate(agents, 1):
        lines += [f"[[groups.{GROUP}.members]]", f'agent = "{each.agent}"', f'rank = "{rank}"']
    lines += [f"[adapters.{ADAPTER}]", f'kind = "{chat}"', f"[adapters.{ADAPTER}.settings]"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def connect_commands(port: int) -> tuple[str, ...]:
    """Return what to type to get into the chat, with several programs."""
    return (
        f"irssi --connect={HOST} --port={port} --nick=you",
        f"weechat irc://you@{HOST}:{port}/{ROOM}",
        f"(printf 'NICK you\\r\\nUSER you 0 * you\\r\\n'; cat) | nc {HOST} {port}",
    )


def result(chat: str, agents: Sequence[DemoAgent], *, group: bool, port: int) -> DemoChatResult:
    """Return what there is to be told about a chat that is about to begin."""
    from missive_host.demo.outputs import DemoChatResult

    answers = GROUP if group else agents[0].agent
    if chat != IRC:
        message = f"type to {answers} here; Ctrl-D ends it"
        return DemoChatResult(agents=tuple(agents), chat=chat, answers=answers, message=message)
    return DemoChatResult(
        agents=tuple(agents),
        chat=chat,
        answers=answers,
        server=f"{HOST}:{port}",
        nick=NICK,
        room=ROOM,
        connect_commands=connect_commands(port),
        message=f"an IRC server runs on {HOST}:{port}, and {NICK} is in {ROOM}",
    )
