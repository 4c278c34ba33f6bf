"""What the journal keeps of a payload: all of it, but of long bytes only what they were."""

from __future__ import annotations

import base64
import copy
import hashlib
from typing import TYPE_CHECKING, Any

from hypothesis import given, strategies as st
from support.cores import assert_journal_agrees

from missive_host import commands as c
from missive_host.a2a.parts import FileAccess
from missive_host.core.recorder import JOURNAL_RAW, journaled

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

RAW = st.sampled_from(["", "AAAA", "A" * JOURNAL_RAW, "A" * (JOURNAL_RAW + 4), "B" * 3 * JOURNAL_RAW])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | RAW,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["raw", "text", "parts", "metadata", "data", "x"]), inner, max_size=4)
    ),
    max_leaves=20,
)


def longs(value: Any) -> list[str]:
    """Return the long texts of members that are named ``raw``, but for those within what others made."""
    if isinstance(value, list):
        return [found for item in value for found in longs(item)]
    if not isinstance(value, dict):
        return []
    own = [item for key, item in value.items() if key == "raw" and isinstance(item, str) and len(item) > JOURNAL_RAW]
    return own + [found for key, item in value.items() if key not in {"data", "metadata"} for found in longs(item)]


@given(VALUES)
def test_any_payload(value: Any) -> None:
    before = copy.deepcopy(value)
    kept = journaled(value)
    assert value == before, "the message itself is not touched"
    assert longs(kept) == []
    if not longs(value):
        assert kept == value
    assert journaled(kept) == kept


@given(st.integers(0, 50), st.integers(0, 255), st.none() | st.dictionaries(st.text(), st.integers()))
def test_the_digest_tells_which_bytes_they_were(more: int, byte: int, metadata: dict[str, int] | None) -> None:
    raw = base64.b64encode(bytes([byte]) * (JOURNAL_RAW + more)).decode()
    part: dict[str, Any] = {"raw": raw, "filename": "f"}
    if metadata is not None:
        part["metadata"] = metadata
    kept = journaled({"parts": [part, {"text": "x"}]})["parts"]
    assert kept[1] == {"text": "x"}
    assert kept[0]["raw"] == ""
    assert kept[0]["filename"] == "f"
    note = kept[0]["metadata"].pop("missive.raw")
    assert note == {"base64_sha256": hashlib.sha256(raw.encode()).hexdigest(), "base64_length": len(raw)}
    assert kept[0]["metadata"] == (metadata or {})


async def test_bytes_that_were_sent(home: Home, agent: AgentProcess) -> None:
    (home.folder / "f.bin").write_bytes(b"\0" * 100_000)
    async with home.core(files=FileAccess(home.folder)) as core:
        core.add("a", agent)
        answer = await core.one(c.Send(agent="a", message="echo-parts", file_bytes=("f.bin",)))
        assert len(base64.b64decode(answer.response.raw["parts"][1]["raw"])) == 100_000
        (row,) = core.requests()
        assert len(row.content["parts"][1]["raw"]) > 100_000, "the row has the message as it was sent"
        for event in core.events():
            assert event.payload["message"]["parts"][1]["raw"] == ""
        core.read(assert_journal_agrees)


async def test_data_that_looks_like_bytes_is_left_alone(home: Home, agent: AgentProcess) -> None:
    value = {"raw": "x" * 5000, "metadata": None, "parts": [{"raw": "y" * 5000, "metadata": 7}]}
    async with home.core() as core:
        core.add("a", agent)
        answer = await core.one(c.Send(agent="a", message="echo-parts", json_parts=(value,)))
        assert answer.response.raw["parts"][1]["data"] == value
        asked, said = core.events()
        assert asked.payload["message"]["parts"][1]["data"] == said.payload["message"]["parts"][1]["data"] == value
