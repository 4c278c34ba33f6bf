"""How a command line fails: exit codes, documents, and what is said to people."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

USAGE = [
    (("snd",), "no such command 'snd'; did you mean 'send'?"),
    (("task", "artefact", "list"), "no such command 'artefact'; did you mean 'artifact'?"),
    (("agent", "list", "--tagg", "x"), "--tagg"),
    (("agent", "show"), "missing argument 'alias'"),
    (("task", "artifact", "save", "t", "a"), "missing option"),
    (("agent", "show", "a", "b"), "unexpected extra argument"),
    (("--nope",), "--nope"),
]


@pytest.mark.parametrize(("words", "said"), USAGE, ids=[" ".join(words) for words, _ in USAGE])
def test_a_line_that_cannot_be_parsed_is_2(missive, words: tuple[str, ...], said: str) -> None:  # type: ignore[no-untyped-def]
    done = missive.run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert said.lower() in done.stderr.lower()
    assert "  help: see `missive" in done.stderr
    error = missive.error(*words)
    assert (error["exit_code"], error["category"], error["code"]) == (2, "validation", "missive::validation")


def test_a_flag_without_its_value_names_the_commands_own_help(missive) -> None:  # type: ignore[no-untyped-def]
    done = missive.run("agent", "list", "--tag")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: option '--tag' requires an argument",
        "  usage: missive agent list [OPTIONS]",
        "  help: see `missive agent list --help`",
    ]


INVALID = [
    (("agent", "add", "BAD", "http://x.example"), "ALIAS: expected 1 to 63"),
    (("agent", "add", "a", "http://x.example", "--metadata", "k="), "--metadata: the value of 'k' is empty"),
    (("agent", "add", "a", "http://x.example", "--metadata", "k=1", "--metadata", "k=2"), "given twice"),
    (("agent", "add", "a", "http://x.example", "--metadata", "k"), "expected KEY=VALUE"),
    (("agent", "add", "a", "http://x.example", "--metadata", "k=12345678901234567890123"), "too big"),
    (("agent", "add", "a", "http://x.example", "--tag", "Not A Tag"), "--tag: expected 1 to 63"),
    (("task", "list", "--page-size", "0"), "--page-size: expected int >= 1"),
    (("task", "list", "--page-size", "many"), "--page-size: expected a whole number"),
    (("task", "list", "--state", "done"), "--state: invalid enum value 'done'"),
    (("task", "wait", "t", "--interval", "1.5s"), "--interval: expected a duration"),
    (("task", "wait", "t", "--timeout", "0s"), "--timeout: expected a duration"),
    (("agent", "list", "--timeout", "soon"), "--timeout: expected"),
    (("send", "a", "x", "--json-part", "{nope"), "--json-part: not valid JSON"),
    (("send", "a", "x", "--json-part", '{"a":1,"a":2}'), "given twice"),
    (("send", "a", "x", "--part", "data=1"), "--part: expected text=VALUE"),
    (("send", "a", "x", "--mime", "nothing"), "--mime: expected a media type"),
    (("agent", "list", "--header", "nothing"), "--header"),
    (("agent", "list", "--service-param", "A2A-Version=9"), "--service-param"),
]


@pytest.mark.parametrize(("words", "said"), INVALID, ids=[" ".join(words) for words, _ in INVALID])
def test_a_value_that_is_not_acceptable_is_64(missive, words: tuple[str, ...], said: str) -> None:  # type: ignore[no-untyped-def]
    error = missive.error(*words)
    assert (error["exit_code"], error["category"]) == (64, "validation")
    assert said in error["message"]
    assert error["message"].startswith("validation error: ")


def test_choices_are_named(missive) -> None:  # type: ignore[no-untyped-def]
    assert "input_required" in missive.error("task", "list", "--state", "done")["help"]


def test_arguments_must_be_utf8(missive) -> None:  # type: ignore[no-untyped-def]
    done = subprocess.run(
        [*missive.argv("send", "a"), b"caf\xe9"], env=missive.env, cwd=missive.home, capture_output=True, timeout=60
    )
    assert done.returncode == 64
    assert b"argument 3 is not valid UTF-8" in done.stderr


def test_stdin_must_be_utf8(missive) -> None:  # type: ignore[no-untyped-def]
    with missive.start("send", "a", "--stdin", stdin=subprocess.PIPE) as process:
        _, err = process.communicate(b"\xff", timeout=60)
    assert process.returncode == 64
    assert b"--stdin: not valid UTF-8 at byte 0" in err


def test_other_categories_keep_their_codes(missive) -> None:  # type: ignore[no-untyped-def]
    assert missive.error("--config", "/nowhere.toml", "agent", "list")["exit_code"] == 78
    assert missive.error("send", "a", "x", "--bearer-token-env", "NOT_SET")["exit_code"] == 77
    assert missive.error("adapter", "nowhere")["exit_code"] == 78


def test_an_error_in_ndjson_is_one_line(missive) -> None:  # type: ignore[no-untyped-def]
    done = missive.run("agent", "show", "nobody", "--ndjson")
    (line,) = done.stderr.splitlines()
    document = json.loads(line)
    assert (document["sequence"], document["data"]["exit_code"]) == (0, 64)


UNEXPECTED = """
import sys
from missive_host.cli.app import App
from missive_host.cli.root import make_root
app = App(sys.argv[1:])
root = make_root()
with root.make_context("missive", list(app.argv), obj=app):
    try:
        raise ExceptionGroup("all", [RuntimeError("a fault\\x1b[31m in here")])
    except Exception as error:
        raise SystemExit(app.fail(error))
