"""One connection to an IMAP server. Its library blocks, so its calls run in threads, one after the other."""

from __future__ import annotations

import imaplib
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread
from imapclient import IMAPClient, SocketTimeout
from imapclient.exceptions import IMAPClientAbortError, IMAPClientError, LoginError

from missive_chat.platform import ChatError, ChatLoginError
from missive_chat.platforms.email.headers import one_line
from missive_chat.platforms.email.settings import Endpoint

if TYPE_CHECKING:
    from anyio.abc import TaskStatus

T = TypeVar("T")

CONNECT_TIMEOUT = 20.0
READ_TIMEOUT = 60.0
CLOSE_TIMEOUT = 3.0
_NEWS = (b"EXISTS", b"EXPUNGE", b"RECENT", b"FETCH")
_LATER = ("UNAVAILABLE", "INUSE", "LIMIT", "SERVERBUG", "THROTTLED", "OVERQUOTA")
"""Response codes of a login that fails although the password may be right."""


class ConnectionLostError(ChatError):
    """The connection broke; the next call makes a new one."""


class Client(IMAPClient):  # type: ignore[misc]
    """`IMAPClient` whose waiting ends, too, when `wake` can be read."""

    wake: socket.socket
    readable = False
    """The last look found something to read."""
    look_at_once = False
    """The answer to IDLE may have brought more with it that is in a buffer already, where no poll sees it."""
    rung = False
    """It was woken."""

    def _poll_socket(self, sock: socket.socket, timeout: float | None = None) -> bool:
        if self.look_at_once:
            self.look_at_once, self.readable, self.rung = False, False, False
            return True
        poller = select.poll()
        poller.register(sock.fileno(), select.POLLIN)
        poller.register(self.wake.fileno(), select.POLLIN)
        ready = {number for number, _ in poller.poll(None if timeout is None else timeout * 1000)}
        self.readable, self.rung = sock.fileno() in ready, self.wake.fileno() in ready
        return self.readable


class Session:
    """A connection that is logged in, and the folder that is selected in it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.folder: str | None = None
        self.state: dict[bytes, Any] = {}

    def select(self, folder: str, *, readonly: bool = False) -> dict[bytes, Any]:
        """Select a folder, unless it is; return what the server said of it."""
        if self.folder != folder:
            self.folder = None
            self.state = self.client.select_folder(folder, readonly=readonly)
            self.folder = folder
        return self.state

    def search(self, criteria: Any) -> list[int]:
        """Search, again if mail came in meanwhile: then the last answer has all that the server has told us of."""
        while True:
            self.client._imap.response("EXISTS")
            found = [int(each) for each in self.client.search(criteria)]
            if self.client._imap.response("EXISTS")[1] == [None]:
                return sorted(found)


class Imap:
    """Calls are made by `run`, each with the connection for itself; one that is waited for ends `idle`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._session: Session | None = None
        self._lock = anyio.Lock()
        self._limiter = anyio.CapacityLimiter(1)
        self._waiting = 0
        self._idling = False
        self._bell, self._ring = socket.socketpair()
        for end in (self._bell, self._ring):
            end.setblocking(False)

    async def run(self, job: Callable[[Session], T]) -> T:
        """Run a job in a thread. Raises `ConnectionLostError`, `ChatLoginError`, `ChatError`."""
        self._waiting += 1
        self._wake()
        try:
            async with self._lock:
                session = self._session or await self._connect()
                return await self._call(lambda: job(session))
        finally:
            self._waiting -= 1

    async def idle(self, has_news: Callable[[Session], bool], seconds: float, alive: Callable[[], None]) -> None:
        """Wait until there is news, somebody else wants the connection, or so many seconds have passed.

        It is looked for news first: what came since the last look may have been told with the answer to something
        else, and is told once only.
        """

        def work(session: Session) -> None:
            if not has_news(session):
                _idle(session.client, seconds, lambda: anyio.from_thread.run_sync(alive))

        async with self._lock:
            session = self._session
            if session is None or self._waiting:
                return
            self._idling = True
            try:
                await self._call(lambda: work(session))
            finally:
                self._idling = False
                with suppress(BlockingIOError):
                    self._bell.recv(1024)

    async def has_idle(self) -> bool:
        return await self.run(lambda session: bool(session.client.has_capability("IDLE")))

    async def close(self) -> None:
        """Log out if that is quick, and give the sockets back."""
        self._waiting += 1
        self._wake()
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(CLOSE_TIMEOUT):
                async with self._lock:
                    if (session := self._session) is not None:
                        with suppress(ChatError):
                            await self._call(lambda: _log_out(session.client))
            self._drop()
        self._bell.close()
        self._ring.close()

    # --- the connection

    async def _connect(self) -> Session:
        made: list[Client] = []
        given_up = False

        def work() -> None:
            made.append(_connect(self._endpoint, self._bell))
            if given_up:
                _drop(made[0])

        try:
            # it cannot be interrupted; who does not want to wait leaves it alone
            await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
        except BaseException:
            given_up = True
            for client in made:
                _drop(client)
            raise
        self._session = Session(made[0])
        return self._session

    async def _call(self, work: Callable[[], T]) -> T:
        """Run something in a thread; if we are cancelled meanwhile, it is made to end."""
        results: list[T] = []
        errors: list[Exception] = []
        try:
            async with anyio.create_task_group() as group:
                await group.start(self._watch, results, errors)
                try:
                    results.append(await anyio.to_thread.run_sync(work, limiter=self._limiter))
                except Exception as error:  # noqa: BLE001 - it is raised below, not as one of a group
                    errors.append(error)
                group.cancel_scope.cancel()
        except anyio.get_cancelled_exc_class():
            if errors:
                self._translated(errors[0])
            raise
        if errors:
            raise self._translated(errors[0]) from None
        return results[0]

    async def _watch(self, results: list[Any], errors: list[Any], *, task_status: TaskStatus[None]) -> None:
        task_status.started()
        try:
            await anyio.sleep_forever()
        finally:
            if not results and not errors:
                self._wake()
                if not self._idling and self._session is not None:
                    with suppress(OSError):
                        self._session.client.socket().shutdown(socket.SHUT_RDWR)

    def _translated(self, error: Exception) -> Exception:
        """Return what an error of the library means; if it is that the connection is dead, it is given up."""
        if not isinstance(error, IMAPClientError | OSError | EOFError):
            return error
        words = one_line(str(error))[:300]
        if isinstance(error, IMAPClientAbortError | OSError | EOFError):
            self._drop()
            return ConnectionLostError(f"the connection to the {self._endpoint} broke: {words}")
        return ChatError(f"the {self._endpoint} refuses: {words}")

    def _drop(self) -> None:
        if self._session is not None:
            _drop(self._session.client)
            self._session = None

    def _wake(self) -> None:
        if self._idling:
            with suppress(OSError):
                self._ring.send(b"\0")


