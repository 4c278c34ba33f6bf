"""``missive webhook run``: the receiver of push notifications by itself, without the gateway."""

from __future__ import annotations

import json
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import anyio

from missive_host import outputs_push as p
from missive_host.a2a.shapes import EVENT_TYPES, payload
from missive_host.core.views import given
from missive_host.gateway.listener import HttpListener
from missive_host.gateway.push import PushReceiver, RejectedError, SharedSecret, Taken
from missive_host.outputs import Output

if TYPE_CHECKING:
    from collections.abc import Callable

    from missive_host.core.core import Core

HEALTH_PATHS = ("/healthz", "/readyz")


class Webhook:
    """Serves a `PushReceiver` until a signal comes, a time has passed, or so many notifications were taken."""

    def __init__(
        self,
        core: Core,
        bind: str,
        emit: Callable[[Output], None],
        *,
        path: str,
        max_body: int,
        shared: SharedSecret | None,
        max_events: int | None,
        timeout: float | None,
    ) -> None:
        self._core = core
        self._bind = bind
        self._emit = emit
        self._max_events = max_events
        self._timeout = timeout
        self._events = 0
        self._reason = "signal"
        self._shared = shared
        self._receiver = PushReceiver(
            core,
            path=path,
            max_body=max_body,
            shared=shared,
            on_taken=self._taken,
            on_rejected=self._rejected,
        )
        self._stopping = anyio.Event()

    async def run(self) -> None:
        """Serve. Raises `ConfigError` if the address cannot be had."""
        core = self._core
        core.store  # noqa: B018 - a store that cannot be opened should be told before anything is taken
        listener = HttpListener(self._bind)
        async with anyio.create_task_group() as group:
            await group.start(self._watch)
            async with anyio.create_task_group() as serving:
                await serving.start(listener.serve)
                await self._serve(listener)
            group.cancel_scope.cancel()
        accepted, rejected = self._receiver.accepted, self._receiver.rejected
        self._show(
            p.WebhookStopped(
                profile=core.profile,
                reason=self._reason,
                accepted=accepted,
                rejected=rejected,
                message=f"stopped ({self._reason}): {accepted} taken, {rejected} refused",
            )
        )

    async def _serve(self, listener: HttpListener) -> None:
        """Let notifications in until it is time to stop; what is under way then is answered."""
        with ExitStack() as mounted:
            for path in HEALTH_PATHS:
                mounted.enter_context(listener.mount(path, self._health))
            mounted.enter_context(listener.mount(self._receiver.path, self._receiver.app()))
            await self._receiver.forget()
            url = listener.url + self._receiver.path
            self._show(
                p.WebhookStarted(
                    profile=self._core.profile,
                    url=url,
                    path=self._receiver.path or "/",
                    verification=() if self._shared is None else (self._shared.header,),
                    message=f"listening for push notifications on {url}",
                )
            )
            with anyio.move_on_after(self._timeout) as deadline:
                await self._stopping.wait()
            if deadline.cancelled_caught:
                self._reason = "timeout"
            listener.stop()

    def _show(self, data: Any) -> None:
        self._emit(Output(data, sequence=self._events))

    async def _taken(self, taken: Taken) -> None:
        name, value = payload(taken.event)
        task_id = value.get("id") if name == "task" else value.get("taskId")
        row = None
        if task_id:
            row = self._core.store.read(lambda tables: tables.tasks.find(taken.agent, task_id))
        kind = EVENT_TYPES[name]
        again = " (again)" if taken.duplicate else ""
        state = f", {row.state}" if row is not None else ""
        self._show(
            p.WebhookEvent(
                profile=self._core.profile,
                agent=taken.agent,
                event_type=kind,
                task_id=given(task_id),
                context_id=given(row.context_id if row is not None else None),
                state=given(row.state if row is not None else None),
                config_id=given(taken.config_id),
                event_sequence=given(taken.sequence),
                message=f"{kind} of agent '{taken.agent}', task {task_id}{state}{again}",
            )
        )
        self._events += 1
        if self._max_events is not None and self._events >= self._max_events:
            self._reason = "max_events"
            self._stopping.set()

    async def _rejected(self, error: RejectedError) -> None:
        message = f"refused with {error.status}: {error}"
        self._show(
            p.WebhookRejected(profile=self._core.profile, status=error.status, reason=error.code, message=message)
        )

    async def _health(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002 - ASGI
        document = {
            "ok": True,
            "status": "ready",
            "component": "webhook",
            "profile": self._core.profile,
            "path": self._receiver.path,
            "accepted": self._receiver.accepted,
            "rejected": self._receiver.rejected,
        }
        body = json.dumps(document).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _watch(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                self._stopping.set()
