"""What a record looks like: its ids, no secret in it, and never more than one line."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
from hpack import Encoder
from hypothesis import HealthCheck, given, settings, strategies as st

from missive_host.logs.formats import LONGEST, Json, Lines, level_name
from missive_host.logs.scrubbing import scrubber
from missive_host.security.redact import MARK, Redactor
from missive_host.security.secrets import Secret
from missive_host.telemetry import TraceContext, about

if TYPE_CHECKING:
    from logs_kit import Log
    from support.misbehaving import Exchange, Start

KNOWN = "known to the process\nin two lines"
PLANTED = "pl4nted-S3cret-value-77x"
TRACE = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")


def test_a_record_has_the_ids_of_what_it_is_about(log: Log) -> None:
    log.open(1)
    with about(TRACE, work_id="w-1", adapter="web"), about(agent="echo"):
        logging.getLogger("missive.x").info("done", extra={"answers": 3, "where": {"a": 1}})
    logging.getLogger("missive.x").info("other")
    first, second = log.records()
    assert first["timestamp"].endswith("Z")
    del first["timestamp"]
    assert first == {
        "level": "info",
        "target": "missive.x",
        "message": "done",
        "trace_id": TRACE.trace_id,
        "span_id": TRACE.span_id,
        "work_id": "w-1",
        "adapter": "web",
        "agent": "echo",
        "extra": {"answers": 3, "where": "{'a': 1}"},
    }
    assert set(second) == {"timestamp", "level", "target", "message"}
    said, other = log.stderr().splitlines()
    assert said.endswith("info missive.x: done  adapter=web work=w-1 agent=echo")
    assert other.endswith("info missive.x: other")


async def test_tasks_have_their_own(log: Log) -> None:
    log.open()

    async def work(name: str) -> None:
        with about(work_id=name):
            for _ in range(5):
                await anyio.sleep(0)
                logging.getLogger("missive.x").info("of %s", name)
                await anyio.to_thread.run_sync(logging.getLogger("missive.x").info, f"of {name}")

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(work, f"w{number}")
    records = log.records()
    assert len(records) == 50
    assert all(record["message"] == f"of {record['work_id']}" for record in records)


@pytest.mark.parametrize(
    ("number", "name"),
    [(5, "debug"), (10, "debug"), (20, "info"), (25, "info"), (30, "warn"), (40, "error"), (50, "error")],
)
def test_levels_have_four_names(number: int, name: str) -> None:
    assert level_name(number) == name


# --- injection


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec=None), max_size=60), st.text(st.characters(codec=None), max_size=30))
def test_a_record_is_one_line_of_json(text: str, extra: str) -> None:
    record = logging.makeLogRecord({"name": "x", "levelno": 30, "levelname": "WARNING", "msg": text, "more": extra})
    with about(work_id=extra):
        line = Json(scrubber(None)).format(record)
    assert line.isprintable() or not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in line)
    assert len(line.splitlines()) == 1
    assert json.loads(line)["level"] == "warn"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec=None), max_size=60), st.text(st.characters(codec=None), max_size=30))
def test_a_record_is_one_line_of_text(text: str, extra: str) -> None:
    record = logging.makeLogRecord({"name": "x", "levelno": 30, "levelname": "WARNING", "msg": text})
    with about(work_id=extra):
        line = Lines(scrubber(None)).format(record)
    assert len(line.splitlines()) == 1
    assert not any(ord(char) < 32 and char != "\t" for char in line)


def test_nothing_that_is_said_looks_like_another_record(log: Log) -> None:
    log.open(1)
    forged = "no\n12:00:00 error missive.gateway: forged\r\n\x1b[2K\u202eevil\u2028x"
    with about(work_id=forged):
        try:
            raise RuntimeError(forged)
        except RuntimeError:
            logging.getLogger("missive.x").exception("failed: %s", forged)
    lines = log.stderr().splitlines()
    assert [line for line in lines if not line.startswith("  ")] == lines[:1]
    assert "\\n12:00:00 error missive.gateway: forged\\r\\n\\x1b[2K\\u202eevil\\u2028x" in lines[0]
    assert not any(ord(char) < 32 for line in lines for char in line)
    (record,) = log.records()
    assert record["message"] == f"failed: {forged}"
    assert record["exception"].startswith("Traceback")
    assert b"\x1b" not in log.path.read_bytes()


def test_what_a_library_does_wrong_costs_no_line(log: Log) -> None:
    class Angry:
        def __str__(self) -> str:
            raise ValueError("not now")

    log.open()
    logger = logging.getLogger("missive.x")
    logger.info("%d of %s", "many")  # noqa: PLE1206 - that is the mistake
    logger.info("%s", Angry())
    logger.info("half \ud800 a character", extra={"name_of": Angry(), "half": "\udfff"})
    logger.info("x" * (LONGEST + 10))
    said = log.messages()
    assert said[0] == "%d of %s (its arguments do not fit: TypeError)"
    assert "ValueError" in said[1]
    assert "half" in said[2]
    assert said[3].endswith("x… (10 more characters)")
    assert log.stderr() == ""


# --- secrets


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer {}",
        "authorization: {}",
        "Proxy-Authorization: Basic {}",
        "{{'Authorization': 'Bearer {}', 'accept': 'x'}}",
        '{{\\"authorization\\": \\"Bearer {}\\"}}',
        "[(b'host', b'x'), (b'authorization', b'Bearer {}'), (b'accept', b'*/*')]",
        "Adding (b'x-api-key', b'{}') to the header table",
        "X-A2A-Notification-Token: {}",
        "Cookie: a=1; session={}; b=2",
        "set-cookie: {}; HttpOnly",
        "(b'set-cookie', b'{}; Path=/')",
        "GET https://x.example/a?token={}&b=1 HTTP/1.1",
        "https://x.example/cb?code={}#top",
        "wss://x.example/?a=1&access_token={}",
        "https://x.example/blob?sv=1&sig={}",
        "connecting with password={} to x",
        "{{'client_secret': '{}'}}",
        '{{"bot_token": "{}"}}',
        "api_key={}",
        "https://user:{}@x.example/",
        "secret='{}'",
        "Authorization: Negotiate {}",
    ],
)
def test_credentials_are_taken_out_wherever_they_stand(text: str) -> None:
    said = text.format(PLANTED)
    clean = scrubber(None)(said)
    assert PLANTED not in clean
    assert MARK in clean
    assert scrubber(None)(clean) == clean


@pytest.mark.parametrize(
    "text",
    [
        "send is taken in",
        "the token has expired; the key is kept, the cookie was eaten",
        "known by its idempotency key: it gets the answer of the first",
        "https://x.example/list?page_token=abc&next_key=2",
        "agent 'secret-keeper' has answered after 0.1 s",
        "code=200 path=/a",
        "adapter 'auth' runs",
        "a credential cannot be had: env:TOKEN is not set",
    ],
)
def test_what_is_no_credential_stays(text: str) -> None:
    assert scrubber(None)(text) == text


def _raise(text: str) -> None:
    raise ConnectionError(f"GET https://x.example/?token={text} has failed")


@pytest.mark.parametrize("as_json", [False, True])
def test_secrets_in_use_are_nowhere(log: Log, as_json: bool) -> None:
    redactor = Redactor()
    log.open(3, as_json=as_json, redact=redactor.text)
    redactor.add(Secret(KNOWN))  # later than the log was set up
    logger = logging.getLogger("missive.x")
    with about(frame_id=KNOWN):
        logger.info("with %s", KNOWN, extra={"why": KNOWN})
        logger.info("%r", {"deep": [KNOWN]})
        try:
            _raise(PLANTED)
        except ConnectionError:
            logger.exception(
                "no", extra={"authorization": PLANTED, "headers": {"x-auth-token": PLANTED}}, stack_info=True
            )
    for text in (log.stderr(), log.path.read_text()):
        assert PLANTED not in text
        assert "in two lines" not in text
        assert "known to the process" not in text
        assert MARK in text


async def test_libraries_that_log_headers_and_addresses(log: Log, misbehaving: Start) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.reply(200, b"{}", headers={"Set-Cookie": f"id={PLANTED}"})

    server = misbehaving(answer)
    log.open(3)
    Encoder().encode([("authorization", f"Bearer {PLANTED}"), ("x-api-key", PLANTED), ("cookie", PLANTED)])
    async with httpx.AsyncClient() as client:
        await client.get(f"{server.url}/a?token={PLANTED}", headers={"Authorization": f"Bearer {PLANTED}"})
    targets = {record["target"].partition(".")[0] for record in log.records()}
    assert {"hpack", "httpx", "httpcore"} <= targets
    text = log.path.read_text()
    assert "authorization" in text
    assert PLANTED not in text
    assert PLANTED not in log.stderr()
