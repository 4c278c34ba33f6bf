"""What plugins are written against is what was committed, and what has changed is in the changelog."""

from __future__ import annotations

from pathlib import Path

import public_api
import pytest
from public_api import GONE, KEPT, NEW

RUN = "run: python tests/public_api.py"
Snapshot = list[tuple[str, str]]


def test_the_snapshot_is_what_the_code_is() -> None:
    snapshot, lines = public_api.recorded(), public_api.describe()
    changed = set(public_api.public(snapshot)) ^ set(lines)
    assert not changed, "\n".join(["public names have changed", *sorted(changed), RUN])
    assert snapshot == public_api.updated(snapshot, lines), RUN


def test_the_changelog_names_what_has_changed() -> None:
    missing = public_api.unnamed(public_api.recorded(), public_api.unreleased())
    assert not missing, f"CHANGELOG.md does not have these in code style, below Unreleased: {missing}"


def test_what_plugins_declare_goes_away_only_with_another_hook_api() -> None:
    snapshot = public_api.recorded()
    if public_api.gone(snapshot, "missive_host.hookspecs", "missive_host.specs"):
        assert any(mark == GONE and " HOOK_API:" in line for mark, line in snapshot)


def test_every_module_is_there() -> None:
    there = {line.partition(" ")[0] for line in public_api.describe()}
    assert there == {module for module in public_api.MODULES if public_api.file_of(module) is not None}
    assert len(there) >= 9


# --- that it would be seen

SPECS = """
from dataclasses import dataclass

Words = Literal["a", "b"]
_HIDDEN = 1


@dataclass(frozen=True)
class Spec2:
    \"\"\"Text.\"\"\"

    name: str
    size: Annotated[int, Meta(ge=1, description="How big.")] = 3
    \"\"\"More text.\"\"\"
    label: Annotated[str, Meta(description="Of it.")] = ""
    _cache: int = 0

    @property
    def short(self) -> str:
        return self.name[:9]

    def _own(self) -> None: ...


class Taker(Protocol):
    limit: ClassVar[int] = 7

    async def take(self, it: Spec2, *, wait: bool = True) -> None: ...


def make(name: str = "x") -> Spec2:
    return Spec2(name)
"""


