"""Writing a new plugin's files: all of them, or none."""

from __future__ import annotations

import re
from contextlib import suppress
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING

from missive_host.errors import IoError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from missive_host.scaffold.naming import Plan

_WORD = re.compile(r"@(\w+)@")
_ONLY_IF = re.compile(r"@(\w+)\?@")
_SUFFIX = ".in"


def write(plan: Plan, folder: Path) -> tuple[str, ...]:
    """Write the project into `folder`, which is made if it is not there, and return the files, relative to it.

    Raises `ValidationError` if something is in the folder already, and `IoError` if it cannot be written; then nothing
    of it is left behind.
    """
    made: list[Path] = []
    contents = dict(sorted(_files(plan)))
    try:
        _claim(folder, made)
        for name, text in contents.items():
            path = folder / name
            _make_folders(path.parent, made)
            with path.open("x", encoding="utf-8", newline="\n") as file:
                made.append(path)
                file.write(text)
    except BaseException as error:
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        if isinstance(error, OSError):
            raise _unwritable(error, folder) from error
        raise
    return tuple(contents)


def _claim(folder: Path, made: list[Path]) -> None:
    if folder.is_dir():
        if next(folder.iterdir(), None) is not None:
            raise ValidationError(
                f"there is something in {folder} already",
                help="say an empty folder, or one that is not there: --dir DIR",
            )
    elif folder.exists():
        raise ValidationError(f"{folder} is not a folder", help="say where the plugin shall be: --dir DIR")
    else:
        _make_folders(folder, made)


def _make_folders(folder: Path, made: list[Path]) -> None:
    absent = []
    while not folder.is_dir():
        absent.append(folder)
        folder = folder.parent
    for path in reversed(absent):
        path.mkdir()
        made.append(path)


def _unwritable(error: OSError, folder: Path) -> IoError:
    return IoError(
        f"while writing {error.filename or folder}: {error.strerror or error}",
        help="nothing was left behind; say another place with --dir DIR",
    )


def _files(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield each file's path with its text."""
    words = plan.words
    templates = files("missive_host.scaffold") / "templates"
    folders = ["common", plan.kind, *(["contract"] if plan.own_contract else [])]
    for folder in folders:
        for path, template in _below(templates / folder):
            yield filled(path.removesuffix(_SUFFIX), words), filled(template.read_text("utf-8"), words)


def _below(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _below(each, f"{prefix}{each.name}/")
        elif each.name.endswith(_SUFFIX):
            yield prefix + each.name, each


def filled(text: str, words: Mapping[str, str]) -> str:
    """Return a template's text with the words in it, and without the lines whose word is empty."""
    kept = (
        line[match.end() :] if match else line
        for line in text.splitlines(keepends=True)
        if (match := _ONLY_IF.match(line)) is None or words[match[1]]
    )
    return _WORD.sub(lambda match: words[match[1]], "".join(kept))
