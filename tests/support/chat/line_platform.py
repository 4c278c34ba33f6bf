"""A platform with everything, over the server of lines, and its rig. Broken ones are made of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from missive_chat.platform import (
    Attachment,
    Button,
    ChatCapabilities,
    ChatError,
    ChatLoginError,
    Check,
    Inbound,
    Outgoing,
    Place,
    Platform,
    PlatformContext,
    Press,
    Reaction,
    Receive,
    Sender,
)
from missive_chat.testing import Hidden, Rig, Shown
from support.chat.line_server import TOKEN, WRONG_TOKEN, LineServer, packed, unpacked

KINDS = {"said": "message", "pressed": "press", "changed": "edit"}


class FullLine:
    """All that a platform may have. One method for each thing that can be got wrong."""

    capabilities = ChatCapabilities(
        max_text=400,
        edits=True,
        threads="flat",
        buttons=True,
        reactions=True,
        typing_ttl=5.0,
        attachments_in=100_000,
        attachments_out=100_000,
        idempotent_send=True,
        can_find=True,
    )
    identity = "bot"

    def __init__(self, context: PlatformContext) -> None:
        self.context = context

    async def open(self) -> None:
        await self.call("hello")

    async def close(self) -> None: ...

    async def listen(self, receive: Receive) -> None:
        after = int(self.context.cursor.get("n") or 0)
        reader, writer = await self.connect("listen", after=after)
        try:
            await self.answer(reader)
            while line := await reader.readline():
                self.context.alive()
                event = json.loads(line)
                await self.take(event, receive)
        except OSError as error:
            raise ChatError(f"the connection was lost: {error}") from None
        finally:
            writer.close()
        raise ChatError("the server has ended the connection")

    async def take(self, event: dict[str, Any], receive: Receive) -> None:
        await receive(self.inbound(event))
        await self.context.cursor.set("n", str(event["n"]))

    def event_id(self, event: dict[str, Any]) -> str:
        return str(event["n"])

    def inbound(self, event: dict[str, Any]) -> Inbound:
        text, mention = event.get("text", ""), "@bot "
        file = event.get("file")
        return Inbound(
            event_id=self.event_id(event),
            kind=KINDS[event["what"]],  # type: ignore[arg-type]
            message_id=event["id"],
            place=Place(chat=event["room"], is_direct=event["room"].startswith("@"), thread=event.get("thread")),
            sender=Sender(id=event["who"], is_bot="bot" in event, is_me=event["who"] == "bot"),
            text=text.removeprefix(mention),
            mentions_me=text.startswith(mention),
            attachments=(Attachment(id=event["id"], name=file["name"], size=file["size"]),) if file else (),
            press=Press(value=event["value"], message_id=event["id"]) if event["what"] == "pressed" else None,
            sent_at=event["at"],
        )

    def render(self, text: str) -> str:
        return text.replace("@all", "@\u200ball")

    async def send(self, message: Outgoing) -> str:
        place, file = message.place, message.file
        answer = await self.call(
            "say", key=message.key, room=place.chat, thread=place.thread, text=self.render(message.text),
            buttons=[button.value for button in message.buttons],
            file=packed(file.path.read_bytes()) if file else None,
        )  # fmt: skip
        return str(answer["id"])

    async def edit(
        self, place: Place, message_id: str, text: str, *, buttons: tuple[Button, ...] = (), final: bool = False
    ) -> None:
        try:
            await self.call(
                "change", id=message_id, text=self.render(text), buttons=[button.value for button in buttons]
            )
        except ChatError as error:
            if "nothing changed" not in error.message:
                raise

    async def find(self, message: Outgoing) -> str | None:
        found: str | None = (await self.call("find", key=message.key))["id"]
        return found

    async def react(self, place: Place, message_id: str, reaction: Reaction, *, instead_of: Reaction | None) -> None:
        await self.call("react", id=message_id, reactions=[reaction])

    async def typing(self, place: Place) -> None:
        await self.call("typing", room=place.chat)

    async def download(self, attachment: Attachment, path: Path, *, limit: int) -> int:
        content = unpacked((await self.call("file", id=attachment.id))["content"])
        if len(content) > limit:
            raise ChatError(f"the file has {len(content)} bytes; at most {limit} are taken", permanent=True)
        return path.write_bytes(content)

    async def check(self) -> tuple[Check, ...]:
        return (Check("token", "ok", "logged in as bot"),)

    # --- the wire

    async def connect(self, do: str, **more: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.context.options["port"], limit=2**22)
        except OSError as error:
            raise ChatError(f"the server cannot be reached: {error}") from None
        token = self.context.options["token"].reveal()
        writer.write(json.dumps({"token": token, "do": do, **more}).encode() + b"\n")
        return reader, writer

    async def answer(self, reader: asyncio.StreamReader) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(await reader.readline() or "{}")
        if not answer:
            raise ChatError("the connection ended before the answer", maybe_sent=True)
        if answer["ok"]:
            return answer
        if answer["error"] == "who are you?":
            raise ChatLoginError(f"the server says: {answer['error']}")
        wait = answer.get("retry_after")
        raise ChatError(f"the server says: {answer['error']}", retry_after=wait, permanent=wait is None)

    async def call(self, do: str, **more: Any) -> dict[str, Any]:
        reader, writer = await self.connect(do, **more)
        try:
            return await self.answer(reader)
        finally:
            writer.close()


class FullRig(Rig):
    refusal = "who are you?"
    secrets = (TOKEN, WRONG_TOKEN)
    mass_mentions = ("@all",)

    def __init__(self, server: LineServer, made: type[FullLine] = FullLine) -> None:
        self.server = server
        self.made = made
        self.options: Mapping[str, Any] = {"token": Hidden(TOKEN), "port": server.port}
        self.wrong_options = {**self.options, "token": Hidden(WRONG_TOKEN)}
        self.unreachable_options = {**self.options, "port": 1}

    def platform(self, context: PlatformContext) -> Platform:
        return self.made(context)

    async def say(
        self,
        text: str,
        *,
        direct: bool = False,
        mention: bool = False,
        thread: bool = False,
        file: tuple[str, bytes] | None = None,
    ) -> None:
        more: dict[str, Any] = {"thread": "t1"} if thread else {}
        if file:
            more["file"] = {"name": file[0], "size": len(file[1]), "content": packed(file[1])}
        self.server.say(f"@bot {text}" if mention else text, room="@ann" if direct else "lobby", **more)

    async def shown(self) -> list[Shown]:
        return [
            Shown(
                id=message["id"],
                text=message["text"],
                thread=message.get("thread"),
                buttons=tuple(message.get("buttons") or ()),
                files=(unpacked(message["file"]),) if message.get("file") else (),
                reactions=tuple(message["reactions"]),
            )
            for message in self.server.messages.values()
        ]

    async def press(self, message_id: str, value: str) -> None:
        self.server.press(message_id, value)

    async def change(self, message_id: str, text: str) -> None:
        self.server.change(message_id, text)

    async def is_typing(self) -> bool:
        return self.server.typing

    async def pinged(self) -> list[str]:
        return self.server.pinged

    async def limit(self, retry_after: float) -> None:
        self.server.retry_after = retry_after

    async def lose_answer(self) -> None:
        self.server.loses_answer = True

    async def redeliver(self) -> None:
        self.server.redeliver()

    async def drop(self) -> None:
        await self.server.drop()
