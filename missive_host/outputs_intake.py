"""The result documents of ``missive intake``."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from missive_host.errors import ErrorReport
from missive_host.outputs import Data, Json


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery as the gateway keeps it."""

    receipt_id: str
    adapter: str
    state: str
    """``queued`` (behind another of its session), ``ready``, ``running``, ``done``, ``failed``, ``cancelled`` or
    ``dead``."""
    command: str
    attempts: int
    max_attempts: int
    outputs: int
    """How many results there are."""
    accepted_at: str
    updated_at: str
    frame_id: str | UnsetType = UNSET
    source_id: str | UnsetType = UNSET
    agent: str | UnsetType = UNSET
    group: str | UnsetType = UNSET
    context_id: str | UnsetType = UNSET
    task_id: str | UnsetType = UNSET
    idempotency_key: str | UnsetType = UNSET
    run_at: str | UnsetType = UNSET
    """When it is tried next."""
    finished_at: str | UnsetType = UNSET
    delivered_at: str | UnsetType = UNSET
    """When its answer was delivered."""
    error: ErrorReport | UnsetType = UNSET


class IntakeListResult(Data, frozen=True, kw_only=True):
    kind = "intake_list"
    profile: str
    count: int
    states: tuple[str, ...]
    deliveries: tuple[DeliveryView, ...]
    message: str


class IntakeShowResult(Data, frozen=True, kw_only=True):
    kind = "intake_show"
    profile: str
    delivery: DeliveryView
    request: Json
    """The frame's command."""
    results: tuple[Json, ...]
    """Its results, as `missive.output.v1` documents."""
    message: str


class IntakeRetryResult(Data, frozen=True, kw_only=True):
    kind = "intake_retry"
    profile: str
    count: int
    receipt_ids: tuple[str, ...]
    message: str


class IntakeDropResult(Data, frozen=True, kw_only=True):
    kind = "intake_drop"
    profile: str
    count: int
    receipt_ids: tuple[str, ...]
    message: str
