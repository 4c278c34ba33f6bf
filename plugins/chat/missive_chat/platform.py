"""What a chat platform brings: what it can do, as data, and the few calls that only it can make.

Everything that is the same everywhere (who may speak, what was seen already, order, sessions, chunks, retries,
approvals) is the bridge's. A platform translates: what comes in becomes an `Inbound`, an `Outgoing` becomes a call of
the platform's own API. It keeps nothing that a restart may not take away; `PlatformContext.cursor` keeps a position.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from logging import Logger
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from missive_host.errors import AuthError, TransportError

if TYPE_CHECKING:
    from missive_host.protocols import Listener

Unit = Literal["characters", "utf-16", "bytes"]
Threads = Literal["none", "flat", "tree"]
Reaction = Literal["seen", "done", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCapabilities:
    """What a platform can do, as data. The bridge asks this and never which platform it is."""

    max_text: int
    """The longest message, in `unit`, after `Platform.render`."""
    unit: Unit = "characters"
    max_edit: int | None = None
    """The longest text of an edit, if that is less than `max_text`."""
    edits: bool = False
    """A message can be changed after it was sent: answers grow in one message."""
    edit_interval: float = 1.0
    """Seconds between two edits in one conversation."""
    send_interval: float = 1.0
    """Seconds between two messages in one conversation, after `burst` of them."""
    burst: int = 5
    threads: Threads = "none"
    """``flat``: a thread is told by its root message; ``tree``: by the message that is replied to; ``none``: a message
    in a channel begins no thread. Where such a channel is divided (topics), `Place.thread` says which part it is."""
    begins_threads: bool = True
    """With `threads`: a message in a channel is answered in a thread of its own. Else the channel itself is a
    conversation, beside the threads that people begin in it."""
    buttons: bool = False
    reactions: bool = False
    typing_ttl: float | None = None
    """Seconds after which a typing notice ends by itself; None: there is none."""
    attachments_in: int | None = None
    """The largest file in bytes that it lets us fetch; None: no files."""
    attachments_out: int | None = None
    idempotent_send: bool = False
    """The platform itself takes a message of the same `Outgoing.key` only once."""
    can_find: bool = False
    """`Platform.find` can tell whether a message with a key was sent."""
    native_stream: bool = False
    """Edits of a message with `Outgoing.progress` go out as a stream of the platform's own."""
    ack_deadline: float | None = None
    """Seconds within which an event must be acknowledged, or it comes again."""
    ends: bool = False
    """`Platform.listen` returns when there is nothing more to come, for good; then the adapter has ended, too."""
    single_owner: bool = True
    """Only one process may be connected as this account."""
    command_prefix: str = "!"
    """Before ``help``, ``new``, ``stop`` …: ``/`` where the platform lets a bot have it."""
    dialect: str = "plain"
    """What `Platform.render` makes of Markdown: ``plain``, ``markdown``, ``mrkdwn``, ``html`` …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a message is, and where its answer goes. All ids are the platform's own, as texts."""

    chat: str
    """Channel, room, direct conversation; of mail the address that wrote."""
    is_direct: bool = False
    """One person and the bot, nobody else."""
    thread: str | None = None
    """The root of the thread, where there is one."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """JSON of the platform's own that it needs to answer there (of mail: subject, references)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    id: str
    """The id that the platform vouches for, never a name that its owner may choose."""
    name: str = ""
    is_bot: bool = False
    is_me: bool = False
    """It is the account of the bridge itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    id: str
    """What `Platform.download` needs to know it by; it is stored."""
    name: str
    media_type: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """A button that was pressed."""

    value: str
    """`Button.value` of the button."""
    message_id: str | None = None
    """The message that has the button."""


Kind = Literal["message", "edit", "delete", "press"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """Something that happened on the platform.

    A slash command of the platform is a ``message`` whose text begins with the `command_prefix`, with `mentions_me`.
    An ``edit`` or ``delete`` has the `message_id` of the message that it is about, and an `event_id` of its own.
    """

    event_id: str
    """Stays the same when the platform delivers the event again; no two events of an account share it."""
    kind: Kind = "message"
    place: Place
    message_id: str
    sender: Sender
    text: str = ""
    """As Markdown; the mention of the bot is taken out."""
    mentions_me: bool = False
    reply_to: str | None = None
    """The message that this one replies to."""
    attachments: tuple[Attachment, ...] = ()
    press: Press | None = None
    sent_at: float | None = None
    """Seconds since 1970, by the platform's clock."""
    unauthentic: str | None = None
    """Why it is not sure that the sender is who it says, if so. Such a message is never acted on."""
    automatic: str | None = None
    """Why nobody should answer it, if so: an auto-reply, a bounce, a mailing list, a notice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    label: str
    value: str
    """At most 64 bytes of ASCII: Telegram has no room for more. It says nothing to who reads it."""
    style: Literal["primary", "danger"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingFile:
    path: Path
    name: str
    media_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message to be sent."""

    key: str
    """24 lower-case hexadecimal digits, the same in each attempt: for the platform's own deduplication."""
    place: Place
    text: str
    """Markdown; the platform renders it. Never empty, unless there is a file."""
    reply_to: str | None = None
    """The message that it answers."""
    buttons: tuple[Button, ...] = ()
    file: OutgoingFile | None = None
    progress: bool = False
    """It will grow by edits; the last one has `final`."""


