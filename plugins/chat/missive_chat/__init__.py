"""The ``chat`` plugin: a channel talks to an agent, or to a group of them.

One bridge for all platforms; each is a kind of adapter, with an extra of its own. This module only declares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_chat.kinds import KINDS
from missive_chat.noun import CHAT
from missive_host.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from missive_host.specs import AdapterSpec, CommandSpec

MISSIVE_API = 1


@hookimpl
def missive_adapters() -> Iterable[AdapterSpec]:
    """Declare one adapter for each platform."""
    return KINDS


@hookimpl
def missive_commands() -> Iterable[CommandSpec]:
    """Declare ``missive chat``."""
    return (CHAT,)
