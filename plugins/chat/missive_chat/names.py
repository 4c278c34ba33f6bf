"""Names of files that come from outside: people give them, and agents."""

from __future__ import annotations

import mimetypes
import re

_LONGEST = 120
"""Bytes: file systems take 255, and some services less."""
_LONGEST_SUFFIX = 20


def safe_name(name: str | None, media_type: str | None = None) -> str:
    """Return a name without folders and control characters, not hidden and not too long; without one, ``file.…``."""
    last = re.split(r"[/\\]", name or "")[-1]
    plain = "".join(char if char.isprintable() else " " for char in last)
    plain = re.sub(r'[<>:"|?*]', "_", " ".join(plain.split())).strip(" .")
    if not plain:
        return "file" + (mimetypes.guess_extension(media_type) or ".bin" if media_type else "")
    stem, dot, suffix = plain.rpartition(".")
    if not dot or len(suffix.encode()) > _LONGEST_SUFFIX:
        stem, suffix = plain, ""
    room = _LONGEST - len(suffix.encode()) - 1
    stem = stem.encode()[:room].decode("utf-8", "ignore")
    return f"{stem}.{suffix}" if suffix else stem
