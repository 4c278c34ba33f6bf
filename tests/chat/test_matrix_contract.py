"""Matrix holds what every platform must hold, against a real homeserver behind a proxy in which things go wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from missive_chat.platform import PlatformContext
from missive_chat.platforms.matrix.platform import Matrix
from missive_chat.testing import Hidden, PlatformContract, Rig, Shown
from support.chat.matrix import NUMBERS, Person
from support.chat.matrix_proxy import MatrixProxy
from support.chat.synapse import PASSWORD, Synapse
from support.secrets import planted


class MatrixRig(Rig):
    """Alice, a room with her, Bob and the bot, and another with her and the bot alone."""

    refusal = "Invalid username or password"
    secrets = (PASSWORD, "not the password " + planted("matrix"))
    mass_mentions = ("@room",)

    def __init__(self, server: Synapse, proxy: MatrixProxy, alice: Person, bob: Person) -> None:
        self.server, self.proxy, self.alice, self.bob = server, proxy, alice, bob
        self.name = f"bot{next(NUMBERS)}"
        self.id = server.register(self.name)
        self.options = {
            "homeserver": proxy.url, "user": self.id, "password": Hidden(PASSWORD), "edit_interval": 5.0,
            "users": (alice.id,), "encryption": False, "auto_join": True,
        }  # fmt: skip
        self.wrong_options = {**self.options, "password": Hidden("not the password " + planted("matrix"))}
        self.unreachable_options = {**self.options, "homeserver": "http://127.0.0.1:1"}
        self.rooms: dict[bool, str] = {}
        self.root: str | None = None

    def platform(self, context: PlatformContext) -> Matrix:
        return Matrix(context)

    async def _room(self, direct: bool) -> str:
        """Return the room; the bot is in it, and may ring for all."""
        if direct not in self.rooms:
            room = await self.alice.room(self.id, *(() if direct else (self.bob.id,)), direct=direct)
            await self.alice.is_in(room, self.id)
            levels = {"users": {self.id: 100}}
            path = f"/_matrix/client/v3/rooms/{room}/state/m.room.power_levels/"
            self.server.ask("PUT", path, levels, token=self.alice.token)
            if not direct:
                await self.bob.nio.join(room)
            self.rooms[direct] = room
        return self.rooms[direct]

    async def say(
        self, text: str, *, direct: bool = False, mention: bool = False, thread: bool = False,
        reply_to: str | None = None, file: tuple[str, bytes] | None = None,
    ) -> None:  # fmt: skip
        room = await self._room(direct)
        content: dict[str, Any] = {"msgtype": "m.text", "body": text, "m.mentions": {}}
        if file is not None:
            name, data = file
            where = self.server.upload(data, self.alice.token)
            content |= {"msgtype": "m.file", "filename": name, "url": where, "info": {"size": len(data)}}
        if mention:
            content |= {"body": f"{self.name}: {text}", "m.mentions": {"user_ids": [self.id]}}
        if thread:
            self.root = self.root or await self.alice.say(room, "a thread begins")
            content["m.relates_to"] = {"rel_type": "m.thread", "event_id": self.root}
        elif reply_to is not None:
            content["m.relates_to"] = {"m.in_reply_to": {"event_id": reply_to}}
        await self.alice.send(room, content)

    async def shown(self) -> list[Shown]:
        await self.alice.look(0.05)
        found: dict[str, Shown] = {}
        for event in self.alice.seen:
            content = event.get("content", {})
            relation = content.get("m.relates_to", {})
            if event["sender"] != self.id or event["type"] != "m.room.message":
                continue
            if relation.get("rel_type") == "m.replace":
                old = found[relation["event_id"]]
                found[old.id] = Shown(id=old.id, text=content["m.new_content"]["body"], thread=old.thread)
                continue
            thread = relation["event_id"] if relation.get("rel_type") == "m.thread" else None
            files = (self.server.download(content["url"], self.alice.token),) if "url" in content else ()
            found[event["event_id"]] = Shown(
                id=event["event_id"], text=content["body"], thread=thread, files=files,
                reactions=self._reactions(event["room_id"], event["event_id"]),
            )  # fmt: skip
        return list(found.values())

    def _reactions(self, room: str, message: str) -> tuple[str, ...]:
        path = f"/_matrix/client/v1/rooms/{room}/relations/{message}/m.annotation"
        chunk = self.server.ask("GET", path, token=self.alice.token)["chunk"]
        return tuple(event["content"]["m.relates_to"]["key"] for event in chunk if event["content"])

    async def change(self, message_id: str, text: str) -> None:
        new = {"msgtype": "m.text", "body": text}
        relation = {"rel_type": "m.replace", "event_id": message_id}
        content = {**new, "body": f"* {text}", "m.new_content": new, "m.relates_to": relation}
        await self.alice.send(await self._room(direct=False), content)

    async def is_typing(self) -> bool:
        with anyio.move_on_after(20):
            while not any(self.id in room.typing_users for room in self.alice.nio.rooms.values()):
                await self.alice.look(0.2)
            return True
        return False

    async def pinged(self) -> list[str]:
        path = "/_matrix/client/v3/notifications?only=highlight"
        return [str(each) for each in self.server.ask("GET", path, token=self.alice.token)["notifications"]]

    async def limit(self, retry_after: float) -> None:
        self.proxy.limit = retry_after

    async def lose_answer(self) -> None:
        self.proxy.loses_answers = 2

    async def drop(self) -> None:
        self.proxy.drop()


class TestMatrix(PlatformContract):
    lacks = frozenset({"buttons", "find", "redelivery"})
    patience = 60

    @pytest.fixture
    async def rig(self, synapse: Synapse) -> AsyncIterator[MatrixRig]:
        async with (
            MatrixProxy(synapse.url) as proxy,
            Person(synapse, "alice") as alice,
            Person(synapse, "bob") as bob,
        ):
            yield MatrixRig(synapse, proxy, alice, bob)
