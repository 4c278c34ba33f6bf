"""Event sinks in a running gateway: a stranger's plugin, real processes, SIGKILL."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.gateways import GatewayProcess
from support.secrets import planted

from missive_host.core.recorder import journal_event
from missive_host.ids import now

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.cores import Home

SECRET = "pigeon-" + planted("loft")

PLUGIN = '''
import json
from pathlib import Path

from missive_host.errors import ValidationError
from missive_host.hookspecs import hookimpl
from missive_host.specs import Option, SinkSpec


@hookimpl
def missive_event_sinks():
    options = (Option("folder", "path", required=True), Option("key", secret=True))
    yield SinkSpec("loft", f"{__name__}:Loft", "Into a loft.", options=options)


class Loft:
    """Takes nothing while there is a file `down`; refuses what is called `bad`; hangs for what is called `slow`."""

    def __init__(self, context):
        self.folder = Path(context.options["folder"])
        self.key = context.options["key"]
        assert context.data_dir.is_dir() and context.kind == "loft"
        with (self.folder / "lives").open("a") as file:
            file.write("made\\n")

    async def write(self, events):
        assert len(events) <= 100
        if (self.folder / "down").exists():
            raise RuntimeError(f"the loft is shut for {self.key.reveal()}" if self.key else "the loft is shut")
        if any(event.payload.get("bad") for event in events):
            raise ValidationError("this one is bad")
        with (self.folder / "kept").open("a") as file:
            for event in events:
                file.write(json.dumps([event.position, event.type, dict(event.payload), event.id]) + "\\n")

    async def aclose(self):
        with (self.folder / "lives").open("a") as file:
            file.write("closed\\n")
'''


class Loft:
    """A home with the stranger's sink, as seen from outside."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.folder = home.folder / "loft"
        self.folder.mkdir()
        (home.folder / "lofts.py").write_text(PLUGIN)
        self.configure()

    def configure(self, more: str = "", settings: str = "", rest: str = "") -> None:
        self.home.configure(
            '[plugins]\nfiles = ["lofts.py"]\n'
            f'[sinks.north]\nkind = "loft"\n{more}\nsettings = {{ folder = "loft"{settings} }}\n{rest}'
        )

    def append(self, *types: str, **payload: Any) -> None:
        """Write into the journal as another process does."""
        with self.home.store() as store:
            for each in types:
                event = journal_event(each, source="test", payload=payload, at=now())
                store.write(lambda tables: tables.events.append(event))  # noqa: B023

    def kept(self) -> list[list[Any]]:
        file = self.folder / "kept"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def types(self) -> list[str]:
        return [each[1] for each in self.kept()]

    def lives(self) -> list[str]:
        return (self.folder / "lives").read_text().split()

    def shut(self) -> None:
        (self.folder / "down").touch()

    def reopen(self) -> None:
        (self.folder / "down").unlink()


@pytest.fixture
def loft(home: Home) -> Loft:
    return Loft(home)


def wait(what: Callable[[], Any], gateway: GatewayProcess) -> Any:
    deadline = time.monotonic() + 30
    while not (found := what()):
        assert gateway.process.poll() is None, gateway.errors
        assert time.monotonic() < deadline, (gateway.status()["sinks"], gateway.errors)
        time.sleep(0.02)
    return found


def north(gateway: GatewayProcess) -> dict[str, Any]:
    (sink,) = gateway.status()["sinks"]
    return dict(sink)


def metrics(gateway: GatewayProcess) -> dict[str, float]:
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(gateway.get("/metrics")[1].decode())
        for sample in family.samples
        if sample.labels == {"sink": "north"}
    }


def test_a_strangers_sink_gets_what_happens(loft: Loft) -> None:
    loft.append("old.event")
    with GatewayProcess(loft.home).ready() as gateway:
        loft.append("x.one", "x.two", said="hello")
        wait(lambda: "x.two" in loft.types(), gateway)
        wait(lambda: north(gateway)["behind"] == 0 and north(gateway)["state"] == "running", gateway)
        status = north(gateway)
        assert (status["name"], status["kind"], status["state"]) == ("north", "loft", "running")
        assert (status["written"], status["dropped"], status["failures"]) == (3, 0, 0)
        assert "last_error" not in status
        assert metrics(gateway) == {
            "missive_sink_up": 1,
            "missive_sink_behind": 0,
            "missive_sink_events_written_total": 3,
            "missive_sink_events_dropped_total": 0,
            "missive_sink_failures_total": 0,
        }
        assert gateway.stop() == 0
    assert loft.types() == ["missive.gateway.started", "x.one", "x.two", "missive.gateway.stopped"]
    assert loft.kept()[1][2] == {"said": "hello"}
    assert loft.lives() == ["made", "closed"]


def test_only_the_types_that_are_wanted(loft: Loft) -> None:
    loft.configure('types = ["x.*", "missive.gateway.stopped"]')
    with GatewayProcess(loft.home).ready() as gateway:
        loft.append("y.one", "x.one", "y.two")
        wait(lambda: loft.types() == ["x.one"] and north(gateway)["behind"] == 0, gateway)
        gateway.stop()
    assert loft.types() == ["x.one", "missive.gateway.stopped"]


