"""An adapter at work, with the rig on one side and a recording intake on the other."""

from __future__ import annotations

import logging
import os
import threading
import traceback
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import anyio

from missive_host.adapter_options import convert_options
from missive_host.plugins import catalog, load
from missive_host.protocols import Adapter, AdapterContext
from missive_host.security.providers import Secrets
from missive_host.testing.intake import RecordingIntake
from missive_host.testing.rig import AdapterRig, Answer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from anyio.abc import TaskGroup

    from missive_host.protocols import Listener
    from missive_host.specs import AdapterSpec


class Ears(logging.Handler):
    """Everything that is logged by anybody, at the lowest level."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    def __enter__(self) -> Self:
        root = logging.getLogger()
        self._level = root.level
        root.addHandler(self)
        root.setLevel(logging.DEBUG)
        return self

    def __exit__(self, *_: object) -> None:
        root = logging.getLogger()
        root.removeHandler(self)
        root.setLevel(self._level)


def told(error: BaseException) -> str:
    """Return all that an error may show, with the errors it came from."""
    notes = [str(error), repr(error), str(getattr(error, "help", "")), str(getattr(error, "sources", ""))]
    return "\n".join([*notes, *traceback.format_exception(error)])


class Running:
    """Opens the rig, makes the adapter, runs it; leaving it cancels the adapter and closes the rig."""

    def __init__(
        self,
        rig: AdapterRig,
        spec: AdapterSpec,
        factory: Callable[[AdapterContext], Adapter],
        intake: RecordingIntake,
        *,
        patience: float,
        with_listener: bool = False,
        durable: bool = True,
        starts: bool = True,
    ) -> None:
        self.rig = rig
        self.intake = intake
        self.status: int | None = None
        """What `run` returned."""
        self.error: Exception | None = None
        """What `run` raised."""
        self.ended = anyio.Event()
        self.adapter: Adapter
        self._spec = spec
        self._factory = factory
        self._patience = patience
        self._with_listener = with_listener
        self._durable = durable
        self._starts = starts
        self._reading = anyio.CancelScope()
        self._group: TaskGroup
        self._ears = Ears()

    async def __aenter__(self) -> Self:
        self._ears.__enter__()
        self.rig.folder.mkdir(parents=True, exist_ok=True)
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        try:
            self.rig.group = self._group
            listener = await self._listen() if self._with_listener else None
            await self.rig.open()
            self.adapter = self.make(listener)
            await self.intake.__aenter__()
        except BaseException:
            self._ears.__exit__()
            self._group.cancel_scope.cancel()
            await self._group.__aexit__(None, None, None)
            raise
        if self._starts:
            self._group.start_soon(self._run)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._reading.cancel()
            if self._starts:
                with anyio.move_on_after(self._patience, shield=True):
                    await self.ended.wait()
            await self.intake.__aexit__(None, None, None)
            with anyio.move_on_after(self._patience, shield=True):
                await self.rig.close()
        finally:
            self._group.cancel_scope.cancel()
            await self._group.__aexit__(None, None, None)
            self._ears.__exit__()
        if error is None and self.error is not None:
            raise self.error

    def make(self, listener: Listener | None = None) -> Adapter:
        """Make one more adapter of the same options and data folder, as the next process would."""
        data_dir = self.rig.folder / "data"
        data_dir.mkdir(parents=True, exist_ok=True)
        self._listener = listener or getattr(self, "_listener", None)
        context = AdapterContext(
            name="contract",
            kind=self._spec.name,
            options=options_of(self._spec, self.rig),
            log=logging.getLogger("missive.contract"),
            data_dir=data_dir,
            listener=self._listener,
            authenticate=lambda _token: None,
            durable=self._durable,
        )
        return self.rig.make(self._factory, context)

    async def again(self) -> None:
        """Run one more adapter in the place of the one that has ended, as the next process would."""
        self.adapter = self.make()
        self.ended = anyio.Event()
        self._reading = anyio.CancelScope()
        self._group.start_soon(self._run)

    async def _listen(self) -> Listener:
        from missive_host.gateway.listener import HttpListener

        listener = HttpListener("127.0.0.1:0")
        await self._group.start(listener.serve)
        self.rig.listener = listener
        return listener

    async def _run(self) -> None:
        try:
            with self._reading:
                self.status = await self.adapter.run(self.intake)
        except Exception as error:  # noqa: BLE001 - whoever waits for something raises it
            self.error = error
        finally:
            self.ended.set()

    # --- for the rules

    def cancel(self) -> None:
        """Stop the reading, as the host does when it stops."""
        self._reading.cancel()

    async def send(self, *samples: Any) -> None:
        """Send samples, one after another; it must come to an end."""
        await self.within(self._send, samples, "`send` of the rig did not return: nobody reads what it sends")

    async def _send(self, samples: Sequence[Any]) -> None:
        for sample in samples:
            await self.rig.send(sample)

    def send_soon(self, *samples: Any) -> None:
        """Send samples meanwhile: nobody may be reading."""
        self._group.start_soon(self._send, samples)

    async def within(self, call: Callable[..., Any], argument: Any, otherwise: str) -> None:
        """Wait for a call; what the adapter raised meanwhile is raised here."""
        with anyio.move_on_after(self._patience) as waiting:
            await call(argument)
        self.still_well()
        assert not waiting.cancelled_caught, otherwise

    async def until(self, what: str, enough: Callable[[RecordingIntake], Any]) -> None:
        """Wait until something is so of the intake."""
        await self.within(self._until, enough, f"it did not come to be: {what}")

    async def until_taken(self, count: int) -> None:
        """Wait until the intake has taken so many deliveries."""
        await self.until(f"{count} deliveries", lambda intake: len(intake.taken) >= count)

    async def _until(self, enough: Callable[[RecordingIntake], Any]) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._stop_waiting, group.cancel_scope)
            await self.intake.until(enough)
            group.cancel_scope.cancel()

    async def _stop_waiting(self, scope: anyio.CancelScope) -> None:
        await self.ended.wait()
        if self.error is not None:
            scope.cancel()

    async def answer(self, what: str, right: Callable[[Answer], bool]) -> Answer:
        """Wait until a sender has seen such an answer."""
        return (await self.answers(what, 1, right))[0]

    async def answers(self, what: str, count: int, right: Callable[[Answer], bool]) -> list[Answer]:
        """Wait until senders have seen that many answers of a kind."""
        found: list[Answer] = []
        seen: Sequence[Answer] = ()
        with anyio.move_on_after(self._patience):
            while True:
                seen = await self.rig.answers()
                found = [each for each in seen if right(each)]
                if len(found) >= count or self.error is not None:
                    break
                await anyio.sleep(0.02)
        self.still_well()
        shown = [(each.text[:200], each.error) for each in seen]
        assert len(found) >= count, f"{what}: nobody was told so; the answers are {shown}"
        return found

    def still_well(self) -> None:
        """Raise what `run` has raised."""
        if self.error is not None:
            raise self.error

    def everything_said(self) -> str:
        """All that was logged, and what the adapter and its deliveries look like."""
        shown = [repr(self.adapter), *(repr(taken.delivery) for taken in self.intake.taken)]
        shown += [repr(vars(taken.delivery)) for taken in self.intake.taken if hasattr(taken.delivery, "__dict__")]
        shown += [repr(taken.reply_to) for taken in self.intake.taken]
        failed = [self.error, *self.intake.failures]
        shown += [told(error) for error in failed if error is not None]
        return "\n".join([*self._ears.lines, *shown])


def options_of(spec: AdapterSpec, rig: AdapterRig, **changed: Any) -> Mapping[str, Any]:
    """Return the rig's options as the host hands them over: validated, complete with defaults, not to be changed."""
    plugins = load(catalog())
    secrets = Secrets(lambda: plugins, rig.environ)
    return MappingProxyType(convert_options(spec, {**rig.options(), **changed}, secrets=secrets))


def held() -> dict[str, int]:
    """Return how many tasks, threads and open files there are in this process."""
    idle = ("AnyIO worker", "Trio thread", "asyncio_")
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith(idle)]
    return {"tasks": len(anyio.get_running_tasks()), "threads": len(threads), "files and sockets": _open_files()}


def _open_files() -> int:
    try:
        return len(os.listdir("/dev/fd"))  # noqa: PTH208 - one open descriptor is the listing's own
    except OSError:  # Windows has no such folder
        return 0
