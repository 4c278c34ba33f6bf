"""Results for people, one function a kind. What an agent wrote goes to stdout, what we say about it to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from missive_host.cli.live import StreamView
from missive_host.cli.wording import ago, next_steps, number, part_text, say_parts, say_route, size, state_style

if TYPE_CHECKING:
    from missive_host import outputs as o
    from missive_host.cli.render import Human
    from missive_host.cli.screen import Screen


class LiveView(Protocol):
    """Shows the events of one command as they come."""

    def show(self, data: Any) -> None:
        """Show one event, or the end of a stream."""
        ...

    def close(self) -> None:
        """It is over, however it ended. May be called twice."""
        ...


class HumanRenderer:
    """Prints each result as it comes; the events of a stream as a live view, which `stream_view` makes."""

    def __init__(self, screen: Screen, stream_view: Callable[[Screen], LiveView] = StreamView) -> None:
        self.count = 0
        self._screen = screen
        self._stream_view = stream_view
        self._stream: LiveView | None = None

    def emit(self, output: o.Output, human: Human | None = None) -> None:
        self.count += 1
        data: Any = output.data
        if human is not None:
            human(data, self._screen)
        elif output.kind in ("stream_event", "stream_result"):
            if self._stream is None:
                self._stream = self._stream_view(self._screen)
            self._stream.show(data)
        else:
            self.close()
            renderer_of(output.kind)(data, self._screen)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()


def renderer_of(kind: str) -> Callable[[Any, Screen], None]:
    """Return what shows a kind to people."""
    if kind in RENDERERS:
        return RENDERERS[kind]
    module = ELSEWHERE.get(kind.partition("_")[0])
    if module is None:
        return _anything
    from importlib import import_module

    found: Callable[[Any, Screen], None] = import_module(module).RENDERERS.get(kind, _anything)
    return found


def _anything(data: Any, screen: Screen) -> None:
    """Show a result that has no renderer of its own: its sentence, else all of it."""
    message = getattr(data, "message", None)
    if isinstance(message, str):
        screen.line(message)
        return
    import msgspec

    screen.text(json.dumps(msgspec.to_builtins(data), indent=2, ensure_ascii=False))


# --- sending


def _send_result(data: o.SendResult, screen: Screen) -> None:
    if data.route:
        say_route(screen, data.agent, data.route)
    answer = data.response.raw
    if data.response.shape == "message":
        if not say_parts(screen, answer.get("parts")):
            screen.line(data.message)
        return
    task_id, state = str(data.response.task_id), str(data.response.state)
    artifacts = answer.get("artifacts") or ()
    said = False
    for artifact in artifacts:
        said = say_parts(screen, artifact.get("parts")) or said
    comment = ((answer.get("status") or {}).get("message") or {}).get("parts") or ()
    if said and state == "completed":  # what it made is the answer, what it says about that is not
        for part in comment:
            screen.note(part_text(part))
    elif not say_parts(screen, comment) and not said:
        screen.line(f"task {task_id}: {state}")
    made = f", {number(len(artifacts), 'artifact')}" if artifacts else ""
    screen.note(f"task {task_id} of {data.agent}: {state}{made}", state_style(state) or "dim")
    for step in next_steps(data.agent, task_id, state, len(artifacts)):
        screen.note(f"  {step}")


# --- tasks


def _task(task: o.TaskView, screen: Screen) -> None:
    screen.fields(
        (
            ("task", task.task_id),
            ("agent", task.agent),
            ("state", task.state),
            ("context", task.context_id),
            ("updated", ago(task.updated_at, screen)),
            ("completed", ago(task.completed_at, screen)),
            ("seen by", task.source),
            ("messages", task.history_count or None),
            ("metadata", task.metadata),
        )
    )
    if isinstance(task.text, str):
        screen.line()
        screen.text(task.text)
    if task.artifacts:
        screen.line()
        _artifact_table(task.artifacts, screen)


def _task_get(data: o.TaskGetResult, screen: Screen) -> None:
    _task(data.task, screen)
    for step in next_steps(data.task.agent, data.task.task_id, data.task.state, data.task.artifact_count):
        screen.note(step)


def _task_list(data: o.TaskListResult, screen: Screen) -> None:
    if not data.tasks:
        screen.line("no tasks")
    else:
        screen.table(
            ("TASK", "AGENT", "STATE", "UPDATED", "ARTIFACTS", "TEXT"),
            [
                (t.task_id, t.agent, t.state, ago(t.updated_at, screen), t.artifact_count or None, t.text)
                for t in data.tasks
            ],
        )
    if isinstance(data.next_page_token, str):
        screen.note(f"there are more: --page-token {data.next_page_token}")


def _task_wait(data: o.TaskWaitResult, screen: Screen) -> None:
    from missive_host import outputs as o

    if isinstance(data.task, o.TaskView):
        _task(data.task, screen)
    screen.note(data.message)


def _task_cancel(data: o.TaskCancelResult, screen: Screen) -> None:
    screen.line(f"task {data.task.task_id} of {data.agent}: {data.task.state}", state_style(data.task.state))


def _artifact_table(artifacts: Iterable[o.ArtifactSummary], screen: Screen) -> None:
    screen.table(
        ("ARTIFACT", "NAME", "KIND", "TYPE", "PARTS", "UPDATED", "TEXT"),
        [
            (a.artifact_id, a.name, a.kind, a.mime_type, a.part_count, ago(a.updated_at, screen), a.text_preview)
            for a in artifacts
        ],
    )


def _artifact_list(data: o.ArtifactListResult, screen: Screen) -> None:
    if not data.artifacts:
        screen.line(f"task {data.task_id} has no artifacts")
        return
    _artifact_table(data.artifacts, screen)
    screen.note(f"save them: missive task artifact export {data.task_id} --agent {data.agent} -o DIR")


def _artifact_show(data: o.ArtifactShowResult, screen: Screen) -> None:
    a = data.artifact
    screen.fields(
        (
            ("artifact", a.artifact_id),
            ("name", a.name),
            ("task", a.task_id),
            ("kind", a.kind),
            ("type", a.mime_type),
            ("parts", a.part_count),
            ("updated", ago(a.updated_at, screen)),
            ("metadata", a.metadata),
        )
    )
    screen.line()
    say_parts(screen, data.raw.get("parts"))


def _saved(data: o.ArtifactSaveResult | o.ArtifactExportResult, screen: Screen) -> None:
    screen.table(
        ("FILE", "SIZE", "KIND", "TYPE"), [(f.path, size(f.bytes_written), f.kind, f.media_type) for f in data.files]
    )
    screen.note(data.message)


# --- agents


def _agent(agent: o.AgentView, screen: Screen) -> None:
    screen.fields(
        (
            ("alias", agent.alias),
            ("url", agent.base_url),
            ("interfaces", agent.interface_urls),
            ("bindings", agent.binding_preference),
            ("auth ref", agent.auth_ref),
            ("tags", agent.tags),
            ("notes", agent.notes),
            ("metadata", agent.metadata),
            ("source", "the config (read-only)" if agent.read_only else agent.source),
            ("card fetched", ago(agent.agent_card_fetched_at, screen)),
            ("health", _health(agent)),
            ("last failure", agent.last_failure),
            ("updated", ago(agent.updated_at, screen)),
        )
    )


def _health(agent: o.AgentView) -> str:
    """Say what the circuit breaker has seen."""
    if isinstance(agent.resting_until, str):
        return f"resting until {agent.resting_until[:19]}Z"
    return f"failing ({agent.failures})" if agent.failures else "ok"


def _agent_list(data: o.AgentListResult, screen: Screen) -> None:
    if not data.agents:
        screen.line("no agents")
        screen.note("register one: missive agent add ALIAS URL")
        return
    screen.table(
        ("ALIAS", "URL", "TAGS", "AUTH REF", "SOURCE", "HEALTH", "CARD"),
        [
            (a.alias, a.base_url, a.tags, a.auth_ref, a.source, _health(a), ago(a.agent_card_fetched_at, screen))
            for a in data.agents
        ],
    )


def _agent_inspect(data: o.AgentInspectResult, screen: Screen) -> None:
    card = data.card
    flags = [name for name, value in card.capabilities.items() if value is True]
    screen.fields(
        (
            ("agent", data.agent.alias),
            ("name", card.name),
            ("version", card.agent_version),
            ("description", card.description),
            ("provider", (card.provider or {}).get("organization") if isinstance(card.provider, dict) else None),
            ("documentation", card.documentation_url),
            ("interface", f"{data.selected_interface.binding} at {data.selected_interface.url}"),
            ("protocol", data.selected_interface.protocol_version),
            ("capabilities", flags),
            ("input", card.default_input_modes),
            ("output", card.default_output_modes),
            ("security", card.security_schemes),
            ("card", f"{data.cache.status}, {ago(data.cache.fetched_at, screen) or 'time unknown'}"),
        )
    )
    if card.supported_interfaces:
        screen.line()
        screen.table(
            ("BINDING", "VERSION", "URL", "TENANT"),
            [
                (
                    i.get("protocolBinding") or i.get("transport"),
                    i.get("protocolVersion"),
                    i.get("url"),
                    i.get("tenant"),
                )
                for i in card.supported_interfaces
            ],
        )
    if card.skills:
        screen.line()
        screen.table(
            ("SKILL", "NAME", "TAGS", "DESCRIPTION"),
            [(s.get("id"), s.get("name"), s.get("tags"), s.get("description")) for s in card.skills],
        )


def _agent_capabilities(data: o.AgentCapabilitiesResult, screen: Screen) -> None:
    if not data.agents:
        screen.line("no agents")
        return
    screen.table(
        ("AGENT", "STREAM", "PUSH", "INPUT", "OUTPUT", "SKILLS", "LABELS", "ERROR"),
        [
            (
                a.alias,
                a.supports_streaming,
                a.supports_push_notifications,
                a.input_modes,
                a.output_modes,
                [skill.get("id") for skill in a.skills],
                a.capability_labels,
                a.error,
            )
            for a in data.agents
        ],
    )


# --- contexts


def _context(context: o.ContextView, screen: Screen, counts: o.Counts | None = None) -> None:
    screen.fields(
        (
            ("context", context.context_id),
            ("name", context.name),
            ("state", context.state),
            ("agent", context.agent),
            ("forked from", context.parent_context_id),
            ("summary", context.summary),
            ("metadata", context.metadata),
            ("with", context.remote_contexts),
            ("updated", ago(context.updated_at, screen)),
            ("closed", ago(context.closed_at, screen)),
            ("tasks", counts.task_count or None if counts else None),
            ("messages", counts.message_count or None if counts else None),
            ("artifacts", counts.artifact_count or None if counts else None),
            ("events", counts.event_count or None if counts else None),
        )
    )


def _context_made(data: o.ContextCreateResult | o.ContextForkResult, screen: Screen) -> None:
    screen.line(data.message)
    name = data.context.name if isinstance(data.context.name, str) else data.context.context_id
    agent = data.context.agent if isinstance(data.context.agent, str) else "AGENT"
    screen.note(f'try: missive send {agent} "Hello" --context {name}')


def _context_list(data: o.ContextListResult, screen: Screen) -> None:
    if not data.contexts:
        screen.line("no contexts")
        return
    screen.table(
        ("CONTEXT", "NAME", "STATE", "AGENTS", "UPDATED", "SUMMARY"),
        [
            (
                c.context_id,
                c.name,
                c.state,
                sorted({*c.remote_contexts, *([c.agent] if isinstance(c.agent, str) else [])}),
                ago(c.updated_at, screen),
                c.summary,
            )
            for c in data.contexts
        ],
    )


def _context_show(data: o.ContextShowResult, screen: Screen) -> None:
    _context(data.context, screen, data.counts)


def _context_export(data: o.ContextExportResult, screen: Screen) -> None:
    """Show a conversation as it went."""
    _context(data.context, screen)
    for message in data.messages:
        screen.line()
        theirs = message.direction not in ("request", "local") and isinstance(message.agent, str)
        who = message.agent if theirs else "you"
        screen.line(f"{who}, {ago(message.created_at, screen)}", "bold")
        say_parts(screen, message.content.get("parts"))
    if data.tasks:
        screen.line()
        screen.table(("TASK", "AGENT", "STATE"), [(t.task_id, t.agent, t.state) for t in data.tasks])
    screen.note("all of it, for programs: --json")


# --- the host


def _message(data: Any, screen: Screen) -> None:
    screen.line(data.message)


def _script(data: Any, screen: Screen) -> None:
    from missive_host.cli.screen import write

    write(sys.stdout, data.script)
    if screen.out_tty:
        screen.note(f"save it: missive completion {data.shell} > {data.install_hint}")


RENDERERS: Mapping[str, Callable[[Any, Screen], None]] = {
    "send_result": _send_result,
    "task_get": _task_get,
    "task_list": _task_list,
    "task_wait": _task_wait,
    "task_cancel": _task_cancel,
    "task_artifact_list": _artifact_list,
    "task_artifact_show": _artifact_show,
    "task_artifact_save": _saved,
    "task_artifact_export": _saved,
    "agent_add": _message,
    "agent_update": _message,
    "agent_list": _agent_list,
    "agent_show": lambda data, screen: _agent(data.agent, screen),
    "agent_remove": _message,
    "agent_rename": _message,
    "agent_inspect": _agent_inspect,
    "agent_refresh": _agent_inspect,
    "agent_capabilities": _agent_capabilities,
    "context_create": _context_made,
    "context_fork": _context_made,
    "context_close": _message,
    "context_list": _context_list,
    "context_show": _context_show,
    "context_export": _context_export,
    "completion": _script,
}

_COLLECTIVES = "missive_host.cli.human_collectives"
ELSEWHERE: Mapping[str, str] = {
    "bcast": _COLLECTIVES,
    "scatter": _COLLECTIVES,
    "barrier": _COLLECTIVES,
    "gather": _COLLECTIVES,
    "reduce": _COLLECTIVES,
    "allreduce": _COLLECTIVES,
    "route": "missive_host.cli.routes",
    "group": "missive_host.cli.human_groups",
    "gateway": "missive_host.cli.human_gateway",
    "intake": "missive_host.cli.human_intake",
    "events": "missive_host.cli.human_events",
    "event": "missive_host.cli.human_events",
    "trace": "missive_host.cli.human_events",
    "log": "missive_host.cli.human_logs",
    "logs": "missive_host.cli.human_logs",
    "session": "missive_host.cli.human_sessions",
    "job": "missive_host.cli.human_jobs",
    "store": "missive_host.cli.human_store",
    "token": "missive_host.cli.human_tokens",
    "push": "missive_host.cli.human_push",
    "webhook": "missive_host.cli.human_push",
    "chat": "missive_host.cli.human_plugins",
    "plugin": "missive_host.cli.human_plugins",
}
"""The first word of a kind to the module whose ``RENDERERS`` show it; imported when it is needed."""
