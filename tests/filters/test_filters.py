"""`[[filters]]`: in which order, what they may do, and that nothing gets past one that fails."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest
from support.secrets import planted, secrets_of

from missive_host import commands as c
from missive_host.config.loading import read_config
from missive_host.envelopes import Envelope, Source
from missive_host.errors import ConfigError, ErrorReport, MissiveError, ValidationError
from missive_host.filters import Chain, FilterError, Filters
from missive_host.outputs import CommandStatus, Output
from missive_host.plugins import catalog, load

WORD = planted("word")
pytestmark = pytest.mark.secrets_in("stranger.py")
STRANGER = f"""
import time
from dataclasses import replace

import anyio
from msgspec.structs import replace as changed

from missive_host.commands import TaskList
from missive_host.errors import ConfigError, ValidationError
from missive_host.hookspecs import hookimpl
from missive_host.specs import InboundFilterSpec, Option, OutboundFilterSpec

OPTIONS = (Option("say", default=""), Option("key", secret=True))
WAYS = ("say", "later", "refuse", "raise", "hang", "hang-later", "none", "wrong", "rename", "turn", "broken", "deep")


@hookimpl
def missive_inbound():
    for way in WAYS:
        yield InboundFilterSpec(way, f"{{__name__}}:{{way.title().replace('-', '')}}", "One way.", options=OPTIONS)
    yield InboundFilterSpec("unmade", f"{{__name__}}:unmade", "Cannot be made.")


@hookimpl
def missive_outbound():
    for way in ("say", "refuse", "raise", "none", "wrong", "hang"):
        yield OutboundFilterSpec(way, f"{{__name__}}:{{way.title()}}", "One way.", options=OPTIONS)


def unmade(context):
    raise ConfigError("there is no such list", help="write one")


class Say:
    def __init__(self, context):
        self.word = context.options["say"]
        self.key = context.options["key"]
    def inbound(self, envelope):
        command = changed(envelope.command, message=envelope.command.message + self.word)
        return changed(envelope, command=command, metadata={{**envelope.metadata, "said": self.word}})
    def outbound(self, answer):
        name = "message"
        return replace(answer, data={{**answer.data, name: answer.data[name] + self.word}})

class Later(Say):
    async def inbound(self, envelope):
        await anyio.sleep(0)
        return super().inbound(envelope)

class Refuse(Say):
    def inbound(self, envelope):
        raise ValidationError("no " + self.word, help="say something else")
    def outbound(self, answer):
        raise ValidationError("no " + self.word, help="say something else")

class Raise(Say):
    def inbound(self, envelope):
        raise RuntimeError(envelope.command.message)
    def outbound(self, answer):
        raise RuntimeError(answer.data["message"])

class Hang(Say):
    def inbound(self, envelope):
        time.sleep(2)
        return envelope
    def outbound(self, answer):
        time.sleep(2)
        return answer

class HangLater(Say):
    async def inbound(self, envelope):
        await anyio.sleep(30)
        return envelope

class None_(Say):
    def inbound(self, envelope):
        return None
    def outbound(self, answer):
        return None

vars()["None"] = None_

class Wrong(Say):
    def inbound(self, envelope):
        return changed(envelope, command=changed(envelope.command, agent="Not A Name"))
    def outbound(self, answer):
        return replace(answer, data={{"{WORD}": 1}})

class Rename(Say):
    def inbound(self, envelope):
        return changed(envelope, id="other")

class Turn(Say):
    def inbound(self, envelope):
        return changed(envelope, command=TaskList())

class Broken(Say):
    def inbound(self, envelope):
        envelope.metadata["x"] = object()
        return envelope

class Deep(Say):
    def inbound(self, envelope):
        envelope.metadata[self.word] = True
        return envelope
