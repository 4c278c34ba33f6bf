"""``missive adapter``: commands made from what plugins declare."""

from __future__ import annotations

import json
from textwrap import dedent
from typing import Any

import pytest
from support.secrets import planted, secrets_of

from missive_host.adapter_options import convert_options
from missive_host.errors import AuthError, ValidationError
from missive_host.specs import AdapterSpec, Option

PIGEON = """
import json
from missive_host.hookspecs import hookimpl
from missive_host.specs import AdapterSpec, Option

@hookimpl
def missive_adapters():
    yield AdapterSpec(
        "pigeon",
        __name__ + ":Pigeon",
        "Messages by pigeon post.",
        accepts=("missive.stdio.v1",),
        options=(
            Option("loft", "path", help="Where they live.", required=True),
            Option("max_weight", "size", default="1KiB", maximum=4096, help="Of one letter."),
            Option("rest", "duration", default="30s", help="Between flights."),
            Option("fast", "boolean", default=True, help="In a hurry."),
            Option("ring", "integer", repeated=True, help="Its rings."),
            Option("breed", "choice", choices=("homing", "racing")),
            Option("token", "string", secret=True),
            Option("stops", "table", help="For the config only."),
        ),
        examples=("missive adapter pigeon --loft roof",),
    )
    yield AdapterSpec("owl", __name__ + ":Pigeon", "Only at night.", foreground=False)

class Pigeon:
    def __init__(self, context):
        self.options = dict(context.options)

    async def run(self, intake):
        token = self.options.pop("token")
        print(json.dumps(self.options), token.reveal() if token else None)
        return 7
"""


PARROT = """
from missive_host.errors import IoError
from missive_host.hookspecs import hookimpl
from missive_host.specs import AdapterSpec, Option

@hookimpl
def missive_adapters():
    yield AdapterSpec("parrot", __name__ + ":Parrot", "It repeats.", options=(Option("word", "string", secret=True),))

class Parrot:
    def __init__(self, context):
        self.log, self.word = context.log, context.options["word"].reveal()

    async def run(self, intake):
        import os
        words = self.word + " and " + os.environ["TOKEN"]
        self.log.warning("logged: %s", words)
        raise IoError("while saying " + words)
"""


@pytest.fixture
def pigeon(missive) -> str:  # type: ignore[no-untyped-def]
    path = missive.home / "pigeon.py"
    path.write_text(dedent(PIGEON))
    return str(path)


def test_the_help_lists_what_plugins_bring(missive, pigeon: str) -> None:  # type: ignore[no-untyped-def]
    assert "stdio" in missive.ok("adapter", "--help")
    text = missive.ok("--plugin", pigeon, "adapter")
    assert "Messages by pigeon post." in text
    own, _, gateway_only = text.partition("Run by the gateway only:")
    assert "owl" not in own
    assert "Only at night." in gateway_only


def test_an_adapters_own_help(missive, pigeon: str) -> None:  # type: ignore[no-untyped-def]
    text = missive.ok("adapter", "pigeon", "--help", "--plugin", pigeon)
    assert "--max-weight SIZE" in text
    assert "Of one letter. [default: 1KiB]" in text
    assert "--fast / --no-fast" in text
    assert "--breed [homing|racing]" in text
    assert "missive adapter pigeon --loft roof" in text
    assert "Global options" in text


def test_it_runs_with_converted_options_and_its_own_exit_status(missive, pigeon: str) -> None:  # type: ignore[no-untyped-def]
    words = ("adapter", "pigeon", "--plugin", pigeon, "--loft", "roof", "--ring", "1", "--ring", "-2", "--no-fast")
    done = missive.run(*words, "--max-weight", "2KiB", "--token", "env:PIGEON", PIGEON="coo-coo")
    assert done.returncode == 7, done.stderr
    shown, _, token = done.stdout.rpartition(" ")
    assert token == "coo-coo\n"
    assert json.loads(shown) == {
        "loft": "roof",
        "max_weight": 2048,
        "rest": 30.0,
        "fast": False,
        "ring": [1, -2],
        "breed": None,
        "stops": None,
    }


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "missing option '--loft'"),
        (("--loft", "x", "--max-weight", "5KiB"), 64, "--max-weight: must be at most 4096, not 5120"),
        (("--loft", "x", "--rest", "0s"), 64, "--rest: expected a whole number and ms, s, m or h"),
        (("--loft", "x", "--ring", "one"), 64, "--ring: expected a whole number"),
        (("--loft", "x", "--breed", "racin"), 64, "--breed: expected one of homing, racing; did you mean 'racing'?"),
        (("--loft", "x", "--token", planted("flag")), 64, "--token: not a reference to a secret"),
        (("--loft", "x", "--token", "env:NOT_SET"), 77, "NOT_SET"),
        (("--loft", "x", "--nope"), 2, "--nope"),
    ],
)
def test_options_are_checked(missive, pigeon: str, words: tuple[str, ...], code: int, said: str) -> None:  # type: ignore[no-untyped-def]
    error = missive.error("adapter", "pigeon", *words, "--plugin", pigeon)
    assert error["exit_code"] == code
    assert said in error["message"]
    assert "hunter2" not in json.dumps(error)


