"""Sessions: who talks with whom through the gateway. That is for the operator alone to see."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from missive_host.commands.base import Command, Name, OpaqueId


class _Sessions(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Which sessions are meant."""

    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True
    adapter: Annotated[Name | None, Meta(description="Only sessions that came through this adapter.")] = None
    source: Annotated[OpaqueId | None, Meta(description="Only sessions of this source.")] = None
    agent: Annotated[Name | None, Meta(description="Only sessions with this agent.")] = None
    group: Annotated[Name | None, Meta(description="Only sessions with this group.")] = None


class SessionList(_Sessions, frozen=True, kw_only=True, omit_defaults=True, tag="session_list"):
    """List the sessions, the last active first: who talks with which agent or group, in which context."""


class SessionShow(Command, frozen=True, kw_only=True, omit_defaults=True, tag="session_show"):
    """Show a session: its context, how much was said in it, and whether its next message begins a new one."""

    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True
    session: Annotated[OpaqueId, Meta(description="Its id.")]


class SessionReset(_Sessions, frozen=True, kw_only=True, omit_defaults=True, tag="session_reset"):
    """Let sessions begin anew with their next message. What was said stays in the old context; what runs goes on.

    Name one session, or say which by the options.
    """

    session: Annotated[OpaqueId | None, Meta(description="The id of one session.")] = None
