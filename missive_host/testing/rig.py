"""The other side of an adapter under test: whoever writes to it, and reads what it answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from missive_host.protocols import Adapter, AdapterContext, Listener

FEATURES: Mapping[str, str] = {
    "end": "its input can come to an end, and then `run` returns",
    "answers": "senders can see what became of what they sent",
    "progress": "senders see every result of a command; without it, the last one",
    "errors": "senders can send what is not acceptable, and are told so",
    "wait": "it reads no further while the host is full; without it, it refuses in words of its own",
    "late": "what is answered after `run` was cancelled is told at once; without it, the next run tells it",
    "restore": "it can answer deliveries that another process took in",
    "redelivers": "it tells those answers to their senders by itself; without it, senders come and ask",
}
"""What an adapter may lack, and what it means to have it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as the sender sees it: the text, or the bytes as text."""

    text: str
    error: bool = False
    """It says that something went wrong."""


class AdapterRig(ABC):
    """One for each test, made with a folder of its own. A method is needed only for what `lacks` does not name.

    It is opened before the adapter is made, and closed after the adapter has ended.
    """

    samples: ClassVar[Sequence[Any]]
    """At least three inputs, each of which becomes one delivery. What they are is between them and `send`."""
    bad_samples: ClassVar[Sequence[Any]] = ()
    """Inputs that cannot be accepted, each of which becomes one error: no JSON, no UTF-8, an unknown command …"""

    group: TaskGroup
    """For what the rig does while the test goes on; it is cancelled at the end of the test."""
    listener: Listener | None = None
    """The gateway's HTTP listener, if the contract class asks for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ: dict[str, str] = {}
        """The variables that references to secrets are looked up in."""
        self.secrets: list[str] = []
        """Texts that nobody may ever see."""

    def secret(self, text: str) -> dict[str, str]:
        """Return a reference to a secret, for an option of `options`; its text may then be seen nowhere."""
        variable = f"MISSIVE_KIT_SECRET_{len(self.environ)}"
        self.environ[variable] = text
        self.secrets.append(text)
        return {"secret": f"env:{variable}"}

    async def open(self) -> None:  # noqa: B027 - not everybody needs it
        """Get ready: make folders, listen, log in."""

    async def close(self) -> None:  # noqa: B027 - the same
        """Let go of what `open` took."""

    def options(self) -> Mapping[str, Any]:
        """Return the options as the config would have them, secrets by reference (`secret`)."""
        return {}

    def make(self, factory: Callable[[AdapterContext], Adapter], context: AdapterContext) -> Adapter:
        """Make the adapter as the host does, or hand it another end than the real one."""
        return factory(context)

    @abstractmethod
    async def send(self, sample: Any) -> None:
        """Send one sample, as a stranger would. It may wait until the adapter reads; it need not wait for an answer."""

    async def end(self) -> None:
        """Bring the input to its end (``end``)."""
        raise NotImplementedError("write `end` in the rig, or put 'end' into `lacks`")

    async def answers(self) -> Sequence[Answer]:
        """Return all the answers that there are by now, in any order (``answers``, ``errors``)."""
        raise NotImplementedError("write `answers` in the rig, or put 'answers' and 'errors' into `lacks`")
