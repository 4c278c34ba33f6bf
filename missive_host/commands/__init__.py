"""The command model: everything that can be asked of missive, one frozen struct each.

A command is tagged by ``command`` and means the same through every door: a frame on stdin,
a dropped file, an HTTP body, a chat line, the command line. The fields' descriptions are the
help of the command line, the text of the JSON Schema and the reference in ``docs/``.

The work is done by the handler of the same name: ``task_get`` by ``task_get`` in
``missive_host/core/handlers/task.py``. Commands that only an operator may give (they change the
registry or write files) are marked ``operator``; no door but the command line accepts them.
"""

from __future__ import annotations

from missive_host.commands.base import (
    Binding as Binding,
)
from missive_host.commands.base import (
    Calling as Calling,
)
from missive_host.commands.base import (
    Command as Command,
)
from missive_host.commands.base import (
    Content as Content,
)
from missive_host.commands.base import (
    Duration as Duration,
)
from missive_host.commands.base import (
    HistoryLength as HistoryLength,
)
from missive_host.commands.base import (
    Label as Label,
)
from missive_host.commands.base import (
    MediaType as MediaType,
)
from missive_host.commands.base import (
    Metadata as Metadata,
)
from missive_host.commands.base import (
    Name as Name,
)
from missive_host.commands.base import (
    NonEmpty as NonEmpty,
)
from missive_host.commands.base import (
    Notes as Notes,
)
from missive_host.commands.base import (
    OpaqueId as OpaqueId,
)
from missive_host.commands.base import (
    Requirements as Requirements,
)
from missive_host.commands.base import (
    ShortText as ShortText,
)
from missive_host.commands.base import (
    TaskSource as TaskSource,
)
from missive_host.commands.base import (
    TaskState as TaskState,
)
from missive_host.commands.base import (
    Timestamp as Timestamp,
)
from missive_host.commands.base import (
    duration_seconds as duration_seconds,
)
from missive_host.commands.base import (
    tag_of as tag_of,
)
from missive_host.commands.collective import (
    Allreduce as Allreduce,
)
from missive_host.commands.collective import (
    Barrier as Barrier,
)
from missive_host.commands.collective import (
    Bcast as Bcast,
)
from missive_host.commands.collective import (
    Execution as Execution,
)
from missive_host.commands.collective import (
    FailurePolicy as FailurePolicy,
)
from missive_host.commands.collective import (
    Gather as Gather,
)
from missive_host.commands.collective import (
    Reduce as Reduce,
)
from missive_host.commands.collective import (
    Reducing as Reducing,
)
from missive_host.commands.collective import (
    RouteExplain as RouteExplain,
)
from missive_host.commands.collective import (
    Scatter as Scatter,
)
from missive_host.commands.intake import IntakeDrop as IntakeDrop
from missive_host.commands.intake import IntakeList as IntakeList
from missive_host.commands.intake import IntakeRetry as IntakeRetry
from missive_host.commands.intake import IntakeShow as IntakeShow
from missive_host.commands.jobs import (
    JobCancel as JobCancel,
)
from missive_host.commands.jobs import (
    JobCommand as JobCommand,
)
from missive_host.commands.jobs import (
    JobKind as JobKind,
)
from missive_host.commands.jobs import (
    JobList as JobList,
)
from missive_host.commands.jobs import (
    JobLogs as JobLogs,
)
from missive_host.commands.jobs import (
    JobOptions as JobOptions,
)
from missive_host.commands.jobs import (
    JobScheduleDelete as JobScheduleDelete,
)
from missive_host.commands.jobs import (
    JobScheduleList as JobScheduleList,
)
from missive_host.commands.jobs import (
    JobSchedulePause as JobSchedulePause,
)
from missive_host.commands.jobs import (
    JobScheduleResume as JobScheduleResume,
)
from missive_host.commands.jobs import (
    JobScheduleShow as JobScheduleShow,
)
from missive_host.commands.jobs import (
    JobShow as JobShow,
)
from missive_host.commands.jobs import (
    JobStart as JobStart,
)
from missive_host.commands.jobs import (
    JobStartAllreduce as JobStartAllreduce,
)
from missive_host.commands.jobs import (
    JobStartBcast as JobStartBcast,
)
from missive_host.commands.jobs import (
    JobStartReduce as JobStartReduce,
)
from missive_host.commands.jobs import (
    JobStartSend as JobStartSend,
)
from missive_host.commands.jobs import (
    JobStartStream as JobStartStream,
)
from missive_host.commands.jobs import (
    JobStartWait as JobStartWait,
)
from missive_host.commands.jobs import (
    JobState as JobState,
)
from missive_host.commands.jobs import (
    command_of as command_of,
)
from missive_host.commands.messages import (
    Message as Message,
)
from missive_host.commands.messages import (
    Send as Send,
)
from missive_host.commands.messages import (
    Stream as Stream,
)
from missive_host.commands.messages import (
    TaskCancel as TaskCancel,
)
from missive_host.commands.messages import (
    TaskGet as TaskGet,
)
from missive_host.commands.messages import (
    TaskList as TaskList,
)
from missive_host.commands.messages import (
    TaskSubscribe as TaskSubscribe,
)
from missive_host.commands.messages import (
    TaskWait as TaskWait,
)
from missive_host.commands.registry import (
    AgentAdd as AgentAdd,
)
from missive_host.commands.registry import (
    AgentCapabilities as AgentCapabilities,
)
from missive_host.commands.registry import (
    AgentInspect as AgentInspect,
)
from missive_host.commands.registry import (
    AgentList as AgentList,
)
from missive_host.commands.registry import (
    AgentRefresh as AgentRefresh,
)
from missive_host.commands.registry import (
    AgentRemove as AgentRemove,
)
from missive_host.commands.registry import (
    AgentRename as AgentRename,
)
from missive_host.commands.registry import (
    AgentShow as AgentShow,
)
from missive_host.commands.registry import (
    AgentUpdate as AgentUpdate,
)
from missive_host.commands.registry import (
    ArtifactExport as ArtifactExport,
)
from missive_host.commands.registry import (
    ArtifactList as ArtifactList,
)
from missive_host.commands.registry import (
    ArtifactSave as ArtifactSave,
)
from missive_host.commands.registry import (
    ArtifactShow as ArtifactShow,
)
from missive_host.commands.registry import (
    ContextClose as ContextClose,
)
from missive_host.commands.registry import (
    ContextCreate as ContextCreate,
)
from missive_host.commands.registry import (
    ContextExport as ContextExport,
)
from missive_host.commands.registry import (
    ContextFork as ContextFork,
)
from missive_host.commands.registry import (
    ContextList as ContextList,
)
from missive_host.commands.registry import (
    ContextShow as ContextShow,
)
from missive_host.commands.registry import (
    GroupAdd as GroupAdd,
)
from missive_host.commands.registry import (
    GroupCapabilities as GroupCapabilities,
)
from missive_host.commands.registry import (
    GroupCreate as GroupCreate,
)
from missive_host.commands.registry import (
    GroupDelete as GroupDelete,
)
from missive_host.commands.registry import (
    GroupList as GroupList,
)
from missive_host.commands.registry import (
    GroupRemove as GroupRemove,
)
from missive_host.commands.registry import (
    GroupRename as GroupRename,
)
from missive_host.commands.registry import (
    GroupShow as GroupShow,
)
from missive_host.commands.registry import (
    Registering as Registering,
)
from missive_host.commands.sessions import (
    SessionList as SessionList,
)
from missive_host.commands.sessions import (
    SessionReset as SessionReset,
)
from missive_host.commands.sessions import (
    SessionShow as SessionShow,
)

