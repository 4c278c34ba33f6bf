"""The journal: looking at it, following it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from missive_host.commands.base import Command, Duration, Name, OpaqueId, Timestamp

_PATTERN = r"^[a-z0-9_.*?-]+$(?!\n)"


class _Events(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Which events are meant. What is not named does not count."""

    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True
    agent: Annotated[Name | None, Meta(description="Only events of this agent.")] = None
    context: Annotated[OpaqueId | None, Meta(description="Only events of this context: its id or its name.")] = None
    task: Annotated[OpaqueId | None, Meta(description="Only events of this task.")] = None
    message: Annotated[OpaqueId | None, Meta(description="Only events of this message to an agent, by its id.")] = None
    work: Annotated[
        OpaqueId | None, Meta(description="Only events of this delivery or job: its receipt, or its id.")
    ] = None
    source: Annotated[
        Annotated[str, Meta(min_length=1, max_length=128)] | None,
        Meta(description="Only events that came from here, such as `core` or `gateway:daemon`."),
    ] = None
    types: Annotated[
        tuple[Annotated[str, Meta(pattern=_PATTERN, min_length=1, max_length=128)], ...],
        Meta(description="Only events of this type; `*` stands for any text, as in `a2a.stream.*`."),
    ] = ()
    since: Annotated[
        Timestamp | None,
        Meta(description="Only events from this time on: RFC 3339, or a time before now such as `10m`."),
    ] = None
    until: Annotated[
        Timestamp | None, Meta(description="Only events up to this time: RFC 3339, or a time before now such as `10m`.")
    ] = None
    after_sequence: Annotated[
        Annotated[int, Meta(ge=0)] | None, Meta(description="Only events that are younger than the one of this number.")
    ] = None


class EventsList(_Events, frozen=True, kw_only=True, omit_defaults=True, tag="events_list"):
    """List events of the journal, the oldest first. `limit` keeps the newest of them."""

    limit: Annotated[Annotated[int, Meta(ge=1)], Meta(description="The newest of them: this many.")] = 100


class EventsShow(Command, frozen=True, kw_only=True, omit_defaults=True, tag="events_show"):
    """Show one event with all that was written down of it."""

    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True
    event: Annotated[OpaqueId, Meta(description="Its number in the journal, or its id.")]


class EventsExport(_Events, frozen=True, kw_only=True, omit_defaults=True, tag="events_export"):
    """Export events for other programs, or a conversation as one page to read and to mail."""

    format: Annotated[
        Literal["ndjson", "csv", "otlp", "html"],
        Meta(
            description="Lines of JSON, a table, log records of OpenTelemetry (OTLP as lines of JSON), or a page that"
            " shows the conversation in `context`; ndjson."
        ),
    ] = "ndjson"
    output: Annotated[
        Annotated[str, Meta(min_length=1)] | None, Meta(description="The file to write; standard output without it.")
    ] = None
    force: Annotated[bool, Meta(description="Write over a file that exists.")] = False
    limit: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="The newest of them: this many.")] = None


class EventsReplay(_Events, frozen=True, kw_only=True, omit_defaults=True, tag="events_replay"):
    """Rebuild the state of contexts and tasks from the journal alone. Nothing in the store is changed."""

    verify: Annotated[
        bool, Meta(description="Compare it with the tables, and fail if they differ. Takes all of the journal.")
    ] = False


class EventsTail(_Events, frozen=True, kw_only=True, omit_defaults=True, tag="events_tail"):
    """Show the newest events, and with `follow` those that come, whichever process writes them."""

    store_only: ClassVar[bool] = False
    own_deadline: ClassVar[bool] = True
    lines: Annotated[Annotated[int, Meta(ge=0)], Meta(description="How many that are there already; 10.")] = 10
    from_sequence: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="Begin behind the event of this number instead, and leave nothing out."),
    ] = None
    follow: Annotated[bool, Meta(description="Go on with those that come.")] = False
    until_terminal: Annotated[
        bool, Meta(description="Go on until one of them is an end: of a task, of a message that failed, or an answer.")
    ] = False
    limit: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="End after this many events.")] = None
    poll_interval: Annotated[Duration, Meta(description="How often to look for new ones; 500ms.")] = "500ms"
    timeout: Annotated[Duration | None, Meta(description="Go on for this long at the most; that is no failure.")] = None


class Trace(Command, frozen=True, kw_only=True, omit_defaults=True, tag="trace"):
    """Show everything that happened to one thing, as a tree with times: deliveries, attempts, agents, answers."""

    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True
    id: Annotated[
        OpaqueId,
        Meta(description="Id of a message, a task, a context (or its name), a job, a receipt; or the code in a chat."),
    ]
