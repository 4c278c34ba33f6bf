"""The result documents of ``missive chat``."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from missive_host.outputs import Data


class ChatAdapterView(msgspec.Struct, frozen=True, kw_only=True):
    """An adapter of a chat kind, and how it fares."""

    name: str
    kind: str
    enabled: bool
    state: str
    """``live``, ``silent`` (it runs, without a sign of life of its platform lately), ``stopped`` or ``unusable``."""
    alive_at: str | UnsetType = UNSET
    """The last pong, event or answered poll of the platform."""
    waiting_in: int | UnsetType = UNSET
    """Messages that were received, and that nobody has begun to answer."""
    waiting_out: int | UnsetType = UNSET
    """Messages that are yet to be sent."""
    failed_out: int | UnsetType = UNSET
    """Messages that the platform did not take."""
    pairings: int | UnsetType = UNSET
    """People who wait to be let in."""
    approvals: int | UnsetType = UNSET
    """Open questions for leave."""
    problem: str | UnsetType = UNSET
    """Why it is unusable."""


class ChatListResult(Data, frozen=True, kw_only=True):
    kind = "chat_list"
    profile: str
    count: int
    gateway_running: bool
    adapters: tuple[ChatAdapterView, ...]
    message: str


class ChatCheckView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    status: str
    """``ok``, ``warn`` or ``fail``."""
    message: str
    fix: str | UnsetType = UNSET
    """What mends it."""


class ChatDoctorResult(Data, frozen=True, kw_only=True):
    """What was found; the command leaves with 1 if a check fails."""

    kind = "chat_doctor"
    profile: str
    adapter: str
    platform: str
    """Its kind."""
    healthy: bool
    checks: tuple[ChatCheckView, ...]
    message: str


class ChatTestResult(Data, frozen=True, kw_only=True):
    """A message that was sent."""

    kind = "chat_test"
    profile: str
    adapter: str
    platform: str
    chat: str
    message_id: str
    """The platform's own id."""
    thread: str | UnsetType = UNSET
    message: str


class ChatPairingView(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who asked to be let in."""

    sender: str
    """The id that the platform vouches for."""
    name: str
    """What they call themselves: no proof of anything."""
    state: str
    """``asked``, ``approved``, ``refused`` or ``expired``."""
    asked_at: str
    expires_at: str | UnsetType = UNSET
    """Until when the code may be approved."""
    decided_at: str | UnsetType = UNSET
    code: str | UnsetType = UNSET
    """What they were given to show to an operator."""


class ChatPairingListResult(Data, frozen=True, kw_only=True):
    kind = "chat_pairing_list"
    profile: str
    adapter: str
    count: int
    pairings: tuple[ChatPairingView, ...]
    message: str


class ChatPairingApproveResult(Data, frozen=True, kw_only=True):
    kind = "chat_pairing_approve"
    profile: str
    adapter: str
    pairing: ChatPairingView
    message: str


class ChatPairingRefuseResult(Data, frozen=True, kw_only=True):
    kind = "chat_pairing_refuse"
    profile: str
    adapter: str
    pairing: ChatPairingView
    message: str


class ChatApprovalView(msgspec.Struct, frozen=True, kw_only=True):
    """A question of an agent for leave."""

    code: str
    state: str
    """``open``, ``approved``, ``refused`` or ``expired``."""
    agent: str
    task_id: str
    question: str
    conversation: str
    asked_at: str
    expires_at: str
    decided_by: str | UnsetType = UNSET
    """The id of who decided."""
    decided_name: str | UnsetType = UNSET
    decided_at: str | UnsetType = UNSET


class ChatApprovalsListResult(Data, frozen=True, kw_only=True):
    kind = "chat_approvals_list"
    profile: str
    adapter: str
    count: int
    approvals: tuple[ChatApprovalView, ...]
    message: str
