"""Live frames, back-pressure, order, and every way in which it ends."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
import stdio_kit as kit
from stdio_kit import Drain, Pipe, RecordingIntake, adapter, answer, idle, request, status, stream_event, until

from missive_host.errors import IoError, TransportError
from missive_host.protocols import Delivery, Done, Reject, Retry

BIG = "x" * 400_000
"""More than any pipe or socket buffer here holds."""


async def test_a_frame_is_answered_while_the_input_is_still_open() -> None:
    with Pipe() as stdin, Pipe() as stdout:
        async with anyio.create_task_group() as group:
            group.start_soon(adapter(stdin.r, stdout.w).run, RecordingIntake(group, answer))
            for name in ("a", "b", "c"):
                stdin.put(request(name))
                assert (await stdout.line())["id"] == name
            stdin.close_w()


async def test_stream_events_are_written_as_they_happen() -> None:
    more = anyio.Event()

    async def handler(delivery: Delivery) -> None:
        await delivery.send(stream_event(1))
        await more.wait()
        await delivery.send(stream_event(2))

    with Pipe() as stdin, Pipe() as stdout:
        async with anyio.create_task_group() as group:
            group.start_soon(adapter(stdin.r, stdout.w).run, RecordingIntake(group, handler))
            stdin.put(request("s", "stream", agent="echo", message="go"))
            stdin.close_w()
            assert (await stdout.line())["data"]["sequence"] == 1
            more.set()
            assert (await stdout.line())["data"]["sequence"] == 2


async def test_send_waits_while_nobody_reads_and_goes_on_when_somebody_does() -> None:
    sent: list[int] = []

    async def handler(delivery: Delivery) -> None:
        for number in range(1, 200):
            await delivery.send(stream_event(number, "x" * 2000))
            sent.append(number)

    with Pipe() as stdin, Pipe() as stdout:
        async with anyio.create_task_group() as group:
            group.start_soon(adapter(stdin.r, stdout.w).run, RecordingIntake(group, handler))
            stdin.put(request("s", "stream", agent="echo", message="go"))
            stdin.close_w()
            await until(lambda: len(sent) > 5)
            await idle()
            held_at = len(sent)
            assert held_at < 100
            await idle()
            assert len(sent) == held_at
            for number in range(1, 200):
                assert (await stdout.line())["data"]["sequence"] == number
    assert len(sent) == 199


async def test_frames_of_many_senders_never_mix() -> None:
    async def handler(delivery: Delivery) -> None:
        await delivery.send(status("send", delivery.envelope.id + BIG[:100_000]))
        await delivery.send(status("send", delivery.envelope.id))

    data = b"".join(request(f"r{number}") for number in range(20))
    _, written = await kit.run_raw(data, handler, concurrency=20)
    found = [json.loads(line) for line in written.splitlines()]
    assert sorted((frame["id"], frame["sequence"]) for frame in found) == sorted(
        (f"r{number}", sequence) for number in range(20) for sequence in (0, 1)
    )
    assert all(frame["data"]["data"]["message"].startswith(frame["id"]) for frame in found)


async def test_no_further_line_is_read_while_concurrency_is_used_up() -> None:
    go = anyio.Event()

    async def handler(delivery: Delivery) -> None:
        await go.wait()
        await answer(delivery)

    with Pipe() as stdin, Pipe() as stdout:
        async with anyio.create_task_group() as group:
            intake = RecordingIntake(group, handler)
            group.start_soon(adapter(stdin.r, stdout.w, concurrency=2).run, intake)
            for name in ("a", "b"):
                stdin.put(request(name))
                await until(lambda name=name: name in intake.ids)  # type: ignore[misc]
            stdin.fill()
            await idle()
            assert intake.ids == ["a", "b"]
            assert stdin.fill() == 0, "something was read of what was written after the first two lines"
            go.set()
            await until(lambda: stdin.fill() > 0)
            stdin.close_w()
    assert intake.outcomes == [Done(), Done()]


async def test_no_further_line_is_read_while_the_host_is_full() -> None:
    go = anyio.Event()

    async def handler(delivery: Delivery) -> None:
        await go.wait()
        await answer(delivery)

    with Pipe() as stdin, Pipe() as stdout:
        drain = Drain(stdout.r)
        async with anyio.create_task_group() as group:
            intake = RecordingIntake(group, handler, room=1)
            group.start_soon(adapter(stdin.r, stdout.w, concurrency=8).run, intake)
            stdin.put(request("a") + request("b") + request("c"))
            await until(lambda: not stdin.holds())
            await until(lambda: intake.room.statistics().tasks_waiting == 1)
            stdin.fill()
            await idle()
            assert intake.ids == ["a"]
            assert stdin.fill() == 0
            go.set()
            await until(lambda: intake.ids == ["a", "b", "c"])
            stdin.close_w()
        stdout.close_w()
        drain.join()  # it must not read a descriptor that has been closed, or is another file by now


async def test_at_most_concurrency_commands_are_in_flight_and_all_are_answered() -> None:
    now = 0
    most = 0

    async def handler(delivery: Delivery) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await anyio.sleep(0.001)
        now -= 1
        await answer(delivery)

    _, found = await kit.run(b"".join(request(f"r{n}") for n in range(50)), handler, concurrency=3)
    assert len(found) == 50
    assert most == 3


# --- how it ends


async def test_run_returns_only_when_everything_is_settled() -> None:
    go = anyio.Event()
    ended: list[int] = []

    async def handler(delivery: Delivery) -> None:
        await go.wait()
        await answer(delivery)

    with Pipe() as stdin, Pipe() as stdout:
        async with anyio.create_task_group() as group:
            intake = RecordingIntake(group, handler)
            door = adapter(stdin.r, stdout.w)

            async def run() -> None:
                ended.append(await door.run(intake))

            group.start_soon(run)
            stdin.put(request("a"))
            stdin.close_w()
            await until(lambda: intake.ids == ["a"])
            await idle()
            assert ended == []
            go.set()
    assert ended == [0]
    assert intake.outcomes == [Done()]


async def test_after_a_cancel_what_runs_is_still_answered_and_settled() -> None:
    go = anyio.Event()

    async def handler(delivery: Delivery) -> None:
        await go.wait()
        await answer(delivery)

    with Pipe() as stdin, Pipe() as stdout:
        async with anyio.create_task_group() as group:
            intake = RecordingIntake(group, handler)
            door = adapter(stdin.r, stdout.w)
            with anyio.CancelScope() as reading:

                async def stop() -> None:
                    stdin.put(request("a"))
                    await until(lambda: intake.ids == ["a"])
                    reading.cancel()

                group.start_soon(stop)
                await door.run(intake)
            assert reading.cancelled_caught
            go.set()
            frame = await stdout.line()
        assert (frame["id"], frame["ok"]) == ("a", True)
        assert intake.outcomes == [Done()]


async def test_in_single_shot_a_cancel_does_not_take_the_exit_code_away() -> None:
    go = anyio.Event()

    async def handler(delivery: Delivery) -> None:
        await go.wait()
        raise TransportError("connection refused")

    codes: list[int] = []
    with Pipe() as stdin, Pipe() as stdout:
        async with anyio.create_task_group() as group:
            intake = RecordingIntake(group, handler)
            door = adapter(stdin.r, stdout.w, mode="single-shot")
            stdin.put(request("a"))
            stdin.close_w()

            async def stop(reading: anyio.CancelScope) -> None:
                await until(lambda: intake.ids == ["a"])
                reading.cancel()
                go.set()

            with anyio.CancelScope() as reading:
                group.start_soon(stop, reading)
                codes.append(await door.run(intake))
    assert codes == [69]


async def test_in_single_shot_nobody_is_waited_for_when_stdout_is_closed() -> None:
    async def handler(delivery: Delivery) -> None:
        with suppress(IoError):
            await answer(delivery)
        await anyio.sleep_forever()

    with Pipe() as stdin, Pipe() as stdout, anyio.fail_after(20):
        stdout.close_r()
        async with anyio.create_task_group() as group:
            stdin.put(request("a"))
            stdin.close_w()
            assert await adapter(stdin.r, stdout.w, mode="single-shot").run(RecordingIntake(group, handler)) == 0
            group.cancel_scope.cancel()


async def test_what_the_host_cuts_off_gets_an_error_frame() -> None:
    with Pipe() as stdin, Pipe() as stdout:
        async with anyio.create_task_group() as outer:
            async with anyio.create_task_group() as group:
                intake = RecordingIntake(group, lambda _: anyio.sleep_forever())
                outer.start_soon(adapter(stdin.r, stdout.w).run, intake)
                stdin.put(request("a"))
                await until(lambda: intake.ids == ["a"])
                group.cancel_scope.cancel()
            frame = await stdout.line()
            outer.cancel_scope.cancel()
    assert isinstance(intake.outcomes[0], Retry)
    assert (frame["id"], frame["sequence"], frame["kind"]) == ("a", 0, "stdio_error")
    assert frame["error"]["message"] == "orchestration error: stopped before it was done"


async def test_a_sender_cancelled_in_mid_frame_leaves_no_half_frame() -> None:
    async def handler(delivery: Delivery) -> None:
        await delivery.send(status("send", BIG))

    with Pipe() as stdin, Pipe() as stdout:
        async with anyio.create_task_group() as outer:
            async with anyio.create_task_group() as group:
                intake = RecordingIntake(group, handler)
                outer.start_soon(adapter(stdin.r, stdout.w).run, intake)
                stdin.put(request("a"))
                await until(stdout.holds)
                await idle()  # the pipe is full by now, and the frame is not out
                group.cancel_scope.cancel()
                drain = Drain(stdout.r)
            stdin.close_w()
        stdout.close_w()
        drain.join()
    first, second = [json.loads(line) for line in drain.data.splitlines()]
    assert first["data"]["data"]["message"] == BIG
    assert (first["sequence"], second["sequence"], second["ok"]) == (0, 1, False)


async def test_a_half_frame_is_finished_even_if_nothing_follows_it() -> None:
    begun = anyio.CancelScope()

    async def handler(delivery: Delivery) -> None:
        with begun:
            await delivery.send(status("send", BIG))

    with Pipe() as stdin, Pipe() as stdout:
        async with anyio.create_task_group() as group:
            group.start_soon(adapter(stdin.r, stdout.w).run, RecordingIntake(group, handler))
            stdin.put(request("a"))
            stdin.close_w()
            await until(stdout.holds)
            await idle()
            begun.cancel()
            assert (await stdout.line())["data"]["data"]["message"] == BIG


async def test_a_sender_cancelled_before_its_frame_uses_up_no_number() -> None:
    async def handler(delivery: Delivery) -> None:
        if delivery.envelope.id == "b":
            await delivery.send(status("send"))  # cancelled while it waits for room

    with Pipe() as stdin, Pipe() as stdout:
        blocked = stdout.fill()
        async with anyio.create_task_group() as outer:
            async with anyio.create_task_group() as group:
                intake = RecordingIntake(group, handler)
                outer.start_soon(adapter(stdin.r, stdout.w).run, intake)
                stdin.put(request("b"))
                await until(lambda: intake.ids == ["b"])
                await idle()
                group.cancel_scope.cancel()
                while blocked:
                    blocked -= len(os.read(stdout.r, min(blocked, 65536)))
            frame = await stdout.line()
            stdin.close_w()
    assert (frame["id"], frame["sequence"], frame["ok"]) == ("b", 0, False)


async def test_a_closed_stdout_ends_it_quietly(caplog: pytest.LogCaptureFixture) -> None:
    refused: list[BaseException] = []

    async def handler(delivery: Delivery) -> None:
        if delivery.envelope.id == "quiet":
            await anyio.sleep_forever()
        try:
            await delivery.send(status("send"))
        except IoError as error:
            refused.append(error)
            raise

    with Pipe() as stdin, Pipe() as stdout:
        stdout.close_r()
        async with anyio.create_task_group() as group:
            intake = RecordingIntake(group, handler)
            stdin.put(request("quiet") + request("a"))
            code = await adapter(stdin.r, stdout.w).run(intake)  # the input is still open
            assert code == 0
            group.cancel_scope.cancel()  # what the host does when an adapter is gone
    assert str(refused[0]) == "while writing standard output: it was closed"
    assert [type(outcome) for outcome in intake.outcomes] in ([Retry, Reject], [Reject, Retry])
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []


@pytest.mark.parametrize("mode", ["single-shot", "long-running"])
async def test_a_closed_stdout_is_quiet_for_a_bad_frame_too(mode: str) -> None:
    with Pipe() as stdin, Pipe() as stdout:
        stdout.close_r()
        stdin.put(b"nonsense\n")
        stdin.close_w()
        async with anyio.create_task_group() as group:
            await adapter(stdin.r, stdout.w, mode=mode).run(RecordingIntake(group, answer))


async def test_a_full_disk_is_reported() -> None:
    with Pipe() as stdin, Path("/dev/full").open("wb") as full:
        stdin.put(request("a"))
        async with anyio.create_task_group() as group:
            intake = RecordingIntake(group, answer)
            with pytest.raises(IoError, match="while writing standard output: No space left on device") as caught:
                await adapter(stdin.r, full.fileno()).run(intake)
    assert caught.value.exit_code == 74


async def test_an_input_that_cannot_be_read_is_reported_after_what_ran_is_answered(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        with Pipe() as stdout:
            async with anyio.create_task_group() as group:
                with pytest.raises(IoError, match="while reading standard input: Is a directory"):
                    await adapter(folder, stdout.w).run(RecordingIntake(group, answer))
    finally:
        os.close(folder)


async def test_a_broken_input_waits_for_what_was_taken_in() -> None:
    ours, theirs = socket.socketpair()
    go = anyio.Event()

    async def handler(delivery: Delivery) -> None:
        await go.wait()
        await answer(delivery)

    with ours, Pipe() as stdout:
        async with anyio.create_task_group() as group:
            intake = RecordingIntake(group, handler)

            async def break_it() -> None:
                theirs.sendall(request("a"))
                await until(lambda: intake.ids == ["a"])
                ours.send(b"never read, so closing resets the connection")
                theirs.close()
                await idle()
                assert intake.outcomes == []
                go.set()

            group.start_soon(break_it)
            with pytest.raises(IoError, match="while reading standard input: Connection reset by peer"):
                await adapter(ours.fileno(), stdout.w).run(intake)
            assert intake.outcomes == [Done()]
            assert (await stdout.line())["id"] == "a"