def test_an_adapter_that_cannot_be_had(missive, pigeon: str) -> None:  # type: ignore[no-untyped-def]
    assert "did you mean 'stdio'" in missive.error("adapter", "stdoi")["message"]
    assert missive.error("adapter", "owl", "--plugin", pigeon)["exit_code"] == 78
    assert "--no-plugin" in json.dumps(missive.error("adapter", "stdio", "--no-plugin", "stdio"))


SPEC = AdapterSpec(
    "x",
    "x:X",
    "x",
    options=(
        Option("n", "integer", default=3, minimum=1),
        Option("ports", "integer", repeated=True),
        Option("names", "string", repeated=True, default=("a",)),
        Option("must", "string", required=True),
        Option("key", "string", secret=True),
        Option("on", "boolean", default=False),
        Option("wait", "duration", default=1.5),
    ),
)


def test_values_from_a_config_are_converted_too() -> None:
    given: dict[str, Any] = {"must": "m", "ports": [1, "2"], "on": True, "wait": "250ms", "key": {"secret": "env:K"}}
    found = convert_options(SPEC, given, secrets=secrets_of({"K": "value-of-k"}))
    assert found.pop("key").reveal() == "value-of-k"
    assert found == {"n": 3, "ports": (1, 2), "names": ("a",), "must": "m", "on": True, "wait": 0.25}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "`must`: is required"),
        ({"must": 1}, "`must`: expected text"),
        ({"must": "m", "n": 0}, "`n`: must be at least 1, not 0"),
        ({"must": "m", "n": True}, "`n`: expected a whole number"),
        ({"must": "m", "on": "yes"}, "`on`: expected true or false"),
        ({"must": "m", "wait": -1}, "`wait`: expected"),
        ({"must": "m", "key": {"secret": 1}}, "`key`: expected a reference"),
        ({"must": "m", "prots": [1]}, "`prots`: adapter `x` has no such option; did you mean 'ports'?"),
    ],
)
def test_values_that_do_not_fit(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        convert_options(SPEC, given, secrets=secrets_of())
    assert said in caught.value.message


def test_a_secret_that_is_not_there() -> None:
    with pytest.raises(AuthError):
        convert_options(SPEC, {"must": "m", "key": "env:K"}, secrets=secrets_of())


def test_what_an_adapter_logs_or_raises_is_without_secrets(missive) -> None:  # type: ignore[no-untyped-def]
    path = missive.home / "parrot.py"
    path.write_text(PARROT)
    words = ("--plugin", str(path), "-vvv", "--bearer-token-env", "TOKEN", "adapter", "parrot", "--word", "env:WORD")
    done = missive.run(*words, TOKEN=planted("bearer"), WORD=planted("word"))
    assert done.returncode == 74
    assert "logged: [REDACTED] and [REDACTED]" in done.stderr
    assert "while saying [REDACTED] and [REDACTED]" in done.stderr


def test_secrets_within_a_table() -> None:
    spec = AdapterSpec("a", "m:f", "s", options=(Option("routes", "table"),))
    given = {"routes": {"x": {"key": {"secret": "env:KEY"}, "names": ["a", {"secret": "env:KEY"}], "secret": 1}}}
    hidden = planted("key")
    (route,) = convert_options(spec, given, secrets=secrets_of({"KEY": hidden}))["routes"].values()
    assert (route["key"].reveal(), route["names"][1].reveal(), route["secret"]) == (hidden, hidden, 1)
    assert hidden not in repr(route)
    assert convert_options(spec, {})["routes"] is None
    with pytest.raises(ValidationError, match="expected a table"):
        convert_options(spec, {"routes": 1})
    with pytest.raises(AuthError, match="KEY"):
        convert_options(spec, given, secrets=secrets_of())