@pytest.fixture
def specs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that is public, alone."""
    file = tmp_path / "birds" / "specs.py"
    file.parent.mkdir()
    file.write_text(SPECS)
    monkeypatch.setattr(public_api, "FOLDERS", (tmp_path,))
    monkeypatch.setattr(public_api, "MODULES", ("birds.specs",))
    return file


def released() -> Snapshot:
    return [(KEPT, line) for line in public_api.describe()]


def changed(file: Path, old: str, new: str) -> Snapshot:
    """The snapshot after a change of the source."""
    before = released()
    assert old in SPECS
    file.write_text(SPECS.replace(old, new))
    return public_api.updated(before, public_api.describe())


def marked(snapshot: Snapshot) -> list[str]:
    return [f"{mark} {line}" for mark, line in snapshot if mark != KEPT]


def test_a_line_for_each_name(specs: Path) -> None:
    assert public_api.describe() == [
        "birds.specs Words: = Literal['a', 'b']",
        "birds.specs Spec2: @dataclass(frozen=True) class()",
        "birds.specs Spec2.name (0): str",
        "birds.specs Spec2.size (1): Annotated[int, Meta(ge=1)] = 3",
        "birds.specs Spec2.label (2): str = ''",
        "birds.specs Spec2.short: @property def(self) -> str",
        "birds.specs Taker: class(Protocol)",
        "birds.specs Taker.limit: ClassVar[int] = 7",
        "birds.specs Taker.take: async def(self, it: Spec2, *, wait: bool=True) -> None",
        "birds.specs make: def(name: str='x') -> Spec2",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("How big.", "How large."),
        ("Text.", "Words."),
        ("self.name[:9]", "self.name[:8]"),
        ("_HIDDEN = 1", "_HIDDEN = 2"),
        ("def _own(self)", "def _mine(self, more: int)"),
    ],
)
def test_what_nobody_is_written_against(specs: Path, old: str, new: str) -> None:
    assert marked(changed(specs, old, new)) == []


@pytest.mark.parametrize(
    ("old", "new", "marks", "names"),
    [
        ("    _cache", "    more: int = 0\n    _cache", ["+ birds.specs Spec2.more (3): int = 0"], ["Spec2.more"]),
        (" = 3", " = 4", ["- birds.specs Spec2.size (1)", "+ birds.specs Spec2.size (1)"], ["Spec2.size"]),
        ("ge=1", "ge=2", ["- birds.specs Spec2.size (1)", "+ birds.specs Spec2.size (1)"], ["Spec2.size"]),
        ("wait: bool = True", "wait: bool", ["- birds.specs Taker.take", "+ birds.specs Taker.take"], ["Taker.take"]),
        ("async def take", "def take", ["- birds.specs Taker.take", "+ birds.specs Taker.take"], ["Taker.take"]),
        ("frozen=True", "frozen=False", ["- birds.specs Spec2: @", "+ birds.specs Spec2: @"], ["Spec2"]),
        ('"a", "b"', '"a"', ["- birds.specs Words", "+ birds.specs Words"], ["Words"]),
        ("def make", "def _make", ["- birds.specs make"], ["make"]),
        ("def make", "class New:\n    a = 1\n\n\ndef make", ["+ birds.specs New: ", "+ birds.specs New.a"], ["New"]),
        ("    limit: ClassVar[int] = 7\n", "", ["- birds.specs Taker.limit"], ["Taker.limit"]),
    ],
)
def test_a_change_has_a_mark_and_must_be_named(
    specs: Path, old: str, new: str, marks: list[str], names: list[str]
) -> None:
    snapshot = changed(specs, old, new)
    found = marked(snapshot)
    assert len(found) == len(marks)
    assert all(any(line.startswith(mark) for line in found) for mark in marks)
    assert public_api.public(snapshot) != [line for _, line in snapshot if line in found]
    assert public_api.unnamed(snapshot, "- Something else, and `Other.thing`.") == names
    assert public_api.unnamed(snapshot, f"- For plugins: `{names[0]}`, which is new.") == []
    assert public_api.unnamed(snapshot, f"- For plugins: {names[0]}, not in code style.") == names


def test_a_change_that_is_taken_back_leaves_nothing(specs: Path) -> None:
    before = released()
    snapshot = changed(specs, "def make", "def _make")
    specs.write_text(SPECS)
    assert public_api.updated(snapshot, public_api.describe()) == before


def test_what_goes_away_or_takes_another_place(specs: Path) -> None:
    def gone(old: str, new: str) -> list[str]:
        specs.write_text(SPECS)
        return public_api.gone(changed(specs, old, new), "birds.specs")

    assert gone(" = 3", " = 4") == []
    assert gone("    _cache", "    more: int = 0\n    _cache") == []
    assert gone('    label: Annotated[str, Meta(description="Of it.")] = ""\n', "") == ["birds.specs Spec2.label (2)"]
    assert gone("    size:", "    first: int = 0\n    size:") == [
        "birds.specs Spec2.size (1)",
        "birds.specs Spec2.label (2)",
    ]


def test_names_that_a_package_passes_on(specs: Path) -> None:
    specs.with_name("__init__.py").write_text(
        "if TYPE_CHECKING:\n    from birds.specs import Taker, Words\nfrom birds.specs import make as make, Spec2\n"
        '__all__ = ["Taker"]\n'
    )
    names = [line.split(":")[0] for line in public_api.module_lines("birds")]
    assert names == ["Taker", "Taker.limit", "Taker.take", "make"]


def test_the_command(
    specs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changelog, snapshot = tmp_path / "CHANGELOG.md", tmp_path / "api.txt"
    changelog.write_text("# Changes\n\n## [Unreleased]\n\n- Nothing.\n\n## [1.0.0]\n\n- `make`\n")
    monkeypatch.setattr(public_api, "SNAPSHOT", snapshot)
    monkeypatch.setattr(public_api, "CHANGELOG", changelog)
    assert public_api.main(["--released"]) == 0
    specs.write_text(SPECS.replace("def make", "def made"))
    assert public_api.main([]) == 1
    assert sorted(capsys.readouterr().out.splitlines()) == [
        "name `made` in CHANGELOG.md, below Unreleased",
        "name `make` in CHANGELOG.md, below Unreleased",
    ]
    assert {line[0] for line in snapshot.read_text().splitlines()} == {KEPT, NEW, GONE}
    assert public_api.main([]) == 1
    changelog.write_text(changelog.read_text().replace("Nothing", "`make` is now called `made`"))
    assert public_api.main([]) == 0
    assert public_api.main(["--what"]) == 2
