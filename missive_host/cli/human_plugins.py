"""Results of commands that plugins bring, for people: fields and tables, whatever they hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from missive_host.cli.wording import ago

if TYPE_CHECKING:
    from missive_host.cli.screen import Screen

_ABOUT = ("profile", "count", "message")
"""What is not a field of the thing itself: ``message`` is said below it."""
_STYLES = {"fail": "red", "warn": "yellow"}


def show(data: Mapping[str, Any], screen: Screen) -> None:
    """Show an object: what is plain as fields, lists of objects as tables, objects by themselves; then its message."""
    message = data.get("message")
    plain = [(_words(key), _cell(key, value, screen)) for key, value in data.items() if _is_plain(key, value)]
    screen.fields(plain)
    shown = any(str(value) for _, value in plain)
    for key, value in data.items():
        rows = _rows(value)
        if rows:
            screen.line() if shown else None
            _table(rows, screen)
            shown = True
        elif isinstance(value, dict) and value:
            screen.line() if shown else None
            screen.line(_words(key), "bold")
            screen.fields([(_words(name), _cell(name, inner, screen)) for name, inner in value.items()])
            shown = True
    if isinstance(message, str) and message:
        screen.note(message) if shown else screen.line(message)


def _table(rows: list[dict[str, Any]], screen: Screen) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_cell(key, row.get(key), screen) for key in columns] for row in rows]
    screen.table([_words(key).upper() for key in columns], cells)


def _is_plain(key: str, value: Any) -> bool:
    return key not in _ABOUT and not isinstance(value, dict) and not _rows(value) and value not in ([], ())


def _rows(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list | tuple) and all(isinstance(item, dict) for item in value):
        return list(value)
    return []


def _cell(key: str, value: Any, screen: Screen) -> Any:
    if key.endswith("_at"):
        return ago(value, screen)
    return "no" if value is False else value


def _words(key: str) -> str:
    return key.removesuffix("_at").replace("_", " ")


def _own(data: Any, screen: Screen) -> None:
    import msgspec

    show(msgspec.to_builtins(data), screen)


def _plugin_result(data: Any, screen: Screen) -> None:
    show(data.result, screen)


def _doctor(data: Any, screen: Screen) -> None:
    """Show the checks, and below them what mends each: that is to be read whole, however narrow the terminal is."""
    screen.table(("CHECK", "STATUS", "WHAT"), [(check.id, check.status, check.message) for check in data.checks])
    for check in data.checks:
        if isinstance(check.fix, str):
            screen.line(f"{check.id}: {check.fix}", _STYLES.get(check.status))
    screen.note(data.message, None if data.healthy else "red")


RENDERERS: Mapping[str, Callable[[Any, Screen], None]] = {
    "plugin_result": _plugin_result,
    "chat_list": _own,
    "chat_doctor": _doctor,
    "chat_test": _own,
    "chat_pairing_list": _own,
    "chat_pairing_approve": _own,
    "chat_pairing_refuse": _own,
    "chat_approvals_list": _own,
}
