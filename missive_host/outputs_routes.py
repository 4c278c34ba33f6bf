"""Result documents of routing."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from missive_host.outputs import AttemptView, Data, Json, ResponseView


class DecisionView(msgspec.Struct, frozen=True, kw_only=True):
    """Why a candidate was taken or left."""

    alias: str
    selected: bool
    reason: str
    weight: float
    matched: tuple[str, ...]
    missing_requirements: tuple[str, ...]
    rank: str | UnsetType = UNSET
    order: int | UnsetType = UNSET
    """Its place among the selected, from 1."""


class PlanView(msgspec.Struct, frozen=True, kw_only=True):
    policy: str
    mode: str
    status: str
    """``selected`` or ``no_match``."""
    total_candidates: int
    selected: tuple[str, ...]
    decisions: tuple[DecisionView, ...]
    required_quorum: int | UnsetType = UNSET
    next_round_robin_cursor: int | UnsetType = UNSET


class RouteExplainResult(Data, frozen=True, kw_only=True):
    kind = "route_explain"
    profile: str
    source: Json
    """``{kind: group|agents, group?, candidates}``."""
    policy_source: str
    """``cli`` (the command), ``group`` or ``config``."""
    plan: PlanView
    message: str


class MemberAnswer(msgspec.Struct, frozen=True, kw_only=True):
    agent: str
    response: ResponseView
    local_context_id: str | UnsetType = UNSET


class RouteResult(Data, frozen=True, kw_only=True):
    """What several agents answered, where a policy sends to more than one."""

    kind = "route_result"
    profile: str
    group: str
    policy: str
    mode: str
    status: str
    """``reached``, ``partial``, ``failed``; ``interrupted`` by the deadline or by Ctrl-C."""
    member_count: int
    success_count: int
    results: tuple[MemberAnswer, ...]
    attempts: tuple[AttemptView, ...]
    message: str
    required: int | UnsetType = UNSET
