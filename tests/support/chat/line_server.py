"""The chat server of docs/chat/adding-a-platform.md: JSON lines over TCP, one connection a call.

It has more than the page's platform uses, so that each rule of the contract can be broken once.
"""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from support.secrets import planted

TOKEN = planted("line")
WRONG_TOKEN = planted("line-wrong")
LIMIT = 400

Answer = dict[str, Any]


class RefusedError(Exception):
    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.answer: Answer = {"ok": False, "error": error, **more}


class LineServer:
    """``async with LineServer() as server``; people use `say`, `press`, `change`; what the bot did is in `messages`."""

    def __init__(self) -> None:
        self.events: list[Answer] = []
        self.messages: dict[str, Answer] = {}
        self.pinged: list[str] = []
        self.reactions: dict[str, list[str]] = {}
        self.typing = False
        self.retry_after: float | None = None
        self.loses_answer = False
        self.hangs_after_say = False
        self.forgets_keys = False
        self.limit = LIMIT
        self.is_away = False
        """Nobody gets in, and who tries is asked to come again in a moment."""
        self.away_for = 0
        """How many calls were refused because of that."""
        self.fails_once: set[str] = set()
        """The next call of these gets no for an answer, and may be made again."""
        self.limit_after: tuple[int, float] | None = None
        """After so many messages, one is refused with this ``retry_after``."""
        self.listeners: set[asyncio.StreamWriter] = set()
        self._changed = asyncio.Event()
        self._ids = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**22)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        await self.drop()
        await self._server.wait_closed()

    # --- people

    def happened(self, **event: Any) -> Answer:
        self.events.append({"n": len(self.events) + 1, "at": time.time(), **event})
        self._wake()
        return self.events[-1]

    def say(self, text: str, **more: Any) -> str:
        self._ids += 1
        self.happened(what="said", id=str(self._ids), text=text, **{"who": "ann", "room": "lobby", **more})
        return str(self._ids)

    def press(self, message_id: str, value: str, *, who: str = "ann") -> None:
        room = self.messages[message_id]["room"]
        self.happened(what="pressed", id=message_id, who=who, room=room, value=value)

    def change(self, message_id: str, text: str) -> None:
        self.happened(what="changed", id=message_id, who="ann", room="lobby", text=text)

    def redeliver(self) -> None:
        self.events.append(self.events[-1])
        self._wake()

    def again(self, event: Answer) -> None:
        """Deliver an event again, as a new one of the stream."""
        self.events.append(event)
        self._wake()

    async def drop(self) -> None:
        for writer in tuple(self.listeners):
            writer.transport.abort()
        self._wake()
        await asyncio.sleep(0)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # --- the bot

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            call: Answer = json.loads(await reader.readline() or "{}")
            try:
                answer = self._answer(call)
            except RefusedError as error:
                answer = error.answer
            if self.hangs_after_say and call.get("do") == "say":
                await reader.read()
            elif not (self.loses_answer and call.get("do") == "say"):
                await self._write(writer, answer)
                if answer["ok"] and call.get("do") == "listen":
                    await self._listen(reader, writer, call["after"])
            else:
                self.loses_answer = False
            writer.close()
            await writer.wait_closed()

    async def _write(self, writer: asyncio.StreamWriter, answer: Mapping[str, Any]) -> None:
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, after: int) -> None:
        self.listeners.add(writer)
        gone = asyncio.ensure_future(reader.read())
        try:
            sent = next((place for place, event in enumerate(self.events) if event["n"] > after), len(self.events))
            while not writer.is_closing() and not gone.done():
                changed = asyncio.ensure_future(self._changed.wait())
                for event in self.events[sent:]:
                    sent += 1
                    await self._write(writer, event)
                await asyncio.wait({changed, gone}, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
        finally:
            self.listeners.discard(writer)
            gone.cancel()

    def _answer(self, call: Answer) -> Answer:
        if call.get("token") != TOKEN:
            raise RefusedError("who are you?")
        if self.is_away:
            self.away_for += 1
            raise RefusedError("away", retry_after=0.1)
        if call.get("do") in self.fails_once:
            self.fails_once.discard(str(call["do"]))
            raise RefusedError("not now", retry_after=0.1)
        do = getattr(self, "_do_" + str(call.get("do")), None)
        if do is None:
            raise RefusedError("what do you want?")
        result: Answer = {"ok": True, **(do(call) or {})}
        return result

    def _do_hello(self, call: Answer) -> Answer:
        return {"name": "bot"}

    def _do_listen(self, call: Answer) -> None:
        assert isinstance(call["after"], int)

    def _text(self, call: Answer) -> str:
        text = str(call["text"])
        if len(text) > self.limit:
            raise RefusedError("too long")
        if "@all" in text:
            self.pinged.append("all")
        return text

    def _do_say(self, call: Answer) -> Answer:
        for message in self.messages.values():
            if call.get("key") and message["key"] == call["key"] and not self.forgets_keys:
                return {"id": message["id"]}
        if self.limit_after is not None and len(self.messages) >= self.limit_after[0]:
            self.retry_after, self.limit_after = self.limit_after[1], None
        if self.retry_after is not None:
            seconds, self.retry_after = self.retry_after, None
            raise RefusedError("not so fast", retry_after=seconds)
        text = self._text(call)
        self._ids += 1
        message = {"id": str(self._ids), "reactions": [], **call, "text": text}
        self.messages[message["id"]] = message
        self.happened(what="said", id=message["id"], who="bot", bot=True, text=text, room=call["room"])
        return {"id": message["id"]}

    def _do_change(self, call: Answer) -> None:
        message = self.messages[call["id"]]
        if (message["text"], message.get("buttons")) == (call["text"], call.get("buttons")):
            raise RefusedError("nothing changed")
        message.update(text=self._text(call), buttons=call.get("buttons"))

    def _do_find(self, call: Answer) -> Answer:
        return {"id": next((each["id"] for each in self.messages.values() if each["key"] == call["key"]), None)}

    def _do_react(self, call: Answer) -> None:
        self.reactions[call["id"]] = call["reactions"]
        if call["id"] in self.messages:
            self.messages[call["id"]]["reactions"] = call["reactions"]

    def _do_typing(self, call: Answer) -> None:
        self.typing = True

    def _do_file(self, call: Answer) -> Answer:
        event = next(event for event in self.events if event["id"] == call["id"])
        return {"content": event["file"]["content"]}


def packed(content: bytes) -> str:
    return b64encode(content).decode()


def unpacked(content: str) -> bytes:
    return b64decode(content)
