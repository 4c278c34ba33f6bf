"""Killed at random instants, the gateway loses nothing and doubles nothing. `harness.py` has it at full size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from crash.harness import Plan, carry_out, seed_from_environment

if TYPE_CHECKING:
    from pathlib import Path

PLANS = {
    "gateway killed": Plan(deliveries=300, kills=10),
    "agent killed, too": Plan(deliveries=120, kills=3, agent_kills=3),
    "disk full": Plan(deliveries=120, kills=3, disk_full=3),
    "clock jumps": Plan(deliveries=120, kills=3, clock_jumps=8),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("what", PLANS)
def test_nothing_is_lost_and_nothing_is_doubled(what: str, tmp_path: Path) -> None:
    plan = PLANS[what].with_seed(seed_from_environment())
    print(f"MISSIVE_CRASH_SEED={plan.seed}")
    print(carry_out(plan, tmp_path, print))
