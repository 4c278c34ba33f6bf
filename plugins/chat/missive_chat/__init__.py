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
