"""For the tests of the HTTP door: an intake that keeps answers, and the door on a real listener.

::

    async with serving(home, agent) as door:
        answer = await door.post({"command": "send", "agent": "echo", "message": "hi"})
"""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import missive_http
from contract_kit import VALIDATORS
from missive_http.adapter import HttpAdapter
from support.secrets import secrets_of

from missive_host.a2a.parts import FileAccess
from missive_host.adapter_options import convert_options
from missive_host.envelopes import HTTP
from missive_host.errors import MissiveError, ValidationError
from missive_host.gateway.listener import HttpListener
from missive_host.gateway.protocol import Limits
from missive_host.ids import new_id, now
from missive_host.protocols import (
    AdapterContext,
    Done,
    IntakeFullError,
    Outcome,
    Principal,
    Receipt,
    Reject,
    Retry,
    UnknownReceiptError,
    Viewer,
)

if TYPE_CHECKING:
    from anyio.abc import TaskGroup
    from support.cores import Commands, Home

    from missive_host.demo.fleet import AgentProcess
    from missive_host.outputs import Output
    from missive_host.protocols import Delivery

(SPEC,) = missive_http.missive_adapters()
RESPONSE = VALIDATORS[f"{HTTP}/response"]
ROOT = "/adapter/http"
MESSAGES = f"{ROOT}/v1/messages"
JSON = {"Content-Type": "application/json"}


