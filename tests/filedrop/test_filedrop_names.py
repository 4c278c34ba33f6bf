"""Names: claims and answers can be read back, numbers are found quickly, nothing is too long."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filedrop_kit import Drop
from hypothesis import example, given, strategies as st
from missive_filedrop.names import (
    MAX_NAME,
    Claim,
    answer_of,
    first_free,
    is_ready,
    lock_name,
    new_owner,
    new_uid,
    numbered,
    owner_of_lock,
    shortened,
    shown,
)

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=120).map(
    lambda text: text.lstrip(".") + ".json"
)
READY = NAMES.filter(is_ready)


@given(name=READY, folder=st.sampled_from(["", "team"]))
@example(name="a.json.claim-p000000000000-0000000000000000000000.json", folder="")
@example(name="\n.json", folder="")
def test_claims_and_answers_say_what_they_are_of(name: str, folder: str) -> None:
    claim = Claim(folder, shortened(name), new_owner("p"), new_uid("abcdef"))
    _, _, file = claim.file.rpartition("/")
    assert Claim.parse(folder, file) == claim
    assert answer_of(claim.answer) == (claim.name, claim.uid)
    assert answer_of(file) is None
    assert Claim.parse(folder, claim.answer) is None
    for made in (file, claim.answer):
        assert not is_ready(made)
        assert len(made.encode()) < 255


@given(name=READY)
def test_a_name_is_cut_where_a_character_ends(name: str) -> None:
    cut = shortened(name)
    assert len(cut.encode()) <= MAX_NAME
    assert is_ready(cut)
    assert cut == name or (len(name.encode()) > MAX_NAME and name.startswith(cut.removesuffix(".json")))


@given(name=READY, number=st.integers(1, 10**6))
def test_a_number_makes_another_name_of_the_same_kind(name: str, number: int) -> None:
    for one in (name, f"{name.removesuffix('.json')}.result.json", f"{name.removesuffix('.json')}.error.json"):
        assert numbered(one, 0) == one
        assert numbered(one, number) != one
        assert numbered(one, number).endswith(one[one.rindex(".") :])
        assert numbered(one, number) != numbered(one, number + 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.json", "a-2.json"), ("a.b.json", "a.b-2.json"), ("a.result.json", "a-2.result.json"), ("a", "a-2"),
     ("a.error.json", "a-2.error.json"), ("data.csv", "data-2.csv")],
)  # fmt: skip
def test_where_the_number_stands(name: str, expected: str) -> None:
    assert numbered(name, 2) == expected


@given(taken=st.integers(0, 10**6))
def test_the_next_number_is_found_in_few_questions(taken: int) -> None:
    asked = []

    def is_taken(number: int) -> bool:
        asked.append(number)
        return number < taken

    assert first_free(is_taken) == taken
    assert len(asked) <= 45


@given(taken=st.sets(st.integers(0, 40)))
def test_a_number_that_is_found_is_free(taken: set[int]) -> None:
    assert first_free(taken.__contains__) not in taken


@pytest.mark.parametrize(
    "name", [".a.json", "a.json~", "a", "a.JSON", ".json", "a.json ", "a.jsonl", "~", "\udcff.json"]
)
def test_what_is_no_request(name: str) -> None:
    assert not is_ready(name)


def test_locks() -> None:
    owner = new_owner("p")
    assert owner_of_lock(lock_name(owner)) == owner
    assert owner_of_lock(lock_name(new_owner("h"))) is None
    assert shown("a\n\x1b[31m\u202eb") == "a??[31m?b"


def test_a_home_keeps_its_name(drop: Drop) -> None:
    names = {drop.adapter(durable=True)._owner.name for _ in range(3)}
    assert len(names) == 1
    (name,) = names
    assert name.startswith("h")
    assert drop.adapter()._owner.name.startswith("p")
    (drop.home / "adapters" / "owner").write_text("../../x")
    with pytest.raises(OSError, match="is damaged"):
        drop.adapter(durable=True)


def test_ten_thousand_waiting_files(tmp_path: Path) -> None:
    """They are found in one look, in order; a look costs a few calls of the system, not some for each."""
    drop = Drop(tmp_path)
    for number in range(10_000):
        fd = os.open(drop.inbox / f"{number:05}.json", os.O_CREAT | os.O_WRONLY)
        os.close(fd)
    adapter = drop.adapter()
    scan = adapter._inbox.scan(set())
    assert [name for name, _ in scan.ready] == [f"{number:05}.json" for number in range(10_000)]
    assert not scan.more
