"""``missive events``."""

from __future__ import annotations

from typing import Any

import click

from missive_host import commands as c
from missive_host.cli.kit import App, Field, Group, Known, Options, verb
from missive_host.cli.verbs import Verb
from missive_host.errors import StorageError

events = Group(
    "events",
    help="See what has happened: the journal, into which every step is written as it is taken.",
    examples=(
        "missive events list --agent echo",
        'missive events tail --follow --type "a2a.stream.*"',
        "missive events show 17",
    ),
)
SELECTORS: Options = {
    "types": Field(flags="--type", metavar="PATTERN"),
    "since": Field(metavar="TIME"),
    "until": Field(metavar="TIME"),
    "task": Field(metavar="TASK"),
    "message": Field(metavar="MESSAGE", type=Known("message")),
    "work": Field(metavar="RECEIPT"),
}
events.add_command(
    verb(
        "list",
        c.EventsList,
        options=SELECTORS,
        examples=(
            "missive events list",
            'missive events list --context trip --type "a2a.*.failed"',
            "missive events list --since 10m --ndjson",
        ),
    )
)
events.add_command(
    verb(
        "tail",
        c.EventsTail,
        options={**SELECTORS, "follow": ("-f", "--follow"), "lines": ("-n", "--lines")},
        examples=(
            "missive events tail --follow",
            "missive events tail --task task-1 --until-terminal --timeout 5m",
            "missive events tail --follow --from-sequence 17 --ndjson",
        ),
    )
)
events.add_command(
    verb(
        "show",
        c.EventsShow,
        options={"event": Field(metavar="EVENT")},
        examples=("missive events show 17", "missive events show 17 --json"),
    )
)


class _Export(Verb):
    """Writes what goes to standard output as it is read, so that a journal of any length needs little memory."""

    def _handle(self, **values: Any) -> None:
        from missive_host.core.handlers.events import Export

        app: App = click.get_current_context().obj
        command: Any = self.build(app, values)
        if command.output is None and app.mode == "human":
            for piece in Export(app.core(), command).text():
                app.screen.text(piece, end="")
        elif command.output is None and app.mode == "ndjson" and command.format == "ndjson":
            for output in Export(app.core(), command).records():
                app.emit(output)
        else:
            app.run(command)


events.add_command(
    _Export(
        "export",
        c.EventsExport,
        (),
        {**SELECTORS, "output": Field(flags=("-o", "--output"), metavar="FILE", type=click.Path())},
        (
            "missive events export --since 24h -o day.ndjson",
            "missive events export --format csv > events.csv",
            "missive events export --format otlp -o events.otlp.jsonl",
            "missive events export --context trip --format html -o trip.html",
        ),
        None,
    )
)


class _Replay(Verb):
    """Ends with an error when the tables say something else than the journal."""

    def _handle(self, **values: Any) -> None:
        app: App = click.get_current_context().obj
        output = app.core().run_local(self.build(app, values))
        app.emit(output)
        data: Any = output.data
        if data.verified is False:
            raise StorageError(
                "the journal and the tables do not say the same",
                help="the tables are what missive works with; `missive trace ID` shows what happened to each",
            )


events.add_command(
    _Replay(
        "replay",
        c.EventsReplay,
        (),
        SELECTORS,
        ("missive events replay --context trip", "missive events replay --verify"),
        None,
    )
)

trace = verb(
    "trace",
    c.Trace,
    options={"id": Field(type=Known("anything"))},
    examples=(
        "missive trace 019c2a4e-7d10-7b3f-9a55-3d2f8f3a7c11",
        "missive trace trip",
        "missive trace task-1 --json",
    ),
)
