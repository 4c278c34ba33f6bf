"""The events of a stream, committed one by one and handed on as they happen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET
from msgspec.structs import replace

from missive_host import outputs as o
from missive_host.a2a.shapes import EVENT_TYPES, SETTLED, Json, message_text, payload, state, task_text, text_of
from missive_host.core.views import given

if TYPE_CHECKING:
    from missive_host.a2a.client import AgentClient
    from missive_host.core.core import Core, Emit
    from missive_host.core.recorder import Exchange
    from missive_host.outputs import RequestView


class Following:
    """Counts, commits and emits the events of one `stream` or `task_subscribe`."""

    def __init__(self, core: Core, exchange: Exchange, emit: Emit, *, requested: bool) -> None:
        self._core = core
        self._exchange = exchange
        self._emit = emit
        self._unsettled = requested
        self.answered = False
        """True once an event has come: the agent has the request."""
        self.client: AgentClient | None = None
        self.count = 0
        self._updates = {"status_update": 0, "artifact_update": 0}
        self._event_ids: list[str] = []
        self._message_ids: list[str] = []
        self._state: str | None = None
        self._message_came = False

    def take_up(self, count: int) -> None:
        """Go on after `count` events that came earlier: the agent has had the request."""
        self._unsettled, self.answered, self.count = False, True, count

    @property
    def ended(self) -> bool:
        """True if what came last was an answer after which no more is to come."""
        return self._state in SETTLED or self._message_came

    async def take(self, event: Json) -> None:
        assert self.client is not None
        first, self._unsettled, self.answered = self._unsettled, False, True
        self._message_came = payload(event)[0] == "message"
        persistence = await self._core.recorder.streamed(self._exchange, event, self.client.interface, first=first)
        view = self._view(event, persistence)
        self.count += 1
        if view.event_type in self._updates:
            self._updates[view.event_type] += 1
        if isinstance(persistence.event_id, str):
            self._event_ids.append(persistence.event_id)
        if isinstance(persistence.message_id, str):
            self._message_ids.append(persistence.message_id)
        if isinstance(view.state, str):
            self._state = view.state
        await self._emit(o.Output(view, sequence=view.sequence))

    def _view(self, event: Json, persistence: o.Persistence) -> o.StreamEvent:
        name, value = payload(event)
        agent = self._exchange.agent
        view = o.StreamEvent(
            profile=self._core.profile,
            agent=agent,
            sequence=self.count,
            event_type=EVENT_TYPES[name],
            context_id=given(value.get("contextId") or None),
            task_id=given(value.get("taskId") or value.get("id") or None),
            raw=event,
            persistence=persistence,
            message=f"message from '{agent}'",
        )
        if name == "message":
            return replace(view, message_id=value["messageId"], text=given(message_text(value)))
        if name in ("task", "statusUpdate"):
            now = state(value.get("status"))
            said = value.get("status", {}).get("message") if name == "statusUpdate" else None
            return replace(
                view,
                state=now,
                message_id=given((said or {}).get("messageId")),
                text=given(task_text(value) if name == "task" else message_text(said)),
                message=f"task {view.task_id}: {now}",
            )
        artifact = value.get("artifact", {})
        return replace(
            view,
            artifact_id=artifact.get("artifactId", UNSET),
            append=bool(value.get("append")),
            last_chunk=bool(value.get("lastChunk")),
            text=given(text_of(artifact.get("parts"))),
            message=f"artifact {artifact.get('name') or artifact.get('artifactId', '')} of task {view.task_id}",
        )

    def result(self, resumed: int, *, forced: bool, request: RequestView | None) -> o.StreamResult:
        assert self.client is not None
        exchange = self._exchange
        ending = f"; it ended {self._state}" if self._state else ""
        return o.StreamResult(
            profile=self._core.profile,
            agent=exchange.agent,
            selected_interface=self.client.interface,
            capability=o.StreamCapability(advertised_streaming=self.client.streaming, forced=forced),
            request=given(request),
            event_count=self.count,
            status_update_count=self._updates["status_update"],
            artifact_update_count=self._updates["artifact_update"],
            resumed=resumed,
            final_task_id=given(exchange.task_id),
            final_context_id=given(exchange.remote_context_id),
            final_state=given(self._state),
            events=(),
            persistence=o.Persistence(
                request_message_id=exchange.message_id if request is not None else UNSET,
                context_id=given(exchange.context_id),
                event_ids=tuple(self._event_ids),
                stream_message_ids=tuple(self._message_ids),
            ),
            message=f"{self.count} events from agent '{exchange.agent}'{ending}",
        )
