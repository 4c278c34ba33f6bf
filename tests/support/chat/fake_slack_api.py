"""The Web API of the fake Slack."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import uuid
from typing import Any

from aiohttp import web
from support.chat.fake_slack_rules import (
    JSON_ARGUMENTS,
    METHODS,
    REACTIONS,
    Refused,
    between,
    check_block,
    shown,
    streamed,
)
from support.secrets import planted

BOT_TOKEN = "xoxb-1-" + planted("bot")
APP_TOKEN = "xapp-1-" + planted("app")
SIGNING_SECRET = planted("signing")
TEAM, BOT_USER, BOT_ID = "T1", "UBOT", "B1"

ALL_SCOPES = (
    "app_mentions:read,assistant:write,channels:history,channels:read,chat:write,commands,files:read,files:write,"
    "groups:history,groups:read,im:history,im:read,mpim:history,mpim:read,reactions:write"
)


class SlackApi:
    """The methods of the Web API, and what a test arranges."""

    port: int
    base: str
    """Its address."""

    def __init__(self, *, ack_timeout: float = 3.0) -> None:
        self.ack_timeout = ack_timeout
        self.scopes = set(ALL_SCOPES.split(","))
        self.channels: dict[str, str] = {"C1": "channel", "C2": "channel", "D1": "im", "D2": "im", "G1": "mpim"}
        """Those that the app is a member of, with their types."""
        self.foreign = {"C9"}
        """It is no member of these."""
        self.messages: dict[tuple[str, str], dict[str, Any]] = {}
        self.reactions: set[tuple[str, str, str]] = set()
        self.statuses: list[tuple[str, str, str]] = []
        self.files: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.faults: list[str] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.opened = 0
        """How many sockets there ever were."""
        self.acks: dict[str, dict[str, Any]] = {}
        self.deliveries: list[tuple[str, float, bool]] = []
        """Of each attempt: the envelope (or event) id, the seconds to its acknowledgement, and if there was one."""
        self.bot_token, self.app_token = BOT_TOKEN, APP_TOKEN
        self.clock_skew = 0.0
        self.max_sockets = 10
        self.frozen = False
        """Its sockets answer nothing, and take nothing."""
        self.stream_limit: int | None = None
        """Appends after which Slack ends a stream by itself."""
        self.share_delay = 0
        """How often `files.info` does not know the message of a file yet."""
        self.request_url: str | None = None
        """Where signed requests go; None: Socket Mode."""
        self._limits: dict[str, list[float]] = {}
        self._errors: dict[str, list[str]] = {}
        self._lost: dict[str, int] = {}
        self._broken: dict[str, tuple[int, str]] = {}
        self._held: dict[str, asyncio.Event] = {}
        self._tickets: set[str] = set()
        self._acked: dict[str, asyncio.Event] = {}
        self._numbers = itertools.count(1)
        self._last = 0

    def ts(self) -> str:
        """A time stamp that no other message has."""
        self._last = max(self._last + 1, time.time_ns() // 1000)
        return f"{self._last // 10**6}.{self._last % 10**6:06d}"

    # --- what a test arranges

    def limit(self, method: str, *, times: int = 1, after: float = 1, skip: int = 0) -> None:
        """Answer 429 to `times` calls, after the next `skip` ones."""
        self._limits.setdefault(method, []).extend([-1.0] * skip + [after] * times)

    def fail(self, method: str, error: str, *, times: int = 1) -> None:
        self._errors.setdefault(method, []).extend([error] * times)

    def lose_answer(self, method: str, *, times: int = 1) -> None:
        """Do what is asked, and end the connection without an answer."""
        self._lost[method] = times

    def break_with(self, method: str, status: int, body: str = "<html>Bad Gateway</html>") -> None:
        """Let something between us and Slack answer the next call, in HTML."""
        self._broken[method] = (status, body)

    def hold(self, method: str) -> None:
        """Do what is asked, and answer only after `let_go`."""
        self._held[method] = asyncio.Event()

    def let_go(self) -> None:
        for event in self._held.values():
            event.set()
        self._held.clear()

    def called(self, method: str) -> list[dict[str, Any]]:
        return [arguments for name, arguments in self.calls if name == method]

    def of(self, channel: str, thread: str | None = None) -> list[dict[str, Any]]:
        """What the app has said in a channel (and thread), in order."""
        found = [m for (chat, _), m in sorted(self.messages.items()) if chat == channel and m.get("bot_id") == BOT_ID]
        return [m for m in found if thread is None or m.get("thread_ts") == thread]

    def shown(self, channel: str, thread: str | None = None) -> list[str]:
        """The texts as people see them."""
        return [shown(message) for message in self.of(channel, thread)]

    # --- the Web API

    async def _api(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if request.content_type == "application/json":
            arguments = await request.json()
        else:
            arguments = {**request.query, **(await request.post())}
            for name in JSON_ARGUMENTS:
                if isinstance(arguments.get(name), str):
                    arguments[name] = json.loads(arguments[name])
        token = token or arguments.pop("token", "")
        self.calls.append((method, arguments))
        if method in self._broken:
            status, body = self._broken.pop(method)
            return web.Response(status=status, text=body, content_type="text/html")
        limits = self._limits.get(method)
        after = limits.pop(0) if limits else -1.0
        if after >= 0:
            return self._answer({"ok": False, "error": "ratelimited"}, 429, {"Retry-After": f"{after:g}"})
        try:
            answer = {"ok": True, **self._call(method, token, arguments)}
        except Refused as refused:
            if refused.answer["error"] == "invalid_arguments" or method not in METHODS:
                self.faults.append(f"{method}: {refused.answer}")
            answer = refused.answer
        if self._lost.get(method, 0) > 0:
            self._lost[method] -= 1
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if method in self._held:
            await self._held[method].wait()
        return self._answer(answer)

    def _answer(self, answer: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + self.clock_skew))
        all_headers = {"X-OAuth-Scopes": ",".join(sorted(self.scopes)), "Date": date, **(headers or {})}
        return web.json_response(answer, status=status, headers=all_headers)

    def _call(self, method: str, token: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if method not in METHODS:
            raise Refused("unknown_method", req_method=method)
        if not token:
            raise Refused("not_authed")
        wanted = self.app_token if method == "apps.connections.open" else self.bot_token
        if token != wanted:
            known = token in (self.app_token, self.bot_token)
            raise Refused("not_allowed_token_type" if known else "invalid_auth")
        if self._errors.get(method):
            raise Refused(self._errors[method].pop(0))
        scope, required, others = METHODS[method]
        if scope is not None and scope not in self.scopes:
            raise Refused("missing_scope", needed=scope, provided=",".join(sorted(self.scopes)))
        unknown = set(arguments) - set(required.split()) - set(others.split())
        missing = [name for name in required.split() if arguments.get(name) is None]
        if unknown or missing:
            said = [*(f"[ERROR] no such argument: {n}" for n in unknown), *(f"[ERROR] missing: {n}" for n in missing)]
            raise Refused("invalid_arguments", response_metadata={"messages": said})
        answer: dict[str, Any] = getattr(self, "_" + method.replace(".", "_"))(arguments)
        return answer

    def _auth_test(self, _: dict[str, Any]) -> dict[str, Any]:
        return {
            "url": "https://team.slack.com/",
            "team": "Team",
            "user": "missive",
            "team_id": TEAM,
            "user_id": BOT_USER,
            "bot_id": BOT_ID,
        }

    def _apps_connections_open(self, _: dict[str, Any]) -> dict[str, Any]:
        ticket = uuid.uuid4().hex
        self._tickets.add(ticket)
        return {"url": f"ws://127.0.0.1:{self.port}/link/?ticket={ticket}&app_id=A1"}

    def _member_of(self, channel: str) -> str:
        if channel in self.foreign:
            raise Refused("not_in_channel")
        if channel not in self.channels:
            raise Refused("channel_not_found")
        return self.channels[channel]

    def _chat_postMessage(self, a: dict[str, Any]) -> dict[str, Any]:
        self._member_of(a["channel"])
        if not a.get("text") and not a.get("blocks") and not a.get("markdown_text"):
            raise Refused("no_text")
        self._check_content(a)
        thread = a.get("thread_ts")
        if thread is not None and (a["channel"], thread) not in self.messages:
            raise Refused("thread_not_found")
        ts = self.ts()
        message = {**self._own(ts), **{k: v for k, v in a.items() if k != "channel"}}
        self.messages[a["channel"], ts] = message
        return {"channel": a["channel"], "ts": ts, "message": message}

    def _own(self, ts: str) -> dict[str, Any]:
        return {"type": "message", "user": BOT_USER, "bot_id": BOT_ID, "app_id": "A1", "team": TEAM, "ts": ts}

    def _check_content(self, a: dict[str, Any]) -> None:
        if a.get("markdown_text") and (a.get("text") or a.get("blocks")):
            raise Refused("markdown_text_conflict")
        if len(a.get("markdown_text") or "") > 12_000:
            raise Refused("msg_too_long")
        blocks = a.get("blocks") or []
        if len(blocks) > 50:
            raise Refused("invalid_blocks")
        if sum(len(block.get("text", "")) for block in blocks if block["type"] == "markdown") > 12_000:
            raise Refused("msg_too_long")
        for block in blocks:
            check_block(block)
        metadata = a.get("metadata")
        if metadata is not None and set(metadata) != {"event_type", "event_payload"}:
            raise Refused("invalid_metadata_format")

    def _mine(self, a: dict[str, Any]) -> dict[str, Any]:
        self._member_of(a["channel"])
        message = self.messages.get((a["channel"], a["ts"]))
        if message is None:
            raise Refused("message_not_found")
        if message.get("bot_id") != BOT_ID:
            raise Refused("cant_update_message")
        return message

    def _chat_update(self, a: dict[str, Any]) -> dict[str, Any]:
        message = self._mine(a)
        if message.get("streaming"):
            raise Refused("streaming_state_conflict")
        if len((a.get("text") or "").encode()) > 4000:
            raise Refused("msg_too_long")
        self._check_content(a)
        if "text" in a and "blocks" not in a:
            message.pop("blocks", None)
        message.update({k: v for k, v in a.items() if k not in ("channel", "ts")})
        return {"channel": a["channel"], "ts": a["ts"], "text": message.get("text", ""), "message": message}

    def _chat_startStream(self, a: dict[str, Any]) -> dict[str, Any]:
        if self._member_of(a["channel"]) != "im":
            if not a.get("recipient_user_id"):
                raise Refused("missing_recipient_user_id")
            if not a.get("recipient_team_id"):
                raise Refused("missing_recipient_team_id")
        if (a["channel"], a["thread_ts"]) not in self.messages:
            raise Refused("invalid_thread_ts")
        ts = self.ts()
        text = streamed(a)
        self.messages[a["channel"], ts] = {
            **self._own(ts),
            "thread_ts": a["thread_ts"],
            "text": text,
            "streaming": True,
            "appends": 0,
        }
        return {"channel": a["channel"], "ts": ts}

    def _chat_appendStream(self, a: dict[str, Any]) -> dict[str, Any]:
        message = self._mine(a)
        message["appends"] = message.get("appends", 0) + 1
        if self.stream_limit is not None and message["appends"] > self.stream_limit:
            message["streaming"] = False
        if not message.get("streaming"):
            raise Refused("message_not_in_streaming_state")
        message["text"] += streamed(a)
        return {"channel": a["channel"], "ts": a["ts"]}

    def _chat_stopStream(self, a: dict[str, Any]) -> dict[str, Any]:
        message = self._mine(a)
        if not message.get("streaming"):
            raise Refused("message_not_in_streaming_state")
        self._check_content(a)
        message["text"] += streamed(a)
        message["streaming"] = False
        message.update({k: a[k] for k in ("metadata", "blocks") if k in a})
        return {"channel": a["channel"], "ts": a["ts"], "message": message}

    def _reactions_add(self, a: dict[str, Any]) -> dict[str, Any]:
        return self._react(a, add=True)

    def _reactions_remove(self, a: dict[str, Any]) -> dict[str, Any]:
        return self._react(a, add=False)

    def _react(self, a: dict[str, Any], *, add: bool) -> dict[str, Any]:
        self._member_of(a["channel"])
        if a["name"] not in REACTIONS:
            raise Refused("invalid_name")
        if (a["channel"], a["timestamp"]) not in self.messages:
            raise Refused("message_not_found")
        item = (a["channel"], a["timestamp"], a["name"])
        if add == (item in self.reactions):
            raise Refused("already_reacted" if add else "no_reaction")
        (self.reactions.add if add else self.reactions.discard)(item)
        return {}

    def _conversations_history(self, a: dict[str, Any]) -> dict[str, Any]:
        self._member_of(a["channel"])
        found = [
            self._read(m, a["channel"], a)
            for (chat, ts), m in sorted(self.messages.items(), reverse=True)
            if chat == a["channel"] and m.get("thread_ts") in (None, ts) and between(ts, a)
        ]
        return self._page(found, a)

    def _conversations_replies(self, a: dict[str, Any]) -> dict[str, Any]:
        self._member_of(a["channel"])
        root = a["ts"]
        if (a["channel"], root) not in self.messages:
            raise Refused("thread_not_found")
        found = [
            self._read(m, a["channel"], a)
            for (chat, ts), m in sorted(self.messages.items())
            if chat == a["channel"] and (ts == root or (m.get("thread_ts") == root and between(ts, a)))
        ]
        return self._page(found, a)

    def _read(self, message: dict[str, Any], channel: str, a: dict[str, Any]) -> dict[str, Any]:
        hidden = {"streaming", "appends", "channel", "channel_type", "event_ts"}
        if str(a.get("include_all_metadata", "")).lower() not in ("1", "true"):
            hidden.add("metadata")
        read = {k: v for k, v in message.items() if k not in hidden}
        root = read["ts"]
        known = self.messages.items()
        replies = [ts for (chat, ts), m in known if chat == channel and m.get("thread_ts") == root and ts != root]
        if replies:
            read |= {"reply_count": len(replies), "latest_reply": max(replies), "thread_ts": read["ts"]}
        return read

    def _page(self, found: list[dict[str, Any]], a: dict[str, Any]) -> dict[str, Any]:
        start, limit = int(a.get("cursor") or 0), min(int(a.get("limit") or 100), 999)
        more = len(found) > start + limit
        answer: dict[str, Any] = {"messages": found[start : start + limit], "has_more": more}
        if more:
            answer["response_metadata"] = {"next_cursor": str(start + limit)}
        return answer

    def _users_conversations(self, a: dict[str, Any]) -> dict[str, Any]:
        names = {"channel": "public_channel", "im": "im", "mpim": "mpim"}
        wanted = (a.get("types") or "public_channel").split(",")
        for kind, scope in (
            ("public_channel", "channels"),
            ("private_channel", "groups"),
            ("mpim", "mpim"),
            ("im", "im"),
        ):
            if kind in wanted and f"{scope}:read" not in self.scopes:
                raise Refused("missing_scope", needed=f"{scope}:read", provided=",".join(sorted(self.scopes)))
        return {
            "channels": [{"id": c, "is_im": kind == "im"} for c, kind in self.channels.items() if names[kind] in wanted]
        }

    def _assistant_threads_setStatus(self, a: dict[str, Any]) -> dict[str, Any]:
        if (a["channel_id"], a["thread_ts"]) not in self.messages:
            raise Refused("invalid_thread_ts")
        self.statuses.append((a["channel_id"], a["thread_ts"], a["status"]))
        return {}