"""


@pytest.fixture
def open_(tmp_path: Path) -> Any:
    path = tmp_path / "stranger.py"
    path.write_text(STRANGER)
    plugins = load(catalog(files=[path]))
    learnt: list[str] = []

    def open_(text: str) -> Filters:
        config = tmp_path / "missive.toml"
        config.write_text(text)
        secrets = secrets_of({"KEY": planted("key")})
        return Filters(read_config(config), plugins, secrets, lambda secret: learnt.append(secret.reveal()))

    open_.learnt = learnt  # type: ignore[attr-defined]
    return open_


def table(kind: str, say: str = "", **more: str) -> str:
    lines = "".join(f"{key} = {value}\n" for key, value in more.items())
    return f'[[filters]]\nkind = "{kind}"\n{lines}' + (f'settings = {{ say = "{say}" }}\n' if say else "")


def envelope(message: str = "m") -> Envelope:
    command = c.Send(agent="echo", message=message)
    return Envelope(contract="test", id="f", source=Source(source_id="s"), command=command, metadata={})


def output(message: str = "m") -> Output:
    return Output(CommandStatus(command="x", status="y", implemented=True, message=message, config={}), 3)


async def said(chain: Chain) -> tuple[str, str]:
    """What is made of ``m``, on its way in and on its way out."""
    came: Any = (await chain.inbound(envelope())).command
    went: Any = (await chain.output(output())).data
    return came.message, went.message


@pytest.mark.anyio
async def test_they_work_in_the_order_of_the_configuration(open_: Any) -> None:
    filters = open_(
        table("say", "1") + table("later", "2") + table("say", "3", direction='"inbound"') + table("say", "4")
    )
    chain = filters.of("any")
    assert await said(chain) == ("m1234", "m14")
    came = await chain.inbound(envelope())
    assert came.metadata == {"said": "4"}
    went = await chain.output(output())
    assert (went.sequence, type(went.data)) == (3, CommandStatus)


@pytest.mark.anyio
async def test_they_are_for_certain_adapters(open_: Any) -> None:
    filters = open_(
        '[adapters.team]\nkind = "http"\n'
        + table("say", "a", adapters='["team", "stdio"]')
        + table("say", "b", adapters='["file-drop"]', direction='"outbound"')
        + table("say", "c")
    )
    found = [await said(filters.of(name)) for name in ("team", "stdio", "file-drop", "other")]
    assert found == [("mac", "mac"), ("mac", "mac"), ("mc", "mbc"), ("mc", "mc")]


@pytest.mark.anyio
async def test_without_filters_all_is_as_it_was() -> None:
    came, went = envelope(), output()
    chain = Chain()
    assert await chain.inbound(came) is came
    assert await chain.output(went) is went


@pytest.mark.anyio
async def test_one_that_refuses_is_named_with_what_it_says(open_: Any) -> None:
    chain = open_(table("say", "x") + table("refuse", "such words") + table("hang")).of("any")
    for way in (chain.inbound(envelope()), chain.output(output())):
        with pytest.raises(ValidationError) as caught:
            await way
        assert caught.value.message == "refused by the filter `refuse`: no such words"
        assert (caught.value.help, caught.value.exit_code) == ("say something else", 64)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("raise", "failed (RuntimeError)"),
        ("hang", "did not end within 0.05 s"),
        ("hang-later", "did not end within 0.05 s"),
        ("none", "gave an envelope that is not valid, or changed what must stay"),
        ("wrong", "gave an envelope that is not valid, or changed what must stay"),
        ("rename", "gave an envelope that is not valid, or changed what must stay"),
        ("turn", "gave an envelope that is not valid, or changed what must stay"),
        ("broken", "gave an envelope that is not valid, or changed what must stay"),
    ],
)
async def test_one_that_fails_lets_nothing_in(
    open_: Any, kind: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    chain = open_(table(kind, timeout='"50ms"')).of("any")
    with pytest.raises(FilterError) as caught:
        await chain.inbound(envelope(WORD))
    assert caught.value.message == f"the filter `{kind}` {why}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert WORD not in str(caught.value.report()) + caplog.text
    assert f"the filter `{kind}`" in caplog.text


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["raise", "none", "wrong", "hang"])
async def test_one_that_fails_lets_nothing_out(open_: Any, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    chain = open_(table(kind, timeout='"50ms"', direction='"outbound"')).of("any")
    with pytest.raises(FilterError) as caught:
        await chain.output(output(WORD))
    assert WORD not in str(caught.value.report()) + caplog.text
    error = ErrorReport(code="x", category="io", message=WORD, exit_code=74)
    instead = await chain.report(error)
    assert instead.message.startswith(f"orchestration error: the filter `{kind}` ")
    assert WORD not in str(instead)


@pytest.mark.anyio
async def test_the_error_that_ends_a_command_is_filtered_too(open_: Any) -> None:
    error = ErrorReport(code="x", category="io", message="m", exit_code=74, sources=("a",))
    shown = await open_(table("say", "!")).of("any").report(error)
    assert (shown.message, shown.exit_code, shown.sources) == ("m!", 74, ("a",))
    refused = await open_(table("refuse", "words")).of("any").report(error)
    assert refused.message == "validation error: refused by the filter `refuse`: no words"


@pytest.mark.anyio
async def test_calls_that_hang_take_nothing_from_others(open_: Any) -> None:
    """More of them than there are threads: what waits for a thread is refused in time, and other filters go on."""
    import anyio

    filters = open_(
        '[adapters.a]\nkind = "http"\n' + table("hang", timeout='"100ms"', adapters='["a"]') + table("say", "x")
    )
    refused: list[MissiveError] = []

    async def one() -> None:
        with pytest.raises(FilterError) as caught:
            await filters.of("a").inbound(envelope())
        refused.append(caught.value)

    begun = time.monotonic()
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(one)
        assert (await said(filters.of("b"))) == ("mx", "mx")
    assert len(refused) == 20
    assert time.monotonic() - begun < 2, "it waited for the threads"


@pytest.mark.anyio
async def test_what_is_changed_in_place_is_looked_at(open_: Any) -> None:
    came = await open_(table("deep", "tag")).of("any").inbound(envelope())
    assert came.metadata == {"tag": True}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (table("sya"), "filters[0].kind: no inbound filter `sya`; did you mean 'say'?"),
        (table("say") + table("say", adapters='["tema"]'), "filters[1].adapters: no adapter `tema`"),
        (table("hang-later", direction='"outbound"'), "filters[0].direction: the filter `hang-later` does not look at"),
        (
            table("say", settings="{ sya = 1 }"),
            "filters[0].settings.sya: filter `say` has no such option; did you mean",
        ),
        (
            table("say", settings='{ key = "env:NO" }'),
            "filters[0].settings.key: the environment variable NO is not set",
        ),
        (table("unmade"), "filters[0]: there is no such list"),
        (table("redact", settings='{ patterns = ["("] }'), "filters[0]: `patterns`: '(' is not a regular expression"),
        (table("redact", settings='{ patterns = ["x*"] }'), "filters[0]: `patterns`: 'x*' is found in an empty text"),
        (table("redact", settings='{ kinds = ["cards"] }'), "filters[0].settings.kinds: expected one of card, email"),
        (table("limit"), "filters[0]: `limit` has nothing to limit"),
    ],
)
def test_what_is_wrong_is_said_before_anything_comes_in(open_: Any, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_(text)
    assert caught.value.message.startswith(said)
    assert caught.value.exit_code == 78


def test_a_filter_has_secrets_and_they_are_learnt(open_: Any) -> None:
    open_(table("say", settings='{ key = { secret = "env:KEY" } }', direction='"inbound"'))
    assert open_.learnt == [planted("key")]
