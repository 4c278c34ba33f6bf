"""Streams of Slack's own: a message that grows by what is appended to it, and cannot be edited until it is stopped."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from missive_chat.platform import ChatError, Outgoing
from missive_chat.platforms.slack.api import SlackError
from missive_chat.platforms.slack.markup import harmless
from missive_chat.platforms.slack.messages import metadata

if TYPE_CHECKING:
    from missive_chat.platforms.slack.api import Api

MAX_OPEN = 1000

PASSING = frozenset({"ratelimited", "internal_error", "service_unavailable"})

_REMARK = re.compile(r"_[^_\n]+_")
"""A line in italics says what the agent is doing: the answer will take its place, which no stream can do."""


class _Stream:
    def __init__(self, text: str, key: str) -> None:
        self.text: str | None = text
        """What is in it; None if nobody knows."""
        self.key = key


class Streams:
    """The streams that this process has begun. What it does not know it can still stop: `stop`."""

    def __init__(self, api: Api, *, wanted: bool) -> None:
        self._api = api
        self._wanted = wanted
        self._unfit: set[str] = set()
        """Channels in which Slack does not have them."""
        self._open: dict[tuple[str, str], _Stream] = {}

    async def start(self, message: Outgoing) -> str | None:
        """Begin a message as a stream; return its id, or None if it must be an ordinary one."""
        place = message.place
        if not self._wanted or place.thread is None or place.chat in self._unfit:
            return None
        if _REMARK.fullmatch(message.text):
            return None
        recipient = {}
        if not place.is_direct:
            user, team = place.facts.get("user"), place.facts.get("team")
            if not user or not team:
                return None
            recipient = {"recipient_user_id": user, "recipient_team_id": team}
        text = harmless(message.text)
        try:
            answer = await self._api.call(
                "chat_startStream", channel=place.chat, thread_ts=place.thread, markdown_text=text, **recipient
            )
        except SlackError as error:
            if error.maybe_sent:
                raise
            if error.code not in PASSING:
                self._unfit.add(place.chat)
            return None
        ts = str(answer["ts"])
        while len(self._open) >= MAX_OPEN:
            del self._open[next(iter(self._open))]
        self._open[place.chat, ts] = _Stream(text, message.key)
        return ts

    async def grow(self, chat: str, ts: str, text: str) -> bool:
        """Append what is new. False: it is no stream (any more), or it must be edited to have this text."""
        stream = self._open.get((chat, ts))
        if stream is None:
            return False
        text = harmless(text)
        if stream.text is None or not text.startswith(stream.text):
            await self.stop(chat, ts)
            return False
        if text == stream.text:
            return True
        try:
            await self._api.call("chat_appendStream", channel=chat, ts=ts, markdown_text=text[len(stream.text) :])
        except ChatError as error:
            if error.retry_after is not None:
                raise
            stream.text = None  # Slack has ended it (it does after some minutes), or nobody knows what is in it now
            await self.stop(chat, ts)
            return False
        stream.text = text
        return True

    async def stop(self, chat: str, ts: str) -> None:
        """End a stream, so that its message can be edited. That it is none is no error."""
        stream = self._open.get((chat, ts))
        named = metadata("" if stream is None else stream.key)
        try:
            await self._api.call("chat_stopStream", channel=chat, ts=ts, metadata=named)
        except SlackError as error:
            if error.code != "message_not_in_streaming_state":
                raise
        self._open.pop((chat, ts), None)

    def is_open(self, chat: str, ts: str) -> bool:
        return (chat, ts) in self._open
