"""Notifications by the real Apprise, to services on this machine."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from missive_chat import notify
from missive_chat.notify import NotifyAdapter, Place
from support.chat.services import Service
from support.gateways import GatewayProcess
from support.secrets import planted, secrets_of

from missive_host import commands as c, outputs_jobs as j
from missive_host.adapter_options import convert_options
from missive_host.errors import ConfigError
from missive_host.gateway import feed
from missive_host.gateway.feed import JournalFeed
from missive_host.protocols import AdapterContext

if TYPE_CHECKING:
    from support.cores import Commands, Home

    from missive_host.demo.fleet import AgentProcess

SECRET = planted("notify")
NOBODY: Any = None
"""The intake: nothing comes in."""


@pytest.fixture
def service() -> Iterator[Service]:
    with Service().running() as made:
        yield made


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(notify, "PAUSES", (0.01, 0.01, 0.01))
    monkeypatch.setattr(feed, "LOOK_SECONDS", 0.01)
    levels = {name: logging.getLogger(name).level for name in ("apprise", "urllib3", "requests")}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def adapter(core: Commands, folder: Path, *urls: str, **options: Any) -> NotifyAdapter:
    from missive_chat.kinds import KINDS

    (spec,) = [spec for spec in KINDS if spec.name == "notify"]
    environ = {f"URL_{number}": url for number, url in enumerate(urls)}
    values = convert_options(
        spec, {"urls": [f"env:{name}" for name in environ], **options}, secrets=secrets_of(environ)
    )
    folder.mkdir(exist_ok=True)
    context = AdapterContext(
        name="ops",
        kind="notify",
        options=values,
        log=logging.getLogger("missive.ops"),
        data_dir=folder,
        events=JournalFeed(core.core.store, core.core.redactor),
    )
    return NotifyAdapter(context)


def places(folder: Path) -> list[int | None]:
    found = []
    for file in folder.glob("*.json"):
        place = Place(file)
        place.load()
        found.append(place.position)
    return found


async def begun(folder: Path, count: int = 1) -> None:
    with anyio.fail_after(60):
        while len(places(folder)) < count:
            await anyio.sleep(0.01)


async def until(service: Service, count: int) -> None:
    await anyio.to_thread.run_sync(service.until, lambda it: len(it.got) + it.refused >= count)


async def test_outcomes_are_told(home: Home, agent: AgentProcess, service: Service, tmp_path: Path) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        await core.all(c.Send(agent="echo", message="fail before it began"))
        made = adapter(core, tmp_path / "n", f"json://127.0.0.1:{service.port}/{SECRET}")
        async with anyio.create_task_group() as group:
            group.start_soon(made.run, NOBODY)
            await begun(tmp_path / "n")
            await core.all(c.Stream(agent="echo", message="fail once"))
            await core.all(c.Send(agent="echo", message="task fine"))
            await core.all(c.Send(agent="echo", message="ask which one"))
            await until(service, 2)
            group.cancel_scope.cancel()
    assert [(body["title"], body["type"]) for _, body in service.got] == [
        ("Task failed: echo", "failure"),
        ("Task input-required: echo", "warning"),
    ]
    assert service.got[0][0] == f"/{SECRET}"
    assert "which one" in service.got[1][1]["message"]


async def test_only_what_is_asked_for(home: Home, agent: AgentProcess, service: Service, tmp_path: Path) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        core.add("other", agent)
        made = adapter(
            core,
            tmp_path / "n",
            f"json://127.0.0.1:{service.port}",
            on=["completed"],
            agents=["other"],
            title="{agent}!",
            template="{what} {outcome}",
        )
        async with anyio.create_task_group() as group:
            group.start_soon(made.run, NOBODY)
            await begun(tmp_path / "n")
            await core.all(c.Send(agent="echo", message="task fine"))
            await core.all(c.Send(agent="other", message="fail"))
            await core.all(c.Send(agent="other", message="task fine"))
            await until(service, 1)
            group.cancel_scope.cancel()
    assert [(body["title"], body["message"]) for _, body in service.got] == [("other!", "task completed")]


async def test_a_service_that_fails_is_asked_again_and_holds_up_no_other(
    home: Home, agent: AgentProcess, service: Service, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also over ntfy; and one that never takes it is given up."""
    service.answers = [503, 500]
    with Service().running() as broken, Service().running() as ntfy:
        broken.answers = [500] * 100
        async with home.core() as core:
            core.add("echo", agent)
            made = adapter(
                core,
                tmp_path / "n",
                f"json://127.0.0.1:{service.port}/{SECRET}",
                f"json://127.0.0.1:{broken.port}/{SECRET}",
                f"ntfy://127.0.0.1:{ntfy.port}/{SECRET}",
            )
            async with anyio.create_task_group() as group:
                group.start_soon(made.run, NOBODY)
                await begun(tmp_path / "n", 3)
                await core.all(c.Send(agent="echo", message="fail"))
                await until(service, 3)
                await until(broken, 4)
                await until(ntfy, 1)
                await core.all(c.Send(agent="echo", message="reject"))
                await until(service, 4)
                await until(broken, 8)
                await until(ntfy, 2)
                with anyio.fail_after(60):
                    while set(places(tmp_path / "n")) != {core.read(lambda tables: tables.events.last_sequence())}:
                        await anyio.sleep(0.01)
                group.cancel_scope.cancel()
    assert service.titles == ["Task failed: echo", "Task rejected: echo"]
    assert [body["title"] for _, body in ntfy.got] == service.titles
    assert "given up: json:// (urls[1]) did not take 'Task failed: echo'" in caplog.text
    assert SECRET not in caplog.text
    assert not any(SECRET in file.name or SECRET in file.read_text("latin-1") for file in (tmp_path / "n").iterdir())


