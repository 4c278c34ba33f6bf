"""Writing artifacts to files: every part, never outside the folder, never over a file that is there."""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import UNSET

from missive_host.a2a.shapes import Json, media_type, part_kind
from missive_host.core.views import given
from missive_host.errors import IoError, ProtocolError, ValidationError
from missive_host.outputs import SavedFile

_SUFFIXES = {
    "application/json": ".json",
    "text/markdown": ".md",
    "text/plain": ".txt",
    "application/octet-stream": ".bin",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "application/pdf": ".pdf",
    "text/csv": ".csv",
    "text/html": ".html",
}
_DEFAULT_SUFFIX = {"bytes": ".bin", "text": ".txt", "json": ".json", "file_reference": ".files.json"}
CHUNK = 1024 * 1024


class FilePayload(msgspec.Struct, frozen=True):
    """What goes into one file."""

    artifact_id: str
    kind: str
    name: str
    """A safe file name."""
    data: bytes
    part_count: int
    media_type: str | None = None

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix


def payloads(artifact_id: str, artifact: Json) -> tuple[FilePayload, ...]:
    """Return the files of an artifact: nothing of it is left out.

    Raw parts of one name (or none) are joined, in order; parts with names of their own are files of their own.
    Texts are joined without a separator, data parts become one JSON document (an array if there are several),
    URLs become one manifest.
    """
    parts: list[Json] = artifact.get("parts", [])
    groups: dict[tuple[str, str], list[Json]] = {}
    for part in parts:
        kind = {"file_bytes": "bytes", "data": "json"}.get(part_kind(part), part_kind(part))
        own_name = part.get("filename", "") if kind in ("bytes", "text") else ""
        groups.setdefault((kind, own_name), []).append(part)
    base = artifact.get("name") or next((part["filename"] for part in parts if part.get("filename")), artifact_id)
    result = []
    for (kind, own_name), group in groups.items():
        if kind == "unknown":
            continue
        type_ = media_type(group)
        name = safe_name(own_name or base, type_, _DEFAULT_SUFFIX[kind], mixed=len(groups) > 1 and not own_name)
        result.append(
            FilePayload(artifact_id, kind, name, _content(kind, group, artifact_id, artifact), len(group), type_)
        )
    return tuple(result)


def _content(kind: str, parts: list[Json], artifact_id: str, artifact: Json) -> bytes:
    if kind == "bytes":
        try:
            return b"".join(base64.b64decode(part["raw"], validate=True) for part in parts)
        except binascii.Error:
            raise ProtocolError(f"artifact {artifact_id} holds bytes that are not base64") from None
    if kind == "text":
        return "".join(part["text"] for part in parts).encode()
    if kind == "json":
        value = parts[0]["data"] if len(parts) == 1 else [part["data"] for part in parts]
        return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
    files = [{key: part[key] for key in ("url", "filename", "mediaType") if key in part} for part in parts]
    manifest = {"artifactId": artifact_id, "name": artifact.get("name"), "kind": "file_reference", "files": files}
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def safe_name(name: str, type_: str | None, default_suffix: str, *, mixed: bool = False) -> str:
    """Return a file name that stays in its folder, on every system: a leaf of ``[A-Za-z0-9._-]``."""
    leaf = re.split(r"[/\\]", name)[-1]
    leaf = re.sub(r"[^A-Za-z0-9._-]", "_", leaf).strip(".")[:150] or "artifact"
    if leaf.split(".")[0].upper() in {
        "CON",
        "PRN",
        "AUX",
        "NUL",
        *(f"{d}{n}" for d in ("COM", "LPT") for n in range(1, 10)),
    }:
        leaf = "_" + leaf
    suffix = _SUFFIXES.get((type_ or "").split(";")[0].strip().lower(), default_suffix)
    if mixed:
        return Path(leaf).stem + suffix
    return leaf if Path(leaf).suffix else leaf + suffix


class Saver:
    """Plans all files first, and writes only if none of them is in the way."""

    def __init__(self, folder: Path, *, force: bool, on_bytes: Callable[[int, int], None] | None = None) -> None:
        self._folder = folder
        self._force = force
        self._on_bytes = on_bytes
        self._planned: dict[str, FilePayload] = {}

    def plan(self, item: FilePayload, name: str | None = None) -> None:
        """Add a file under its own name or `name`; names that collide are numbered ``-2``, ``-3``."""
        wanted = name or item.name
        candidate, number = wanted, 1
        while candidate.lower() in {taken.lower() for taken in self._planned}:
            number += 1
            candidate = f"{Path(wanted).stem}-{number}{Path(wanted).suffix}"
        self._planned[candidate] = item

    def write(self) -> tuple[SavedFile, ...]:
        """Write what was planned. Raises `ValidationError` if a file exists, `IoError` if one cannot be written."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise IoError(f"while making the folder {self._folder}: {error.strerror}") from None
        for name in self._planned:
            target = self._folder / name
            if (target.exists() or target.is_symlink()) and not self._force:
                raise ValidationError(f"{target} exists", help="choose another place, or write over it with --force")
        total = sum(len(item.data) for item in self._planned.values())
        done = 0
        saved = []
        for name, item in self._planned.items():
            target = self._folder / name
            done = self._write(target, item.data, done, total)
            saved.append(
                SavedFile(
                    path=str(target),
                    artifact_id=item.artifact_id,
                    kind=item.kind,
                    media_type=given(item.media_type) if item.media_type else UNSET,
                    bytes_written=len(item.data),
                    part_count=item.part_count,
                )
            )
        return tuple(saved)

    def _write(self, target: Path, data: bytes, done: int, total: int) -> int:
        """Write beside the target and put it in place, so that nobody sees half a file and no link is followed."""
        try:
            temporary = self._folder / f".missive-{secrets.token_hex(8)}"
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)  # less the umask
            try:
                with os.fdopen(descriptor, "wb") as file:
                    for start in range(0, len(data), CHUNK):
                        done += file.write(data[start : start + CHUNK])
                        if self._on_bytes is not None:
                            self._on_bytes(done, total)
                    file.flush()
                    os.fsync(file.fileno())
                if self._force:
                    temporary.replace(target)
                else:
                    os.link(temporary, target)  # fails if the name was taken meanwhile
                    temporary.unlink()
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        except FileExistsError:
            raise ValidationError(f"{target} exists", help="write over it with --force") from None
        except OSError as error:
            raise IoError(f"while writing {target}: {error.strerror}") from None
        return done