DOOR_COMMANDS: tuple[type[Command], ...] = (
    Send,
    Stream,
    TaskGet,
    TaskList,
    TaskWait,
    TaskCancel,
    TaskSubscribe,
    AgentList,
    AgentShow,
    AgentInspect,
    ContextList,
    ContextShow,
    GroupList,
    GroupShow,
    RouteExplain,
    Bcast,
    Barrier,
    Gather,
    Reduce,
    Scatter,
    Allreduce,
    JobStartSend,
    JobStartStream,
    JobStartWait,
    JobStartReduce,
    JobStartAllreduce,
    JobStartBcast,
    JobList,
    JobShow,
    JobLogs,
    JobCancel,
    JobScheduleList,
    JobScheduleShow,
    JobSchedulePause,
    JobScheduleResume,
    JobScheduleDelete,
)
"""What every door accepts."""

OPERATOR_COMMANDS: tuple[type[Command], ...] = (
    AgentAdd,
    AgentUpdate,
    AgentRemove,
    AgentRename,
    AgentRefresh,
    AgentCapabilities,
    ArtifactList,
    ArtifactShow,
    ArtifactSave,
    ArtifactExport,
    ContextCreate,
    ContextFork,
    ContextClose,
    ContextExport,
    GroupCreate,
    GroupAdd,
    GroupRemove,
    GroupRename,
    GroupDelete,
    GroupCapabilities,
    SessionList,
    SessionShow,
    SessionReset,
    IntakeList,
    IntakeShow,
    IntakeRetry,
    IntakeDrop,
)
"""What only the command line accepts."""
