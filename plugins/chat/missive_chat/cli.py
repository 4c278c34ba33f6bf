"""What ``missive chat`` does. The gateway may run meanwhile: both have the same file with the state."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from datetime import UTC, datetime
from time import time
from typing import TYPE_CHECKING, Any

import anyio

from missive_chat import approvals, pairing
from missive_chat.chunks import length
from missive_chat.doctor import ALIVE_SECONDS, Doctor, alive_at, platform_of
from missive_chat.platform import Outgoing, Place
from missive_chat.state import State
from missive_host.errors import DeadlineError, ValidationError
from missive_host.protocols import Summary

if TYPE_CHECKING:
    from missive_host.protocols import CommandContext, ConfiguredAdapter

SEND_SECONDS = 60.0
ONLY_TELLING = ("notify",)
"""Kinds of this plugin that have no conversations."""


# --- list


async def list_adapters(context: CommandContext) -> Summary:
    running = context.gateway_running()
    found = [_fares(each, running) for each in context.adapters() if each.kind not in ONLY_TELLING]
    count = len(found)
    message = f"{count} chat adapter{'' if count == 1 else 's'}" + ("" if running else "; the gateway is not running")
    return Summary("chat_list", {"count": count, "gateway_running": running, "adapters": found, "message": message})


def _fares(adapter: ConfiguredAdapter, running: bool) -> dict[str, Any]:
    view: dict[str, Any] = {"name": adapter.name, "kind": adapter.kind, "enabled": adapter.enabled, "state": "stopped"}
    if adapter.needs is not None:
        return {**view, "state": "unusable", "problem": f"needs {adapter.needs}"}
    state = State(adapter.data_dir)
    try:
        if state.exists:
            now, alive = time(), alive_at(state)
            if alive is not None:
                view["alive_at"] = _moment(alive)
            view |= {
                "waiting_in": state.value("SELECT count(*) FROM inbox WHERE state = 'waiting'"),
                "waiting_out": state.value("SELECT count(*) FROM outbox WHERE state = 'waiting'"),
                "failed_out": state.value("SELECT count(*) FROM outbox WHERE state = 'failed'"),
                "pairings": sum(each.state == "asked" for each in pairing.asking(state, now)),
                "approvals": state.value("SELECT count(*) FROM approvals WHERE state = 'open' AND expires_at > ?", now),
            }
            if running and adapter.enabled:
                view["state"] = "live" if alive is not None and now - alive < ALIVE_SECONDS else "silent"
        elif running and adapter.enabled:
            view["state"] = "silent"
    finally:
        state.close()
    return view


# --- doctor, test


async def doctor(context: CommandContext, *, name: str) -> Summary:
    adapter = context.configured(name)
    checks = await Doctor(context, adapter).look()
    bad = [check for check in checks if check.status == "fail"]
    warned = sum(check.status == "warn" for check in checks)
    message = f"{len(checks)} checks: {len(bad)} failed, {warned} to be looked at" if bad or warned else "all is well"
    data = {
        "adapter": name,
        "platform": adapter.kind,
        "healthy": not bad,
        "checks": [{key: value for key, value in asdict(check).items() if value is not None} for check in checks],
        "message": message,
    }
    return Summary("chat_doctor", data, exit_code=1 if bad else 0)


async def test(context: CommandContext, *, name: str, text: str, to: str, thread: str | None) -> Summary:
    platform = platform_of(context, name)
    try:
        with anyio.move_on_after(SEND_SECONDS) as scope:
            context.progress(f"logging in as '{name}'")
            await platform.open()
            can = platform.capabilities
            size = length(platform.render(text), can.unit)
            if not text.strip() or size > can.max_text:
                raise ValidationError(f"TEXT: must have 1 to {can.max_text} {can.unit}, not {size}")
            place = Place(chat=to, thread=thread)
            message_id = await platform.send(Outgoing(key=secrets.token_hex(12), place=place, text=text))
    finally:
        with anyio.CancelScope(shield=True):
            await platform.close()
    if scope.cancelled_caught:
        raise DeadlineError(f"the platform has not taken the message within {SEND_SECONDS:g} s")
    kind = context.configured(name).kind
    data = {"adapter": name, "platform": kind, "chat": to, "message_id": message_id, "message": "sent"}
    return Summary("chat_test", data if thread is None else {**data, "thread": thread})


# --- pairing


async def list_pairings(context: CommandContext, *, name: str) -> Summary:
    state = _state(context, name)
    try:
        found = [_pairing(each) for each in pairing.asking(state, time())] if state.exists else []
    finally:
        state.close()
    waiting = sum(each["state"] == "asked" for each in found)
    message = f"{waiting} waiting, {len(found) - waiting} let in"
    return Summary("chat_pairing_list", {"adapter": name, "count": len(found), "pairings": found, "message": message})


async def approve_pairing(context: CommandContext, *, name: str, code: str) -> Summary:
    return _decide(context, name, code, approve=True)


async def refuse_pairing(context: CommandContext, *, name: str, code: str) -> Summary:
    return _decide(context, name, code, approve=False)


def _decide(context: CommandContext, name: str, code: str, *, approve: bool) -> Summary:
    state = _state(context, name)
    try:
        decided = pairing.decide(state, code, approve=approve, now=time())
    finally:
        state.close()
    who = f"{decided.name} ({decided.sender})" if decided.name else decided.sender
    message = f"{who} may write to '{name}' now" if approve else f"{who} may not write to '{name}'"
    if approve and not context.gateway_running():
        message += "; they are told when the gateway runs"
    kind = "chat_pairing_approve" if approve else "chat_pairing_refuse"
    return Summary(kind, {"adapter": name, "pairing": _pairing(decided), "message": message})


def _pairing(asking: pairing.Asking) -> dict[str, Any]:
    view: dict[str, Any] = {
        "sender": asking.sender,
        "name": asking.name,
        "state": asking.state,
        "asked_at": _moment(asking.asked_at),
    }
    if asking.state == "asked":
        view |= {"code": asking.code, "expires_at": _moment(asking.expires_at)}
    return view


# --- approvals


async def list_approvals(context: CommandContext, *, name: str, all: bool) -> Summary:  # noqa: A002 - the flag's name
    state = _state(context, name)
    try:
        listed = approvals.listed(state) if state.exists else ()
    finally:
        state.close()
    now = time()
    found = [view for each in listed if (view := _approval(each, now))["state"] == "open" or all]
    waiting = sum(each["state"] == "open" for each in found)
    message = f"{waiting} waiting" + (f", {len(found) - waiting} closed" if all else "")
    return Summary(
        "chat_approvals_list", {"adapter": name, "count": len(found), "approvals": found, "message": message}
    )


def _approval(approval: approvals.Approval, now: float) -> dict[str, Any]:
    late = approval.state == "open" and approval.expires_at <= now  # nobody has written it down yet
    view: dict[str, Any] = {
        "code": approval.code,
        "state": "expired" if late else approval.state,
        "agent": approval.agent,
        "task_id": approval.task,
        "question": approval.question,
        "conversation": approval.conversation,
        "asked_at": _moment(approval.asked_at),
        "expires_at": _moment(approval.expires_at),
        "decided_by": approval.decided_by,
        "decided_name": approval.decided_name,
        "decided_at": None if approval.decided_at is None else _moment(approval.decided_at),
    }
    return {key: value for key, value in view.items() if value is not None}


# --- helpers


def _state(context: CommandContext, name: str) -> State:
    return State(context.configured(name).data_dir)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
