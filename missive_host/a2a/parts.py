"""From a command's inputs to an A2A message: the order of parts, their media types, the request's budget."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from missive_host.a2a.shapes import Json, part_kind
from missive_host.commands import Send, Stream
from missive_host.errors import IoError, ValidationError
from missive_host.outputs import PartSummary, RequestView


class FileAccess(msgspec.Struct, frozen=True):
    """Which files a command may read: relative paths begin at ``base``; ``confined``: none outside of it."""

    base: Path
    confined: bool = True

    @classmethod
    def below(cls, folder: str) -> FileAccess:
        """Return the access to the files below a folder. Raises `ValidationError` if there is none."""
        path = Path(folder)
        if not path.is_dir():
            raise ValidationError(f"--file-root: {folder} is not a folder", help="name a folder that exists")
        return cls(base=path.resolve())


class Request(msgspec.Struct, frozen=True):
    """A SendMessageRequest (A2A spec 3.1.1) ready to go, and what to tell of it."""

    body: Json
    view: RequestView

    @property
    def message(self) -> Json:
        value: Json = self.body["message"]
        return value


def build_request(
    command: Send | Stream,
    *,
    message_id: str,
    context_id: str | None,
    task_id: str | None,
    max_bytes: int,
    files: FileAccess | None,
) -> Request:
    """Build the request of a `send` or `stream`.

    Parts come in this order: message, standard input, files by reference, files with bytes, JSON, further texts.
    ``files`` says which files may be read; None means that they are refused. ``context_id`` is the
    agent's own contextId. Raises `ValidationError` and `IoError`.
    """
    parts, summaries = _parts(command, files, max_bytes)
    if not parts:
        raise ValidationError(
            "there is nothing to send",
            help="give a message, or text_parts, json_parts, files or file_bytes (on the command line also --stdin)",
        )
    _set_media_types(command.mime, parts)
    message: Json = {"messageId": message_id, "role": "ROLE_USER", "parts": parts}
    if context_id:
        message["contextId"] = context_id
    if task_id:
        message["taskId"] = task_id
    if command.metadata:
        message["metadata"] = command.metadata
    body: Json = {"message": message}
    configuration: Json = {}
    if command.accepted_output_modes:
        configuration["acceptedOutputModes"] = list(command.accepted_output_modes)
    if isinstance(command, Send) and command.return_immediately:
        configuration["returnImmediately"] = True
    if configuration:
        body["configuration"] = configuration
    size = len(msgspec.json.encode(body))
    local = sum(summary[2] for summary in summaries)
    if max(size, local) > max_bytes:
        raise ValidationError(
            f"the request is {max(size, local)} bytes, more than the {max_bytes} that are allowed",
            help="send less, or raise qos.max_request_bytes in the config (a file counts, by reference too)",
        )
    view = RequestView(
        message_id=message_id,
        context_id=context_id or UNSET,
        task_id=task_id or UNSET,
        part_count=len(parts),
        parts=tuple(
            PartSummary(
                kind=part_kind(part),
                source=source,
                local_bytes=length,
                filename=part.get("filename", UNSET),
                media_type=part.get("mediaType", UNSET),
            )
            for part, (_, source, length) in zip(parts, summaries, strict=True)
        ),
        local_input_bytes=local,
        request_bytes=size,
        accepted_output_modes=command.accepted_output_modes,
        metadata=command.metadata,
    )
    return Request(body=body, view=view)


Summary = tuple[str, str, int]
"""Name of the input, where it came from, its length in bytes."""


def _parts(command: Send | Stream, files: FileAccess | None, max_bytes: int) -> tuple[list[Json], list[Summary]]:
    parts: list[Json] = []
    summaries: list[Summary] = []

    def add(part: Json, source: str, length: int) -> None:
        parts.append(part)
        summaries.append((part_kind(part), source, length))

    def text(value: str | None, source: str) -> None:
        if value is None:
            return
        if not value:
            raise ValidationError(f"the text from {source} is empty", help="leave it out, or give it some text")
        add({"text": value}, source, len(value.encode()))

    text(command.message, "message")
    text(command.stdin_text, "stdin")
    for name in command.files:
        path = _file(name, files, "files")
        length = path.stat().st_size
        add({"url": path.as_uri(), "filename": path.name}, name, length)
    for name in command.file_bytes:
        path = _file(name, files, "file_bytes")
        if path.stat().st_size > max_bytes:
            raise ValidationError(
                f"{name} is {path.stat().st_size} bytes, more than the {max_bytes} that a request may have",
                help="raise qos.max_request_bytes in the config, or give the agent a URL to fetch it from",
            )
        try:
            data = path.read_bytes()
        except OSError as error:
            raise IoError(f"while reading {name}: {error.strerror}") from None
        add({"raw": base64.b64encode(data).decode(), "filename": path.name}, name, len(data))
    for value in command.json_parts:
        add({"data": value, "mediaType": "application/json"}, "json", len(msgspec.json.encode(value)))
    for value in command.text_parts:
        text(value, "text_parts")
    return parts, summaries


def _file(name: str, access: FileAccess | None, field: str) -> Path:
    """Return the real path of a file that may be sent. Raises `ValidationError` or `IoError`."""
    if access is None:
        raise ValidationError(
            f"field `{field}`: this door may not read files",
            help="send the content in the frame, or start the adapter with --file-root DIR",
        )
    try:
        path = (access.base / name).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise IoError(f"while reading {name}: {reason}", help="check the path") from None
    if access.confined and not path.is_relative_to(access.base.resolve()):
        raise ValidationError(f"field `{field}`: {name} lies outside of the folder that this door may read")
    if not path.is_file():
        raise ValidationError(f"field `{field}`: {name} is not a regular file")
    return path


def _set_media_types(types: tuple[str, ...], parts: list[Json]) -> None:
    if not types:
        return
    non_text = [part for part in parts if "text" not in part]
    targets: list[Any]
    if len(types) == 1:
        targets = non_text or parts
        types = types * len(targets)
    elif len(types) == len(non_text):
        targets = non_text
    elif len(types) == len(parts):
        targets = parts
    else:
        raise ValidationError(
            f"field `mime`: {len(types)} media types for {len(non_text)} non-text parts ({len(parts)} parts in all)",
            help="give one for all, one for each non-text part, or one for each part",
        )
    for part, media_type in zip(targets, types, strict=True):
        part["mediaType"] = media_type