def test_it_begins_where_it_is_told_and_goes_on_where_it_was(loft: Loft) -> None:
    loft.append("x.before")
    loft.configure('begin = "oldest"\ntypes = ["x.*"]')
    with GatewayProcess(loft.home).ready() as gateway:
        wait(lambda: loft.types() == ["x.before"], gateway)
        wait(lambda: north(gateway)["behind"] == 0, gateway)
        gateway.kill()
    loft.append("x.meanwhile")
    with GatewayProcess(loft.home).ready() as gateway:
        wait(lambda: loft.types() == ["x.before", "x.meanwhile"], gateway)


@pytest.mark.secrets_in("home/state/*")  # the test itself writes it into the journal
def test_one_that_fails_is_made_anew_and_nothing_is_lost(loft: Loft) -> None:
    loft.configure('types = ["x.*"]', ', key = { secret = "env:LOFT_KEY" }')
    loft.shut()
    with GatewayProcess(loft.home, env={"LOFT_KEY": SECRET}).ready() as gateway:
        loft.append("x.one", "x.two", said=SECRET)
        wait(lambda: north(gateway)["failures"] >= 2, gateway)
        assert north(gateway)["state"] in ("retrying", "starting")
        assert "the loft is shut for [REDACTED]" in north(gateway)["last_error"]
        assert north(gateway)["behind"] in (2, 3)  # with the gateway's start, unless that was passed over before
        assert gateway.get("/readyz")[0] == 200
        loft.reopen()
        wait(lambda: len(loft.kept()) == 2, gateway)
        assert gateway.stop() == 0
    assert loft.types() == ["x.one", "x.two"]
    assert [each[2]["said"] for each in loft.kept()] == ["[REDACTED]"] * 2
    assert loft.lives().count("made") == loft.lives().count("closed") >= 3
    assert "4711" not in gateway.errors


def test_what_a_sink_refuses_is_dropped_by_itself(loft: Loft) -> None:
    loft.configure('types = ["x.*"]')
    loft.shut()
    with GatewayProcess(loft.home).ready() as gateway:
        loft.append("x.one")
        loft.append("x.bad", bad=True)
        loft.append("x.two")
        wait(lambda: north(gateway)["failures"], gateway)
        loft.reopen()
        wait(lambda: loft.types() == ["x.one", "x.two"], gateway)
        status = wait(lambda: (now := north(gateway))["behind"] == 0 and now, gateway)
        assert (status["written"], status["dropped"], status["last_error"]) == (
            2,
            1,
            "validation error: this one is bad",
        )


def test_one_that_is_too_far_behind_loses_the_oldest_and_says_so(loft: Loft) -> None:
    loft.configure('backlog = 5\ntypes = ["x.*"]')
    loft.shut()
    with GatewayProcess(loft.home).ready() as gateway:
        loft.append(*(f"x.{number}" for number in range(8)), "y.0", "y.1")
        wait(lambda: north(gateway)["dropped"], gateway)
        loft.reopen()
        wait(lambda: loft.types() == [f"x.{number}" for number in range(5, 8)], gateway)
        assert north(gateway)["dropped"] == 5
        assert metrics(gateway)["missive_sink_events_dropped_total"] == 5
    assert "is more than 5 events behind" in gateway.errors


def test_sinks_come_and_go_while_the_gateway_runs(loft: Loft) -> None:
    with GatewayProcess(loft.home).ready() as gateway:
        loft.configure("enabled = false", rest='[sinks.other]\nkind = "log"\n')
        gateway.process.send_signal(1)
        wait(lambda: [each["name"] for each in gateway.status()["sinks"]] == ["other"], gateway)
        wait(lambda: "missive.gateway.reloaded" in gateway.errors, gateway)
        assert "sink 'north' stopped" in gateway.errors
        gateway.stop()
    assert loft.lives()[-1] == "closed"
    assert "missive.gateway.stopped" not in loft.types()


def test_a_sink_that_nobody_has_is_refused_at_once(home: Home) -> None:
    home.configure('[sinks.a]\nkind = "jsonk"\n')
    with GatewayProcess(home) as gateway:
        assert gateway.wait() == 78
    assert "sinks.a.kind: no event sink `jsonk`; did you mean 'jsonl'?" in gateway.errors + str(gateway.documents)


def test_faulty_settings_are_told_and_end_nothing(home: Home) -> None:
    home.configure('[sinks.a]\nkind = "jsonl"\nsettings = { pat = "x" }\n')
    with GatewayProcess(home).ready() as gateway:
        (sink,) = wait(lambda: [each for each in gateway.status()["sinks"] if each["failures"]], gateway)
        assert sink["last_error"].startswith(
            "validation error: sinks.a.settings.pat: event sink `jsonl` has no such option"
        )
        assert "did you mean 'path'" in sink["last_error"]
        assert gateway.stop() == 0


def test_the_log_sink_is_seen_without_v(home: Home, tmp_path: Path) -> None:
    home.configure('[sinks.a]\nkind = "log"\n')
    with GatewayProcess(home, "--quiet").ready() as gateway:
        gateway.stop()
    assert "info missive.sinks.a: missive.gateway.started {" in gateway.errors
