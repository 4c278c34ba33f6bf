"""For whoever writes a plugin: the tests that the built-in plugins pass, and what is needed to try one.

::

    from missive_host.testing import PolicyContract


    class TestCheapest(PolicyContract):
        plugin = "cheapest"

==================  ========================================================================================
`AdapterContract`   what every adapter must hold, as tests of pytest; with an `AdapterRig`, the adapter's other side
`PolicyContract`    the same for routing policies
`ReducerContract`   the same for reducers
`FakeAgent`         an A2A agent that answers by a script, on a socket of its own
`RecordingIntake`   takes deliveries in place of the host, and remembers
`run_host`          a whole gateway in this process, in a folder of its own
==================  ========================================================================================

Each is imported when it is asked for: `FakeAgent` needs the standard library only, the contracts need pytest.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from missive_host.testing.adapters import AdapterContract
    from missive_host.testing.agent import Call, FakeAgent, RecordedTask
    from missive_host.testing.hosts import RunningHost, run_host
    from missive_host.testing.intake import Handler, RecordingIntake, Taken, answered
    from missive_host.testing.policies import PolicyContract
    from missive_host.testing.reducers import ReducerContract
    from missive_host.testing.rig import FEATURES, AdapterRig, Answer
    from missive_host.testing.script import Drop, Fail, HttpStatus, Reply, Step, StreamReply, TaskReply

_HOMES = {
    "adapters": ("AdapterContract",),
    "agent": ("Call", "FakeAgent", "RecordedTask"),
    "hosts": ("RunningHost", "run_host"),
    "intake": ("Handler", "RecordingIntake", "Taken", "answered"),
    "policies": ("PolicyContract",),
    "reducers": ("ReducerContract",),
    "rig": ("FEATURES", "AdapterRig", "Answer"),
    "script": ("Drop", "Fail", "HttpStatus", "Reply", "Step", "StreamReply", "TaskReply"),
}
_WHERE = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "FEATURES",
    "AdapterContract",
    "AdapterRig",
    "Answer",
    "Call",
    "Drop",
    "Fail",
    "FakeAgent",
    "Handler",
    "HttpStatus",
    "PolicyContract",
    "RecordedTask",
    "RecordingIntake",
    "ReducerContract",
    "Reply",
    "RunningHost",
    "Step",
    "StreamReply",
    "Taken",
    "TaskReply",
    "answered",
    "run_host",
]


def __getattr__(name: str) -> Any:
    home = _WHERE.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if "pytest" in sys.modules:  # so that a rule that is broken shows its values
        rules = (f"{__name__}.{each}" for each in ("adapters", "declared", "policies", "reducers", "running"))
        sys.modules["pytest"].register_assert_rewrite(*(each for each in rules if each not in sys.modules))
    return getattr(import_module(f"{__name__}.{home}"), name)
