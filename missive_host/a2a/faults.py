"""Every way an agent can go wrong, mapped once. A2A's own error name is kept (A2A spec 3.3.2, 5.4, 9.5, 11.6)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from missive_host.errors import A2AErrorInfo, AuthError, MissiveError, ProtocolError, TransportError

_BY_CODE = {
    -32001: "TaskNotFoundError",
    -32002: "TaskNotCancelableError",
    -32003: "PushNotificationNotSupportedError",
    -32004: "UnsupportedOperationError",
    -32005: "ContentTypeNotSupportedError",
    -32006: "InvalidAgentResponseError",
    -32007: "ExtendedAgentCardNotConfiguredError",
    -32008: "ExtensionSupportRequiredError",
    -32009: "VersionNotSupportedError",
    -32600: "InvalidRequestError",
    -32601: "MethodNotFoundError",
    -32602: "InvalidParamsError",
    -32603: "InternalError",
    -32700: "JSONParseError",
}
_CODE = {name: code for code, name in _BY_CODE.items()}
_BY_REASON = {
    re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.removesuffix("Error").replace("JSONP", "JsonP")).upper(): name
    for name in _CODE
}
"""``TASK_NOT_FOUND`` → ``TaskNotFoundError``."""

_HELP = {
    "TaskNotFoundError": "the agent does not know the task (any more); see `missive task list`",
    "TaskNotCancelableError": "the task has ended already; see `missive task get`",
    "PushNotificationNotSupportedError": "the agent sends no push notifications; see `missive agent capabilities`",
    "UnsupportedOperationError": "the agent does not offer this; see `missive agent inspect`",
    "VersionNotSupportedError": "refresh its card (`missive agent refresh`), or name a version with --protocol-version",
    "ExtensionSupportRequiredError": "name the extension with --a2a-extension",
    "ContentTypeNotSupportedError": "see the media types it takes with `missive agent capabilities`",
}


def a2a_error(name: str, message: str, *, where: str, code: int | None = None, data: Any = None,
              http_status: int | None = None) -> ProtocolError:  # fmt: skip
    """Return the error for one that the agent named."""
    code = code if code is not None else _CODE.get(name)
    return ProtocolError(
        f"{where} answered {name}: {message}" if message else f"{where} answered {name}",
        help=_HELP.get(name),
        a2a=A2AErrorInfo(name=name, code=code, http_status=http_status, data=data),
    )


def jsonrpc_error(error: Any, *, where: str) -> ProtocolError:
    """Map the ``error`` member of a JSON-RPC response."""
    if not isinstance(error, dict):
        return ProtocolError(
            f"{where} answered a JSON-RPC error that is no object",
            a2a=A2AErrorInfo(name="InvalidAgentResponseError"),
        )
    code = error.get("code")
    code = code if isinstance(code, int) else None
    name = _reason(error.get("data")) or _BY_CODE.get(code or 0) or "InternalError"
    return a2a_error(name, str(error.get("message", "")), where=where, code=code, data=error.get("data"))


def name_of_reason(reason: str) -> str | None:
    """Return A2A's error name for a ``reason`` of ErrorInfo."""
    return _BY_REASON.get(reason)


def _reason(details: Any) -> str | None:
    for detail in details if isinstance(details, list) else ():
        reason = detail.get("reason") if isinstance(detail, dict) else None
        if isinstance(reason, str) and reason in _BY_REASON:
            return _BY_REASON[reason]
    return None


def rest_error(payload: Any, *, where: str, http_status: int | None = None) -> ProtocolError | None:
    """Map an error body of HTTP+JSON; None if it names no A2A error."""
    if not isinstance(payload, dict):
        return None
    error = payload.get("error", payload)
    if not isinstance(error, dict):
        return None
    name = _reason(error.get("details"))
    if name is None:
        legacy = error.get("type")  # protocol 0.3
        name = legacy if isinstance(legacy, str) and legacy in _CODE else None
    if name is None:
        return None
    return a2a_error(
        name, str(error.get("message", "")), where=where, data=error.get("details"), http_status=http_status
    )


def http_error(status: int, body: bytes, header: Callable[[str], str | None], *, where: str) -> MissiveError:
    """Map an HTTP status that is not 2xx."""
    payload: Any = None
    try:
        payload = json.loads(body) if body else None
    except (ValueError, RecursionError):
        payload = None
    named = rest_error(payload, where=where, http_status=status)
    if named is not None and status not in (401, 403, 429, 503):
        return named
    if (
        isinstance(payload, dict)
        and isinstance(payload.get("error"), dict)
        and "code" in payload["error"]
        and (payload.get("jsonrpc") == "2.0")
    ):
        return jsonrpc_error(payload["error"], where=where)
    retry_after = _retry_after(header("retry-after"))
    info = A2AErrorInfo(
        name=named.a2a.name if named and named.a2a else None, http_status=status, retry_after=retry_after
    )
    said = _said(payload)
    sentence = f"{where} answered HTTP {status}" + (f": {said}" if said else "")
    if status in (401, 403):
        challenge = header("www-authenticate")
        wanted = f" (it asks for {challenge.split()[0]})" if challenge and challenge.split() else ""
        return AuthError(
            sentence + wanted,
            help="give the agent a credential: --bearer-token-env NAME, --header, or an auth ref in the config",
            a2a=info,
        )
    if status in (429, 503):
        wait = f"; it asks to wait {retry_after:g} s" if retry_after is not None else ""
        return TransportError(sentence + wait, help="the agent is busy: try again later", a2a=info, sent=False)
    hint = {
        404: "is the URL right? see `missive agent inspect`",
        405: "is the URL right? see `missive agent inspect`",
    }.get(status)
    if 300 <= status < 400:
        hint = f"it points to {header('location') or 'elsewhere'}; register that URL if you trust it"
    return TransportError(sentence, help=hint, a2a=info)


def _said(payload: Any) -> str:
    if isinstance(payload, dict):
        error = payload.get("error", payload)
        for candidate in (error.get("message") if isinstance(error, dict) else error, payload.get("detail")):
            if isinstance(candidate, str):
                return candidate[:300]
    return ""


def _retry_after(value: str | None) -> float | None:
    """Return ``Retry-After`` (RFC 9110 section 10.2.3) in seconds."""
    if value is None:
        return None
    value = value.strip()
    if value.isdigit():
        return float(value)
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def broken_answer(reason: str, body: bytes, content_type: str | None, *, where: str) -> ProtocolError:
    """Return the one error for an answer that is not what A2A says: HTML, nothing, half a JSON, a wrong shape."""
    start = body[:200].lstrip().lower()
    if not body.strip():
        what = "an empty body"
    elif start.startswith((b"<!doctype", b"<html")) or "html" in (content_type or ""):
        what = "an HTML page"
    else:
        what = f"something that is not A2A ({reason})"
    return ProtocolError(
        f"{where} answered {what}",
        help="is the URL that of an A2A agent? see `missive agent inspect`",
        a2a=A2AErrorInfo(name="InvalidAgentResponseError"),
        sources=(reason,),
    )
