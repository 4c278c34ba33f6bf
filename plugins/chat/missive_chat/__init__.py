"""The ``chat`` plugin: a channel talks to an agent, or to a group of them.

One bridge for all platforms; each is a kind of adapter, with an extra of its own. This module only declares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_chat.noun import CHAT
from missive_chat.options import SHARED
from missive_host.hookspecs import hookimpl
from missive_host.specs import AdapterSpec, CommandSpec, Option

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSIVE_API = 1

CONTRACT = "missive.chat.v1"

_SLACK = (
    Option("bot_token", secret=True, required=True, help="The bot token of the app: `xoxb-…`."),
    Option("app_token", secret=True, help="For `mode = socket`: the app-level token, `xapp-…`."),
    Option("signing_secret", secret=True, help="For `mode = events`: what Slack signs its requests with."),
    Option(
        "mode",
        "choice",
        default="socket",
        choices=("socket", "events"),
        help="Slack is called (Socket Mode, no public address needed), or it calls the gateway's listener.",
    ),
    Option("native_streams", "boolean", default=True, help="In threads, an answer grows in a stream of Slack's own."),
    Option(
        "ping_interval",
        "duration",
        default=10.0,
        help="How often the socket is pinged; without an answer in half that time it is made anew.",
    ),
    Option("api_url", default="https://slack.com/api/", help="Another Web API, for tests and for compatible servers."),
)


_AT_A_TERMINAL = ("agent", "agents", "group", "policy", "reducer", "stream", "approval_expiry")


@hookimpl
def missive_adapters() -> Iterator[AdapterSpec]:
    """Declare one adapter for each platform."""
    yield AdapterSpec(
        name="terminal",
        factory="missive_chat.platforms.terminal:adapter",
        summary="This terminal as a chat: type to an agent, and read what it answers.",
        options=tuple(option for option in SHARED if option.name in _AT_A_TERMINAL),
        owns_stdio=True,
        examples=("missive adapter terminal --agent echo", "missive adapter terminal --group board --no-stream"),
    )
    yield _platform(
        "slack",
        "A channel of Slack talks to an agent or a group.",
        *_SLACK,
        extra="slack",
        requires=("slack_sdk", "aiohttp"),
    )
    yield _platform(
        "discord",
        "A Discord bot: channels, threads and direct messages of servers.",
        Option("token", required=True, secret=True, help="The bot's token."),
        Option("threads", "boolean", default=False, help="Answer a message in a channel in a thread below it."),
        Option(
            "commands",
            "boolean",
            default=True,
            help="Register `/help`, `/new` … as slash commands; `!help`, `!new` … are understood without.",
        ),
        Option("api_url", help="Another address of the REST API, for tests and for compatible servers."),
        Option("gateway_url", help="Another address of the gateway's socket, for tests and for compatible servers."),
        extra="discord",
        requires=("discord",),
    yield _platform(
        "telegram",
        "Telegram: a bot, by long polling of the Bot API.",
        Option("token", secret=True, required=True, help="The bot's token, from @BotFather."),
        Option("api_url", default="https://api.telegram.org", help="For tests, and for a Bot API server of your own."),
        Option("commands", "boolean", default=True, help="Put the bridge's commands into the menu of Telegram's apps."),
    )


@hookimpl
def missive_commands() -> Iterator[CommandSpec]:
    """Declare ``missive chat``."""
    yield CHAT


def _platform(
    name: str, summary: str, *options: Option, extra: str | None = None, requires: tuple[str, ...] = ()
) -> AdapterSpec:
    return AdapterSpec(
        name=name,
        factory=f"missive_chat.platforms.{name}:adapter",
        summary=summary,
        accepts=(CONTRACT,),
        emits=(CONTRACT,),
        options=(*options, *SHARED),
        foreground=False,
        extra=extra,
        requires=requires,
        carries_files=True,
    )