class ChatError(TransportError):
    """A call to the platform that did not succeed.

    ``retry_after``: the seconds that the platform asks to wait; ``permanent``: it would fail again, however often it is
    tried; ``maybe_sent``: nobody knows whether the message was sent (the connection broke before the answer).
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        permanent: bool = False,
        maybe_sent: bool = False,
        help: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(message, help=help)
        self.retry_after = retry_after
        self.permanent = permanent
        self.maybe_sent = maybe_sent


class ChatLoginError(AuthError):
    """The platform does not take our credentials, or does not let us do what we need. Its own words are in it."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of ``missive chat doctor``."""

    id: str
    """E.g. ``token``, ``scopes``, ``intents``, ``socket``, ``clock``."""
    status: Literal["ok", "warn", "fail"]
    message: str
    fix: str | None = None
    """What mends it."""


Receive = Callable[[Inbound], Awaitable[bool]]
"""Takes an event in; when it returns, the event is on the disk, and may be acknowledged. False: it was known already.
It may wait, while there is no room. Events must be handed over in the order in which they happened."""


class Cursor(Protocol):
    """A position that survives a restart: ``next_batch`` of Matrix, UIDVALIDITY and UID of mail, ``update_id`` …"""

    def get(self, name: str) -> str | None: ...

    async def set(self, name: str, value: str) -> None:
        """Return when it is on the disk. Set it after the events before it were received."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformContext:
    """All that a platform gets from the bridge."""

    account: str
    """The name of the adapter's table in the config."""
    options: Mapping[str, Any]
    """Validated; secrets are `Secret`, which ``reveal()``."""
    log: Logger
    data_dir: Path
    """A folder of its own, for what its library keeps."""
    cursor: Cursor
    alive: Callable[[], None]
    """To be called for each event, pong or answered poll: the health is the time since the last call."""
    listener: Listener | None = None
    """The gateway's HTTP listener, for platforms that call us."""


class Platform(Protocol):
    """A connection to one account. Made by a factory ``(PlatformContext) -> Platform``.

    The bridge calls `open`, then `listen`, and `close` at the end, whatever happened; after a `ChatError` of `listen` a
    new one is made. `open` alone is enough for sending: ``missive chat test`` does that beside a gateway that runs.
    All other methods may be called at any time between `open` and `close`, by several tasks at once, but never
    twice at once for one message. A method whose capability is not declared is never called.
    """

    @property
    def capabilities(self) -> ChatCapabilities: ...

    @property
    def identity(self) -> str:
        """What account this is (no secret), known after `open`: no two processes of one user are connected as the
        same."""
        ...

    async def open(self) -> None:
        """Log in, far enough to send. Raises `ChatLoginError` at once if the credentials are wrong; `ChatError`."""
        ...

    async def listen(self, receive: Receive) -> None:
        """Receive until cancelled. Raises `ChatError` when the connection is lost and cannot be had again in place.

        Connections that drop and come back, and their resuming, are its own or its library's matter; what happened in
        between is fetched, where the platform can.
        """
        ...

    async def close(self) -> None:
        """Give everything back; never raises. It may be called twice, and before `open` is done."""
        ...

    def render(self, text: str) -> str:
        """Return Markdown as it will be sent: for measuring. Pings of everybody are made harmless here."""
        ...

    async def send(self, message: Outgoing) -> str:
        """Send one message; return its id. Raises `ChatError`; one that says ``maybe_sent`` honestly."""
        ...

    async def edit(
        self, place: Place, message_id: str, text: str, *, buttons: tuple[Button, ...] = (), final: bool = False
    ) -> None:
        """Give a message another text, and exactly these buttons. Not to have changed anything is no error."""
        ...

    async def find(self, message: Outgoing) -> str | None:
        """Return the id of the message that was sent under this key, if it was."""
        ...

    async def react(self, place: Place, message_id: str, reaction: Reaction, *, instead_of: Reaction | None) -> None:
        """Put a reaction to a message, in the place of an earlier one."""
        ...

    async def typing(self, place: Place) -> None:
        """Show that an answer is being written."""
        ...

    async def download(self, attachment: Attachment, path: Path, *, limit: int) -> int:
        """Write a file to `path`; return its size in bytes. Raises `ChatError`, permanent if it is over the limit."""
        ...

    async def check(self) -> tuple[Check, ...]:
        """Look at everything that must be right; called after `open` has succeeded."""
        ...
