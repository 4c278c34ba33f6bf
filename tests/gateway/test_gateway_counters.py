"""What an adapter counts itself, and what time it thinks it is."""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.gateways import GatewayProcess

from missive_host.protocols import AdapterContext, Clock, Counters

if TYPE_CHECKING:
    from pathlib import Path

    from support.cores import Home

PLUGIN = """
import anyio

from missive_host.errors import TransportError
from missive_host.hookspecs import hookimpl
from missive_host.specs import AdapterSpec


@hookimpl
def missive_adapters():
    yield AdapterSpec("pigeon", f"{__name__}:Pigeon", "By pigeon.", foreground=False)


class Pigeon:
    def __init__(self, context):
        self.context = context
        context.counters.add("lost", 0)

    async def run(self, intake):
        assert self.context.clock.now().utcoffset().total_seconds() == 0
        self.context.counters.add("flights", 2)
        if self.context.counters.values()["flights"] < 6:
            raise TransportError("the wind is against us")
        await anyio.sleep_forever()
"""


def test_what_an_adapter_counts_is_in_status_and_metrics_and_outlives_its_restarts(home: Home) -> None:
    (home.folder / "pigeon.py").write_text(PLUGIN)
    home.configure('[plugins]\nfiles = ["pigeon.py"]\n[adapters.north]\nkind = "pigeon"\n')
    with GatewayProcess(home).ready() as gateway:
        deadline = time.monotonic() + 30
        while (adapter := gateway.status()["adapters"][0])["restarts"] < 2 or adapter["state"] != "running":
            assert time.monotonic() < deadline, adapter
            time.sleep(0.02)
        assert adapter["counters"] == {"lost": 0, "flights": 6}
        samples = {
            sample.labels["counter"]: (sample.value, sample.labels)
            for family in text_string_to_metric_families(gateway.get("/metrics")[1].decode())
            for sample in family.samples
            if sample.name == "missive_adapter_counter_total"
        }
        flights, labels = samples["flights"]
        assert flights == 6
        assert labels == {"adapter": "north", "kind": "pigeon", "counter": "flights"}
        assert samples["lost"][0] == 0


@pytest.mark.parametrize("name", ["", "Lost", "lost rings", "1st", "lost\n", "x" * 64, 'a"b', "größe"])
def test_names_that_prometheus_would_not_take_are_refused(name: str) -> None:
    counters = Counters()
    with pytest.raises(ValueError, match="cannot be the name of a counter"):
        counters.add(name)
    assert not counters.values()


def test_a_counter_never_goes_down_and_there_are_not_endlessly_many() -> None:
    counters = Counters()
    with pytest.raises(ValueError, match="less than 0"):
        counters.add("lost", -1)
    for number in range(Counters.LIMIT):
        counters.add(f"agent_{number}")
    with pytest.raises(ValueError, match="there are 100 already"):
        counters.add("one_more")
    counters.add("agent_7")
    assert counters.values()["agent_7"] == 2
    assert len(counters.values()) == Counters.LIMIT


def test_threads_may_count() -> None:
    counters = Counters()

    def count() -> None:
        for _ in range(2000):
            counters.add("n")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.values() == {"n": 8000}


def test_by_itself_an_adapter_has_a_clock_and_counters_too(tmp_path: Path) -> None:
    def context(**more: Any) -> AdapterContext:
        return AdapterContext("a", {}, logging.getLogger("a"), tmp_path, **more)

    one, other = context(), context()
    one.counters.add("n")
    assert other.counters.values() == {}
    assert abs(one.clock.now() - datetime.now(UTC)) < timedelta(minutes=1)
    assert one.clock.monotonic() <= one.clock.monotonic()

    class Stopped(Clock):
        def now(self) -> datetime:
            return datetime(2026, 1, 1, tzinfo=UTC)

    assert context(clock=Stopped()).clock.now().year == 2026
