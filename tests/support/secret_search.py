"""Finding planted secrets in bytes, in files and in what processes write."""

from __future__ import annotations

import base64
import mmap
import os
import stat
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from support.secrets import MARK

SKIPPED = frozenset({"node_modules", "__pycache__", ".git"})
_AROUND = 40


def forms(mark: str = MARK) -> dict[bytes, str]:
    """Return what a text with the mark in it has in it when it is encoded, and the name of the encoding."""
    found = {
        mark.encode(): "in clear",
        mark.upper().encode(): "in capitals",
        mark.encode().hex().encode(): "in hex",
        mark.encode().hex().upper().encode(): "in hex",
        mark.encode("utf-16-le")[:-1]: "in UTF-16",  # of either order
        mark[::-1].encode(): "backwards",
        "".join(f"%{byte:02x}" for byte in mark.encode()).encode(): "in percent encoding",
        "".join(f"%{byte:02X}" for byte in mark.encode()).encode(): "in percent encoding",
    }
    for shift in range(3):  # where in a group of three bytes the mark begins
        encoded = base64.b64encode(bytes(shift) + mark.encode())
        first = -(-shift * 8 // 6)
        last = (shift + len(mark)) * 8 // 6
        for text in (encoded[first:last], encoded[first:last].translate(bytes.maketrans(b"+/", b"-_"))):
            found[text] = "in base64"
    return found


class Search:
    """Searches, and counts what it has searched."""

    def __init__(self) -> None:
        self.files = self.outputs = self.bytes = 0
        self._forms = forms()

    def output(self, streams: Iterable[bytes | bytearray]) -> list[str]:
        """Search what a test's processes wrote, and return what was found, a sentence each."""
        data = b"\0".join(streams)
        self.outputs += bool(data)
        self.bytes += len(data)
        return [f"what processes wrote, {found}" for found in self._in(data)]

    def folder(self, folder: Path, rightly: Iterable[str] = ()) -> list[str]:
        """Search every file below a folder, and its name. `rightly` are patterns of paths where a secret may be."""
        found = []
        for path in _files(folder):
            below = path.relative_to(folder).as_posix()
            if any(fnmatch(below, pattern) for pattern in rightly):
                continue
            found += [f"the name of {path}, {each}" for each in self._in(os.fsencode(below))]
            found += [f"{path}, {each}" for each in self._file(path)]
        return found

    def _file(self, path: Path) -> list[str]:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:  # gone meanwhile, or not for this user
            return []
        try:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode) or not about.st_size:
                return []
            self.files += 1
            self.bytes += about.st_size
            with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
                return self._in(data)
        finally:
            os.close(descriptor)

    def _in(self, data: bytes | mmap.mmap) -> list[str]:
        found = []
        for form, how in self._forms.items():
            at = data.find(form)
            if at >= 0:
                near = bytes(data[max(0, at - _AROUND) : at]).decode("latin-1")
                found.append(f"{how} at byte {at}: …{near!r}")
        return found


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        if "pyvenv.cfg" in files:  # an environment of Python: none of it was written by missive
            folders.clear()
            continue
        folders[:] = [name for name in folders if name not in SKIPPED]
        for name in files:
            yield Path(root, name)
