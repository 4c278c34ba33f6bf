"""Each rule for adapters can be broken, and is noticed: one adapter for each way to do it wrong."""

from __future__ import annotations

import asyncio
import json
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import anyio
import msgspec
import pytest
from support.journal import END, Answering, Journal
from support.journal_door import SPEC
from support.secret_scan import OUTPUT
from support.secrets import planted

from missive_host.envelopes import Envelope, FrameError
from missive_host.errors import MissiveError
from missive_host.protocols import AdapterContext, Delivery, Done, Intake, Outcome, Reject, Retry, Summary
from missive_host.specs import AdapterSpec, Option
from missive_host.testing import AdapterContract, AdapterRig, Answer

DOOR = Path(__file__).parents[1] / "support" / "journal_door.py"
TOKEN = planted("journal-door")


class JournalRig(AdapterRig):
    samples = tuple(
        json.dumps({"id": f"f-{n}", "command": command})
        for n, command in enumerate(("task_list", "agent_list", "context_list", "group_list"))
    )
    bad_samples = ("no JSON", '{"id": "x"}', '{"id": "x", "command": "sent"}', "\udcff")

    def options(self) -> dict[str, Any]:
        files = {"source": str(self.folder / "source"), "target": str(self.folder / "target")}
        return {**files, "token": self.secret(TOKEN), "colours": {"ok": "green"}}

    async def send(self, sample: str) -> None:
        with (self.folder / "source").open("ab") as source:
            source.write(sample.encode(errors="surrogateescape") + b"\n")

    async def end(self) -> None:
        await self.send(END)

    async def answers(self) -> Sequence[Answer]:
        target = self.folder / "target"
        found = [json.loads(line) for line in target.read_text().splitlines()] if target.exists() else []
        return [Answer(each["text"], error=each["error"]) for each in found]


class TestJournal(AdapterContract):
    """With everything: no test is left out, and all hold."""

    plugin = DOOR
    rig = JournalRig


class Impatient(TestJournal):
    """The same, for an adapter that is broken."""

    __test__ = False
    patience = 0.5
    made: type[Any] = Journal
    declared: AdapterSpec = SPEC

    @property
    def spec(self) -> AdapterSpec:
        return self.declared

    def factory(self) -> Callable[..., Any]:
        return self.made


RULES = sorted(name for name in dir(AdapterContract) if name.startswith("test_"))
BROKEN: dict[type[Journal], str] = {}
DECLARED: dict[str, AdapterSpec] = {
    "no help": replace(SPEC, options=(*SPEC.options, Option("more"))),
    "a secret with a default": replace(
        SPEC, options=(*SPEC.options, Option("more", secret=True, default="env:X", help="x"))
    ),
    "a default that is no choice": replace(
        SPEC, options=(*SPEC.options, Option("more", "choice", default="c", choices=("a", "b"), help="x"))
    ),
    "a choice without choices": replace(SPEC, options=(*SPEC.options, Option("more", "choice", help="x"))),
    "an option that the samples lack": replace(SPEC, options=(*SPEC.options, Option("more", required=True, help="x"))),
    "an option twice": replace(SPEC, options=(*SPEC.options, SPEC.options[0])),
    "no contract": replace(SPEC, accepts=()),
}


def breaks(rule: str) -> Callable[[type[Journal]], type[Journal]]:
    def mark(made: type[Journal]) -> type[Journal]:
        BROKEN[made] = rule
        return made

    return mark


def answers_by(made: type[Answering]) -> type[Journal]:
    """An adapter whose deliveries are of another class."""

    class Other(Journal):
        async def submit(self, delivery: Answering, intake: Intake) -> None:
            await super().submit(made(self, delivery.envelope), intake)

    Other.__name__ = made.__name__
    return Other


# --- the declaration


@breaks("test_what_it_does_not_know_in_a_table_is_refused")
class TakesAnyColour(Journal):
    def check(self, colours: Mapping[str, Any]) -> None: ...


@breaks("test_what_it_does_not_know_in_a_table_is_refused")
class SaysNotWhichColour(Journal):
    def check(self, colours: Mapping[str, Any]) -> None:
        if set(colours) - {"ok", "error"}:
            raise MissiveError("one of the colours is wrong")


