"""How other processes talk to the running daemon: a Unix socket that only its owner can open.

One connection is one request and one answer, each a JSON object on a line: ``{"command": "status"}``. An error is
``{"error": {…}}`` with the report that every door shows. `ask` and `wake` need no event loop.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from missive_host.errors import (
    ErrorReport,
    MissiveError,
    OrchestrationError,
    ProtocolError,
    StorageError,
    TransportError,
    ValidationError,
)
from missive_host.folders import is_private, make_private

if TYPE_CHECKING:
    from anyio.abc import ByteStream, SocketStream, TaskStatus

    from missive_host.config.paths import Paths

log = logging.getLogger("missive.gateway")

Handle = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]

MAX_REQUEST = 64 * 1024
MAX_ANSWER = 64 * 1024 * 1024
CLIENT_SECONDS = 5.0
"""How long a client may take to send its line, and to read its answer."""
CLIENTS = 64
"""How many are served at the same time; others wait."""
_MAX_PATH = 107 if sys.platform == "linux" else 103
"""``sun_path`` without its closing zero byte."""
_SHORT = Path("/tmp")  # noqa: S108 - not TMPDIR: daemon and client must find the same place, whatever their environment
_WAKE = b'{"command":"wake"}\n'


def control_path(paths: Paths) -> Path:
    """Return where the socket of a profile is.

    It lies in the state folder, unless that has a name too long for a socket: then in a folder of this user's in
    ``/tmp``, under the hash of the state folder's name.
    """
    path = paths.state / "gateway.sock"
    if len(os.fsencode(path)) <= _MAX_PATH:
        return path
    from hashlib import sha256

    return _SHORT / f"missive-{os.geteuid()}" / f"{sha256(os.fsencode(paths.state)).hexdigest()[:16]}.sock"


# --- the daemon's side


async def serve_control(path: Path, handle: Handle, *, task_status: TaskStatus[None] | None = None) -> None:
    """Answer requests until it is cancelled.

    Call it with the `DaemonLock` held: a socket that lies there is taken for that of a dead daemon, and replaced.
    Raises `StorageError` if there can be no socket.
    """
    import anyio

    make_private(path.parent)
    if path.parent.parent == _SHORT and not is_private(path.parent):
        raise StorageError(
            f"the folder {path.parent} is open to others, so the gateway's socket cannot lie there",
            help="remove it, or set MISSIVE_HOME to a folder with a shorter name",
        )
    try:
        listener = await anyio.create_unix_listener(path, mode=0o600)
    except OSError as error:
        raise StorageError(
            f"the gateway's socket {path} cannot be made: {(error.strerror or str(error)).lower()}",
            help="this user must be able to write its folder; if a file of that name is there, move it away",
        ) from error
    places = anyio.CapacityLimiter(CLIENTS)

    async def serve(stream: SocketStream) -> None:
        async with stream, places:
            await _serve_one(stream, handle)

    async with listener:
        if task_status is not None:
            task_status.started()
        try:
            await listener.serve(serve)
        finally:
            path.unlink(missing_ok=True)  # noqa: ASYNC240 - one call, and it must not be cancelled


async def _serve_one(stream: SocketStream, handle: Handle) -> None:
    import anyio
    from anyio.abc import SocketAttribute

    raw: socket.socket = stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - no database is meant
    if _peer(raw) not in (None, 0, os.geteuid()):
        return
    try:
        with anyio.fail_after(CLIENT_SECONDS):
            request = await _read_request(stream)
        answer = await handle(request)
    except MissiveError as error:
        answer = {"error": msgspec.to_builtins(error.report())}
    except (TimeoutError, anyio.BrokenResourceError):
        return
    except Exception:  # the daemon lives on, whatever one request has done
        log.exception("a request on the control socket has failed")
        failed = OrchestrationError("the gateway could not do it", help="`missive logs` has the reason")
        answer = {"error": msgspec.to_builtins(failed.report())}
    with suppress(anyio.BrokenResourceError), anyio.move_on_after(CLIENT_SECONDS):
        await stream.send(msgspec.json.encode(answer) + b"\n")


async def _read_request(stream: ByteStream) -> dict[str, Any]:
    """Return the object in the first line. Raises `ValidationError`."""
    import anyio

    data = b""
    while b"\n" not in data:
        if len(data) > MAX_REQUEST:
            raise ValidationError(f"a request to the gateway may have {MAX_REQUEST} bytes")
        try:
            data += await stream.receive(MAX_REQUEST)
        except anyio.EndOfStream:
            break
    try:
        request = msgspec.json.decode(data.partition(b"\n")[0], type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise ValidationError("a request to the gateway is a JSON object on one line") from None
    if not isinstance(request.get("command"), str):
        raise ValidationError("a request to the gateway needs `command`", help='as in {"command": "status"}')
    return request


def _peer(raw: socket.socket) -> int | None:
    """Return the user at the other end; None where the system does not say, and the file's mode has to do."""
    found: int | None = None
    if sys.platform == "linux":
        found = struct.unpack("3i", raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
    elif sys.platform == "darwin":
        found = struct.unpack_from("2I", raw.getsockopt(0, 1, 76))[1]  # SOL_LOCAL, LOCAL_PEERCRED: struct xucred
    return found


# --- the other side


def ask(paths: Paths, request: dict[str, Any], *, timeout: float = 10.0) -> dict[str, Any]:
    """Send one request to the running daemon and return its answer.

    Raises `TransportError` when none runs or it does not answer, and what the daemon itself raised.
    """
    deadline = time.monotonic() + timeout
    data = b""
    try:
        with _connected(control_path(paths), timeout) as connection:
            connection.sendall(msgspec.json.encode(request) + b"\n")
            while not data.endswith(b"\n") and len(data) <= MAX_ANSWER:
                connection.settimeout(max(deadline - time.monotonic(), 0.001))
                chunk = connection.recv(1024 * 1024)
                if not chunk:
                    break
                data += chunk
    except (TimeoutError, BlockingIOError):
        raise TransportError(
            f"the gateway{_whose(paths)} has not answered within {timeout:g} s",
            help="it may be starting, or stopping; try again, or look at `missive logs`",
        ) from None
    except ConnectionError:
        data = b""
    except OSError as error:
        raise TransportError(f"the gateway cannot be asked: {(error.strerror or str(error)).lower()}") from error
    if not data.endswith(b"\n"):
        raise TransportError(
            f"the gateway{_whose(paths)} has closed the connection without an answer",
            help="it has just ended, or is ending: see `missive gateway status`",
        )
    try:
        answer = msgspec.json.decode(data, type=dict[str, Any])
        report = msgspec.convert(answer["error"], ErrorReport) if "error" in answer else None
    except msgspec.MsgspecError as error:
        raise ProtocolError(
            "the gateway has answered something that is not its protocol",
            help="it may be of another version: restart it",
            sources=(str(error),),
        ) from None
    if report is not None:
        raise error_of(report)
    return answer


def wake(paths: Paths) -> None:
    """Tell the daemon, if one runs, that there is something new in the store. Never raises, and waits for nothing."""
    with suppress(OSError, MissiveError), _connected(control_path(paths), 0.2) as connection:
        connection.sendall(_WAKE)


def answers(paths: Paths) -> bool:
    """Tell whether a daemon listens. Never raises."""
    try:
        _connected(control_path(paths), 0.2).close()
    except (OSError, MissiveError):
        return False
    return True


def _connected(path: Path, timeout: float) -> socket.socket:
    """Return a connection. Raises `TransportError` if nobody listens, `TimeoutError` if nobody accepts."""
    if path.parent.parent == _SHORT and path.parent.exists() and not is_private(path.parent):
        raise _not_running(f"the folder {path.parent} is open to others, so what listens there is not trusted")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(os.fspath(path))
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        connection.close()
        raise _not_running() from None
    except PermissionError:
        connection.close()
        raise TransportError(
            f"the gateway's socket {path} belongs to another user", help="ask as the user who runs it", sent=False
        ) from None
    except BaseException:
        connection.close()
        raise
    return connection


def _not_running(*sources: str) -> TransportError:
    return TransportError(
        "the gateway is not running", help="start it with `missive gateway run`", sources=sources, sent=False
    )


def _whose(paths: Paths) -> str:
    from missive_host.gateway.lock import last_holder

    holder = last_holder(paths)
    return "" if holder is None else f" (process {holder.pid})"


def error_of(report: ErrorReport) -> MissiveError:
    """Return an error that came as a report, as the exception that it was."""
    from missive_host import errors

    tree = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, MissiveError)]
    same = [cls for cls in tree[1:] if (cls.category, cls.exit_code) == (report.category, report.exit_code)]
    kind = same[0] if same else OrchestrationError
    message = report.message.removeprefix(errors._PREFIX.get(report.category, ""))
    return kind(message, help=report.help, sources=report.sources, a2a=report.a2a)
