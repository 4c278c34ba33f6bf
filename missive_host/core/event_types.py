"""What types of events the journal has, and what their payloads hold: the reference is made from it.

A test holds it against the code that writes events, and against journals. Types are written as `missive events list
--type` takes them, but for braces, which stand for one of the words in them.
"""

from __future__ import annotations

import re
from itertools import product
from typing import NamedTuple


class EventType(NamedTuple):
    """Types of events that say the same."""

    name: str
    says: str
    holds: tuple[str, ...] = ()
    """Fields that the payload always has."""
    may_hold: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """Return the types one by one; ``*`` stays where any word may stand."""
        pieces = re.split(r"\{([^}]*)\}", self.name)
        return ["".join(each) for each in product(*(piece.split(",") for piece in pieces))]


EVENT_TYPES: dict[str, tuple[EventType, ...]] = {
    "Messages and tasks": (
        EventType(
            "a2a.{send,stream}.request", "A message is about to be sent to an agent.", ("message",), ("configuration",)
        ),
        EventType("a2a.send.response", "The agent answered, with one of the two.", (), ("message", "task")),
        EventType("a2a.{send,stream}.failed", "It could not be sent, or was not answered.", ("status", "error")),
        EventType(
            "a2a.{stream,subscription,push}.task",
            "A task, as the agent showed it: in a stream, while the gateway follows it, in a push notification.",
            ("task",),
        ),
        EventType("a2a.{stream,subscription,push}.status_update", "A task has another state.", ("statusUpdate",)),
        EventType("a2a.{stream,subscription,push}.artifact_update", "A task made something.", ("artifactUpdate",)),
        EventType("a2a.{stream,subscription,push}.message", "The agent said something.", ("message",)),
        EventType("a2a.task.updated", "A task was looked at and had changed.", ("observed_by", "task")),
    ),
    "Push configs": (
        EventType("a2a.push.create", "An agent was given a push config.", ("config_id", "url")),
        EventType("a2a.push.delete", "A push config was taken back.", ("config_id",)),
        EventType("a2a.push.rejected", "A notification was refused.", ("status", "reason", "message"), ("peer",)),
    ),
    "Agents, groups, contexts, tokens": (
        EventType(
            "missive.config.seeded", "The agents and groups of the configuration are others.", ("agents", "groups")
        ),
        EventType("missive.agent.{add,update}", "An agent was registered, or changed.", ("alias", "base_url", "tags")),
        EventType("missive.agent.rename", "An agent has another alias.", ("alias", "base_url", "tags", "previous")),
        EventType("missive.agent.remove", "An agent is gone.", ("alias", "base_url", "tags", "purged")),
        EventType("missive.group.create", "A group was made.", ("group", "metadata", "notes", "routing_policy")),
        EventType("missive.group.rename", "A group has another name.", ("group", "previous_name")),
        EventType("missive.group.delete", "A group is gone.", ("group", "deleted_group")),
        EventType(
            "missive.group.member.add",
            "An agent is in a group, or is in it otherwise than before (`updated`).",
            ("group", "agent", "rank", "weight", "tags", "routing_metadata", "updated"),
        ),
        EventType("missive.group.member.remove", "An agent left a group.", ("group", "agent", "removed_member")),
        EventType(
            "missive.context.created",
            "A context was made before anything was said in it.",
            (),
            ("name", "parent_context_id", "summary"),
        ),
        EventType("missive.context.closed", "A context was closed.", (), ("name",)),
        EventType(
            "missive.token.create",
            "A client of the gateway was given a token.",
            ("name", "commands", "agents", "expires_at"),
        ),
        EventType("missive.token.revoke", "A token counts no more.", ("name",)),
    ),
    "Routing": (
        EventType("missive.route.planned", "A policy has chosen.", ("group", "policy_source", "plan")),
        EventType(
            "missive.route.attempt",
            "An agent of the plan was tried.",
            ("group", "policy", "mode", "reason", "plan", "agent", "status"),
            ("state", "task_id", "error"),
        ),
    ),
    "Collectives": (
        EventType(
            "missive.{bcast,scatter}.started",
            "One message, or a part each, goes to the members.",
            ("operation_id", "group", "members", "execution", "failure_policy"),
        ),
        EventType(
            "missive.barrier.started",
            "The members are waited for.",
            ("operation_id", "group", "members", "required"),
            ("broadcast",),
        ),
        EventType("missive.gather.started", "Answers are collected.", ("operation_id", "group", "members")),
        EventType(
            "missive.reduce.started",
            "Answers become one.",
            ("operation_id", "group", "members", "strategy", "method"),
        ),
        EventType("missive.allreduce.started", "All of it begins.", ("operation_id", "group", "members", "strategy")),
        EventType(
            "missive.{bcast,scatter,barrier,gather}.member.*",
            "How it stands with a member; the last word of the type says it, too.",
            ("operation_id", "group", "rank"),
            ("shape", "state", "error"),
        ),
        EventType("missive.reduce.input.*", "What a member gave to be reduced.", ("operation_id", "group", "rank")),
        EventType("missive.reduce.failed", "The reducer failed.", ("operation_id", "group", "error")),
        EventType(
            "missive.{bcast,scatter,barrier,gather,reduce,allreduce}.completed",
            "It is over.",
            ("operation_id", "group", "status", "elapsed_ms"),
        ),
    ),
    "Sessions": (
        EventType(
            "missive.session.started",
            "A conversation with a source begins.",
            ("session_id", "adapter", "source_id", "resume_name", "target"),
        ),
        EventType(
            "missive.session.reset",
            "The next message begins a new context.",
            ("session_id", "adapter", "source_id", "resume_name", "target", "reasons"),
        ),
        EventType(
            "missive.session.busy",
            "A message came while another one ran, and did not simply wait.",
            ("work_id", "adapter", "lane", "requested_mode", "mode_used", "disposition", "actions"),
            ("position", "fallback", "running"),
        ),
    ),
    "Jobs": (
        EventType(
            "missive.job.enqueued",
            "A job was started.",
            ("job_id", "kind", "run_at", "max_attempts"),
            ("group", "schedule_id"),
        ),
        EventType(
            "missive.job.{completed,failed}",
            "A job ended.",
            ("job_id", "command", "attempts"),
            ("group", "error"),
        ),
        EventType("missive.job.cancelled", "Somebody ended it.", ("job_id", "was_running", "remote")),
        EventType(
            "missive.job.schedule.{create,pause,resume,delete}",
            "What became of a schedule.",
            ("schedule_id", "kind", "expression", "command"),
        ),
        EventType(
            "missive.job.schedule.skipped",
            "It was time, and the last job still ran.",
            ("schedule_id", "job_id", "due"),
        ),
    ),
    "The gateway and the store": (
        EventType("missive.gateway.started", "The gateway runs.", ("bind_address", "pid")),
        EventType("missive.gateway.reloaded", "It has read its configuration again.", ("changed",)),
        EventType(
            "missive.gateway.stopped", "It has ended, and left this much for the next one.", ("reason", "given_back")
        ),
        EventType(
            "missive.gateway.retrying",
            "A delivery or a job is tried again later.",
            ("work_id", "attempts", "run_at"),
            ("error",),
        ),
        EventType("missive.gateway.dead_letter", "A delivery was given up.", ("work_id", "adapter", "command")),
        EventType("missive.gateway.subscription.started", "An open task is followed.", ("road",)),
        EventType("missive.gateway.subscription.retrying", "Its agent is not reached.", ("reason", "after_ms")),
        EventType("missive.gateway.subscription.ended", "It is not followed any more.", ("state",)),
        EventType(
            "missive.intake.{retry,drop}",
            "Somebody lets a delivery be tried again, or forgets it.",
            ("work_id", "adapter", "state", "attempts"),
        ),
        EventType("missive.store.prune", "What was old is forgotten.", ("before", "removed")),
    ),
}
"""By what they are about."""
