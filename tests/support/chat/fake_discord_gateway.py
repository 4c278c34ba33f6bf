"""Discord's gateway v10 on loopback: sessions that can be resumed, heartbeats, and the ways in which it closes."""

from __future__ import annotations

import itertools
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web
from support.chat.fake_discord_objects import APPLICATION, GUILD, ME, Json

MESSAGE_CONTENT = 1 << 15
_NO_LONGER = 4000


@dataclass
class Session:
    """What the gateway remembers of a client, also while it is away."""

    id: str
    intents: int
    sent: list[Json] = field(default_factory=list)
    socket: Socket | None = None


class Socket:
    """One connection."""

    def __init__(self, ws: web.WebSocketResponse, *, compress: bool) -> None:
        self.ws = ws
        self.frozen = False
        self._deflate = zlib.compressobj() if compress else None

    async def send(self, frame: Json) -> None:
        text = json.dumps(frame)
        if self.ws.closed or self.frozen:
            return
        if self._deflate is None:
            await self.ws.send_str(text)
        else:
            await self.ws.send_bytes(self._deflate.compress(text.encode()) + self._deflate.flush(zlib.Z_SYNC_FLUSH))


class Gateway:
    """The gateway of one bot. `guild` makes what is sent of its server."""

    def __init__(self, token: str, guild: Callable[[], Json]) -> None:
        self.token = token
        self._guild = guild
        self.url = ""
        self.heartbeat_ms = 41_250
        self.sessions: dict[str, Session] = {}
        self.identifies: list[Json] = []
        self.resumes: list[Json] = []
        self.heartbeats = 0
        self.privileged = True
        """Message Content Intent is turned on."""
        self.refuse_connections = False
        self.date: str | None = None
        """What time it is there, if that is not what it is here."""
        self._ids = itertools.count(1)

    @property
    def online(self) -> list[Session]:
        return [session for session in self.sessions.values() if session.socket is not None]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if self.refuse_connections:
            return web.Response(status=503)
        if request.query.get("v") != "10" or request.query.get("encoding") != "json":
            return web.Response(status=400)
        ws = web.WebSocketResponse()
        if self.date is not None:
            ws.headers["Date"] = self.date
        await ws.prepare(request)
        socket = Socket(ws, compress=request.query.get("compress") == "zlib-stream")
        await socket.send({"op": 10, "d": {"heartbeat_interval": self.heartbeat_ms}})
        session: Session | None = None
        try:
            async for frame in ws:
                if frame.type is not WSMsgType.TEXT:
                    continue
                data = json.loads(frame.data)
                match data["op"]:
                    case 1:
                        self.heartbeats += 1
                        await socket.send({"op": 11})
                    case 2:
                        session = await self._identify(socket, data["d"])
                    case 6:
                        session = await self._resume(socket, data["d"])
                    case 3 | 4 | 8 if session is not None:
                        pass
                    case _:
                        await ws.close(code=4003 if session is None else 4001)
        finally:
            if session is not None and session.socket is socket:
                session.socket = None
        return ws

    async def _identify(self, socket: Socket, data: Json) -> Session | None:
        self.identifies.append(data)
        if data["token"] != self.token:
            await socket.ws.close(code=4004, message=b"Authentication failed.")
            return None
        if data["intents"] & MESSAGE_CONTENT and not self.privileged:
            await socket.ws.close(code=4014, message=b"Disallowed intent(s).")
            return None
        session = Session(f"session-{next(self._ids)}", data["intents"], socket=socket)
        self.sessions[session.id] = session
        ready = {
            "v": 10,
            "user": ME,
            "guilds": [{"id": str(GUILD), "unavailable": True}],
            "session_id": session.id,
            "resume_gateway_url": self.url,
            "application": {"id": str(APPLICATION), "flags": 0},
            "private_channels": [],
            "session_type": "normal",
        }
        await self._send(session, "READY", ready)
        await self._send(session, "GUILD_CREATE", self._guild())
        return session

    async def _resume(self, socket: Socket, data: Json) -> Session | None:
        self.resumes.append(data)
        session = self.sessions.get(data["session_id"])
        if session is None or data["token"] != self.token:
            await socket.send({"op": 9, "d": False})
            return None
        session.socket = socket
        for frame in session.sent[data["seq"] :]:
            await socket.send(frame)
        await self._send(session, "RESUMED", {})
        return session

    async def _send(self, session: Session, event: str, data: Any) -> None:
        frame = {"op": 0, "t": event, "s": len(session.sent) + 1, "d": data}
        session.sent.append(frame)
        if session.socket is not None:
            await session.socket.send(frame)

    # --- what a test has it do

    async def dispatch(self, event: str, data: Json, *, secret: bool = False) -> None:
        """Send an event to everybody; those who are away get it when they resume. `secret`: a text of a server."""
        for session in list(self.sessions.values()):
            hidden = secret and not session.intents & MESSAGE_CONTENT
            await self._send(session, event, {**data, "content": "", "attachments": []} if hidden else data)

    async def again(self, event: str) -> None:
        """Deliver the last event of this kind once more, with the same number."""
        for session in self.online:
            frame = next(frame for frame in reversed(session.sent) if frame["t"] == event)
            assert session.socket is not None
            await session.socket.send(frame)

    def freeze(self) -> None:
        """The connections stay open, and nothing comes any more, not even an answer to a heartbeat."""
        for session in self.online:
            assert session.socket is not None
            session.socket.frozen = True

    async def order(self, op: int, data: Any = None) -> None:
        """7: connect again and resume. 9: the session is void."""
        for session in self.online:
            assert session.socket is not None
            await session.socket.send({"op": op, "d": data})

    async def drop(self, *, code: int | None = None, forget: bool = False) -> None:
        """End all connections: without a word, or with a code; `forget` the sessions, too."""
        sockets = [session.socket for session in self.online]
        if forget:
            self.sessions.clear()
        for socket in sockets:
            assert socket is not None
            if code is None and socket.ws._req is not None and socket.ws._req.transport is not None:
                socket.ws._req.transport.abort()
            else:
                await socket.ws.close(code=code or _NO_LONGER)
        for session in self.sessions.values():
            session.socket = None
