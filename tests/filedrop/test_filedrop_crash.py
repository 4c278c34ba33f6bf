"""A crash at every single step, full disks, and answers that are given again."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from filedrop_kit import Drop, let_die, until
from missive_filedrop import answers as answers_module, attachments, files, inbox
from missive_filedrop.adapter import FileDropAdapter
from stdio_kit import RecordingIntake, status

from missive_host.errors import MissiveError, OrchestrationError, StorageError, ValidationError
from missive_host.protocols import Delivery, Done, Receipt, Reject, Retry

REPORT = OrchestrationError("it did not come out well").report()


class Keeping:
    """An intake that keeps what it was given, and settles nothing: as one whose host dies next."""

    def __init__(self, error: MissiveError | None = None) -> None:
        self.taken: list[tuple[Delivery, dict[str, Any]]] = []
        self.error = error

    async def submit(self, delivery: Delivery, *, reply_to: Any = None, wait: bool = True) -> Receipt:
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        self.taken.append((delivery, dict(reply_to)))
        return Receipt(str(len(self.taken)), adapter="file-drop", state="ready", accepted_at="")

    async def follow(self, *args: Any, **kwargs: Any) -> None:
        raise AssertionError("the folder is answered by delivery, not by following")

    async def receipt(self, receipt_id: str) -> Receipt:
        raise AssertionError("the folder does not ask for receipts")


async def taken(adapter: FileDropAdapter, count: int = 1, intake: Keeping | None = None) -> list[Any]:
    """Run an adapter until it has handed so many deliveries over, then stop it, as a host that dies would."""
    intake = intake or Keeping()
    async with anyio.create_task_group() as group:
        group.start_soon(adapter.run, intake)
        with anyio.fail_after(30):
            while len(intake.taken) < count:
                await anyio.sleep(0.005)
        group.cancel_scope.cancel()
    return intake.taken


class CrashError(BaseException):
    """The end of the process."""


STEPS = [
    (answers_module, "write_whole"),
    (answers_module, "fsync_folder"),
    (answers_module, "move"),
    (answers_module, "store"),
    (attachments, "store"),
    (files, "_rename"),
]


@contextmanager
def dying(monkeypatch: pytest.MonkeyPatch, at: int, *, after: bool) -> Iterator[list[int]]:
    """Let the process end at the n-th step of an answer, before it is done or after."""
    count = [0]
    with monkeypatch.context() as patch:
        for module, name in STEPS:
            real = getattr(module, name)

            def step(*args: Any, real: Callable[..., Any] = real, **kwargs: Any) -> Any:
                count[0] += 1
                mine = count[0]
                if mine == at and not after:
                    raise CrashError
                result = real(*args, **kwargs)
                if mine == at:
                    raise CrashError
                return result

            patch.setattr(module, name, step)
        yield count


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("outcome", [Done(), Reject(REPORT)], ids=["done", "reject"])
async def test_a_crash_at_every_step_gives_one_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: Done | Reject, durable: bool, after: bool
) -> None:
    ok = isinstance(outcome, Done)
    steps = 0
    for at in range(1, 40):
        (tmp_path / str(at)).mkdir()
        drop = Drop(tmp_path / str(at))
        (drop.inbox / "data.csv").write_text("1,2")
        drop.put("a.json", command="send", agent="echo", message="x", file_bytes=["data.csv"])
        adapter = drop.adapter(durable=durable, mode="watch")
        ((delivery, reply_to),) = await taken(adapter)
        await delivery.send(status("send"))
        crashed = False
        with dying(monkeypatch, at, after=after) as count:
            try:
                await delivery.settle(outcome)
            except CrashError:
                crashed = True
        if not crashed:
            steps = count[0]
            break
        let_die(adapter)
        visible = [name for name in drop.names() if not name.startswith(".")]
        assert visible in ([], ["a.result.json" if ok else "a.error.json"])
        # The next process.
        again = drop.adapter(durable=durable, mode="watch" if durable else "once")
        if durable:
            restored = again.restore(delivery.envelope, reply_to)
            await restored.send(status("send"))
            await restored.settle(outcome)
            await again.restore(delivery.envelope, reply_to).settle(outcome)
        else:
            await _rerun(again, outcome)
        assert drop.names() == ["a.result.json" if ok else "a.error.json"], at
        (name,) = drop.names()
        found = drop.answer(name)
        assert (found["ok"], found["id"], len(found["outputs"])) == (ok, "a", 1)
        assert drop.names("in/error" if ok else "in/processed") == []
        assert (drop.inbox / ("processed" if ok else "error") / "a.json").exists()
        assert not [entry for entry in drop.names("in") if "claim" in entry or entry == "a.json"]
        for path in drop.folder.rglob("data.csv"):
            assert path.read_text() == "1,2"
    assert steps >= 7, "the steps were not seen"


async def _rerun(adapter: FileDropAdapter, outcome: Done | Reject) -> None:
    async def handler(delivery: Delivery) -> None:
        await delivery.send(status("send"))
        if isinstance(outcome, Reject):
            raise OrchestrationError("it did not come out well")

    async with anyio.create_task_group() as group:
        await adapter.run(RecordingIntake(group, handler))


# --- restoring


async def test_answering_twice_does_no_harm(drop: Drop) -> None:
    drop.put("a.json")
    adapter = drop.adapter(durable=True)
    ((delivery, reply_to),) = await taken(adapter)
    await delivery.send(status("task_list"))
    await delivery.settle(Done())
    before = {path: path.read_bytes() for path in drop.folder.rglob("*") if path.is_file()}
    another = drop.adapter(durable=True)
    for again in (delivery, adapter.restore(delivery.envelope, reply_to), another.restore(delivery.envelope, reply_to)):
        await again.settle(Done())
    assert {path: path.read_bytes() for path in drop.folder.rglob("*") if path.is_file()} == before
    assert drop.clean()
    assert drop.names() == ["a.result.json"]


async def test_two_that_answer_at_once(drop: Drop) -> None:
    drop.put("a.json")
    adapter = drop.adapter(durable=True)
    ((delivery, reply_to),) = await taken(adapter)
    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(adapter.restore(delivery.envelope, reply_to).settle, Done())
    assert (drop.names(), drop.names("in/processed")) == (["a.result.json"], ["a.json"])


async def test_a_claim_is_taken_in_again_under_the_same_key(drop: Drop) -> None:
    """The host died after it had committed it, or before: it cannot be told, and need not be."""
    drop.put("a.json")
    drop.put("b.json", idempotency_key="mine")
    first = await taken(drop.adapter(durable=True), 2)
    again = await taken(drop.adapter(durable=True), 2)
    keys = [delivery.envelope.idempotency_key for delivery, _ in first]
    assert keys[0].startswith("file-drop/")
    assert keys[1] == "mine"
    assert [delivery.envelope.idempotency_key for delivery, _ in again] == keys
    assert [reply_to for _, reply_to in again] == [reply_to for _, reply_to in first]
    # What the host restores is not taken in a second time.
    third = drop.adapter(durable=True, mode="once")
    for delivery, reply_to in first:
        third.restore(delivery.envelope, reply_to)
    intake = Keeping()
    assert await third.run(intake) == 0
    assert intake.taken == []


async def test_what_a_home_has_is_not_for_others(drop: Drop) -> None:
    """It is on the disk there, and will be run from there."""
    drop.put("a.json")
    await taken(drop.adapter(durable=True))
    (claim,) = drop.names("in")
    assert drop.summary()["processed_files"] == 0
    drop.home = drop.folder / "another"
    intake = Keeping()
    await drop.adapter(durable=True, mode="once").run(intake)
    assert (drop.names("in"), intake.taken) == ([claim], [])


async def test_a_home_takes_up_what_a_process_left(drop: Drop) -> None:
    drop.put("a.json")
    code = (
        "import anyio, sys, os\nfrom pathlib import Path\nfrom filedrop_kit import Drop\n"
        "from test_filedrop_crash import taken\n"
        f"drop = Drop(Path({str(drop.folder)!r}))\nadapter = drop.adapter()\n"
        "async def main():\n    await taken(adapter)\n    os._exit(9)\nanyio.run(main)"
    )
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, timeout=60)
    assert done.returncode == 9
    ((delivery, reply_to),) = await taken(drop.adapter(durable=True))
    assert ".claim-h" in reply_to["claim"]
    await delivery.settle(Done())
    assert drop.names() == ["a.result.json"]
    assert drop.clean()


@pytest.mark.parametrize("claim", ["", "a.json", "../.a.json.claim-h000000000000-" + "0" * 22, "x/y/.a.json.claim-h"])
def test_what_is_restored_is_a_claim(drop: Drop, claim: str) -> None:
    with pytest.raises(ValidationError):
        drop.adapter(durable=True).restore(None, {"claim": claim})  # type: ignore[arg-type]


async def test_a_retry_is_found_again(drop: Drop) -> None:
    drop.put("a.json", b'{"id":"a","command":"task_list","x_":1}')
    ((delivery, _),) = await taken(drop.adapter())
    drop.put("a.json", b'{"id":"b","command":"task_list"}')
    await delivery.settle(Retry(REPORT))
    assert drop.names("in") == ["a-1.json", "a.json"]
    assert b"x_" in (drop.inbox / "a-1.json").read_bytes()
    drop.put("c.json")
    ((delivery, _),) = await taken(drop.adapter(durable=True, max_files="1"))
    await delivery.settle(Retry(REPORT))
    assert [name for name in drop.names("in") if ".claim-h" in name], "the host may have it on its disk"
    ((again, _),) = await taken(drop.adapter(durable=True, max_files="1"))
    assert again.envelope.idempotency_key == delivery.envelope.idempotency_key


async def test_what_the_host_cannot_take_in_stays(drop: Drop) -> None:
    drop.put("a.json")
    intake = Keeping(StorageError("the disk is full"))
    adapter = drop.adapter(durable=True, poll_interval="10ms")
    ((delivery, _),) = await taken(adapter, intake=intake)
    assert delivery.envelope.id == "a"
    drop.put("b.json")
    intake = Keeping(ValidationError("another command had this key"))
    async with anyio.create_task_group() as group:
        group.start_soon(drop.adapter(durable=True, poll_interval="10ms").run, intake)
        with anyio.fail_after(30):
            while not drop.names():
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    assert "another command had this key" in drop.answer(drop.names()[0])["error"]["message"]


async def test_a_full_intake_leaves_the_others_where_they_are(drop: Drop) -> None:
    for number in range(20):
        drop.put(f"{number:02}.json")

    class Full(Keeping):
        async def submit(self, delivery: Delivery, *, reply_to: Any = None, wait: bool = True) -> Receipt:
            waits.set()
            await anyio.sleep_forever()
            raise AssertionError

    waits = anyio.Event()
    adapter = drop.adapter(mode="watch")
    async with anyio.create_task_group() as group:
        group.start_soon(adapter.run, Full())
        await waits.wait()
        await anyio.sleep(0.1)
        assert len([name for name in drop.names("in") if name[0] != "."]) == 19
        group.cancel_scope.cancel()
    assert drop.names("in") == [f"{number:02}.json" for number in range(20)]


# --- full disks


@contextmanager
def no_room() -> Iterator[None]:
    """Let the system refuse to write more than a few bytes into any file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_an_answer_waits_until_it_can_be_written(drop: Drop) -> None:
    drop.put("a.json")
    drop.put("b.json", b"{")
    adapter = drop.adapter(poll_interval="10ms")
    ended = anyio.Event()

    async def run() -> None:
        async with anyio.create_task_group() as inner:

            async def handler(delivery: Delivery) -> None:
                await delivery.send(status("task_list"))

            await adapter.run(RecordingIntake(inner, handler))
        ended.set()

    async with anyio.create_task_group() as group:
        with no_room():
            group.start_soon(run)
            with anyio.fail_after(30):
                while len(adapter._owed) < 2:
                    await anyio.sleep(0.01)
            assert drop.names() == []
            assert len([name for name in drop.names("in") if ".claim-" in name]) == 2
            assert not ended.is_set()
        with anyio.fail_after(30):
            await ended.wait()
    assert drop.names() == ["a.result.json", "b.error.json"]
    assert drop.clean()


