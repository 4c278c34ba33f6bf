"""The built-in policies hold what every policy must."""

from __future__ import annotations

from missive_host.testing import PolicyContract


class BuiltIn(PolicyContract):
    plugin = "policies"


class TestDirect(BuiltIn):
    name = "direct"


class TestCapabilityMatch(BuiltIn):
    name = "capability-match"


class TestTagMatch(BuiltIn):
    name = "tag-match"


class TestRoundRobin(BuiltIn):
    name = "round-robin"


class TestWeighted(BuiltIn):
    name = "weighted"


class TestHighestWeight(BuiltIn):
    name = "highest-weight"


class TestBroadcast(BuiltIn):
    name = "broadcast"


class TestFirstSuccess(BuiltIn):
    name = "first-success"


class TestQuorum(BuiltIn):
    name = "quorum"


class TestFallback(BuiltIn):
    name = "fallback"


class TestSticky(BuiltIn):
    name = "sticky"


class TestLeastBusy(BuiltIn):
    name = "least-busy"


def test_every_policy_of_the_plugin_is_here() -> None:
    tested = {cls.name for cls in BuiltIn.__subclasses__()}
    provided = BuiltIn().plugins().policies()
    assert tested == {spec.name for spec, record in provided if record.name == BuiltIn.plugin}