# --- what runs in the thread


def _connect(endpoint: Endpoint, wake: socket.socket) -> Client:
    """Connect, secure the connection and log in."""
    try:
        client = Client(
            endpoint.host,
            endpoint.port,
            ssl=endpoint.security == "tls",
            ssl_context=endpoint.tls(),
            timeout=SocketTimeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT),
        )
    except (OSError, IMAPClientError, EOFError) as error:
        raise ConnectionLostError(f"the {endpoint} cannot be reached: {one_line(str(error))}") from None
    client.wake = wake
    try:
        client.socket().setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if endpoint.security == "starttls":
            client.starttls(endpoint.tls())
        _log_in(client, endpoint)
    except BaseException as error:
        _drop(client)
        if isinstance(error, LoginError):
            raise _login_error(endpoint, error) from None
        if isinstance(error, OSError | IMAPClientError | EOFError):
            raise ConnectionLostError(f"the {endpoint} cannot be used: {one_line(str(error))}") from None
        raise
    return client


def _log_in(client: Client, endpoint: Endpoint) -> None:
    if client.has_capability("AUTH=PLAIN"):
        client.plain_login(endpoint.username, endpoint.password.reveal())
    else:
        client.login(endpoint.username, endpoint.password.reveal())


def _login_error(endpoint: Endpoint, error: Exception) -> Exception:
    words = one_line(str(error))[:300]
    if any(f"[{code}]" in words.upper() for code in _LATER):
        return ConnectionLostError(f"the {endpoint} cannot log us in now: {words}")
    return ChatLoginError(
        f"the {endpoint} does not let {endpoint.username} in: {words}",
        help="Check `username` and `password`; many providers want an app password here.",
    )


def _idle(client: Client, seconds: float, alive: Callable[[], None]) -> None:
    try:
        client.idle()
    except IMAPClientError as error:  # the library does not expect news before the "+", and is then out of step
        raise imaplib.IMAP4.abort(str(error)) from None
    client.look_at_once = True
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        said = client.idle_check(timeout=left)
        if any(b"BYE" in each[:1] for each in said):
            raise imaplib.IMAP4.abort("the server has closed the connection")
        if said:
            alive()
        if any(word in each for each in said for word in _NEWS):
            break
        if client.rung or (client.readable and not said):
            break
    client.idle_done()  # it fails if the connection is dead, and so does everything that hides it


def _log_out(client: Client) -> None:
    client.socket().settimeout(CLOSE_TIMEOUT / 2)
    client.logout()


def _drop(client: Client) -> None:
    with suppress(OSError, IMAPClientError, EOFError):
        client.shutdown()