@breaks("test_the_factory_makes_an_adapter")
class DoesNotRun(Journal):
    run = None  # type: ignore[assignment]


@breaks("test_the_factory_makes_an_adapter")
class CannotRestore(Journal):
    restore = None  # type: ignore[assignment]


# --- what comes in


@breaks("test_everything_comes_in_once_and_in_order")
class SubmitsTwice(Journal):
    async def submit(self, delivery: Answering, intake: Intake) -> None:
        await super().submit(delivery, intake)
        await super().submit(Answering(self, delivery.envelope), intake)


@breaks("test_everything_comes_in_once_and_in_order")
class GivesAllOneId(Journal):
    def envelope(self, line: str) -> Envelope:
        return msgspec.structs.replace(super().envelope(line), id="1")


@breaks("test_everything_comes_in_once_and_in_order")
class GivesAllOneKey(Journal):
    def envelope(self, line: str) -> Envelope:
        return msgspec.structs.replace(super().envelope(line), idempotency_key="the-key")


@breaks("test_everything_comes_in_once_and_in_order")
class LosesEverySecond(Journal):
    seen = 0

    async def submit(self, delivery: Answering, intake: Intake) -> None:
        self.seen += 1
        if self.seen % 2:
            await super().submit(delivery, intake)


@breaks("test_everything_comes_in_once_and_in_order")
class ReadsBackwards(Journal):
    async def run(self, intake: Intake) -> int | None:
        read = 0
        while True:
            lines = self.lines()
            for line in reversed(lines[read:]):
                await self.take(line, intake)
            read = len(lines)
            await anyio.sleep(0.05)


@breaks("test_every_envelope_is_what_its_contract_says")
class NamesAnotherContract(Journal):
    def envelope(self, line: str) -> Envelope:
        return msgspec.structs.replace(super().envelope(line), contract="missive.http.v1")


@breaks("test_every_envelope_is_what_its_contract_says")
class MakesAnEnvelopeByHand(Journal):
    def envelope(self, line: str) -> Envelope:
        return msgspec.structs.replace(super().envelope(line), id="f 1")


@breaks("test_every_envelope_is_what_its_contract_says")
class InventsAContract(Journal):
    contract = "missive.owl.v1"


@breaks("test_bad_input_gets_an_error_and_the_next_is_read")
class SaysNothing(Journal):
    def refuse(self, error: FrameError) -> None: ...


@breaks("test_bad_input_gets_an_error_and_the_next_is_read")
class DiesOfIt(Journal):
    def refuse(self, error: FrameError) -> None:
        raise error


@breaks("test_bad_input_gets_an_error_and_the_next_is_read")
class ShowsATraceback(Journal):
    def refuse(self, error: FrameError) -> None:
        self.write("".join(traceback.format_exception(error)), error=True)


@breaks("test_bad_input_gets_an_error_and_the_next_is_read")
class CallsItAnAnswer(Journal):
    def refuse(self, error: FrameError) -> None:
        self.write(error.message)


@breaks("test_bad_input_gets_an_error_and_the_next_is_read")
class MakesTheBestOfIt(Journal):
    async def take(self, line: str, intake: Intake) -> None:
        try:
            self.envelope(line)
        except FrameError as error:
            self.refuse(error)
            line = '{"id": "best", "command": "task_list"}'
        await super().take(line, intake)


@breaks("test_it_ends_at_the_end_of_its_input")
class DoesNotWait(Journal):
    async def finish(self) -> None: ...


@breaks("test_it_ends_at_the_end_of_its_input")
class GoesOnForEver(Journal):
    async def finish(self) -> None:
        await anyio.sleep_forever()


@breaks("test_it_ends_at_the_end_of_its_input")
class ReturnsAWord(Journal):
    async def run(self, intake: Intake) -> Any:
        await super().run(intake)
        return "done"


# --- the host is full, or does not want it


@breaks("test_it_waits_while_the_host_is_full")
class ReadsOn(Journal):
    async def run(self, intake: Intake) -> int | None:
        status = None
        async with anyio.create_task_group() as self.group:
            status = await super().run(intake)
        return status  # noqa: RET504 - a task group may swallow

    async def submit(self, delivery: Answering, intake: Intake) -> None:
        self.group.start_soon(super().submit, delivery, intake)


