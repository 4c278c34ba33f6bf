"""A Synapse for the whole run, people in it, and the platform at work between them."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from missive_chat.options import SHARED
from missive_chat.platform import Inbound, Outgoing, Place, PlatformContext
from missive_chat.platforms.matrix.platform import Matrix
from support.chat.synapse import PASSWORD, Synapse

from missive_host.security.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBERS = count(1)
PATIENCE = 30


@pytest.fixture(scope="session")
def synapse() -> Iterator[Synapse]:
    """A homeserver without limits. Each test has people and rooms of its own in it."""
    with Synapse() as server:
        yield server


class FileCursor:
    """A position that survives the platform."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, name: str) -> str | None:
        return self._all().get(name)

    async def set(self, name: str, value: str) -> None:
        self._path.write_text(json.dumps(self._all() | {name: value}))

    def _all(self) -> dict[str, str]:
        return dict(json.loads(self._path.read_text())) if self._path.exists() else {}


class Person:
    """Somebody with an ordinary client, who may have keys."""

    def __init__(self, server: Synapse, name: str, folder: Path | None = None) -> None:
        self.server = server
        self.name = f"{name}{next(NUMBERS)}"
        self.id = server.register(self.name)
        self.token = server.log_in(self.name, "PHONE")
        self._folder = folder
        self.seen: list[dict[str, Any]] = []
        """All that has happened in this person's rooms, decrypted."""

    async def __aenter__(self) -> Person:
        import nio

        store = ""
        if self._folder is not None:
            (self._folder / self.name).mkdir()
            store = str(self._folder / self.name)
        config = nio.AsyncClientConfig(encryption_enabled=bool(store), max_timeouts=0)
        self.nio = nio.AsyncClient(self.server.url, self.id, "PHONE", store, config, ssl=True)
        self.nio.restore_login(self.id, "PHONE", self.token)
        await self.look(0)
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.nio.close()
        if self.nio.store is not None:
            self.nio.store.database.close()

    async def look(self, seconds: float = 1) -> None:
        """Take in what has happened."""
        import nio

        answer = await self.nio.sync(timeout=int(seconds * 1000))
        assert isinstance(answer, nio.SyncResponse), answer
        for room_id, news in answer.rooms.join.items():
            self.seen += [{**event.source, "room_id": room_id, "nio": event} for event in news.timeline.events]
        if self.nio.should_upload_keys:
            await self.nio.keys_upload()
        if self.nio.should_query_keys:
            await self.nio.keys_query()

    async def until(self, enough: Callable[[], Any]) -> Any:
        """Look until it is enough; return what `enough` returned."""
        with anyio.move_on_after(PATIENCE):
            while not (found := enough()):
                await self.look()
            return found
        raise AssertionError([event.get("content") for event in self.seen])

    async def room(self, *others: str, direct: bool = False, encrypted: bool = False, name: str | None = None) -> str:
        """Make a room and invite others."""
        state = [{"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}] if encrypted else []
        body = {"preset": "private_chat", "invite": others, "is_direct": direct, "initial_state": state, "name": name}
        answer = self.server.ask(
            "POST", "/_matrix/client/v3/createRoom", {k: v for k, v in body.items() if v is not None}, token=self.token
        )
        return str(answer["room_id"])

    async def say(self, room: str, text: str, **more: Any) -> str:
        return await self.send(room, {"msgtype": "m.text", "body": text, **more})

    async def send(self, room: str, content: dict[str, Any], kind: str = "m.room.message") -> str:
        import nio

        answer = await self.nio.room_send(room, kind, content, ignore_unverified_devices=True)
        assert isinstance(answer, nio.RoomSendResponse), answer
        return str(answer.event_id)

    async def is_in(self, room: str, user: str) -> None:
        """Wait until somebody has joined."""
        path = f"/_matrix/client/v3/rooms/{room}/joined_members"
        with anyio.fail_after(PATIENCE):
            while user not in self.server.ask("GET", path, token=self.token)["joined"]:
                await anyio.sleep(0.05)

    def texts(self, room: str, sender: str) -> list[str]:
        """Return the messages of a sender as they are now, edits applied, in the order in which they were sent."""
        found: dict[str, str] = {}
        for event in self.seen:
            content = event.get("content", {})
            if event["room_id"] != room or event["sender"] != sender or event["type"] != "m.room.message":
                continue
            relation = content.get("m.relates_to", {})
            if relation.get("rel_type") == "m.replace":
                found[relation["event_id"]] = content["m.new_content"]["body"]
            else:
                found[event["event_id"]] = content["body"]
        return list(found.values())

    def event(self, event_id: str) -> dict[str, Any] | None:
        return next((event for event in self.seen if event["event_id"] == event_id), None)


@dataclass
class Account:
    """The account of the bridge; it may be opened again and again, as after a restart."""

    server: Synapse
    folder: Path
    id: str
    options: dict[str, Any] = field(default_factory=dict)
    alive: int = 0

    def context(self, **options: Any) -> PlatformContext:
        defaults = {option.name: () if option.repeated else option.default for option in SHARED}
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        return PlatformContext(
            account="team",
            options={**defaults, **self.options, **options},
            log=logging.getLogger("missive.adapter.team"),
            data_dir=data,
            cursor=FileCursor(self.folder / "cursor.json"),
            alive=self._is_alive,
        )

    def _is_alive(self) -> None:
        self.alive += 1

    @asynccontextmanager
    async def opened(self, **options: Any) -> AsyncIterator[Matrix]:
        platform = Matrix(self.context(**options))
        try:
            await platform.open()
            yield platform
        finally:
            await platform.close()

    @asynccontextmanager
    async def listening(self, **options: Any) -> AsyncIterator[Line]:
        """Listen, from after the first sync."""
        async with self.opened(**options) as platform, anyio.create_task_group() as group:
            line = Line(self, platform)
            before = self.alive
            group.start_soon(platform.listen, line.receive)
            with anyio.fail_after(PATIENCE):
                while self.alive == before:
                    await anyio.sleep(0.01)
            yield line
            group.cancel_scope.cancel()


@dataclass
class Line:
    """A platform that listens, and what it has heard."""

    account: Account
    platform: Matrix
    heard: list[Inbound] = field(default_factory=list)
    at_once: int = 0

    async def receive(self, inbound: Inbound) -> bool:
        self.at_once += 1
        assert self.at_once == 1, "two events were handed over at once"
        await anyio.sleep(0)
        self.heard.append(inbound)
        self.at_once -= 1
        return True

    async def until(self, enough: Callable[[Inbound], bool]) -> Inbound:
        """Wait for an event."""
        with anyio.move_on_after(PATIENCE):
            while True:
                for inbound in self.heard:
                    if enough(inbound):
                        return inbound
                await anyio.sleep(0.02)
        raise AssertionError(self.heard)

    async def text(self, text: str, kind: str = "message") -> Inbound:
        return await self.until(lambda inbound: inbound.text == text and inbound.kind == kind)


@pytest.fixture
def account(synapse: Synapse, tmp_path: Path) -> Account:
    return make_account(synapse, tmp_path)


def make_account(server: Synapse, folder: Path, **options: Any) -> Account:
    name = f"bot{next(NUMBERS)}"
    user = server.register(name)
    own = {"homeserver": server.url, "user": user, "password": Secret(PASSWORD), "edit_interval": 5.0, **options}
    return Account(server, folder, user, own)


def key(number: int) -> str:
    return f"{number:024x}"


def outgoing(place: Place, text: str, number: int = 1, **more: Any) -> Outgoing:
    return Outgoing(key=key(number), place=place, text=text, **more)
