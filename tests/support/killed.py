"""A backup or a restore that is killed at its n-th step, for every n: ``python -m support.killed FOLDER backup``.

A step is what Python can see of it: a file that is opened, linked or renamed, a statement of SQLite that begins, pages
that were copied. Each try is a process of its own, forked from this one. After each try the store is looked at as the
next command would; what was found is printed, a JSON line each, until one try has come to its end.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any

from missive_host.errors import StorageError
from missive_host.store import Store, backup, restore
from missive_host.store.inspect import inspect

AUDITED = ("open", "os.link", "os.rename", "os.remove", "sqlite3.connect")
PAGES = 64


class Steps:
    """Counts steps, and kills the process at one of them."""

    def __init__(self, last: int) -> None:
        self._left = last

    def __call__(self, *_: Any) -> None:
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event: str, _: tuple[Any, ...]) -> None:
        if event in AUDITED:
            self()

    def watch(self) -> None:
        """Count from here on."""
        connect = sqlite3.connect

        def watched(*words: Any, **options: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*words, **options)
            connection.execute("PRAGMA cache_size = 10")  # pages are on the disk before their transaction has ended
            connection.set_trace_callback(self)
            return connection

        sqlite3.connect = watched  # type: ignore[assignment]
        sys.addaudithook(self.audit)


def attempt(what: str, folder: Path, last: int) -> int:
    """Do it in another process, which is killed at its step `last`; return how that ended."""
    child = os.fork()
    if not child:
        steps = Steps(last)
        backup._PAGES = PAGES
        steps.watch()
        if what == "backup":
            backup.backup(folder / "store", folder / "saved", progress=steps)
        else:
            restore.restore(folder / "other", folder / "store", folder / "kept", progress=steps)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def found(file: Path) -> int | str | None:
    """Return how many messages a store holds; what is wrong with it; None if it is not there."""
    if not file.exists():
        return None
    try:
        with Store.open(file) as store:
            store.write(lambda tables: tables.events.last_sequence())
        return next(table.rows for table in inspect(file).tables if table.name == "messages")
    except StorageError as error:
        return error.message


def main(folder: Path, what: str) -> None:
    for last in range(1, 200):
        place = folder / str(last)
        place.mkdir()
        for name in ("store", "other"):
            shutil.copy(folder / name, place / name)
        status = attempt(what, place, last)
        seen = {name: found(place / name) for name in ("store", "other", "saved", "kept")}
        left = sorted(path.name for path in place.iterdir() if path.name.endswith(".partial"))
        print(json.dumps({"step": last, "status": status, **seen, "partial": len(left)}), flush=True)
        shutil.rmtree(place)
        if status == 0:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
