"""Discord's own slash commands: they are the bridge's, offered by Discord with a description as one types."""

from __future__ import annotations

from typing import Any

from missive_chat.platforms.discord.client import Client
from missive_chat.platforms.discord.outbound import errors


def _text(name: str, description: str, *, required: bool) -> dict[str, Any]:
    return {"type": 3, "name": name, "description": description, "required": required}


COMMANDS: tuple[dict[str, Any], ...] = (
    {"name": "help", "description": "What this bot can do."},
    {
        "name": "agent",
        "description": "Who answers here; with a name: choose another agent.",
        "options": [_text("name", "The agent's name.", required=False)],
    },
    {"name": "new", "description": "Begin a new conversation: the agent forgets this one."},
    {"name": "stop", "description": "Stop what the agent is doing."},
    {"name": "status", "description": "What is being done."},
    {
        "name": "approve",
        "description": "Allow what an agent asks leave for.",
        "options": [_text("code", "The code of the question.", required=True)],
    },
    {
        "name": "refuse",
        "description": "Refuse what an agent asks leave for.",
        "options": [_text("code", "The code of the question.", required=True)],
    },
)
_EVERYWHERE = {"contexts": [0, 1], "integration_types": [0]}
"""In servers and in direct messages; for whoever installed it in a server."""


async def offer(client: Client) -> None:
    """Have Discord offer our commands. Others of the same application are left alone."""
    application_id = client.application_id
    assert application_id is not None
    with errors("registering the slash commands"):
        known = {item["name"]: item for item in await client.http.get_global_commands(application_id)}
        for command in COMMANDS:
            if not _is_same(known.get(command["name"]), command):
                await client.http.upsert_global_command(application_id, {"type": 1, **command, **_EVERYWHERE})  # type: ignore[arg-type]


def _is_same(known: Any, command: dict[str, Any]) -> bool:
    if known is None or known.get("type", 1) != 1 or known["description"] != command["description"]:
        return False
    options = [
        {
            "required": False,
            **{key: option[key] for key in ("type", "name", "description", "required") if key in option},
        }
        for option in known.get("options", ())
    ]
    return options == list(command.get("options", ()))
