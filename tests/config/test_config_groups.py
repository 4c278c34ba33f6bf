# ruff: noqa: E501 - a table of sentences
"""``[groups.NAME]``: what it may say, and every fault of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from missive_host.config.loading import read_config
from missive_host.config.model import GroupBlock, GroupMember
from missive_host.config.problems import InvalidConfigError
from missive_host.config.view import safe_view, to_toml

if TYPE_CHECKING:
    from pathlib import Path

AGENTS = "[agents.ann]\nbase_url = 'http://ann'\n[agents.bob]\nbase_url = 'http://bob'\n"
"""Four lines: what follows begins in the fifth."""
GROUP = """
[groups.review]
routing_policy = "weighted"
notes = "They read."
metadata = { owner = "team-a", since = 2026-01-31 }
[[groups.review.members]]
agent = "bob"
rank = "2"
tags = ["python"]
weight = 2
routing_metadata = { zone = "eu" }
[[groups.review.members]]
agent = "ann"
rank = "1"
"""


def read(tmp_path: Path, text: str) -> dict[str, GroupBlock]:
    path = tmp_path / "c.toml"
    path.write_text(AGENTS + text)
    return read_config(path).groups


def test_a_group_and_its_defaults(tmp_path: Path) -> None:
    groups = read(tmp_path, GROUP + "[groups.empty]\n")
    bob = GroupMember(agent="bob", rank="2", tags=("python",), weight=2.0, routing_metadata={"zone": "eu"})
    assert groups == {
        "review": GroupBlock(
            members=(bob, GroupMember(agent="ann", rank="1")),
            routing_policy="weighted",
            notes="They read.",
            metadata={"owner": "team-a", "since": "2026-01-31"},
        ),
        "empty": GroupBlock(),
    }
    ann = groups["review"].members[1]
    assert (ann.tags, ann.weight, ann.routing_metadata) == ((), 1.0, {})
    assert (groups["empty"].routing_policy, groups["empty"].notes) == ("direct", None)


CASES = {
    "[[groups.g.members]]\nagent = 'anna'\nrank = '1'": ":6: [groups.g.members.0] agent: there is no such name in [agents]; did you mean 'ann'?",
    "[groups.g]\nmembers = [{ agent = 'ann', rank = '1' }, { agent = 'x', rank = '2' }]": ":6: [groups.g.members.1] agent: there is no such name in [agents]",
    "[[groups.g.members]]\nagent = 'ann'": ":5: [groups.g.members.0] rank: is missing",
    "[[groups.g.members]]\nrank = '1'": ":5: [groups.g.members.0] agent: is missing",
    "[[groups.g.members]]\nagent = 'ann'\nrank = 1": ":7: [groups.g.members.0] rank: expected a string, got a whole number",
    "[[groups.g.members]]\nagent = 'ann'\nrank = '1'\n[[groups.g.members]]\nagent = 'bob'\nrank = '1'": ":10: [groups.g.members.1] rank: '1' is another member's rank",
    "[[groups.g.members]]\nagent = 'ann'\nrank = '1'\n[[groups.g.members]]\nagent = 'ann'\nrank = '2'": ":9: [groups.g.members.1] agent: 'ann' is in the group already",
    "[[groups.g.members]]\nagent = 'ann'\nrank = '1'\nweight = 0": ":8: [groups.g.members.0] weight: expected a number > 0.0",
    "[[groups.g.members]]\nagent = 'ann'\nrank = '1'\nweight = inf": ":8: [groups.g.members.0] weight: expected a number <= 1.7976931348623157e+308",
    "[[groups.g.members]]\nagent = 'ann'\nrank = '1'\nweight = nan": ":8: [groups.g.members.0] weight: expected a number > 0.0",
    "[[groups.g.members]]\nagent = 'ann'\nrank = '1'\nweight = '2'": ":8: [groups.g.members.0] weight: expected a number, got a string",
    "[[groups.g.members]]\nagent = 'ann'\nrank = '1'\nwieght = 2": ":8: [groups.g.members.0] wieght: unknown key; did you mean 'weight'?",
    "[groups.g]\npolicy = 'x'": ":6: [groups.g] policy: unknown key; did you mean 'routing_policy'?",
    "[groups.g]\nmembers = ['ann']": ":6: [groups.g] members[0]: expected a table",
    "[groups.G]": ":5: [groups] G: as a name: expected 1 to 63 lower-case letters, digits, '.', '_' or '-', a letter or digit at both ends",
    "[group.g]": ":5: group: unknown key; did you mean 'groups'?",
    "[profiles.p.groups]": ":5: [profiles.p] groups: unknown key",
}


@pytest.mark.parametrize(("text", "sentence"), CASES.items(), ids=range(len(CASES)))
def test_one_fault(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        read(tmp_path, text)
    file = caught.value.file
    assert [problem.sentence(file).removeprefix(str(file)) for problem in caught.value.problems] == [sentence]
    assert caught.value.exit_code == 78


def test_it_is_shown_without_what_sounds_like_a_secret_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(AGENTS + GROUP.replace('{ zone = "eu" }', '{ zone = "eu", api_key = "hush" }'))
    view = safe_view(read_config(path))
    member = view["groups"]["review"]["members"][0]
    assert member["routing_metadata"] == {"zone": "eu", "api_key": "[REDACTED]"}
    text = to_toml(view)
    assert "hush" not in text
    (tmp_path / "again.toml").write_text(text)
    assert read_config(tmp_path / "again.toml").groups["review"].members[1] == GroupMember(agent="ann", rank="1")
