"""Rooms of Matrix talk to an agent: a gateway process, a real homeserver, people with clients, and demo agents."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.chat.matrix import NUMBERS, PATIENCE, Person
from support.chat.matrix_proxy import MatrixProxy
from support.chat.synapse import PASSWORD, Synapse
from support.gateways import GatewayProcess
from support.secrets import planted

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

pytestmark = pytest.mark.anyio


class Town:
    """Alice, the bot, and the gateway behind it."""

    def __init__(self, home: Home, server: Synapse, alice: Person, url: str, settings: str) -> None:
        self.home, self.server, self.alice = home, server, alice
        self.name = f"bot{next(NUMBERS)}"
        self.id = server.register(self.name)
        self.gateway: GatewayProcess | None = None
        home.configure(
            f'[qos]\nretry_backoff = "10ms"\n[gateway]\ndrain = "500ms"\n'
            f'[adapters.team]\nkind = "matrix"\n[adapters.team.settings]\nagent = "echo"\n'
            f'homeserver = "{url}"\nuser = "{self.id}"\npassword = {{ secret = "env:MATRIX_PASSWORD" }}\n'
            f'users = ["{alice.id}"]\nedit_interval = "50ms"\n{settings}'
        )

    async def start(self) -> None:
        self.gateway = GatewayProcess(self.home, env={"MATRIX_PASSWORD": PASSWORD})
        await asyncio.to_thread(self.gateway.ready)

    async def kill(self) -> None:
        """SIGKILL."""
        assert self.gateway is not None
        await asyncio.to_thread(self.gateway.kill)

    async def meet(self, *others: str, encrypted: bool = False) -> str:
        room = await self.alice.room(self.id, *others, direct=not others, encrypted=encrypted)
        await self.alice.is_in(room, self.id)
        await self.alice.until(lambda: room in self.alice.nio.rooms and self.id in self.alice.nio.rooms[room].users)
        return room

    async def texts(self, room: str, wanted: list[str]) -> None:
        """Wait until the bot has said exactly this."""
        try:
            await self.alice.until(lambda: self.alice.texts(room, self.id) == wanted)
        except AssertionError:
            errors = self.gateway.errors[-3000:] if self.gateway else ""
            raise AssertionError((self.alice.texts(room, self.id), errors)) from None

    async def count(self, room: str, number: int) -> None:
        """Wait until the bot has said so much."""
        await self.alice.until(lambda: len(self.alice.texts(room, self.id)) == number)

    async def until(self, room: str, pattern: str) -> str:
        """Wait until the bot has said something that matches."""

        def found() -> str | None:
            return next((text for text in self.alice.texts(room, self.id) if re.search(pattern, text)), None)

        try:
            return str(await self.alice.until(found))
        except AssertionError:
            errors = self.gateway.errors[-3000:] if self.gateway else ""
            raise AssertionError((self.alice.texts(room, self.id), errors)) from None

    async def reaction(self, room: str, message: str, emoji: str) -> None:
        path = f"/_matrix/client/v1/rooms/{room}/relations/{message}/m.annotation"
        with anyio.fail_after(PATIENCE):
            while True:
                chunk = self.server.ask("GET", path, token=self.alice.token)["chunk"]
                if [event["content"]["m.relates_to"]["key"] for event in chunk if event["content"]] == [emoji]:
                    return
                await anyio.sleep(0.1)


@asynccontextmanager
async def town_of(
    home: Home, server: Synapse, agent: AgentProcess, tmp_path: Path, *, settings: str = "", url: str | None = None
) -> AsyncIterator[Town]:
    async with Person(server, "alice", tmp_path) as alice:
        town = Town(home, server, alice, url or server.url, settings)
        async with home.core() as core:
            core.add("echo", agent)
        try:
            await town.start()
            yield town
        finally:
            await town.kill()


async def test_a_mention_is_answered_in_a_thread_that_is_one_conversation(
    home: Home, synapse: Synapse, agent: AgentProcess, tmp_path: Path
) -> None:
    async with (
        Person(synapse, "bob") as bob,
        town_of(home, synapse, agent, tmp_path, settings='group_policy = "open"\n') as town,
    ):
        room = await town.meet(bob.id)
        await town.alice.say(room, "nobody is meant", **{"m.mentions": {}})
        mention = {"m.mentions": {"user_ids": [town.id]}}
        root = await town.alice.say(room, f"{town.name}: echo **hello**", **mention)
        text = await town.until(room, "hello")
        assert text.startswith("**hello**")
        assert "nobody is meant" in text  # what was said before comes along
        answer = next(event for event in town.alice.seen if event["sender"] == town.id
                      and event["type"] == "m.room.message")  # fmt: skip
        relation = answer["content"]["m.relates_to"]
        assert (relation["rel_type"], relation["event_id"]) == ("m.thread", root)
        assert answer["content"]["formatted_body"].startswith("<strong>hello</strong>")
        await town.reaction(room, root, "✅")
        thread = {"m.relates_to": {"rel_type": "m.thread", "event_id": root}}
        contexts = []
        for number in (2, 3):
            await town.alice.say(room, "context", **thread)
            await town.count(room, number)
            contexts.append(town.alice.texts(room, town.id)[-1])
        await town.alice.say(room, f"{town.name}: context", **mention)
        await town.count(room, 4)
        assert contexts[0] == contexts[1] != town.alice.texts(room, town.id)[-1]


async def test_an_answer_grows_by_edits(home: Home, synapse: Synapse, agent: AgentProcess, tmp_path: Path) -> None:
    async with town_of(home, synapse, agent, tmp_path) as town:
        room = await town.meet()
        asked = await town.alice.say(room, "stream 5 0.3")
        await town.until(room, "chunk 5")
        await town.reaction(room, asked, "✅")
        assert len(town.alice.texts(room, town.id)) == 1
        edits = [event for event in town.alice.seen if "m.new_content" in event.get("content", {})]
        assert len(edits) > 1


async def test_an_agent_asks_back_for_an_answer_and_for_leave(
    home: Home, synapse: Synapse, agent: AgentProcess, tmp_path: Path
) -> None:
    async with Person(synapse, "carol") as carol:
        settings = f'approvers = ["{carol.id}"]\n'
        async with town_of(home, synapse, agent, tmp_path, settings=settings) as town:
            room = await town.meet()
            await town.alice.say(room, "ask What is your name?")
            await town.texts(room, ["What is your name?"])
            await town.alice.say(room, "Alice")
            await town.texts(room, ["What is your name?", "You answered: Alice"])
            await town.alice.say(room, "auth")
            code = await town.until(room, r"!approve \w+")
            word = re.search(r"!approve \w+", code)
            assert word
            await town.alice.say(room, word[0])
            await town.until(room, "not listed")
            direct = await carol.room(town.id, direct=True)
            await carol.is_in(direct, town.id)
            await carol.say(direct, word[0])
            await town.until(room, f"Approved by {carol.name}")
            await town.until(room, "You answered(?!: Alice)")


async def test_files_go_to_the_agent_and_back(
    home: Home, synapse: Synapse, agent: AgentProcess, tmp_path: Path
) -> None:
    async with town_of(home, synapse, agent, tmp_path) as town:
        room = await town.meet()
        url = synapse.upload(b"\x89PNG 123", town.alice.token)
        content: dict[str, Any] = {"msgtype": "m.image", "filename": "a.png", "body": "echo-parts", "url": url}
        await town.alice.send(room, {**content, "info": {"mimetype": "image/png", "size": 8}})

        def file() -> Any:
            return next((each["content"] for each in town.alice.seen if each["sender"] == town.id
                         and "url" in each.get("content", {})), None)  # fmt: skip

        got = await town.alice.until(file)
        assert synapse.download(got["url"], town.alice.token) == b"\x89PNG 123"
        assert got["msgtype"] == "m.image"


async def test_a_kill_between_the_answer_and_knowing_that_it_was_sent(
    home: Home, synapse: Synapse, agent: AgentProcess, tmp_path: Path
) -> None:
    """The server has the message, and the process is killed while it waits to hear so: nobody sees it twice."""
    async with (
        MatrixProxy(synapse.url) as proxy,
        town_of(home, synapse, agent, tmp_path, url=proxy.url, settings="stream = false\n") as town,
    ):
        room = await town.meet()
        proxy.holds_answers = True
        await town.alice.say(room, "echo exactly once")
        with anyio.fail_after(PATIENCE):
            await proxy.held.wait()
        await town.kill()
        proxy.holds_answers = False
        await town.start()
        await town.alice.say(room, "echo and then this")
        await town.texts(room, ["exactly once", "and then this"])


async def test_kills_neither_lose_nor_repeat_messages(
    home: Home, synapse: Synapse, agent: AgentProcess, tmp_path: Path
) -> None:
    async with town_of(home, synapse, agent, tmp_path) as town:
        room = await town.meet()
        await town.alice.say(room, "echo 0")
        await town.texts(room, ["0"])
        for number in (1, 4):
            await town.alice.say(room, f"echo {number}")
            await town.kill()
            await town.alice.say(room, f"echo {number + 1}")
            await town.start()
            await town.alice.say(room, f"echo {number + 2}")
        await town.texts(room, [str(number) for number in range(7)])


async def test_an_encrypted_room(home: Home, synapse: Synapse, agent: AgentProcess, tmp_path: Path) -> None:
    async with town_of(home, synapse, agent, tmp_path, settings="encryption = true\n") as town:
        room = await town.meet(encrypted=True)
        await town.alice.say(room, "echo for your eyes only")
        await town.texts(room, ["for your eyes only"])
        await town.kill()
        await town.alice.say(room, "echo while you were away")
        await town.start()
        await town.texts(room, ["for your eyes only", "while you were away"])
        assert all(event["nio"].decrypted for event in town.alice.seen if event["sender"] == town.id
                   and event["type"] == "m.room.message")  # fmt: skip


async def test_wrong_credentials_stop_the_adapter_and_are_not_shown(
    home: Home, synapse: Synapse, agent: AgentProcess, tmp_path: Path
) -> None:
    async with town_of(home, synapse, agent, tmp_path) as town:
        await town.kill()
        session = home.settings().paths.data / "adapters" / "team" / "session.json"
        session.unlink()
        with GatewayProcess(home, env={"MATRIX_PASSWORD": "not the password " + planted("matrix")}) as gateway:
            with anyio.fail_after(PATIENCE):
                while "Invalid username or password" not in gateway.errors:
                    await anyio.sleep(0.05)
            assert "not the password " + planted("matrix") not in gateway.errors