async def test_it_goes_on_where_it_was(home: Home, agent: AgentProcess, service: Service, tmp_path: Path) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        for number, others in enumerate(((), ("fail b", "fail c"))):
            made = adapter(core, tmp_path / "n", f"json://127.0.0.1:{service.port}")
            async with anyio.create_task_group() as group:
                if others:  # while nobody told
                    for text in others:
                        await core.all(c.Send(agent="echo", message=text))
                group.start_soon(made.run, NOBODY)
                await begun(tmp_path / "n")
                await core.all(c.Send(agent="echo", message=f"fail a{number}"))
                await until(service, 1 if not others else 4)
                with anyio.fail_after(60):
                    while places(tmp_path / "n") != [core.read(lambda tables: tables.events.last_sequence())]:
                        await anyio.sleep(0.01)
                group.cancel_scope.cancel()
    assert service.titles == ["Task failed: echo"] * 4
    assert len({body["message"] for _, body in service.got}) == 4


async def test_many_at_once_are_one_message(home: Home, agent: AgentProcess, service: Service, tmp_path: Path) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        (tmp_path / "n").mkdir()
        made = adapter(core, tmp_path / "n", f"json://127.0.0.1:{service.port}")
        async with anyio.create_task_group() as group:
            group.start_soon(made.run, NOBODY)
            await begun(tmp_path / "n")
            group.cancel_scope.cancel()
        for number in range(8):
            await core.all(c.Send(agent="echo", message=f"fail {number}"))
        made = adapter(core, tmp_path / "n", f"json://127.0.0.1:{service.port}")
        async with anyio.create_task_group() as group:
            group.start_soon(made.run, NOBODY)
            await until(service, 1)
            group.cancel_scope.cancel()
    assert service.titles == ["8 outcomes"]
    assert len(service.got[0][1]["message"].splitlines()) == 8


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"nosuch://{SECRET}@host", "Apprise does not take a URL that begins with `nosuch://`"),
        (f"slack://{SECRET}", "Apprise does not take a URL that begins with `slack://`"),
        (SECRET, "Apprise does not take what is no URL"),
        (f"{SECRET}://x", "Apprise does not take a URL that begins with"),
    ],
)
async def test_a_url_that_is_none_is_told_by_its_scheme(
    home: Home, tmp_path: Path, url: str, said: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    async with home.core() as core:
        made = adapter(core, tmp_path / "n", "json://127.0.0.1:1", url)
        with pytest.raises(ConfigError) as caught:
            await made.run(NOBODY)
    assert caught.value.message.startswith(f"adapters.ops.settings.urls[1]: {said}")
    if not url.startswith(f"{SECRET}:"):
        assert SECRET not in caught.value.message
    assert SECRET not in caplog.text
    assert SECRET not in "".join(capfd.readouterr())


async def test_a_template_with_an_unknown_name_is_refused(home: Home, tmp_path: Path) -> None:
    async with home.core() as core:
        with pytest.raises(ConfigError, match=r"ops.settings.template: there is no `\{txt\}`; did you mean 'text'"):
            adapter(core, tmp_path / "n", "json://127.0.0.1:1", template="{txt}")


def test_a_place_that_was_torn_begins_anew(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    for text in ("", "{", "[]", '{"position": "x"}', '{"position": 1, "told": 5}'):
        file.write_text(text)
        place = Place(file)
        place.load()
        assert (place.position, place.told) == (None, [])
    place.position, place.told = 7, ["a"]
    place.save()
    assert json.loads(file.read_text()) == {"position": 7, "told": ["a"]}


async def test_a_gateway_tells_of_its_jobs_also_after_a_kill(home: Home, agent: AgentProcess, service: Service) -> None:
    config = f"""
[agents.echo]
base_url = "{agent.url}"
[adapters.ops]
kind = "notify"
[adapters.ops.settings]
urls = [{{ secret = "env:OPS_URL" }}]
on = ["completed", "failed"]
about = ["jobs"]
"""
    home.config.write_text(config)
    env = {"OPS_URL": f"json://127.0.0.1:{service.port}/{SECRET}"}
    async with home.core() as core:
        with GatewayProcess(home, env=env).ready() as gateway:
            folder = home.settings().paths.data / "adapters" / "ops"
            await begun(folder)
            first: j.JobStartResult = await core.one(c.JobStartSend(agent="echo", message="task fine"))
            await until(service, 1)
            gateway.kill()
        second: j.JobStartResult = await core.one(c.JobStartSend(agent="echo", message="crash"))
        with GatewayProcess(home, env=env).ready() as gateway:
            await anyio.to_thread.run_sync(service.until, lambda it: "Job failed: echo" in it.titles)
            assert gateway.stop() == 0
            said = gateway.errors
    bodies = [body for _, body in service.got]
    completed, failed = service.titles[:-1], service.titles[-1]
    assert completed in (["Job completed: echo"], ["Job completed: echo"] * 2)  # twice, if the kill came in between
    assert failed == "Job failed: echo"
    assert first.job.job_id in bodies[0]["message"]
    assert second.job.job_id in bodies[-1]["message"]
    assert SECRET not in said
