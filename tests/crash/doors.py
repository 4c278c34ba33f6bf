"""Three doors at once: each hands deliveries to a gateway that may die at any instant, and keeps what it answers.

Each behaves as a careful client of its kind would: a file is renamed into the inbox, once; a POST is made again, with
its Idempotency-Key, until there is an answer; a frame is written again to the next gateway if this one died.
"""

from __future__ import annotations

import http.client
import json
import queue
import random
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from support.gateways import GatewayProcess

STORE_EXIT_CODE = 75
"""The store took nothing: the frame was not taken in."""
MESSAGES = "/adapter/http/v1/messages"
HTTP_CLIENTS = 24


class Delivery(NamedTuple):
    name: str
    door: str
    command: str
    text: str
    session: str | None
    pause: float
    """Seconds before the next one goes through this door."""

    def frame(self) -> dict[str, Any]:
        source = {"source_id": self.session or self.name}
        if self.session is not None:
            source["resume_name"] = self.session
        return {"id": self.name, "command": self.command, "agent": "worker", "message": self.text, "source": source}


class Answer(NamedTuple):
    """A final answer, without what is not the agent's: the same for each time it is given."""

    ok: bool
    content: str
    """What the agent said; of a stream the state in which it ended; of an error its sentence."""
    whole: str
    """All of it, to be compared."""
    message_id: str = ""
    """Of the message that the agent answered."""


class Door:
    """One door. `stop` ends its threads."""

    name = ""

    def __init__(self) -> None:
        self.todo: queue.Queue[Delivery] = queue.Queue()
        self.given: dict[str, Delivery] = {}
        self.answers: dict[str, list[Answer]] = {}
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.threads: list[threading.Thread] = []

    def start(self, *runs: Any) -> None:
        for run in runs:
            thread = threading.Thread(target=run, daemon=True)
            thread.start()
            self.threads.append(thread)

    def stop(self) -> None:
        self.stopped.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()

    def next(self) -> Delivery | None:
        while not self.stopped.is_set():
            with suppress(queue.Empty):
                return self.todo.get(timeout=0.1)
        return None

    def answered(self, name: str, answer: Answer) -> None:
        with self.lock:
            self.answers.setdefault(name, []).append(answer)

    def missing(self) -> list[str]:
        """Return what was given and not answered, or not even given."""
        with self.lock:
            waiting = [delivery.name for delivery in self.todo.queue]
            return waiting + [name for name in self.given if name not in self.answers]

    def opened(self, gateway: GatewayProcess) -> None:
        """A new gateway is there."""

    def closed(self) -> None:
        """It is dead."""


class Files(Door):
    """Files renamed into the inbox."""

    name = "files"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.staging, self.inbox, self.outbox = folder / "staging", folder / "in", folder / "out"
        for each in (self.staging, self.inbox, self.outbox):
            each.mkdir()
        self.start(self._give)

    def _give(self) -> None:
        while (delivery := self.next()) is not None:
            staged = self.staging / f"{delivery.name}.json"
            while True:
                try:
                    staged.write_text(json.dumps(delivery.frame()))
                    staged.rename(self.inbox / staged.name)
                    break
                except OSError:  # the disk is full
                    time.sleep(0.05)
            with self.lock:
                self.given[delivery.name] = delivery
            time.sleep(delivery.pause)

    def missing(self) -> list[str]:
        there = {each.name for each in self.outbox.iterdir()}
        with self.lock:
            waiting = [delivery.name for delivery in self.todo.queue]
            return waiting + [name for name in self.given if not there & {f"{name}.result.json", f"{name}.error.json"}]

    def collect(self) -> None:
        """Read all results."""
        for file in self.outbox.iterdir():
            document = json.loads(file.read_text())
            name = document["input_file"].removesuffix(".json")
            if document["ok"]:
                answer = success([frame["data"] for frame in document["outputs"]])
            else:
                answer = failure(document["error"])
            self.answered(name, answer)


