"""The ``filedrop`` plugin: a file dropped into a folder is a request, a file in another folder its answer.

This module only declares. The work is in ``adapter``, which is imported when the door is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host.hookspecs import hookimpl
from missive_host.specs import AdapterSpec, Option

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSIVE_API = 1

_CONTRACT = "missive.file_drop.v1"


@hookimpl
def missive_adapters() -> Iterator[AdapterSpec]:
    """Declare the adapter and its options."""
    yield AdapterSpec(
        name="file-drop",
        factory="missive_filedrop.adapter:FileDropAdapter",
        summary="JSON files dropped into a folder; answers appear in another one.",
        accepts=(_CONTRACT,),
        emits=(_CONTRACT,),
        options=(
            Option("inbox", "path", required=True, help="Where requests are dropped, as files named *.json."),
            Option("outbox", "path", required=True, help="Where NAME.result.json and NAME.error.json appear."),
            Option(
                "processed",
                "path",
                help="Where requests go whose command succeeded; processed/ in the inbox if not said.",
            ),
            Option(
                "error", "path", flag="--error-dir", help="Where the others go; error/ in the inbox if it is not said."
            ),
            Option(
                "mode",
                "choice",
                choices=("once", "watch"),
                help="once works on what is there and ends; watch goes on. "
                "once is the default on the command line, watch in the gateway.",
            ),
            Option(
                "poll_interval",
                "duration",
                default=0.5,
                help="How often the inbox is read again, beside the file system's own events.",
            ),
            Option("polling", "boolean", default=False, help="Do not rely on events: where a mount has none."),
            Option("max_files", "integer", minimum=1, help="End after so many files."),
            Option(
                "session_folders",
                "boolean",
                default=False,
                help="Take files from the folders in the inbox, too: each folder is a session of that name.",
            ),
            Option(
                "any_order",
                "boolean",
                help="Let files that name no session run side by side; else they are one session, and run in the "
                "order of their names. Off on the command line, on in the gateway.",
            ),
            Option(
                "concurrency",
                "integer",
                minimum=1,
                maximum=1024,
                help="How many files are worked on at once: 4 on the command line; "
                "in the gateway as many as it takes in.",
            ),
            Option(
                "max_file_size",
                "size",
                default=8 * 1024 * 1024,
                minimum=1024,
                help="The longest request that is read, in bytes. A longer one is an error.",
            ),
        ),
        file_root_option="inbox",
        examples=(
            "missive adapter file-drop --inbox in --outbox out",
            "missive adapter file-drop --inbox in --outbox out --mode watch",
            "missive adapter file-drop --inbox in --outbox out --mode watch --polling --poll-interval 5s",
        ),
        status="stable",
    )