"""


def unexpected(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", UNEXPECTED, *flags], capture_output=True, text=True, timeout=60)


def test_what_nobody_expected_is_one_line_and_70() -> None:
    done = unexpected()
    assert done.returncode == 70
    assert done.stderr.splitlines() == [
        "error: internal error: RuntimeError: a fault in here",
        "  help: this is a fault in missive; run with --trace for the traceback",
    ]
    assert "Traceback" in unexpected("--trace").stderr
    data = json.loads(unexpected("--json").stderr)["data"]
    assert (data["exit_code"], data["category"]) == (70, "orchestration")


def test_no_colour_without_a_terminal(missive) -> None:  # type: ignore[no-untyped-def]
    assert "\x1b" not in missive.run("agent", "show", "nobody").stderr


# --- stdout


def test_a_reader_that_has_gone_is_no_error(missive) -> None:  # type: ignore[no-untyped-def]
    for words in (("agent", "list", "--json"), ("agent", "list"), ("--help",)):
        with missive.start(*words) as process:
            assert process.stdout is not None
            process.stdout.close()
            assert process.stderr is not None
            err = process.stderr.read()
            assert (process.wait(60), err) == (141, b""), words


@pytest.mark.parametrize("flags", [(), ("--json",)], ids=["human", "json"])
def test_a_result_that_cannot_be_written_is_74(missive, flags: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    command = subprocess.list2cmdline(missive.argv("completion", "zsh", *flags))
    done = subprocess.run(
        ["sh", "-c", f"ulimit -f 0; {command} > result"],
        env=missive.env,
        cwd=missive.home,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 74
    assert "I/O error while writing to standard output: file too large" in done.stderr


def test_a_closed_stdout_is_74(missive) -> None:  # type: ignore[no-untyped-def]
    command = subprocess.list2cmdline(missive.argv("agent", "list"))
    done = subprocess.run(
        ["sh", "-c", f"{command} >&-"], env=missive.env, cwd=missive.home, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 74
    assert "standard output" in done.stderr


def test_a_closed_stderr_does_not_matter(missive) -> None:  # type: ignore[no-untyped-def]
    command = subprocess.list2cmdline(missive.argv("agent", "show", "nobody"))
    done = subprocess.run(
        ["sh", "-c", f"{command} 2>&-"], env=missive.env, cwd=missive.home, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (64, b"")
