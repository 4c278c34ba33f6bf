"""All that a test run leaves behind is searched for planted secrets: a pytest plugin.

When a test has ended, its folder is searched (stores, write-ahead logs, logs, outboxes, backups, pages), what the
processes wrote that it started, what Python captured, and the documents that a core gave out. A secret that is found is
an error of that test. When a process of pytest has done its last test, all other folders of tests are searched, too.

Where a secret has to be, the test says: ``@pytest.mark.secrets_in("config.toml")``, with patterns of files below its
folder, or ``OUTPUT``.
"""

from __future__ import annotations

import io
import os
import subprocess
from asyncio import base_subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.secret_search import Search

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

OUTPUT = "OUTPUT"
"""As a pattern of ``secrets_in``: what the test's processes write."""
_COUNTS = ("files", "outputs", "bytes", "let_off")
_HEARD: dict[object, bytearray] = {}
"""What processes have written since the last test ended, by the stream from which it came."""


def heard(data: bytes | str, stream: object = None) -> None:
    """Take note of what was shown. What comes out of processes by pipes is taken note of by itself."""
    piece = data if isinstance(data, bytes) else data.encode("utf-8", "surrogateescape")
    _HEARD.setdefault(stream or object(), bytearray()).extend(piece)


# --- listening to processes


class _Overheard(io.FileIO):
    """The end of a pipe from which what is read is taken note of."""

    def read(self, size: int | None = -1, /) -> Any:
        return self._noted(super().read(-1 if size is None else size))

    def readall(self) -> Any:
        return self._noted(super().readall())

    def readinto(self, buffer: Any, /) -> Any:
        count = super().readinto(buffer)
        if count:
            self._noted(bytes(memoryview(buffer).cast("B")[:count]))
        return count

    def _noted(self, data: Any) -> Any:
        if data:
            heard(data, self)
        return data


def _overhear(stream: Any) -> Any:
    """Return a stream on the same pipe that is listened to."""
    text = stream if isinstance(stream, io.TextIOWrapper) else None
    binary = stream if text is None else text.buffer
    raw: Any = _Overheard(os.dup(stream.fileno()))
    made = io.BufferedReader(raw) if isinstance(binary, io.BufferedReader) else raw
    if text is not None:
        made = io.TextIOWrapper(made, encoding=text.encoding, errors=text.errors)
    stream.close()
    return made


def _listen(patch: pytest.MonkeyPatch) -> None:
    """Listen to every process that is started from here on."""
    start, communicate = subprocess.Popen.__init__, subprocess.Popen.communicate
    received = base_subprocess.ReadSubprocessPipeProto.data_received

    def started(self: subprocess.Popen[Any], *words: Any, **options: Any) -> None:
        start(self, *words, **options)
        for name in ("stdout", "stderr"):
            if (stream := getattr(self, name)) is not None:
                setattr(self, name, _overhear(stream))

    def communicated(self: subprocess.Popen[Any], *words: Any, **options: Any) -> Any:
        try:
            outputs = communicate(self, *words, **options)
        except subprocess.TimeoutExpired as late:
            outputs = (late.output, late.stderr)
            raise
        finally:  # of two pipes it reads past the streams
            for output in outputs:
                if output:
                    heard(output)
        return outputs

    def got(self: Any, data: bytes) -> None:
        heard(data, self)
        received(self, data)

    patch.setattr(subprocess.Popen, "__init__", started)
    patch.setattr(subprocess.Popen, "communicate", communicated)
    patch.setattr(base_subprocess.ReadSubprocessPipeProto, "data_received", got)


# --- the plugin


class Scan:
    """What was searched in this process of pytest, and in those that it started."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.total = dict.fromkeys(_COUNTS, 0)
        self._search = Search()
        self._let_off = 0
        self._seen: set[Path] = set()
        """Folders that have been searched."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
        folder: Path | None = getattr(item, "funcargs", {}).get("tmp_path")
        try:
            yield
        finally:
            found = self._left_by(item, folder) + (self._others(item) if nextitem is None else [])
            if found:
                pytest.fail("a planted secret is in\n  " + "\n  ".join(found), pytrace=False)

    def _left_by(self, item: pytest.Item, folder: Path | None) -> list[str]:
        """Search what a test has left."""
        captured = [text.encode("utf-8", "replace") for _, _, text in item._report_sections]
        outputs: list[bytes | bytearray] = [*_HEARD.values(), *captured]
        _HEARD.clear()
        rightly = [pattern for mark in item.iter_markers("secrets_in") for pattern in mark.args]
        self._let_off += bool(rightly)
        found = [] if OUTPUT in rightly else self._search.output(outputs)
        if folder is not None:
            self._seen.add(folder)
            found += self._search.folder(folder, rightly)
        return found

    def _others(self, item: pytest.Item) -> list[str]:
        """Search the folders that are no test's own: those of fixtures for many tests."""
        base: Path = item.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        return [
            sentence
            for folder in sorted(base.iterdir())
            if folder not in self._seen and folder.is_dir() and not folder.is_symlink()
            for sentence in self._search.folder(folder)
        ]

    # --- what was searched, in all processes of pytest

    def _own(self) -> dict[str, int]:
        search = self._search
        return {"files": search.files, "outputs": search.outputs, "bytes": search.bytes, "let_off": self._let_off}

    def _add(self, counts: dict[str, int]) -> None:
        for name, count in counts.items():
            self.total[name] += count

    def pytest_sessionfinish(self) -> None:
        self._add(self._own())
        if hasattr(self.config, "workeroutput"):
            self.config.workeroutput["secret_scan"] = self._own()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: Any) -> None:
        self._add(getattr(node, "workeroutput", {}).get("secret_scan", {}))

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        t = self.total
        terminalreporter.write_line(
            f"planted secrets: searched {t['files']} files and the outputs of {t['outputs']} tests,"
            f" {t['bytes'] / 1e6:.1f} MB; {t['let_off']} tests say where theirs have to be"
        )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "secrets_in(*patterns): the files below the test's folder in which a secret has to be, or OUTPUT"
    )
    config.pluginmanager.register(Scan(config), "secret_scan")
    patch = pytest.MonkeyPatch()
    config.add_cleanup(patch.undo)
    _listen(patch)