@dataclass
class Kept:
    """One delivery, as the gateway would have it in its store."""

    receipt_id: str
    delivery: Delivery
    reply_to: Mapping[str, Any]
    digest: str
    accepted_at: str = field(default_factory=now)
    outputs: list[Output] = field(default_factory=list)
    outcome: Outcome | None = None
    changed: anyio.Event = field(default_factory=anyio.Event)

    def change(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()


class KeepingIntake:
    """A `missive_host.protocols.Intake` on a real core. It keeps in memory what the gateway keeps on the disk."""

    def __init__(self, core: Commands, adapter: str, *, limit: int = 100) -> None:
        self._core = core.core
        self._adapter = adapter
        self._limit = limit
        self._keys: dict[str, Kept] = {}
        self.kept: dict[str, Kept] = {}
        self.group: TaskGroup | None = None
        self.runs = 0

    async def submit(
        self, delivery: Delivery, *, reply_to: Mapping[str, Any] | None = None, wait: bool = True
    ) -> Receipt:
        envelope = delivery.envelope
        key, digest = envelope.idempotency_key, repr(envelope.command)
        assert self.group is not None
        known = self._keys.get(key) if key is not None else None
        if known is not None:
            if known.digest != digest:
                raise ValidationError("this idempotency key was used for another command")
            self.group.start_soon(self._deliver, known, delivery)
            return self._receipt(known, duplicate=True)
        if not wait and sum(kept.outcome is None for kept in self.kept.values()) >= self._limit:
            raise IntakeFullError("the gateway is full", help="try again in a moment")
        kept = Kept(new_id(), delivery, json.loads(json.dumps(reply_to)), digest)
        self.kept[kept.receipt_id] = kept
        if key is not None:
            self._keys[key] = kept
        self.group.start_soon(self._run, kept)
        self.group.start_soon(self._deliver, kept, delivery)
        return self._receipt(kept)

    async def follow(self, receipt_id: str, viewer: Viewer, *, after: int = 0) -> None:
        await self._deliver(self._find(receipt_id), viewer, after)

    async def receipt(self, receipt_id: str) -> Receipt:
        return self._receipt(self._find(receipt_id))

    def retry(self) -> None:
        """Settle all that runs as the gateway does when it stops."""
        for kept in self.kept.values():
            if kept.outcome is None:
                kept.outcome = Retry(self._core.report(MissiveError("stopped")))
                kept.change()

    async def _run(self, kept: Kept) -> None:
        async def emit(output: Output) -> None:
            kept.outputs.append(output)
            kept.change()

        self.runs += 1
        try:
            await self._core.run(kept.delivery.envelope.command, emit)
            kept.outcome = kept.outcome or Done()
        except MissiveError as error:
            kept.outcome = kept.outcome or Reject(self._core.report(error))
        kept.change()

    async def _deliver(self, kept: Kept, viewer: Viewer, after: int = 0) -> None:
        while True:
            changed = kept.changed
            while after < len(kept.outputs):
                after += 1
                await viewer.send(kept.outputs[after - 1])
            if kept.outcome is not None and after >= len(kept.outputs):
                await viewer.settle(kept.outcome)
                return
            await changed.wait()

    def _find(self, receipt_id: str) -> Kept:
        if receipt_id not in self.kept:
            raise UnknownReceiptError(f"there is no receipt '{receipt_id[:64]}'")
        return self.kept[receipt_id]

    def _receipt(self, kept: Kept, *, duplicate: bool = False) -> Receipt:
        state = "running"
        if isinstance(kept.outcome, Done | Reject):
            state = "done" if isinstance(kept.outcome, Done) else "failed"
        return Receipt(
            kept.receipt_id,
            adapter=self._adapter,
            state=state,
            accepted_at=kept.accepted_at,
            duplicate=duplicate,
            outputs=len(kept.outputs),
            reply_to=kept.reply_to,
        )


@dataclass
class Door:
    """The door that is open, and a client of it."""

    core: Commands
    intake: KeepingIntake
    listener: HttpListener
    adapter: HttpAdapter
    context: AdapterContext
    client: httpx.AsyncClient

    async def post(self, frame: Any, **headers: str) -> httpx.Response:
        content = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return checked(await self.client.post(MESSAGES, content=content, headers={**JSON, **names}))

    async def get(self, path: str, **headers: str) -> httpx.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return checked(await self.client.get(path, headers=names))

    def connect(self) -> socket.socket:
        """Open a connection without a client, for those that do not behave. Its reads must be in a thread."""
        sock = socket.create_connection(("127.0.0.1", int(self.listener.url.rpartition(":")[2])))
        sock.settimeout(20)
        return sock


def checked(answer: httpx.Response) -> httpx.Response:
    """Return an answer whose documents were found to be of the contract."""
    kind = answer.headers.get("content-type", "")
    documents = []
    if kind in ("application/json", "application/problem+json"):
        documents = [answer.json()]
    elif kind == "application/x-ndjson":
        documents = [json.loads(line) for line in answer.text.splitlines()]
    for document in documents:
        if "kind" in document:
            assert RESPONSE(document) == (), document
            if document["kind"] == "http_error" and kind == "application/problem+json":
                assert document["status"] == answer.status_code
    return answer


def options(**given: Any) -> dict[str, Any]:
    environ = given.pop("environ", {})
    return convert_options(SPEC, given, secrets=secrets_of(environ))


@asynccontextmanager
async def serving(
    home: Home,
    agent: AgentProcess | str | None = None,
    *,
    name: str = "http",
    limit: int = 100,
    limits: Limits | None = None,
    authenticate: Callable[[str], Principal | None] | None = None,
    environ: Mapping[str, str] | None = None,
    **settings: Any,
) -> AsyncIterator[Door]:
    """Open the door with these settings, on a home whose agent `echo` is `agent`."""
    data_dir = home.folder / "home" / "adapters" / name
    data_dir.mkdir(parents=True, exist_ok=True)
    async with home.core(files=FileAccess.below(str(data_dir))) as core:
        if agent is not None:
            core.add("echo", agent)
        listener = HttpListener("127.0.0.1:0", limits=limits, graceful=1)
        context = AdapterContext(
            name=name,
            options=convert_options(SPEC, settings, secrets=secrets_of(environ)),
            log=logging.getLogger(f"missive.{name}"),
            data_dir=data_dir,
            listener=listener,
            authenticate=authenticate,
        )
        adapter = HttpAdapter(context)
        intake = KeepingIntake(core, name, limit=limit)
        async with anyio.create_task_group() as group:
            intake.group = group
            await group.start(listener.serve)
            async with anyio.create_task_group() as running:
                running.start_soon(adapter.run, intake)
                await anyio.wait_all_tasks_blocked()
                async with httpx.AsyncClient(base_url=listener.url, timeout=30) as client:
                    yield Door(core, intake, listener, adapter, context, client)
                running.cancel_scope.cancel()
            group.cancel_scope.cancel()
