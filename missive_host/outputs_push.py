"""The result documents of ``missive push`` and ``missive webhook``."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from missive_host.outputs import Data, Json, SelectedInterface


class PushConfigView(msgspec.Struct, frozen=True, kw_only=True):
    """A push config, without its secrets."""

    agent: str
    task_id: str
    config_id: str
    url: str
    has_token: bool
    """The agent sends a token with each notification."""
    auth_scheme: str | UnsetType = UNSET
    """Of the `Authorization` header that it sends."""
    known_here: bool
    """It was made by this missive, which so can tell whether a notification for it is genuine."""
    source: str | UnsetType = UNSET
    """``operator`` or ``gateway``; not set if it was not made here."""
    metadata: Json | UnsetType = UNSET
    created_at: str | UnsetType = UNSET


class _One(Data, frozen=True, kw_only=True):
    profile: str
    config: PushConfigView
    selected_interface: SelectedInterface
    message: str


class PushCreateResult(_One, frozen=True, kw_only=True):
    """A push config that an agent has taken."""

    kind = "push_create"


class PushGetResult(_One, frozen=True, kw_only=True):
    """A push config as the agent has it."""

    kind = "push_get"


class PushListResult(Data, frozen=True, kw_only=True):
    """The push configs of a task as the agent has them."""

    kind = "push_list"
    profile: str
    agent: str
    task_id: str
    count: int
    configs: tuple[PushConfigView, ...]
    next_page_token: str | UnsetType = UNSET
    selected_interface: SelectedInterface
    message: str


class PushDeleteResult(Data, frozen=True, kw_only=True):
    """A push config that an agent has dropped."""

    kind = "push_delete"
    profile: str
    agent: str
    task_id: str
    config_id: str
    selected_interface: SelectedInterface
    message: str


class WebhookStarted(Data, frozen=True, kw_only=True):
    """The receiver of push notifications listens."""

    kind = "webhook_started"
    profile: str
    url: str
    path: str
    verification: tuple[str, ...]
    """What a notification is checked by, besides the push config that it belongs to."""
    message: str


class WebhookEvent(Data, frozen=True, kw_only=True):
    """A push notification that was taken."""

    kind = "webhook_event"
    profile: str
    agent: str
    event_type: str
    """``task``, ``message``, ``status_update`` or ``artifact_update``."""
    task_id: str | UnsetType = UNSET
    context_id: str | UnsetType = UNSET
    state: str | UnsetType = UNSET
    """Of the task, after it."""
    config_id: str | UnsetType = UNSET
    event_sequence: int | UnsetType = UNSET
    """In the journal; not set if it said nothing new."""
    message: str


class WebhookRejected(Data, frozen=True, kw_only=True):
    """A push notification that was refused."""

    kind = "webhook_rejected"
    profile: str
    status: int
    """The HTTP status that it was answered with."""
    reason: str
    message: str


class WebhookStopped(Data, frozen=True, kw_only=True):
    """The receiver has stopped."""

    kind = "webhook_stopped"
    profile: str
    reason: str
    """``max_events``, ``timeout`` or ``signal``."""
    accepted: int
    rejected: int
    message: str