class Stdio(Door):
    """Frames on standard input."""

    name = "stdio"

    def __init__(self) -> None:
        super().__init__()
        self._gateway: GatewayProcess | None = None
        self._read = 0
        self._reading = threading.Lock()
        self.refused = 0
        self.start(self._give, self._listen)

    def opened(self, gateway: GatewayProcess) -> None:
        with self.lock:
            again = [delivery for name, delivery in self.given.items() if name not in self.answers]
            self._gateway, self._read = gateway, 0
        for delivery in again:
            self.todo.put(delivery._replace(pause=0))

    def closed(self) -> None:
        with self._reading:
            self._take()
            self._gateway = None

    def _give(self) -> None:
        while (delivery := self.next()) is not None:
            with self.lock:
                self.given[delivery.name] = delivery
                gateway = self._gateway
            if gateway is not None:
                with suppress(BrokenPipeError, ValueError):  # it has just died: the next one gets it
                    gateway.put({**delivery.frame(), "idempotency_key": delivery.name})
            time.sleep(delivery.pause)

    def _listen(self) -> None:
        while not self.stopped.is_set():
            with self._reading:
                self._take()
            time.sleep(0.02)

    def _take(self) -> None:
        if self._gateway is None:
            return
        documents = self._gateway.documents[self._read :]
        self._read += len(documents)
        for document in documents:
            if document.get("schema_version") != "missive.stdio.v1":
                continue
            name = document["id"]
            if document["ok"]:
                if document["data"]["kind"] != "stream_event":  # a stream that is told again begins anew
                    self.answered(name, success([document["data"]], events=False))
            elif document["error"]["exit_code"] == STORE_EXIT_CODE:
                self.refused += 1
                self.todo.put(self.given[name]._replace(pause=0.05))
            else:
                self.answered(name, failure(document["error"]))


class Http(Door):
    """POSTs with an Idempotency-Key."""

    name = "http"

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._address: tuple[str, int] | None = None
        self._rng = random.Random(f"{seed}/http")
        self._handed: queue.Queue[Delivery] = queue.Queue()
        self.tries = 0
        self.start(self._give, *[self._client] * HTTP_CLIENTS)

    def opened(self, gateway: GatewayProcess) -> None:
        """See `listens`: it has no address before it is ready."""

    def listens(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").rpartition(":")
        self._address = (host, int(port))

    def closed(self) -> None:
        self._address = None

    def _give(self) -> None:
        while (delivery := self.next()) is not None:
            with self.lock:
                self.given[delivery.name] = delivery
            self._handed.put(delivery)
            time.sleep(delivery.pause)

    def _client(self) -> None:
        while not self.stopped.is_set():
            try:
                delivery = self._handed.get(timeout=0.1)
            except queue.Empty:
                continue
            self._until_answered(delivery)

    def _until_answered(self, delivery: Delivery) -> None:
        location: str | None = None
        while not self.stopped.is_set():
            try:
                if location is None or self._rng.random() < 0.3:
                    status, headers, body = self.post(delivery, wait=self._rng.choice((0, 0, 1, 5)))
                else:
                    status, headers, body = self._request("GET", location, {"Prefer": "wait=2"})
            except OSError:
                time.sleep(0.05)
                continue
            except http.client.HTTPException:
                continue
            if status == 503 or body["kind"] == "http_receipt":
                location = headers.get("location", location)
                time.sleep(0.02)
                continue
            self.answered(delivery.name, answer_of(body))
            return

    def post(self, delivery: Delivery, *, wait: float) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Make the request. Raises `OSError` and `HTTPException` if there is no gateway, or it dies."""
        self.tries += 1
        headers = {"Content-Type": "application/json", "Idempotency-Key": delivery.name, "Prefer": f"wait={wait}"}
        return self._request("POST", MESSAGES, headers, json.dumps(delivery.frame()))

    def _request(
        self, method: str, path: str, headers: dict[str, str], body: str | None = None
    ) -> tuple[int, dict[str, str], dict[str, Any]]:
        address = self._address
        if address is None:
            raise ConnectionRefusedError
        connection = http.client.HTTPConnection(*address, timeout=60)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return (
                response.status,
                {name.lower(): value for name, value in response.getheaders()},
                json.loads(response.read()),
            )
        finally:
            connection.close()


def answer_of(document: dict[str, Any]) -> Answer:
    if not document["ok"]:
        return failure(document["error"])
    return success(document["outputs"])


def failure(error: dict[str, Any]) -> Answer:
    return Answer(ok=False, content=error["message"], whole=json.dumps(error, sort_keys=True))


def success(outputs: list[dict[str, Any]], *, events: bool = True) -> Answer:
    """Return an answer; with `events` those of a stream must be there, each once and in order."""
    *earlier, last = outputs
    data = last["data"]
    if last["kind"] == "send_result":
        assert earlier == []
        content = data["response"]["text"]
    else:
        content = data.get("final_state", "message")
        if events:
            assert [output["sequence"] for output in earlier] == list(range(data["event_count"])), outputs
    return Answer(
        ok=True,
        content=content,
        whole=json.dumps(outputs, sort_keys=True),
        message_id=data["request"]["message_id"],
    )