async def test_the_gateway_is_told_that_an_answer_could_not_be_written(drop: Drop) -> None:
    drop.put("a.json")
    ((delivery, reply_to),) = await taken(drop.adapter(durable=True))
    with no_room(), pytest.raises(OSError) as caught:
        await delivery.settle(Done())
    assert caught.value.errno == errno.EFBIG
    assert drop.names() == []
    assert len(drop.names("in")) == 1
    await drop.adapter(durable=True).restore(delivery.envelope, reply_to).settle(Done())
    assert drop.names() == ["a.result.json"]


DISKS = ["tmpfs"] if sys.platform == "linux" and os.geteuid() == 0 else []


@pytest.mark.parametrize("disk", DISKS)
def test_an_outbox_on_a_disk_that_is_full(drop: Drop, disk: str) -> None:
    drop.outbox.mkdir()
    subprocess.run(["mount", "-t", disk, "-o", "size=64k", disk, str(drop.outbox)], check=True)
    try:
        ballast = drop.outbox / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        with drop.watch("--poll-interval", "50ms") as door:
            drop.put("a.json")
            until(lambda: any("a.json: its answer cannot be written" in line for line in door.lines))
            assert drop.names() == ["ballast"]
            ballast.unlink()
            until(lambda: drop.names() == ["a.result.json"])
            assert door.stop() == 0
        assert drop.clean()
    finally:
        subprocess.run(["umount", str(drop.outbox)], check=True)


# --- file systems that can less


@pytest.mark.parametrize("links", [True, False])
async def test_without_an_exclusive_rename(drop: Drop, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def missing() -> Callable[[bytes, bytes], None]:
        def rename(source: bytes, target: bytes) -> None:
            raise OSError(errno.EINVAL, "not here")

        return rename

    def no_link(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.EPERM, "not here")

    monkeypatch.setattr(files, "_exclusive_rename", missing)
    if not links:
        monkeypatch.setattr(os, "link", no_link)
    for _ in range(3):
        drop.put("a.json")
        await _rerun(drop.adapter(), Done())
    assert drop.names("in/processed") == ["a-1.json", "a-2.json", "a.json"]
    assert drop.names() == ["a-1.result.json", "a-2.result.json", "a.result.json"]
    assert [drop.answer(name)["id"] for name in drop.names()] == ["a"] * 3


async def test_many_more_files_than_are_kept_at_once(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "BATCH", 7)
    for number in range(50):
        drop.put(f"{number:02}.json")
    await _rerun(drop.adapter(), Done())
    assert len(drop.names()) == 50
    assert drop.clean()
