"""What the bridge remembers, and for how long; names of files that are safe to have."""

from __future__ import annotations

from pathlib import Path

import pytest
from missive_chat import conversations
from missive_chat.names import safe_name
from missive_chat.state import State

pytestmark = pytest.mark.anyio
DAY = 86400.0


async def test_quiet_conversations_are_forgotten_unless_something_was_chosen_there(tmp_path: Path) -> None:
    state = State(tmp_path)
    await state.change(lambda db: conversations.note(db, "old", 0, answered=1))
    await state.change(lambda db: conversations.note(db, "chosen", 0, agent="echo"))
    await state.change(lambda db: conversations.note(db, "asked", 0, task="t", task_state="input_required"))
    await state.change(lambda db: conversations.begin_anew(db, "anew", 0))
    await state.change(lambda db: conversations.note(db, "used", 20 * DAY, answered=1))
    await state.forget(100 * DAY)
    assert {row["key"] for row in state.rows("SELECT key FROM conversations")} == {"chosen", "asked", "anew", "used"}
    state.close()


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\a.txt", "a.txt"),
        (".hidden", "hidden"),
        ("a\nb\u202ec.txt", "a b c.txt"),
        ("..", "file.bin"),
        (None, "file.bin"),
    ],
)
def test_names_of_files(name: str | None, safe: str) -> None:
    assert safe_name(name, "unknown") == safe


@pytest.mark.parametrize("name", ["報" * 200 + ".pdf", "😀" * 300, "a." + "b" * 300])
def test_a_long_name_can_be_that_of_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / safe_name(name)).write_bytes(b"")
    assert safe_name("報" * 200 + ".pdf").endswith("報.pdf")
