"""The adapter: files in, deliveries out, until there are no more or it is stopped.

::

    inbox ─► scan ─► take (rename) ─► read ─► parse_envelope ─► FileDropDelivery ─► intake.submit
                                                 └─ error ─► Answers ◄─ settle ◄─ host
                                                               └─► outbox, processed, error

A file is taken only when there is room for it, so what cannot be worked on stays where it is, for others, too.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from missive_filedrop.answers import Answers
from missive_filedrop.delivery import FileDropDelivery, answer
from missive_filedrop.files import NotRegularError
from missive_filedrop.folders import Folders
from missive_filedrop.inbox import Inbox
from missive_filedrop.names import Claim, shown
from missive_filedrop.owner import Owner
from missive_filedrop.reading import Reader, Refusal
from missive_filedrop.tally import Tally
from missive_filedrop.watching import Watch
from missive_host.errors import ErrorReport, IoError, MissiveError, ValidationError
from missive_host.protocols import Done, Reject, Retry, Summary

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from missive_filedrop.answers import Answered
    from missive_filedrop.inbox import Scan
    from missive_host.envelopes import Envelope
    from missive_host.protocols import AdapterContext, Delivery, Intake, Outcome

AHEAD = 16
"""How many files of a session folder are taken at once: a session that is busy must not hold up the others."""
COMPLAINTS = 1000
"""How many things are complained of once; then all is forgotten, and complained of again."""


class FileDropAdapter:
    """Works on a folder of `missive.file_drop.v1` requests."""

    def __init__(self, context: AdapterContext) -> None:
        options = context.options
        self._log = context.log
        self._progress = context.progress
        self._durable = context.durable
        self._options = options
        self._once = (options["mode"] or ("watch" if context.durable else "once")) == "once"
        self._folders = Folders.of(options)
        self._folders.prepare()
        self._owner = Owner(self._folders.inbox, context.data_dir, durable=context.durable)
        self._inbox = Inbox(self._folders, self._owner, sessions=options["session_folders"])
        self._answers = Answers(self._folders, self._inbox)
        self._reader = Reader(self._folders, self._inbox, options, durable=context.durable)
        self._tally = Tally()
        self._complaints: set[str] = set()
        self._hands: set[str] = set()
        """The ids of the claims that are in our hands, or in the host's."""
        self._ahead: Counter[str] = Counter()
        """How many of them are of each folder."""
        self._watch: Watch | None = None
        self._places = anyio.Semaphore(options["concurrency"] or (100_000 if context.durable else 4))
        self._busy = 0
        self._idle = anyio.Event()
        self._owed: dict[str, tuple[Callable[[], Awaitable[Answered | None]], Callable[[Answered | None], None]]] = {}
        """Answers that could not be written, e.g. because the disk is full."""
        self._trouble: OSError | None = None
        self._running = False

    # --- the protocol

    async def run(self, intake: Intake) -> int:
        """Work on what there is, or with ``watch`` until it is cancelled; return when all is answered.

        Returns 0, whatever came of the requests: their answers say it. Raises `IoError` if the folders cannot be
        used; with ``watch`` only at the beginning, later it goes on as soon as they can be.
        """
        self._running = True
        try:
            await anyio.to_thread.run_sync(self._begin)
            async with anyio.create_task_group() as group:
                group.start_soon(self._write_what_is_owed)
                await self._work(intake)
                while self._busy:
                    await self._idle.wait()
                group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._try_what_is_owed()
            self._running = False
            self._end_if_idle()
        if self._once and self._trouble is not None:
            raise _unusable(self._trouble)
        return 0

    def restore(self, envelope: Envelope, reply_to: Mapping[str, Any]) -> Delivery:
        """Return a delivery that takes the answer to a request that was taken in by this home before.

        Of one that is tried again after its answer was written, the second answer gets a file of its own.
        """
        folder, _, file = str(reply_to.get("claim", "")).rpartition("/")
        claim = Claim.parse(folder, file)
        if claim is None or "/" in folder or folder.startswith("."):
            raise ValidationError("what was kept of a file that was taken in is damaged")
        self._hold(claim)
        return FileDropDelivery(
            envelope,
            claim,
            self._answers,
            on_settled=self._restored,
            on_failed=self._cannot_answer,
            again=not reply_to.get("retried"),
        )

    def summary(self) -> Summary:
        """Tell what was done since it was made."""
        return self._tally.summary("once" if self._once else "watch", self._folders)

    # --- finding

    def _begin(self) -> None:
        try:
            self._folders.prepare()
            if not self._owner.open():
                self._log.warning("no locks in %s: what this process leaves is not taken up", self._folders.inbox)
            self._recover()
        except OSError as error:
            raise _unusable(error) from None

    def _recover(self) -> None:
        for path in self._answers.recover():
            self._log.info("%s: finished what another process had begun", shown(path.name))

    async def _work(self, intake: Intake) -> None:
        options = self._options
        left = options["max_files"]
        watch = Watch(
            self._folders.inbox,
            recursive=options["session_folders"],
            polling=options["polling"] or self._once,
            interval=options["poll_interval"],
            log=self._log,
        )
        self._watch = watch
        async with watch:
            while left is None or left:
                passed = {folder for folder in self._ahead if self._has_enough(folder)}
                scan = await self._scan(frozenset(passed))
                taken = 0
                items: list[Claim | tuple[str, str]] = [] if scan is None else [*scan.left, *scan.ready]
                for item in items:
                    folder = item.folder if isinstance(item, Claim) else item[1]
                    if folder in passed or self._has_enough(folder):
                        passed.add(folder)  # with all that is left in it, since its order counts
                        continue
                    taken += await self._one(item, intake)
                    if taken == left:
                        return
                left = left - taken if left is not None else None
                if scan is not None and scan.more and taken:
                    continue
                if self._once:
                    return
                await watch.wait()

    def _has_enough(self, folder: str) -> bool:
        """Tell whether as much of a session's folder is under way as may be."""
        return bool(folder) and self._durable and not self._once and self._ahead[folder] >= AHEAD

    async def _scan(self, passed: frozenset[str]) -> Scan | None:
        """Look at the inbox; None if it cannot be read now, which in ``once`` raises `IoError`."""
        try:
            scan = await anyio.to_thread.run_sync(self._inbox.scan, self._hands, passed)
            if scan.deaths:
                await anyio.to_thread.run_sync(self._recover)
        except OSError as error:
            if self._once:
                raise _unusable(error) from None
            self._complain("folders", f"{_unusable(error).message}; it is tried again")
            return None
        self._complaints.discard("folders")
        for text in scan.ignored:
            self._complain(text, f"left alone: {text}")
        self._tally.seen += len(scan.left) + len(scan.ready)
        return scan

    def _complain(self, about: str, text: str) -> None:
        if about not in self._complaints:
            if len(self._complaints) >= COMPLAINTS:
                self._complaints.clear()
            self._complaints.add(about)
            self._log.warning("%s", text)

    # --- taking in

    async def _one(self, item: Claim | tuple[str, str], intake: Intake) -> bool:
        """Take one file in; False if it is not there any more, or cannot be taken now."""
        await self._places.acquire()
        self._busy += 1
        try:
            claim, found = await anyio.to_thread.run_sync(self._reader.open, item)
        except (FileNotFoundError, NotRegularError):  # another was faster, or it was replaced
            self._let_go()
            return False
        except OSError as error:
            self._let_go()
            self._trouble = error
            name = shown(item.name if isinstance(item, Claim) else item[0])
            self._complain(name, f"{name} cannot be taken: {error.strerror}; it stays where it is")
            return False
        except BaseException:
            self._let_go()
            raise
        self._hold(claim)
        if isinstance(found, Refusal):
            await self._refuse(claim, found)
            return True
        delivery = FileDropDelivery(
            found,
            claim,
            self._answers,
            on_settled=self._settled,
            on_failed=self._cannot_answer,
            again=self._durable,
        )
        try:
            await intake.submit(delivery, reply_to={"claim": claim.file})
        except ValidationError as error:
            await delivery.settle(Reject(error.report()))
        except MissiveError as error:
            self._log.warning("%s: cannot be taken in: %s", shown(claim.name), error)
            self._give_back(claim)
            await anyio.sleep(self._options["poll_interval"])
            return False
        except BaseException:
            self._give_back(claim)
            raise
        return True

    def _give_back(self, claim: Claim) -> None:
        """Let a file be found again. What a home has taken keeps its id, for it may be on the disk already."""
        if not self._durable:
            with suppress(OSError):
                self._inbox.put_back(claim)
        self._done_with(claim)

    # --- answering

    async def _refuse(self, claim: Claim, refusal: Refusal) -> None:
        report = refusal.report

        async def write() -> Answered | None:
            document = partial(answer, claim.name, frame_id=refusal.frame_id, error=report)
            return await anyio.to_thread.run_sync(
                partial(self._answers.give, claim, ok=False, document=document, again=self._durable)
            )

        with anyio.CancelScope(shield=True):
            try:
                answered = await write()
            except OSError as problem:
                self._owe(claim, write, lambda answered: self._told(claim, report, 0, answered), problem)
            else:
                self._told(claim, report, 0, answered)

    def _settled(self, delivery: FileDropDelivery, outcome: Outcome, answered: Answered | None) -> None:
        claim = delivery.claim
        if isinstance(outcome, Retry):
            self._give_back(claim)
            return
        self._told(claim, None if isinstance(outcome, Done) else outcome.error, delivery.output_count, answered)

    def _restored(self, delivery: FileDropDelivery, outcome: Outcome, answered: Answered | None) -> None:
        self._owed.pop(delivery.claim.uid, None)
        self._let_fall(delivery.claim)
        if answered is not None and not isinstance(outcome, Retry):
            error = None if isinstance(outcome, Done) else outcome.error
            self._count(delivery.claim, error, delivery.output_count, answered)

    def _cannot_answer(self, delivery: FileDropDelivery, outcome: Outcome, error: OSError) -> None:
        then = partial(delivery.on_settled, delivery, outcome)
        self._owe(delivery.claim, partial(delivery.write, outcome), then, error)
        if self._durable:
            raise error  # the host keeps the answer, and delivers it again after a restart

    def _owe(
        self,
        claim: Claim,
        write: Callable[[], Awaitable[Answered | None]],
        then: Callable[[Answered | None], None],
        error: OSError,
    ) -> None:
        """Keep an answer until it can be written. Its place stays taken, so no more is read than can be answered."""
        self._log.warning(
            "%s: its answer cannot be written: %s; %s",
            shown(claim.name),
            error.strerror,
            "it is tried again" if self._running or self._durable else "the next process will run it again",
        )
        if self._running:
            self._owed[claim.uid] = (write, then)
        elif not self._durable:
            self._done_with(claim)

    async def _write_what_is_owed(self) -> None:
        while True:
            await anyio.sleep(self._options["poll_interval"])
            with anyio.CancelScope(shield=True):
                await self._try_what_is_owed()

    async def _try_what_is_owed(self) -> None:
        for uid, (write, then) in list(self._owed.items()):
            try:
                answered = await write()
            except OSError:
                continue
            self._owed.pop(uid, None)
            then(answered)

    def _told(self, claim: Claim, error: ErrorReport | None, outputs: int, answered: Answered | None) -> None:
        if answered is not None:
            self._count(claim, error, outputs, answered)
        self._done_with(claim)

    def _count(self, claim: Claim, error: ErrorReport | None, outputs: int, answered: Answered) -> None:
        self._tally.add(claim.name, error, outputs, answered)
        what = "ok" if error is None else f"failed: {error.message}"
        line = f"{shown(claim.name)}: {what}, {shown(answered.output.name)}"
        if self._progress is not None:
            self._progress(line)
        else:
            self._log.info("%s", line)

    # --- how much is under way

    def _done_with(self, claim: Claim) -> None:
        self._owed.pop(claim.uid, None)
        if self._let_fall(claim):
            self._let_go()

    def _hold(self, claim: Claim) -> None:
        if claim.uid not in self._hands:
            self._hands.add(claim.uid)
            self._ahead[claim.folder] += 1

    def _let_fall(self, claim: Claim) -> bool:
        """Take a claim out of our hands; False if it is not in them: it was answered twice."""
        if claim.uid not in self._hands:
            return False
        self._hands.discard(claim.uid)
        self._ahead[claim.folder] -= 1
        if not self._ahead[claim.folder]:
            del self._ahead[claim.folder]
        elif claim.folder and self._ahead[claim.folder] == AHEAD // 2 and self._watch is not None:
            self._watch.wake()  # there is room for more of this session
        return True

    def _let_go(self) -> None:
        self._busy -= 1
        self._places.release()
        if not self._busy:
            self._idle.set()
            self._idle = anyio.Event()
            self._end_if_idle()

    def _end_if_idle(self) -> None:
        if not self._running and not self._busy:
            with suppress(OSError):
                self._owner.close()


def _unusable(error: OSError) -> IoError:
    where = f" {os.fsdecode(error.filename)}" if isinstance(error.filename, str | bytes) else ""
    return IoError(f"while working on the folders:{where} {error.strerror}", help="see to the folders' permissions")
