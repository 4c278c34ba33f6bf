"""The tests of the documentation can fail: what they compare is compared."""

from __future__ import annotations

from pathlib import Path

import pytest
from docs_kit import ROOT, Block, Step, anchors, blocks, environment, execute, matches, steps


@pytest.mark.parametrize(
    ("expected", "output", "same"),
    [
        ("Hello", "Hello\n", True),
        ("Hello", "Hello!\n", False),
        ("Hello", "Hello\nand more\n", False),
        ("Hello\n…", "Hello\nand more\n", True),
        ("Hello\n…", "Hello\n", True),
        ("…\nlast", "first\nsecond\nlast\n", True),
        ("…\nlast", "first\nlast\nsecond\n", False),
        ("task … done", "task 17 done\n", True),
        ("task … done", "task 17\ndone\n", False),
        ("A  B", "A      B\n", True),
        ("A B", "AB\n", False),
        ("a.c", "abc\n", False),
    ],
)
def test_output_is_compared(expected: str, output: str, same: bool) -> None:
    assert matches(expected.splitlines(), output) is same


def page(tmp_path: Path, text: str) -> list[Block]:
    file = tmp_path / "page.md"
    file.write_text(text, "utf-8")
    return blocks(file)


def test_blocks_and_their_markers(tmp_path: Path) -> None:
    found = page(
        tmp_path, "# A\n\n```sh\na\n```\n\n<!-- not run: it takes a day -->\n```console\n$ b\n```\n\n```toml x\n```\n"
    )
    assert [(block.language, block.line, block.skipped) for block in found] == [
        ("sh", 4, False),
        ("console", 9, True),
        ("toml", 13, False),
    ]


def test_a_block_may_be_a_file(tmp_path: Path) -> None:
    found = page(tmp_path, "Text\n\n`a.py`:\n\n```python\nx\n```\n\nSee `b.py`:\n\n```python\ny\n```\n")
    assert [block.file for block in found] == ["a.py", None]


def test_commands_and_what_they_print() -> None:
    block = Block(ROOT / "docs" / "x.md", 1, "console", "$ cat <<END\n> a\n>\n> END\na\n\n$ true\n$ echo b\nb\n", "")
    assert [(step.command, step.expected) for step in steps(block)] == [
        ("cat <<END\na\n\nEND", ("a", "")),
        ("true", None),
        ("echo b", ("b",)),
    ]


def test_one_shell_for_all_commands(tmp_path: Path) -> None:
    todo = [Step("", command, None) for command in ("x=1", "sh -c 'echo out; echo err >&2; exit 3'", "echo $? $x")]
    results = execute(todo, folder=tmp_path, outputs=tmp_path / "out", environment=environment(tmp_path, tmp_path))
    assert [(result.status, result.output) for result in results] == [(0, ""), (3, "out\nerr\n"), (0, "3 1\n")]


def test_anchors(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("# One: `a.b`\n## Two words\n```text\n# no\n```\n## Two words\n### `[x.NAME]`\n", "utf-8")
    assert anchors(file) == {"one-ab", "two-words", "two-words-1", "xname"}
