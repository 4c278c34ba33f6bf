"""The door ``http`` holds what every adapter must, on a real listener."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import httpx
from support.secrets import planted

from missive_host.testing import AdapterContract, AdapterRig, Answer

PATH = "/adapter/http/v1/messages"


class HttpRig(AdapterRig):
    samples = tuple({"id": f"frame-{number}", "command": "task_list"} for number in range(4))
    bad_samples = (
        b"no JSON",
        b"\xff\xfe",
        {"id": "x"},
        {"id": "x", "command": "sent"},
        {"id": "x", "command": "task_list", "schema_version": "missive.http.v9"},
        {"id": "x", "command": "task_list", "colour": 1},
    )

    def options(self) -> dict[str, Any]:
        route = {"scheme": "github", "secret": self.secret(planted("webhook")), "agent": "a"}
        return {"auth": "none", "routes": {"ci": route}}

    async def open(self) -> None:
        assert self.listener is not None
        self.client = httpx.AsyncClient(base_url=self.listener.url, trust_env=False, timeout=30)
        self.seen: list[Answer] = []

    async def close(self) -> None:
        await self.client.aclose()

    async def send(self, sample: Any) -> None:
        data = sample if isinstance(sample, bytes) else json.dumps(sample).encode()
        self.group.start_soon(self._post, data)

    async def _post(self, data: bytes) -> None:
        with suppress(httpx.TransportError):
            while True:
                answer = await self.client.post(PATH, content=data, headers={"content-type": "application/json"})
                if answer.status_code != 404:  # the adapter is there
                    break
            self.seen.append(Answer(answer.text, error=answer.is_error))

    async def answers(self) -> Sequence[Answer]:
        return self.seen


class TestHttp(AdapterContract):
    plugin = "http"
    rig = HttpRig
    lacks = frozenset({"end", "redelivers", "wait"})
    with_listener = True
    readers = len(HttpRig.samples)
