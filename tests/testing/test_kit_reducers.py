"""The built-in reducers hold what every reducer must."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from missive_host.testing import ReducerContract


class BuiltIn(ReducerContract):
    plugin = "reducers"


class TestSummarise(BuiltIn):
    name = "summarise"


class TestMerge(BuiltIn):
    name = "merge"


class TestVote(BuiltIn):
    name = "vote"


class TestRank(BuiltIn):
    name = "rank"


class TestCustom(BuiltIn):
    name = "custom"
    settings: ClassVar[Mapping[str, Any]] = {"template": "{{group}}: {{inputs}}"}


class TestJsonMerge(BuiltIn):
    name = "json-merge"


class TestConcat(BuiltIn):
    name = "concat"


class TestFirst(BuiltIn):
    name = "first"


class TestMajorityJson(BuiltIn):
    name = "majority-json"


def test_every_reducer_of_the_plugin_is_here() -> None:
    tested = {cls.name for cls in BuiltIn.__subclasses__()}
    provided = BuiltIn().plugins().reducers()
    assert tested == {spec.name for spec, record in provided if record.name == BuiltIn.plugin}
