"""The adapter in a process of its own, on descriptors 0 and 1: shells, closed descriptors, memory."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import pytest
import stdio_kit as kit
from stdio_kit import request

_PATH = [str(Path(kit.__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(_PATH)}
CHILD = """
    import resource, sys
    import anyio
    import stdio_kit as kit

    async def main():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        async with anyio.create_task_group() as group:
            door = kit.adapter(0, 1, max_line=int(sys.argv[1]), mode=sys.argv[2])
            code = await door.run(kit.RecordingIntake(group, kit.answer))
            group.cancel_scope.cancel()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, file=sys.stderr)
        sys.exit(code)

    anyio.run(main)
"""


def memory_for(line: int, *, limit: int) -> tuple[int, bytes]:
    """Return by how many bytes the peak memory of a process grew that was given a line of this size."""
    unit = 1 if sys.platform == "darwin" else 1024
    # Through a shell that forks: a process that is exec'ed right after fork inherits the peak of its parent.
    command = [
        "/bin/sh",
        "-c",
        '"$0" "$@"; exit $?',
        sys.executable,
        "-c",
        textwrap.dedent(CHILD),
        str(limit),
        "long-running",
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    ) as child:  # fmt: skip
        assert child.stdin is not None
        with suppress(BrokenPipeError):
            block = b"x" * (1024 * 1024)
            for _ in range(line // len(block)):
                child.stdin.write(block)
            child.stdin.write(b"\n" + request("after"))
        out, err = child.communicate()
        assert child.returncode == 0, err
    return int(err) * unit, out


def test_a_line_of_100_mib_costs_no_more_memory_than_the_limit() -> None:
    limit = 4 * 1024 * 1024
    grown, out = memory_for(100 * 1024 * 1024, limit=limit)
    assert [frame["ok"] for frame in kit.frames(out)] == [False, True]
    assert grown < 2 * limit
    kept, out = memory_for(32 * 1024 * 1024, limit=64 * 1024 * 1024)
    assert kept > 32 * 1024 * 1024, "the measure would not have noticed a line that is kept"
    assert len(kit.frames(out)) == 2


def shell(line: str, data: bytes, mode: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of shell in which ``"$@"`` is the adapter."""
    child = [sys.executable, "-c", textwrap.dedent(CHILD), "65536", mode]
    return subprocess.run(
        ["/bin/sh", "-c", line, "sh", *child], input=data, capture_output=True, env=ENVIRONMENT, check=False, timeout=60
    )


@pytest.mark.parametrize("mode", ["single-shot", "long-running"])
@pytest.mark.parametrize("redirection", ["", "< frames", "<> frames"])
def test_standard_input_of_every_kind(tmp_path: Path, mode: str, redirection: str) -> None:
    (tmp_path / "frames").write_bytes(request("a"))
    done = shell(f'cd {tmp_path} && "$@" {redirection}', request("a"), mode)
    assert done.returncode == 0, done.stderr
    assert [frame["id"] for frame in kit.frames(done.stdout)] == ["a"]


@pytest.mark.parametrize("redirection", ["< /dev/null", "<&-"])
def test_no_standard_input(redirection: str) -> None:
    done = shell(f'"$@" {redirection}', b"", "long-running")
    assert (done.returncode, done.stdout) == (0, b"")
    done = shell(f'"$@" {redirection}', b"", "single-shot")
    assert done.returncode == 64
    assert kit.frames(done.stdout)[0]["error"]["message"] == "validation error: standard input is empty"


@pytest.mark.parametrize("mode", ["single-shot", "long-running"])
@pytest.mark.parametrize("redirection", ["| true", "| head -n 1", ">&-"])
def test_a_closed_standard_output_is_no_complaint(mode: str, redirection: str) -> None:
    line = f"""{{ "$@"; echo "exit status $?" >&2; }} {redirection}"""
    done = shell(line, request("a") * (1 if mode == "single-shot" else 500), mode)
    *_, last = done.stderr.splitlines()
    assert last == b"exit status 0"
    assert b"Error" not in done.stderr
    assert b"Traceback" not in done.stderr


def test_nothing_is_written_to_a_file_that_got_the_number_of_a_closed_output(tmp_path: Path) -> None:
    """A store that is opened while descriptor 1 is free becomes descriptor 1. Frames must not go there."""
    target = tmp_path / "database"
    script = f"""
        import os, anyio
        import stdio_kit as kit
        fd = os.open({str(target)!r}, os.O_RDWR | os.O_CREAT)
        assert fd == 1

        async def main():
            async with anyio.create_task_group() as group:
                await kit.adapter(0, 1, max_line=65536).run(kit.RecordingIntake(group, kit.answer))

        anyio.run(main)
    """
    done = subprocess.run(
        ["/bin/sh", "-c", '"$@" >&-', "sh", sys.executable, "-c", textwrap.dedent(script)],
        input=request("a"), capture_output=True, env=ENVIRONMENT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert target.read_bytes() == b""
