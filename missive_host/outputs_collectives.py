"""The result documents of the collectives: ``bcast``, ``scatter``, ``barrier``, ``gather``, ``reduce``, ``allreduce``.

Members are listed in the order of their ranks. What arrived before a failure, a deadline or an interruption is in
the document, which is printed and stored before the error is raised.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from missive_host.errors import ErrorReport
from missive_host.outputs import ArtifactSummary, Data, Json, PartSummary, SelectedInterface

# --- bcast and scatter


class BcastRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent to all; of a scatter, what was sent to the first member."""

    context_id: str
    """The local context; each agent knows it by a contextId of its own."""
    context_created: bool
    part_count: int
    parts: tuple[PartSummary, ...]
    local_input_bytes: int
    request_bytes: int
    accepted_output_modes: tuple[str, ...]
    metadata: Json


class BcastMember(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it at one member."""

    agent: str
    rank: str
    status: str
    """``succeeded`` (an answer came, whatever its state), ``failed``, ``timeout``, ``interrupted``, or ``left`` (not
    waited for, because as many as `allreduce` requires had answered, or could not any more)."""
    duration_ms: int
    request_message_id: str | UnsetType = UNSET
    selected_interface: SelectedInterface | UnsetType = UNSET
    response_shape: str | UnsetType = UNSET
    """``task`` or ``message``."""
    response_message_id: str | UnsetType = UNSET
    task_id: str | UnsetType = UNSET
    context_id: str | UnsetType = UNSET
    """The agent's own contextId."""
    state: str | UnsetType = UNSET
    text: str | UnsetType = UNSET
    error: ErrorReport | UnsetType = UNSET


class BcastResult(Data, frozen=True, kw_only=True):
    kind = "bcast_result"
    profile: str
    operation_id: str
    group: str
    execution: str
    failure_policy: str
    status: str
    """``succeeded``, ``partial_failure``, ``failed``, ``timeout`` or ``interrupted``."""
    member_count: int
    """How many the group has."""
    success_count: int
    failure_count: int
    elapsed_ms: int
    request: BcastRequest
    members: tuple[BcastMember, ...]
    """Those that were attempted: fewer than the group has if a sequential broadcast stopped at a failure."""
    message: str
    timeout_ms: int | UnsetType = UNSET


class ScatterResult(BcastResult, frozen=True, kw_only=True):
    kind = "scatter_result"


# --- barrier


class BarrierMember(msgspec.Struct, frozen=True, kw_only=True):
    agent: str
    rank: str
    status: str
    """``satisfied``; ``pending`` or ``missing`` (no answer is known yet); ``failed``, ``cancelled``,
    ``input_required``, ``auth_required``, ``terminal_unmatched`` (it ended in another state than those waited for);
    ``error`` (it never got the message, or could not be asked up to the end)."""
    attempts: int
    """How often the agent was asked."""
    shape: str | UnsetType = UNSET
    """``task`` or ``message``."""
    task_id: str | UnsetType = UNSET
    response_message_id: str | UnsetType = UNSET
    context_id: str | UnsetType = UNSET
    """The agent's own contextId."""
    state: str | UnsetType = UNSET
    source: str | UnsetType = UNSET
    """By which road the task was last seen: ``remote``, ``local`` or ``gateway``."""
    updated_at: str | UnsetType = UNSET
    selected_interface: SelectedInterface | UnsetType = UNSET
    error: ErrorReport | UnsetType = UNSET


class BarrierResult(Data, frozen=True, kw_only=True):
    kind = "barrier_result"
    profile: str
    operation_id: str
    group: str
    context_id: str
    status: str
    """``succeeded``, ``failed``, ``cancelled``, ``input_required``, ``auth_required``, ``timeout`` or
    ``interrupted``."""
    failure_policy: str
    local: bool
    from_bcast: bool
    """True: the members are those of a broadcast, not those that the group has now."""
    attempts: int
    """The most often that one agent was asked."""
    member_count: int
    required: int
    reached_count: int
    failure_count: int
    cancellation_count: int
    waiting_count: int
    """How many wait for input or an authorisation."""
    pending_count: int
    target_states: tuple[str, ...]
    success_states: tuple[str, ...]
    timeout_ms: int
    interval_ms: int
    elapsed_ms: int
    members: tuple[BarrierMember, ...]
    message: str
    broadcast: str | UnsetType = UNSET
    """The ``operation_id`` of that broadcast."""


# --- gather and reduce


class AnswerTask(msgspec.Struct, frozen=True, kw_only=True):
    """The task of an answer, in short; `missive task get` shows all of it."""

    task_id: str
    state: str
    source: str
    updated_at: str
    remote_context_id: str | UnsetType = UNSET
    completed_at: str | UnsetType = UNSET


class AnswerMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the agent that belongs to an answer."""

    message_id: str
    direction: str
    created_at: str
    text: str | UnsetType = UNSET


class AnswerView(msgspec.Struct, frozen=True, kw_only=True):
    """What one member answered."""

    index: int
    """Its place in the order of ranks, from 0."""
    agent: str
    rank: str
    status: str
    """``gathered``, or why there is nothing to use: ``missing_task`` (no answer at all), ``empty_output``,
    ``pending``, ``failed``, ``cancelled``, ``input_required``, ``auth_required``."""
    message_count: int
    messages: tuple[AnswerMessage, ...]
    artifact_count: int
    artifacts: tuple[ArtifactSummary, ...]
    shape: str | UnsetType = UNSET
    """``task`` or ``message``."""
    task: AnswerTask | UnsetType = UNSET
    response_message_id: str | UnsetType = UNSET
    text: str | UnsetType = UNSET
    data: tuple[Any, ...] | UnsetType = UNSET
    """The JSON values of its data parts."""
    files: tuple[str, ...] | UnsetType = UNSET
    """Names of what came as bytes or URLs."""
    error: ErrorReport | UnsetType = UNSET
    """Why the agent could not be asked; what is shown is what was known before."""


class GatheredFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was written."""

    path: str
    agent: str
    kind: str
    bytes_written: int
    media_type: str | UnsetType = UNSET


class GatherResult(Data, frozen=True, kw_only=True):
    kind = "gather_result"
    profile: str
    operation_id: str
    group: str
    context_id: str
    status: str
    """``succeeded`` (all members gave something), ``partial``, ``missing`` (none did) or ``interrupted``."""
    refreshed: bool
    member_count: int
    gathered_count: int
    missing_count: int
    """How many have not answered, or not to the end."""
    empty_count: int
    members: tuple[AnswerView, ...]
    message: str
    broadcast: str | UnsetType = UNSET
    """The ``operation_id`` of the broadcast whose members these are."""
    output_dir: str | UnsetType = UNSET
    files: tuple[GatheredFile, ...] | UnsetType = UNSET


class ReducerCommand(msgspec.Struct, frozen=True, kw_only=True):
    command: tuple[str, ...]
    exit_code: int | UnsetType = UNSET
    stdout_bytes: int | UnsetType = UNSET


class ReducerView(msgspec.Struct, frozen=True, kw_only=True):
    """Who reduced."""

    method: str
    """``local`` (a reducer plugin), ``agent`` or ``command``."""
    strategy: str
    prompt_bytes: int
    template_applied: bool
    plugin: str | UnsetType = UNSET
    agent: str | UnsetType = UNSET
    task_id: str | UnsetType = UNSET
    command: ReducerCommand | UnsetType = UNSET


class ReducePersistence(msgspec.Struct, frozen=True, kw_only=True):
    reduced_message_id: str


class ReduceResult(Data, frozen=True, kw_only=True):
    kind = "reduce_result"
    profile: str
    operation_id: str
    group: str
    context_id: str
    strategy: str
    status: str
    """``succeeded`` (all members are in it), ``partial``, ``failed`` or ``interrupted``."""
    member_count: int
    gathered_count: int
    missing_count: int
    empty_count: int
    input_count: int
    text_input_count: int
    reducer: ReducerView
    provenance: tuple[AnswerView, ...]
    message: str
    reduced_text: str | UnsetType = UNSET
    reduced_data: Any = UNSET
    used: tuple[str, ...] | UnsetType = UNSET
    """The agents whose answers went into it."""
    notes: tuple[str, ...] | UnsetType = UNSET
    """What a reader should know: conflicts, ties, members that are missing."""
    persistence: ReducePersistence | UnsetType = UNSET
    error: ErrorReport | UnsetType = UNSET


class AllreduceResult(Data, frozen=True, kw_only=True):
    """The parts are the documents that the single commands would have given; one that was not reached is left out."""

    kind = "allreduce_result"
    profile: str
    operation_id: str
    group: str
    context_id: str
    strategy: str
    status: str
    """That of the part that decided: ``succeeded``, ``partial``, ``partial_failure``, ``failed``, ``cancelled``,
    ``input_required``, ``auth_required``, ``timeout`` or ``interrupted``."""
    elapsed_ms: int
    bcast: BcastResult
    message: str
    timeout_ms: int | UnsetType = UNSET
    barrier: BarrierResult | UnsetType = UNSET
    gather: GatherResult | UnsetType = UNSET
    reduce: ReduceResult | UnsetType = UNSET
    reduced_text: str | UnsetType = UNSET
