"""Results on stdout: for people, as one JSON document, as NDJSON, or not at all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from missive_host.cli.screen import write_bytes

if TYPE_CHECKING:
    from missive_host.cli.app import App
    from missive_host.cli.screen import Screen
    from missive_host.outputs import Output

Human = Callable[[Any, "Screen"], None]


class Renderer(Protocol):
    """Prints results. ``count`` is how many it was given."""

    count: int

    def emit(self, output: Output, human: Human | None = None) -> None:
        """Print one result, or keep it for the end."""
        ...

    def close(self) -> None:
        """The command has ended."""
        ...


def make_renderer(mode: str, app: App) -> Renderer:
    """Return the renderer of an output mode: ``human``, ``json``, ``ndjson`` or ``quiet``."""
    if mode == "json":
        return _Json()
    if mode == "ndjson":
        return _Ndjson()
    if mode == "quiet":
        return _Quiet()
    from missive_host.cli.human import HumanRenderer

    return HumanRenderer(app.screen) if app.stream_view is None else HumanRenderer(app.screen, app.stream_view)


class _Quiet:
    def __init__(self) -> None:
        self.count = 0

    def emit(self, output: Output, human: Human | None = None) -> None:  # noqa: ARG002
        self.count += 1

    def close(self) -> None:
        """Nothing was begun."""


class _Ndjson:
    """One compact object a line, as it happens."""

    def __init__(self) -> None:
        self.count = 0

    def emit(self, output: Output, human: Human | None = None) -> None:  # noqa: ARG002
        import msgspec

        self.count += 1
        if output.kind == "events_tail":
            return  # its events were the lines
        for line in _events(output) if output.kind in ("events_list", "events_export") else (output,):
            write_bytes(sys.stdout, msgspec.json.encode(line.document(sequence=True)) + b"\n")

    def close(self) -> None:
        """Every line has been written."""


class _Json:
    """One document a command: the events of a stream are kept and go into its result."""

    def __init__(self) -> None:
        self.count = 0
        self._events: list[Any] = []

    def emit(self, output: Output, human: Human | None = None) -> None:  # noqa: ARG002
        import msgspec

        self.count += 1
        data: Any = output.data
        if output.kind in ("stream_event", "event_record"):
            self._events.append(data)
            return
        if output.kind == "job_start" and data.attached:
            return  # the one document is that of the job's command
        if output.kind in ("stream_result", "events_tail") and self._events and not data.events:
            output = msgspec.structs.replace(output, data=msgspec.structs.replace(data, events=tuple(self._events)))
            self._events = []
        write_bytes(sys.stdout, pretty(output.document()))

    def close(self) -> None:
        """Every document has been written; events without a result are in the journal."""


def _events(output: Output) -> Iterator[Output]:
    """Yield the events of a list, each as a result of its own; what has none is one result."""
    from missive_host.core.handlers.events import record

    data: Any = output.data
    return map(record, data.events) if isinstance(data.events, tuple) else iter((output,))


def pretty(document: Any) -> bytes:
    """Return a document as indented JSON with a line end."""
    import msgspec

    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
