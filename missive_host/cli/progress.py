"""A progress bar on stderr for files that take a while to write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from missive_host.cli.screen import Screen

SMALLEST = 1024 * 1024
"""Bytes; less than this needs no bar."""


class Progress:
    """Is told how many bytes of how many are written; shows a bar if stderr is a terminal and it is worth one."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._bar: Any = None
        self._done = 0

    def __call__(self, done: int, total: int) -> None:
        if self._bar is None:
            if total <= SMALLEST or not self._screen.err_tty or done >= total:
                return
            self._bar = click.progressbar(length=total, label="writing", file=self._screen.err, show_pos=False)
            self._bar.__enter__()
            self._done = 0
        self._bar.update(done - self._done)
        self._done = done
        if done >= total:
            self.close()

    def close(self) -> None:
        """End the bar's line, wherever it has come to."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None