@breaks("test_it_waits_while_the_host_is_full")
class DropsWhatDoesNotFit(Journal):
    async def submit(self, delivery: Answering, intake: Intake) -> None:
        try:
            await intake.submit(delivery, wait=False)
        except MissiveError:
            self.write("try again", error=True)


@breaks("test_what_the_host_refuses_is_told")
class KeepsTheRefusal(Journal):
    async def submit(self, delivery: Answering, intake: Intake) -> None:
        try:
            await intake.submit(delivery, reply_to={})
        except MissiveError:
            return


@breaks("test_what_the_host_refuses_is_told")
class DiesOfTheRefusal(Journal):
    async def submit(self, delivery: Answering, intake: Intake) -> None:
        await intake.submit(delivery, reply_to={})


# --- how it is settled


@breaks("test_done_is_told")
@answers_by
class OnlyTheFirst(Answering):
    sent = False

    async def send(self, output: Any) -> None:
        if not self.sent:
            await super().send(output)
        self.sent = True


@breaks("test_done_is_told")
@answers_by
class DoneIsAnError(Answering):
    async def settle(self, outcome: Outcome) -> None:
        self.journal.write("done", error=True)


@breaks("test_done_is_told")
@answers_by
class CannotSettle(Answering):
    async def settle(self, outcome: Outcome) -> None:
        raise OSError("no")


@breaks("test_reject_is_told")
@answers_by
class RejectedInSilence(Answering):
    async def settle(self, outcome: Outcome) -> None: ...


@breaks("test_reject_is_told")
@answers_by
class RejectedWithoutWords(Answering):
    async def settle(self, outcome: Outcome) -> None:
        self.journal.write("something went wrong", error=True)


@breaks("test_reject_is_told")
@answers_by
class RejectedAsAnAnswer(Answering):
    async def settle(self, outcome: Outcome) -> None:
        assert isinstance(outcome, Reject)
        self.journal.write(outcome.error.message)


@breaks("test_retry_harms_nobody")
class TriesAgainAtOnce(Journal):
    async def submit(self, delivery: Answering, intake: Intake) -> None:
        self.intake = intake
        await super().submit(Eager(self, delivery.envelope), intake)


class Eager(Answering):
    async def settle(self, outcome: Outcome) -> None:
        if isinstance(outcome, Retry):
            assert isinstance(self.journal, TriesAgainAtOnce)
            await self.journal.intake.submit(Answering(self.journal, self.envelope))
        await super().settle(outcome)


@breaks("test_retry_harms_nobody")
@answers_by
class KnowsNoRetry(Answering):
    async def settle(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Done):
            raise TypeError(outcome)


# --- the end


@breaks("test_cancelling_ends_it_and_leaves_nothing")
class CannotBeCancelled(Journal):
    async def run(self, intake: Intake) -> int | None:
        try:
            return await super().run(intake)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1.5)


@breaks("test_cancelling_ends_it_and_leaves_nothing")
class LeavesAFileOpen(Journal):
    left: ClassVar[list[Any]] = []

    async def run(self, intake: Intake) -> int | None:
        self.left.append(self.source.open("a"))
        return await super().run(intake)


@breaks("test_cancelling_ends_it_and_leaves_nothing")
class LeavesAThread(Journal):
    stop = threading.Event()
    left: ClassVar[list[threading.Thread]] = []

    async def run(self, intake: Intake) -> int | None:
        thread = threading.Thread(target=self.stop.wait, daemon=True)
        self.left.append(thread)
        thread.start()
        return await super().run(intake)


@breaks("test_cancelling_ends_it_and_leaves_nothing")
class LeavesATask(Journal):
    left: ClassVar[list[asyncio.Task[None]]] = []

    async def run(self, intake: Intake) -> int | None:
        self.left.append(asyncio.create_task(asyncio.sleep(60)))
        return await super().run(intake)


@breaks("test_what_is_under_way_is_answered_after_it_was_cancelled")
class ClosesTheDoorAtOnce(Journal):
    closed = False

    async def run(self, intake: Intake) -> int | None:
        try:
            return await super().run(intake)
        finally:
            self.closed = True

    def write(self, text: str, *, error: bool = False) -> None:
        if self.closed:
            raise OSError("closed")
        super().write(text, error=error)


