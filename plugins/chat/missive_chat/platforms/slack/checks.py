"""What ``missive chat doctor`` looks at."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import anyio
from aiohttp import WSMsgType

from missive_chat.platform import ChatError, ChatLoginError, Check

if TYPE_CHECKING:
    from missive_chat.platforms.slack.socket_mode import SocketMode

SCOPES = {
    "chat:write": "answer",
    "app_mentions:read": "hear that it is mentioned",
    "im:history": "hear direct messages",
}
WISHES = {
    "channels:history": "read threads of public channels, and what was said in a pause",
    "groups:history": "the same in private channels",
    "im:read": "find direct messages that came in a pause",
    "channels:read": "find the channels in which something was said in a pause",
    "reactions:write": "show by reactions what it has seen",
    "files:read": "take files in",
    "files:write": "send files",
}
SKEW_SIGNED = 240.0
SKEW = 60.0
APP_PAGE = "OAuth & Permissions, Scopes; then install the app again"


def of_token(name: str, team: str) -> Check:
    return Check("token", "ok", f"the bot token is that of {name} in {team}")


def of_scopes(headers: Mapping[str, str]) -> Check:
    """Slack names the scopes of a token in each answer."""
    found = next((value for name, value in headers.items() if name.lower() == "x-oauth-scopes"), None)
    if found is None:
        return Check("scopes", "warn", "Slack does not say which scopes the token has")
    scopes = {scope.strip() for scope in found.split(",")}
    lacking = [f"{scope} (to {why})" for scope, why in SCOPES.items() if scope not in scopes]
    if lacking:
        return Check("scopes", "fail", "missing: " + ", ".join(lacking), fix=APP_PAGE)
    wished = [f"{scope} (to {why})" for scope, why in WISHES.items() if scope not in scopes]
    if wished:
        return Check("scopes", "warn", "useful, but missing: " + ", ".join(wished), fix=APP_PAGE)
    return Check("scopes", "ok", f"all {len(SCOPES) + len(WISHES)} scopes that are of use are there")


def of_clock(headers: Mapping[str, str], *, signed: bool) -> Check:
    date = next((value for name, value in headers.items() if name.lower() == "date"), None)
    try:
        skew = abs(time.time() - parsedate_to_datetime(str(date)).timestamp())
    except (TypeError, ValueError):
        return Check("clock", "warn", "Slack's answer has no date to compare the clock with")
    if skew <= SKEW:
        return Check("clock", "ok", "the clock is that of Slack")
    status = "fail" if signed and skew > SKEW_SIGNED else "warn"
    return Check(
        "clock",
        status,  # type: ignore[arg-type] # mypy widens it
        f"the clock is {skew:.0f} seconds off: signed requests are refused from 300 on",
        fix="set the clock, e.g. with systemd-timesyncd or chrony",
    )


async def of_socket(socket_mode: SocketMode) -> tuple[Check, ...]:
    """Ask for a socket and open it, for a moment: what comes in that moment Slack sends again."""
    try:
        await socket_mode.log_in()
    except (ChatError, ChatLoginError) as error:
        return (Check("app_token", "fail", error.message, fix=error.help),)
    app_token = Check("app_token", "ok", "Slack takes the app token")
    fix = "let this machine make WebSocket connections to wss-primary.slack.com and wss-backup.slack.com"
    try:
        socket = await socket_mode.dial()
    except ChatError as error:
        return app_token, Check("socket", "fail", error.message, fix=error.help or fix)
    try:
        with anyio.move_on_after(10):
            message = await socket.receive()
            if message.type is WSMsgType.TEXT:
                hello = json.loads(message.data)
                if hello.get("type") == "hello":
                    others = int(hello.get("num_connections") or 1) - 1
                    return app_token, Check("socket", "ok", f"the socket opens; other connections: {others}")
                return app_token, Check("socket", "fail", f"Slack says: {hello.get('reason', hello.get('type'))}")
    finally:
        with anyio.CancelScope(shield=True):
            await socket.close()
    return app_token, Check("socket", "fail", "the socket opens, but Slack says nothing", fix=fix)
