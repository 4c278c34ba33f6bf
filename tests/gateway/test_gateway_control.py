"""Talking to the running daemon."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from missive_host.config.paths import Paths, profile_paths
from missive_host.errors import (
    A2AErrorInfo,
    AuthError,
    DeadlineError,
    StorageError,
    TransportError,
    ValidationError,
)
from missive_host.gateway.control import MAX_REQUEST, ask, control_path, error_of, serve_control, wake
from missive_host.gateway.lock import DaemonLock


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return profile_paths("default", {"MISSIVE_HOME": str(tmp_path)})


class Daemon:
    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.asked = anyio.Event()

    async def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        self.requests.append(request)
        self.asked.set()
        match request["command"]:
            case "status":
                return {"state": "running", "text": "ä" * request.get("length", 1)}
            case "slow":
                await anyio.sleep_forever()
            case "bug":
                raise RuntimeError("secret detail")
            case "auth":
                raise AuthError("no", help="get one", sources=("a", "b"), a2a=A2AErrorInfo(name="X", code=-1))
        raise ValidationError(f"there is no command '{request['command']}'")


@asynccontextmanager
async def running(paths: Paths) -> AsyncIterator[Daemon]:
    daemon = Daemon()
    with DaemonLock(paths):
        async with anyio.create_task_group() as tasks:

            async def serve(*, task_status: Any) -> None:
                await serve_control(control_path(paths), daemon.handle, task_status=task_status)

            await tasks.start(serve)
            yield daemon
            tasks.cancel_scope.cancel()


async def asking(paths: Paths, timeout: float = 10.0, **request: Any) -> dict[str, Any]:
    return await anyio.to_thread.run_sync(lambda: ask(paths, request, timeout=timeout))


async def raw(path: Path, data: bytes) -> bytes:
    async with await anyio.connect_unix(path) as stream:
        await stream.send(data)
        answer = b""
        while True:
            try:
                answer += await stream.receive()
            except anyio.EndOfStream:
                return answer


async def test_a_request_is_answered_and_the_socket_is_its_owners_alone(paths: Paths) -> None:
    async with running(paths) as daemon:
        path = control_path(paths)  # in a folder with a long name it is elsewhere
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert await asking(paths, command="status", more=[1]) == {"state": "running", "text": "ä"}
        assert daemon.requests == [{"command": "status", "more": [1]}]
        answer = await asking(paths, command="status", length=3_000_000)
        assert len(answer["text"]) == 3_000_000
    assert not path.exists()


async def test_errors_of_the_daemon_are_raised_as_they_were(paths: Paths, caplog: pytest.LogCaptureFixture) -> None:
    async with running(paths):
        with pytest.raises(AuthError) as caught:
            await asking(paths, command="auth")
        assert (caught.value.message, caught.value.help, caught.value.sources) == ("no", "get one", ("a", "b"))
        assert caught.value.a2a == A2AErrorInfo(name="X", code=-1)
        with pytest.raises(ValidationError, match="there is no command 'dance'"):
            await asking(paths, command="dance")
        with pytest.raises(Exception, match="could not do it") as failed:
            await asking(paths, command="bug")
        assert "secret detail" not in str(failed.value.__dict__)
        assert "secret detail" in caplog.text
        assert await asking(paths, command="status")


def test_every_class_of_the_tree_comes_back() -> None:
    for error in (DeadlineError("late"), StorageError("full"), TransportError("gone")):
        again = error_of(error.report())
        assert type(again) is type(error)
        assert again.report() == error.report()


@pytest.mark.parametrize(
    "line", [b"hello\n", b"[1]\n", b"{}\n", b'{"command": 1}\n', b"\xff\xfe\n", b"\n", b"x" * (MAX_REQUEST + 5)]
)
async def test_what_is_no_request_gets_a_clear_error(paths: Paths, line: bytes) -> None:
    async with running(paths) as daemon:
        answer = json.loads(await raw(control_path(paths), line))
        assert answer["error"]["code"] == "missive::validation"
        assert daemon.requests == []


async def test_clients_that_say_nothing_do_not_keep_others_out(paths: Paths) -> None:
    async with running(paths):
        silent = [await anyio.connect_unix(control_path(paths)) for _ in range(20)]
        assert await asking(paths, command="status")
        for stream in silent:
            await stream.aclose()
        assert await asking(paths, command="status")


async def test_a_client_that_goes_away_does_no_harm(paths: Paths) -> None:
    async with running(paths) as daemon:
        async with await anyio.connect_unix(control_path(paths)) as stream:
            await stream.send(b'{"command":"status","length":3000000}\n')
            await daemon.asked.wait()
        assert await asking(paths, command="status")


async def test_a_daemon_that_does_not_answer_is_named(paths: Paths) -> None:
    async with running(paths):
        with pytest.raises(TransportError, match=rf"gateway \(process {os.getpid()}\) has not answered within 0.2 s"):
            await asking(paths, timeout=0.2, command="slow")


def test_without_a_daemon_the_next_step_is_said(paths: Paths) -> None:
    with pytest.raises(TransportError, match="the gateway is not running") as caught:
        ask(paths, {"command": "status"})
    assert caught.value.help == "start it with `missive gateway run`"
    assert caught.value.exit_code == 69
    assert not caught.value.sent
    assert not paths.state.exists()


def test_something_else_on_the_socket_is_not_believed(paths: Paths) -> None:
    paths.state.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(control_path(paths)))
        listener.listen()
        program = (
            "import socket,sys; c=socket.socket(socket.AF_UNIX); c.connect(sys.argv[1]); c.close()\n"
            "import os, json; from missive_host.config.paths import profile_paths\n"
            "from missive_host.gateway.control import ask\n"
            "ask(profile_paths('default', os.environ), {'command': 'status'})\n"
        )
        env = {**os.environ, "MISSIVE_HOME": str(paths.state.parents[2])}
        args = [sys.executable, "-c", program, str(control_path(paths))]
        with subprocess.Popen(args, env=env, stderr=subprocess.PIPE, text=True) as child:
            listener.accept()[0].close()
            connection, _ = listener.accept()
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n")
            connection.close()
            assert child.stderr is not None
            assert "ProtocolError: the gateway has answered something that is not its protocol" in child.stderr.read()


async def test_the_doorbell_rings_and_never_fails(paths: Paths) -> None:
    wake(paths)  # nobody is there
    async with running(paths) as daemon:
        wake(paths)
        with anyio.fail_after(10):
            await daemon.asked.wait()
        assert daemon.requests == [{"command": "wake"}]
    control_path(paths).write_text("not a socket")
    wake(paths)


async def test_the_socket_of_a_dead_daemon_is_replaced(paths: Paths) -> None:
    program = (
        "import anyio, os\nfrom missive_host.config.paths import profile_paths\n"
        "from missive_host.gateway.control import control_path, serve_control\n"
        "async def main():\n"
        "    async def handle(request): os._exit(9)\n"
        "    async with anyio.create_task_group() as tasks:\n"
        "        async def serve(*, task_status): await serve_control(path, handle, task_status=task_status)\n"
        "        await tasks.start(serve)\n"
        "        print('ready', flush=True)\n"
        "path = control_path(profile_paths('default', os.environ))\nanyio.run(main)\n"
    )
    env = {**os.environ, "MISSIVE_HOME": str(paths.state.parents[2])}
    with subprocess.Popen([sys.executable, "-c", program], env=env, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        with pytest.raises(TransportError, match="closed the connection without an answer"):
            await asking(paths, command="status")
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert control_path(paths).is_socket()
    with pytest.raises(TransportError, match="not running"):
        await asking(paths, command="status")
    async with running(paths):
        assert await asking(paths, command="status")


async def test_a_file_in_the_sockets_place_is_kept(paths: Paths) -> None:
    paths.state.mkdir(parents=True)
    control_path(paths).write_text("mine")
    with pytest.raises(StorageError, match="cannot be made"):
        await serve_control(control_path(paths), Daemon().handle)
    assert control_path(paths).read_text() == "mine"


async def test_a_state_folder_with_a_long_name_has_its_socket_in_a_private_folder(tmp_path: Path) -> None:
    paths = profile_paths("default", {"MISSIVE_HOME": str(tmp_path / ("long" * 30))})
    path = control_path(paths)
    assert len(os.fsencode(path)) < 104
    assert path.parent.name == f"missive-{os.geteuid()}"
    other = control_path(profile_paths("other", {"MISSIVE_HOME": str(tmp_path / ("long" * 30))}))
    assert other != path
    async with running(paths):
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert await asking(paths, command="status")
    assert not path.exists()


async def test_a_folder_in_tmp_that_others_can_open_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = Path("/tmp") / f"missive-test-{os.getpid()}"
    monkeypatch.setattr("missive_host.gateway.control._SHORT", short)
    paths = profile_paths("default", {"MISSIVE_HOME": str(tmp_path / ("long" * 30))})
    folder = control_path(paths).parent
    folder.mkdir(parents=True)
    try:
        folder.chmod(0o755)
        with pytest.raises(StorageError, match="is open to others"):
            await serve_control(control_path(paths), Daemon().handle)
        with pytest.raises(TransportError, match="not running"):
            ask(paths, {"command": "status"})
    finally:
        shutil.rmtree(short)


def test_the_client_needs_no_event_loop() -> None:
    program = (
        "import sys, json, os\nfrom pathlib import Path\nfrom missive_host.gateway.control import wake\n"
        "from missive_host.config.paths import Paths\n"
        "wake(Paths(*[Path('/nowhere')] * 4))\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {"anyio", "asyncio", "ssl", "sqlite3", "click", "starlette", "httpx", "a2a", "pluggy"}
    assert not set(json.loads(done.stdout)) & heavy
