"""The Bot API on loopback, as strict as Telegram's own server: its limits, its words, its way to deliver updates.

It runs in a thread, so that it serves a test's own event loop and a gateway in another process alike. The words of
errors are those of github.com/tdlib/telegram-bot-api.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from support.secrets import planted

TOKEN = "123456:AAE-" + planted("telegram")
WRONG_TOKEN = "123456:AAE-" + planted("telegram-wrong")
BOT = {
    "id": 123456, "is_bot": True, "first_name": "Robin", "username": "robin_bot", "can_join_groups": True,
    "can_read_all_group_messages": True, "supports_inline_queries": False,
}  # fmt: skip
ANN = {"id": 77, "is_bot": False, "first_name": "Ann", "last_name": "Lee", "username": "ann"}
BOB = {"id": 78, "is_bot": False, "first_name": "Bob", "username": "bob"}
GROUP = -1001000000001
REACTIONS = set("👍👎❤🔥🥰👏😁🤔🤯😱🤬😢🎉🤩🤮💩🙏👌🕊🤡🥱🥴😍🐳🌚🌭💯🤣⚡🍌🏆💔🤨😐🍓🍾💋🖕😈😴😭🤓👻👀🎃🙈😇😨🤝✍🤗🫡")
METHODS = {
    "getMe", "getUpdates", "getWebhookInfo", "setMyCommands", "getChat", "getChatMember", "sendMessage", "sendPhoto",
    "sendDocument", "sendChatAction", "editMessageText", "editMessageCaption", "answerCallbackQuery",
    "setMessageReaction", "getFile",
}  # fmt: skip
NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current content "
    "and reply markup of the message"
)


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


class Refused(Exception):
    def __init__(self, code: int, description: str, **parameters: Any) -> None:
        super().__init__(description)
        self.code, self.description, self.parameters = code, description, parameters


def bad(description: str, **parameters: Any) -> Refused:
    return Refused(400, f"Bad Request: {description}", **parameters)


class FakeTelegram:
    """``with FakeTelegram() as telegram``: a bot, its chats, and people who write in them."""

    def __init__(self) -> None:
        self.me: dict[str, Any] = dict(BOT)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.updates: list[dict[str, Any]] = []
        self.delivered: list[dict[str, Any]] = []
        """Updates that were confirmed by a later offset."""
        self.messages: dict[tuple[int, int], dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.reactions: dict[tuple[int, int], list[str]] = {}
        self.queries: dict[str, str] = {}
        """Presses that were not answered yet; answered twice is an error, as with Telegram."""
        self.answered: list[str] = []
        self.actions: list[dict[str, Any]] = []
        self.commands: list[str] = []
        self.webhook = ""
        self.members: dict[int, str] = {GROUP: "member"}
        self.moved: dict[int, int] = {}
        self.closed_topics: set[int] = set()
        self.limits: dict[str, list[float]] = {}
        """Method -> one number for each of its next calls: 0 lets it pass, else it is refused for so many seconds."""
        self.fails: dict[str, list[Refused]] = {}
        self.loses_answer: set[str] = set()
        """Methods whose next call is done, and not answered: the connection breaks."""
        self.hangs: set[str] = set()
        """Methods that are done and never answered."""
        self.refuses_entities = False
        self.handed_over = 0
        """How many updates were in answers so far, again and again those that were not confirmed."""
        self.polls = 0
        self.polling = 0
        self._ids = itertools.count(1)
        self._update_ids = itertools.count(700_000_001)
        self._clock_ahead = 0.0
        self._poll: asyncio.Event | None = None
        self._lock = threading.RLock()
        self._previous: tuple[int, float] = (-1, 0.0)

    # --- the server

    def __enter__(self) -> Self:
        routes = [
            Route("/bot{token}/{method}", self._api, methods=["GET", "POST"]),
            Route("/file/bot{token}/{path:path}", self._file),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes), host="127.0.0.1", port=0, log_config=None, lifespan="off", ws="none",
            access_log=False, timeout_graceful_shutdown=1, server_header=False, date_header=False,
        )  # fmt: skip
        logging.getLogger("uvicorn.access").disabled = True  # it would write the addresses, with the token in them
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self._server.started:
            assert time.monotonic() < deadline, "the fake did not start"
            time.sleep(0.005)
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]
        self._loop = self._server.servers[0].get_loop()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Be gone; it may be called twice."""
        if self._thread.is_alive():
            self._server.should_exit = True
            self.wake()
            self.drop()
            self._thread.join(20)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wake(self) -> None:
        def work() -> None:
            if self._poll is not None:
                self._poll.set()

        self._loop.call_soon_threadsafe(work)

    def drop(self) -> None:
        """Cut all connections."""

        def work() -> None:
            for connection in list(self._server.server_state.connections):
                if (transport := getattr(connection, "transport", None)) is not None:
                    transport.abort()

        self._loop.call_soon_threadsafe(work)

    async def _file(self, request: Request) -> Response:
        if request.path_params["token"] != TOKEN:
            return Response(status_code=404)
        content = self.files.get(request.path_params["path"].removeprefix("files/"))
        return Response(status_code=404) if content is None else Response(content)

    async def _api(self, request: Request) -> Response:
        method = request.path_params["method"]
        fields, files = await _fields(request)
        try:
            if request.path_params["token"] != TOKEN:
                raise Refused(401, "Unauthorized")
            if method not in METHODS:
                raise Refused(404, "Not Found")
            if method != "getUpdates":
                self.calls.append((method, fields))
            self._fault(method)
            if method == "getUpdates":
                result = await self._get_updates(fields)
            else:
                with self._lock:
                    result = getattr(self, "_" + method)(fields, files)
        except Refused as error:
            answer = {"ok": False, "error_code": error.code, "description": error.description}
            if error.parameters:
                answer["parameters"] = error.parameters
            return JSONResponse(answer, error.code, headers=self._date())
        if method in self.hangs:
            await asyncio.sleep(3600)
        if method in self.loses_answer:
            self.loses_answer.discard(method)
            return _Broken()
        return JSONResponse({"ok": True, "result": result}, headers=self._date())

    def _date(self) -> dict[str, str]:
        from email.utils import formatdate

        return {"date": formatdate(time.time() + self._clock_ahead, usegmt=True)}

    def set_clock_ahead(self, seconds: float) -> None:
        self._clock_ahead = seconds

    def _fault(self, method: str) -> None:
        waiting = self.limits.get(method)
        if waiting and (seconds := waiting.pop(0)):
            number = int(seconds) if seconds == int(seconds) else seconds
            raise Refused(429, f"Too Many Requests: retry after {number}", retry_after=number)
        if self.fails.get(method):
            raise self.fails[method].pop(0)

    # --- updates

    async def _get_updates(self, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
        if self.webhook:
            raise Refused(
                409,
                "Conflict: can't use getUpdates method while webhook is active; "
                "use deleteWebhook to delete the webhook first",
            )
        self.polls += 1
        mine = self.polls
        offset, limit, now = int(fields.get("offset") or 0), int(fields.get("limit") or 100), time.monotonic()
        if offset < 0:
            raise AssertionError("a negative offset throws pending updates away")
        kinds = fields.get("allowed_updates")
        if self._previous[0] == offset and now < self._previous[1] + 0.5:
            limit = 1
        self._previous = (offset, now)
        with self._lock:
            if offset:
                self.delivered += [update for update in self.updates if update["update_id"] < offset]
                self.updates[:] = [update for update in self.updates if update["update_id"] >= offset]
        if self._poll is not None:
            self._poll.set()
        end = now + min(50.0, float(fields.get("timeout") or 0))
        self.polling += 1
        try:
            while True:
                if mine != self.polls:
                    raise Refused(
                        409,
                        "Conflict: terminated by other getUpdates request; "
                        "make sure that only one bot instance is running",
                    )
                ready = [each for each in self.updates if kinds is None or any(kind in each for kind in kinds)]
                if ready or time.monotonic() >= end or self._server.should_exit:
                    self.handed_over += len(ready[:limit])
                    return ready[:limit]
                self._poll = asyncio.Event()
                try:
                    async with asyncio.timeout(max(0.0, end - time.monotonic())):
                        await self._poll.wait()
                except TimeoutError:
                    continue
        finally:
            self.polling -= 1

    def push(self, **update: Any) -> int:
        with self._lock:
            number = next(self._update_ids)
            self.updates.append({"update_id": number, **update})
        self.wake()
        return number

    def push_again(self, update: Mapping[str, Any]) -> None:
        """Deliver an update once more, under its own number."""
        with self._lock:
            self.updates.insert(0, dict(update))
        self.wake()

    # --- people

    def chat(self, number: int) -> dict[str, Any]:
        if number > 0:
            return {"id": number, "type": "private", "first_name": "Ann"}
        kind = (
            {"type": "supergroup", "title": "The group"} if number < -(10**12) else {"type": "group", "title": "Small"}
        )
        return {"id": number, **kind}

    def message(
        self, text: str | None, *, chat: int = 77, user: Mapping[str, Any] = ANN, **more: Any
    ) -> dict[str, Any]:
        """Return a message that a person writes; `more` are fields of the message."""
        number = next(self._ids)
        message: dict[str, Any] = {
            "message_id": number, "date": int(time.time()), "chat": self.chat(chat), "from": dict(user),
        }  # fmt: skip
        if text is not None:
            named = "caption" if more.keys() & {"photo", "document", "voice", "video", "animation"} else "text"
            message[named] = text
            if entities := entities_of(text):
                message["entities" if named == "text" else "caption_entities"] = entities
        message.update(more)
        self.messages[chat, number] = message
        return message

    def say(self, text: str | None, **more: Any) -> dict[str, Any]:
        message = self.message(text, **more)
        self.push(message=message)
        return message

    def edit(self, message: Mapping[str, Any], text: str) -> None:
        changed = {**message, "text": text, "edit_date": int(time.time())}
        changed.pop("entities", None)
        if entities := entities_of(text):
            changed["entities"] = entities
        self.push(edited_message=changed)

    def press(self, message: Mapping[str, Any], value: str, user: Mapping[str, Any] = ANN) -> str:
        query = str(10**15 + next(self._ids))
        self.queries[query] = value
        self.push(
            callback_query={
                "id": query,
                "from": dict(user),
                "message": dict(message),
                "chat_instance": "1",
                "data": value,
            }
        )
        return query

    def stored(self, content: bytes) -> str:
        number = f"AgAC{len(self.files)}"
        self.files[number] = content
        return number

    def document(self, name: str, content: bytes, media_type: str = "text/plain") -> dict[str, Any]:
        file = self.stored(content)
        return {
            "file_id": file,
            "file_unique_id": "u" + file,
            "file_name": name,
            "mime_type": media_type,
            "file_size": len(content),
        }

    def sent(self, chat: int | None = None) -> list[dict[str, Any]]:
        """Return the bot's messages as they are now."""
        with self._lock:
            return [
                dict(each) for each in self.messages.values()
                if each["from"]["id"] == self.me["id"] and chat in (None, each["chat"]["id"])
            ]  # fmt: skip

    def texts(self, chat: int | None = None) -> list[str]:
        return [str(each.get("text", each.get("caption", ""))) for each in self.sent(chat)]

    # --- methods

    def _getMe(self, fields: Mapping[str, Any], files: Any) -> Any:
        return self.me

    def _getWebhookInfo(self, fields: Mapping[str, Any], files: Any) -> Any:
        return {"url": self.webhook, "has_custom_certificate": False, "pending_update_count": len(self.updates)}

    def _setMyCommands(self, fields: Mapping[str, Any], files: Any) -> Any:
        for command in fields["commands"]:
            if not 1 <= len(command["command"]) <= 32 or not 1 <= len(command["description"]) <= 256:
                raise bad("BOT_COMMAND_INVALID")
        self.commands = [command["command"] for command in fields["commands"]]
        return True

    def _target(self, fields: Mapping[str, Any]) -> int:
        chat = fields.get("chat_id")
        if not isinstance(chat, int):
            chat = int(str(chat))
        if chat in self.moved:
            raise bad("group chat was upgraded to a supergroup chat", migrate_to_chat_id=self.moved[chat])
        if chat < 0 and self.members.get(chat) in (None, "left", "kicked"):
            if self.members.get(chat) == "kicked":
                raise Refused(403, "Forbidden: bot was kicked from the supergroup chat")
            raise bad("chat not found")
        return int(chat)

    def _getChat(self, fields: Mapping[str, Any], files: Any) -> Any:
        return self.chat(self._target(fields))

    def _getChatMember(self, fields: Mapping[str, Any], files: Any) -> Any:
        return {"status": self.members[self._target(fields)], "user": self.me}

    def _sendChatAction(self, fields: Mapping[str, Any], files: Any) -> Any:
        self._target(fields)
        if fields.get("action") != "typing":
            raise bad("wrong parameter action in request")
        self.actions.append(dict(fields))
        return True

    def _setMessageReaction(self, fields: Mapping[str, Any], files: Any) -> Any:
        where = self._target(fields), int(fields["message_id"])
        if where not in self.messages:
            raise bad("message to react not found")
        wanted = [each["emoji"] for each in fields.get("reaction") or ()]
        if len(wanted) > 1:
            raise bad("REACTIONS_TOO_MANY")
        if not set(wanted) <= REACTIONS:
            raise bad("REACTION_INVALID")
        self.reactions[where] = wanted
        return True

    def _answerCallbackQuery(self, fields: Mapping[str, Any], files: Any) -> Any:
        query = str(fields["callback_query_id"])
        if self.queries.pop(query, None) is None:
            raise bad("query is too old and response timeout expired or query ID is invalid")
        self.answered.append(query)
        return True

    def _getFile(self, fields: Mapping[str, Any], files: Any) -> Any:
        content = self.files.get(fields["file_id"])
        if content is None:
            raise bad("invalid file_id")
        if len(content) > 20 << 20:
            raise bad("file is too big")
        return {"file_id": fields["file_id"], "file_size": len(content), "file_path": f"files/{fields['file_id']}"}

    def _sendMessage(self, fields: Mapping[str, Any], files: Any) -> Any:
        text, entities = self._text(fields, "text", "entities", 4096)
        if not text:
            raise bad("message text is empty")
        return self._new(fields, text=text, **({"entities": entities} if entities else {}))

    def _sendDocument(self, fields: Mapping[str, Any], files: Mapping[str, tuple[str, bytes, str]]) -> Any:
        name, content, media_type = files["document"]
        if len(content) > 50 << 20:
            raise Refused(413, "Request Entity Too Large")
        caption, entities = self._text(fields, "caption", "caption_entities", 1024)
        more: dict[str, Any] = {"document": self.document(name, content, media_type)}
        if caption:
            more |= {"caption": caption, **({"caption_entities": entities} if entities else {})}
        return self._new(fields, **more)

    def _sendPhoto(self, fields: Mapping[str, Any], files: Mapping[str, tuple[str, bytes, str]]) -> Any:
        _, content, _ = files["photo"]
        if len(content) > 10 << 20:
            raise bad("file is too big")
        if not content.startswith((b"\x89PNG", b"\xff\xd8\xff", b"RIFF")):
            raise bad("IMAGE_PROCESS_FAILED")
        caption, _ = self._text(fields, "caption", "caption_entities", 1024)
        file = self.stored(content)
        photo = [{"file_id": file, "file_unique_id": "u" + file, "width": 90, "height": 90, "file_size": len(content)}]
        return self._new(fields, photo=photo, **({"caption": caption} if caption else {}))

    def _editMessageText(self, fields: Mapping[str, Any], files: Any) -> Any:
        message = self._mine(fields)
        if "text" not in message:
            raise bad("there is no text in the message to edit")
        return self._change(message, fields, "text", "entities", 4096)

    def _editMessageCaption(self, fields: Mapping[str, Any], files: Any) -> Any:
        return self._change(self._mine(fields), fields, "caption", "caption_entities", 1024)

    def _mine(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        message = self.messages.get((self._target(fields), int(fields["message_id"])))
        if message is None:
            raise bad("message to edit not found")
        if message["from"]["id"] != self.me["id"]:
            raise bad("message can't be edited")
        return message

    def _change(self, message: dict[str, Any], fields: Mapping[str, Any], text: str, entities: str, most: int) -> Any:
        new, marks = self._text(fields, text, entities, most, too_long="MESSAGE_TOO_LONG")
        if not new and text == "text":
            raise bad("message text is empty")
        keyboard = _keyboard(fields)
        if (message.get(text), message.get(entities, []), message.get("reply_markup")) == (new, marks, keyboard):
            raise bad(NOT_MODIFIED)
        for name, value in ((text, new), (entities, marks), ("reply_markup", keyboard)):
            message.pop(name, None)  # an edit without reply_markup takes the buttons away
            if value:
                message[name] = value
        message["edit_date"] = int(time.time())
        return message

    def _text(
        self, fields: Mapping[str, Any], text: str, entities: str, most: int, too_long: str = "message is too long"
    ) -> tuple[str, list[dict[str, Any]]]:
        if "parse_mode" in fields and entities in fields:
            raise bad("can't use parse_mode and entities together")
        raw = str(fields.get(text, ""))
        raw.encode()  # strings must be encoded in UTF-8
        if raw != raw.strip():
            raise AssertionError("white space at the ends moves Telegram's offsets")
        marks = list(fields.get(entities) or ())
        if marks and self.refuses_entities:
            raise bad("can't parse entities: Can't find end of the entity starting at byte offset 0")
        for mark in marks:
            if not 0 <= mark["offset"] < mark["offset"] + mark["length"] <= units(raw):
                raise bad(f"can't parse entities: entity {mark} is outside of the text")
            begin, end = 2 * mark["offset"], 2 * (mark["offset"] + mark["length"])
            raw.encode("utf-16-le")[begin:end].decode("utf-16-le")  # not within a character
        if len(marks) > 100:
            raise bad("ENTITIES_TOO_MUCH")
        if units(raw) > most:
            raise bad("message caption is too long" if text == "caption" else too_long)
        return raw, marks

    def _new(self, fields: Mapping[str, Any], **content: Any) -> dict[str, Any]:
        chat = self._target(fields)
        number = next(self._ids)
        message: dict[str, Any] = {
            "message_id": number, "date": int(time.time()), "chat": self.chat(chat), "from": self.me, **content,
        }  # fmt: skip
        if keyboard := _keyboard(fields):
            message["reply_markup"] = keyboard
        if topic := fields.get("message_thread_id"):
            if int(topic) in self.closed_topics:
                raise bad("TOPIC_CLOSED")
            message |= {"message_thread_id": int(topic), "is_topic_message": True}
        if reply := fields.get("reply_parameters"):
            replied = self.messages.get((chat, int(reply["message_id"])))
            if replied is None and not reply.get("allow_sending_without_reply"):
                raise bad("message to be replied not found")
            if replied is not None:
                message["reply_to_message"] = {
                    key: value for key, value in replied.items() if key != "reply_to_message"
                }
        self.messages[chat, number] = message
        return message


class _Broken(Response):
    """An answer that never comes: the connection ends."""

    async def __call__(self, scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
        raise ConnectionError("broken on purpose")


async def _fields(request: Request) -> tuple[dict[str, Any], dict[str, tuple[str, bytes, str]]]:
    kind = request.headers.get("content-type", "")
    if kind.startswith("application/json"):
        fields = await request.json()
        assert isinstance(fields, dict)
        return fields, {}
    found: dict[str, Any] = dict(request.query_params)
    files: dict[str, tuple[str, bytes, str]] = {}
    if request.method == "POST":
        async with request.form(max_part_size=2**20) as form:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    files[name] = (value.filename or "", await value.read(), value.content_type or "")
                elif name in ("caption", "text"):
                    found[name] = value
                else:
                    try:
                        found[name] = json.loads(value)
                    except ValueError:
                        found[name] = value
    return found, files


def _keyboard(fields: Mapping[str, Any]) -> dict[str, Any] | None:
    keyboard: dict[str, Any] | None = fields.get("reply_markup")
    for row in (keyboard or {}).get("inline_keyboard", ()):
        for button in row:
            if not button.get("text"):
                raise bad("Text buttons are unallowed in the inline keyboard")
            if not 1 <= len(button.get("callback_data", "").encode()) <= 64:
                raise bad("BUTTON_DATA_INVALID")
            if button.get("style", "primary") not in ("primary", "danger", "success"):
                raise bad("invalid button style specified")
    return keyboard


def entities_of(text: str) -> list[dict[str, Any]]:
    """Return the entities that Telegram itself finds in what a person writes: mentions and commands."""
    import re

    found = [
        {"type": "mention", "offset": units(text[: match.start()]), "length": len(match[0])}
        for match in re.finditer(r"(?<!\w)@\w{3,32}", text)
    ]
    if command := re.match(r"/\w{1,32}(@\w{3,32})?", text):
        found.insert(0, {"type": "bot_command", "offset": 0, "length": len(command[0])})
    return found