@breaks("test_another_process_can_answer")
class GivesNothingForLater(Journal):
    def reply_to(self, delivery: Answering) -> None:
        return None


@breaks("test_another_process_can_answer")
class GivesWhatIsNoJson(Journal):
    def reply_to(self, delivery: Answering) -> dict[str, Any]:
        return {"delivery": delivery}


@breaks("test_another_process_can_answer")
class KnowsItsOwnOnly(Journal):
    def restore(self, envelope: Envelope, reply_to: Mapping[str, Any]) -> Delivery:
        raise KeyError(envelope.id)


@breaks("test_another_process_can_answer")
class AnswersNobody(Journal):
    def restore(self, envelope: Envelope, reply_to: Mapping[str, Any]) -> Delivery:
        return Mute(self, envelope)


class Mute(Answering):
    async def send(self, output: Any) -> None: ...

    async def settle(self, outcome: Outcome) -> None: ...


@breaks("test_a_summary_is_json")
class SumsUpObjects(Journal):
    def summary(self) -> Summary:
        return Summary("journal", {"source": self.source})


@breaks("test_no_secret_is_seen")
class LogsTheToken(Journal):
    async def take(self, line: str, intake: Intake) -> None:
        self.context.log.debug("with %s", self.context.options["token"].reveal())
        await super().take(line, intake)


@breaks("test_no_secret_is_seen")
class ShowsTheToken(Journal):
    def __repr__(self) -> str:
        return f"Journal({self.context.options['token'].reveal()})"


@breaks("test_no_secret_is_seen")
class TellsTheToken(Journal):
    def refuse(self, error: FrameError) -> None:
        self.write(f"{error.message} (signed {self.context.options['token'].reveal()})", error=True)


@breaks("test_no_secret_is_seen")
class StoresTheToken(Journal):
    def reply_to(self, delivery: Answering) -> dict[str, Any]:
        return {"token": self.context.options["token"].reveal()}


@pytest.fixture(autouse=True)
def _put_away() -> Iterator[None]:
    """What the broken ones leave behind on purpose."""
    LeavesAThread.stop.clear()
    yield
    for file in LeavesAFileOpen.left:
        file.close()
    LeavesAThread.stop.set()
    for thread in LeavesAThread.left:
        thread.join()
    for kept in (LeavesAFileOpen.left, LeavesAThread.left, LeavesATask.left):
        kept.clear()


@pytest.mark.secrets_in("*", OUTPUT)  # that is what some of them do wrong
@pytest.mark.parametrize("made", BROKEN, ids=lambda made: made.__name__)
async def test_a_broken_adapter_is_noticed(made: type[Journal], tmp_path: Path) -> None:
    contract = type("Contract", (Impatient,), {"made": made, "__test__": False})()
    try:
        with pytest.raises((AssertionError, pytest.fail.Exception, MissiveError, TypeError, KeyError)):
            await getattr(contract, BROKEN[made])(tmp_path)
    finally:
        for task in LeavesATask.left:
            task.cancel()


@pytest.mark.parametrize("what", DECLARED)
def test_a_broken_declaration_is_noticed(what: str, tmp_path: Path) -> None:
    contract = type("Contract", (Impatient,), {"declared": DECLARED[what], "__test__": False})()
    with pytest.raises((AssertionError, MissiveError)):
        contract.test_its_options_are_what_they_say(tmp_path)


def test_each_rule_is_broken_once() -> None:
    declared = {"test_it_is_installed_and_loads", "test_its_declaration_is_light", "test_its_options_are_what_they_say"}
    assert set(BROKEN.values()) | declared == set(RULES)


