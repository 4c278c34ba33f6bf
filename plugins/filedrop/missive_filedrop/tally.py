"""What was done, in numbers, and the last files of it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from missive_host.protocols import Summary

if TYPE_CHECKING:
    from missive_filedrop.answers import Answered
    from missive_filedrop.folders import Folders
    from missive_host.errors import ErrorReport

LISTED = 1000
"""How many files a summary lists: the last ones."""


class Tally:
    """Counts requests that were answered. ``seen`` counts those that were found."""

    def __init__(self) -> None:
        self.seen = self.succeeded = self.failed = 0
        self.files: deque[dict[str, Any]] = deque(maxlen=LISTED)

    def add(self, name: str, error: ErrorReport | None, outputs: int, answered: Answered) -> None:
        if error is None:
            self.succeeded += 1
        else:
            self.failed += 1
        found = {
            "input_file": name,
            "ok": error is None,
            "output_file": str(answered.output),
            "output_kind": "file_drop_result" if error is None else "file_drop_error",
            "output_count": outputs,
        }
        if answered.archived is not None:
            found["archived_file"] = answered.archived
        if error is not None:
            found["error_code"] = error.code
        self.files.append(found)

    def summary(self, mode: str, folders: Folders) -> Summary:
        done = self.succeeded + self.failed
        return Summary(
            "adapter_file_drop",
            {
                "mode": mode,
                "inbox": str(folders.inbox),
                "outbox": str(folders.outbox),
                "processed_dir": str(folders.processed),
                "error_dir": str(folders.error),
                "scanned_ready_files": self.seen,
                "processed_files": done,
                "succeeded": self.succeeded,
                "failed": self.failed,
                "files": list(self.files),
                "message": f"{done} {'file' if done == 1 else 'files'} done: "
                f"{self.succeeded} succeeded, {self.failed} failed",
            },
        )