# --- installed, and light


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nobody", None),
        ("misspelt", "from missive_host.hookspecs import hookimpl\n@hookimpl\ndef missive_adaptors(): return ()\n"),
        ("broken", "import there_is_no_such_module\n"),
        ("nothing", "MISSIVE_API = 1\n"),
    ],
)
def test_what_does_not_load_is_noticed(name: str, text: str | None, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.py"
    if text is not None:
        file.write_text(text)
    plugin: str | Path = name if text is None else file
    contract = type("Contract", (AdapterContract,), {"plugin": plugin, "__test__": False})()
    with pytest.raises((AssertionError, ImportError, MissiveError)):
        contract.test_it_is_installed_and_loads()


@pytest.mark.parametrize("module", ["asyncio", "httpx", "missive_stdio", "pytest"])
def test_a_heavy_declaration_is_noticed(module: str, tmp_path: Path) -> None:
    file = tmp_path / "heavy.py"
    file.write_text(f"import {module}\n" + DOOR.read_text().partition("from __future__")[2].partition("\n")[2])
    contract = type("Contract", (AdapterContract,), {"plugin": file, "__test__": False})()
    with pytest.raises(AssertionError, match=module):
        contract.test_its_declaration_is_light()


# --- leaving tests out


def test_what_is_lacking_is_left_out() -> None:
    class Plain(AdapterContract):
        __test__ = False
        lacks = frozenset({"end"})

    assert not callable(getattr(Plain, "test_it_ends_at_the_end_of_its_input"))  # noqa: B009
    assert callable(Plain.test_done_is_told)
    assert callable(AdapterContract.test_it_ends_at_the_end_of_its_input)


def test_a_feature_that_there_is_not() -> None:
    with pytest.raises(TypeError, match="ends"):
        type("Wrong", (AdapterContract,), {"lacks": frozenset({"ends"})})


async def test_a_rig_that_cannot_do_it_says_what_to_do(tmp_path: Path) -> None:
    class Lazy(JournalRig):
        async def end(self) -> None:
            await AdapterRig.end(self)

    contract = type("Contract", (Impatient,), {"rig": Lazy, "__test__": False})()
    with pytest.raises(NotImplementedError, match="put 'end' into `lacks`"):
        await contract.test_it_ends_at_the_end_of_its_input(tmp_path)


def test_context_is_what_the_host_gives(tmp_path: Path) -> None:
    """The options cannot be changed by the adapter."""
    from missive_host.testing.running import options_of

    options = options_of(SPEC, JournalRig(tmp_path))
    with pytest.raises(TypeError):
        options["mode"] = "all"  # type: ignore[index]
    assert isinstance(AdapterContext("x", options, None, tmp_path).options, Mapping)  # type: ignore[arg-type]


# --- contracts that plugins bring


def pigeon(folder: Path, **schema: Any) -> Path:
    """Return a plugin that brings the contract of its envelopes."""
    place = folder / "contracts" / "missive.pigeon.v1"
    place.mkdir(parents=True)
    (place / "request.schema.json").write_text(json.dumps({"type": "object", **schema}))
    file = folder / "pigeon.py"
    file.write_text(
        "from missive_host.hookspecs import hookimpl\n"
        "from missive_host.specs import AdapterSpec, ContractSpec\n"
        "from support.journal import Journal\n"
        "from support.journal_door import SPEC\n"
        "from dataclasses import replace\n"
        "PIGEON = ContractSpec('missive.pigeon.v1', __name__, 'By pigeon.')\n"
        "class Pigeon(Journal):\n"
        "    contract = PIGEON\n"
        "@hookimpl\n"
        "def missive_contracts():\n"
        "    return (PIGEON,)\n"
        "@hookimpl\n"
        "def missive_adapters():\n"
        "    return (replace(SPEC, name='pigeon', factory=f'{__name__}:Pigeon', accepts=('missive.pigeon.v1',)),)\n"
    )
    return file


async def test_envelopes_are_held_to_the_contract_that_the_plugin_brings(tmp_path: Path) -> None:
    made = {"plugin": pigeon(tmp_path), "rig": JournalRig, "__test__": False, "patience": 0.5}
    contract = type("Contract", (AdapterContract,), made)()
    await contract.test_every_envelope_is_what_its_contract_says(tmp_path / "good")


async def test_a_contract_that_nobody_has_is_noticed(tmp_path: Path) -> None:
    declared = replace(SPEC, accepts=("missive.owl.v1",))
    made = {"made": InventsAContract, "declared": declared, "__test__": False}
    with pytest.raises(AssertionError, match="bring it"):
        await type("Contract", (Impatient,), made)().test_every_envelope_is_what_its_contract_says(tmp_path)
