"""What every adapter must hold, one test each. The docstring of a test is the rule."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import anyio
import pytest

from missive_host.contracts import contracts, find, load_schema, validate
from missive_host.contracts.brought import request_faults
from missive_host.envelopes import CHAT, Envelope, parse_envelope, stored
from missive_host.errors import MissiveError, OrchestrationError, ValidationError
from missive_host.protocols import Adapter, Done, Outcome, Reject, Restoring, Retry, Summarizing
from missive_host.specs import AdapterSpec
from missive_host.testing.declared import PluginContract
from missive_host.testing.intake import Handler, RecordingIntake, Taken, answered
from missive_host.testing.rig import FEATURES, AdapterRig, Answer
from missive_host.testing.running import Running, held, options_of

Test = TypeVar("Test", bound=Callable[..., Any])

REFUSED = "the kit does not want this"
"""What an error says that the kit raises."""


def needs(*features: str) -> Callable[[Test], Test]:
    """Mark a test that is only for adapters with these features."""

    def mark(test: Test) -> Test:
        test.__dict__["needs"] = frozenset(features)
        return test

    return mark


class AdapterContract(PluginContract[AdapterSpec]):
    """Subclass it as ``Test…``, say which plugin, and bring a rig; name in `lacks` what the adapter does not have.

    ::

        class TestPigeon(AdapterContract):
            plugin = "pigeon"
            rig = PigeonRig
            lacks = frozenset({"end"})
    """

    rig: ClassVar[type[AdapterRig]]
    """The class of its rig."""
    lacks: ClassVar[frozenset[str]] = frozenset()
    """What the adapter has not, of `FEATURES`. The tests that need it are not collected."""
    backends: ClassVar[tuple[str, ...]] = ("asyncio", "trio") if find_spec("trio") else ("asyncio",)
    """The event loops that it runs on. The host runs on asyncio; on trio it shows that nothing is left behind."""
    with_listener: ClassVar[bool] = False
    """True: it needs the gateway's HTTP listener. That runs on asyncio only."""
    readers: ClassVar[int] = 1
    """How many senders it reads from at once: so many may wait with one input each while the host is full."""
    patience: ClassVar[float] = 10
    """Seconds after which something that was waited for counts as never."""
    cancel_within: ClassVar[float] = 1.0
    """Seconds within which `run` returns after it was cancelled."""

    pytestmark = pytest.mark.anyio
    _kind = AdapterSpec

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        unknown = cls.lacks - set(FEATURES)
        if unknown:
            raise TypeError(f"{cls.__name__}.lacks: {sorted(unknown)}; there are {sorted(FEATURES)}")
        for name in dir(AdapterContract):
            if getattr(getattr(AdapterContract, name), "needs", frozenset()) & cls.lacks:
                setattr(cls, name, None)
        loops = [name for name in cls.backends if name == "asyncio" or not cls.with_listener]

        @pytest.fixture(params=loops)
        def anyio_backend(self: AdapterContract, request: pytest.FixtureRequest) -> str:  # noqa: ARG001
            return str(request.param)

        cls.anyio_backend = anyio_backend  # type: ignore[attr-defined]

    # --- what the tests are written with

    def at_work(self, folder: Path, handler: Handler | None = None, **settings: Any) -> Running:
        """Return the adapter at work in a folder: a context manager. `settings` are those of `RecordingIntake`."""
        ours = {name: settings.pop(name) for name in ("starts", "durable") if name in settings}
        intake = RecordingIntake(handler, **settings) if handler else RecordingIntake(**settings)
        rig = type(self).rig(folder)
        return Running(
            rig, self.spec, self.factory(), intake, patience=self.patience, with_listener=self.with_listener, **ours
        )

    @property
    def samples(self) -> tuple[Any, ...]:
        found = tuple(type(self).rig(Path()).samples)
        assert len(found) >= 3, "give at least three `samples` in the rig"
        return found

    # --- the declaration

    def test_its_options_are_what_they_say(self, tmp_path: Path) -> None:
        """Each option has a help, the samples' options are accepted, and a name that is not declared is refused."""
        spec, rig = self.spec, type(self).rig(tmp_path)
        for option in spec.options:
            assert option.help.strip(), f"the option `{option.name}` has no help"
            assert not (option.secret and option.default is not None), f"the secret `{option.name}` has a default"
            assert option.choices or option.type != "choice", f"the option `{option.name}` has no choices"
        names = [option.name for option in spec.options]
        assert len(set(names)) == len(names), f"an option is declared twice: {names}"
        options_of(spec, rig)
        try:
            options_of(spec, rig, no_such_option=1)
        except ValidationError as error:
            assert "no_such_option" in error.message
        else:
            raise AssertionError("an unknown option is accepted")
        assert spec.accepts, "say with `accepts` which contracts it reads"

    async def test_what_it_does_not_know_in_a_table_is_refused(self, tmp_path: Path) -> None:
        """An option of type ``table`` is for the adapter to check: a key that means nothing there is refused."""
        tables = [option.name for option in self.spec.options if option.type == "table" and not option.repeated]
        for name in tables:
            running = self.at_work(tmp_path / name, starts=False)
            given = {**running.rig.options()}
            given[name] = {**given.get(name, {}), "no_such_key": 1}
            running.rig.options = lambda given=given: given  # type: ignore[method-assign, misc]
            with pytest.raises(MissiveError, match="no_such_key"):
                async with running:
                    pass

    async def test_the_factory_makes_an_adapter(self, tmp_path: Path) -> None:
        """What the declaration names takes an `AdapterContext` and returns an `Adapter`; `lacks` says it all."""
        async with self.at_work(tmp_path, starts=False) as running:
            assert isinstance(running.adapter, Adapter), f"{type(running.adapter).__name__} has no method `run`"
            restores = isinstance(running.adapter, Restoring)
        assert restores or "restore" in self.lacks, "it has no method `restore`: put 'restore' into `lacks`"
        assert not restores or "restore" not in self.lacks, "it has `restore`: take 'restore' out of `lacks`"

    # --- what comes in

    async def test_everything_comes_in_once_and_in_order(self, tmp_path: Path) -> None:
        """Each sample is one delivery with an id of its own; what one sender sends comes in its order."""
        async with self.at_work(tmp_path) as running:
            for number, sample in enumerate(self.samples, 1):
                await running.send(sample)
                await running.until_taken(number)
            await anyio.wait_all_tasks_blocked()
            await running.until("all are settled", lambda intake: len(intake.settled) == len(self.samples))
            envelopes = [taken.envelope for taken in running.intake.taken]
        assert len(envelopes) == len(self.samples), f"{len(self.samples)} samples became {len(envelopes)} deliveries"
        async with self.at_work(tmp_path / "again") as running:
            await running.send(*self.samples)
            await running.until_taken(len(self.samples))
            gists = [gist(taken.envelope) for taken in running.intake.taken]
        if self.readers == 1:
            assert gists == [gist(each) for each in envelopes], "sent at once they come in another order"
        assert len({each.id for each in envelopes}) == len(envelopes), "two deliveries have one id"
        keys = [each.idempotency_key for each in envelopes if each.idempotency_key is not None]
        assert len(set(keys)) == len(keys), "two deliveries have one idempotency key"

    async def test_every_envelope_is_what_its_contract_says(self, tmp_path: Path) -> None:
        """The contract is one that the declaration accepts; the envelope validates against it, and reads back."""
        async with self.at_work(tmp_path) as running:
            await running.send(*self.samples)
            await running.until("all are there", lambda intake: len(intake.taken) == len(self.samples))
            envelopes = [taken.envelope for taken in running.intake.taken]
        brought = {spec.name: spec for spec, _ in self.plugins().contracts()}
        own = {contract.version for contract in contracts()}
        for envelope in envelopes:
            assert isinstance(envelope, Envelope), (
                f"{type(envelope).__name__} is no Envelope: make it by parse_envelope"
            )
            assert envelope.contract in self.spec.accepts, f"{envelope.contract} is not in {self.spec.accepts}"
            assert envelope.contract in {*own, *brought}, (
                f"nobody has {envelope.contract}: bring it (missive_contracts)"
            )
            contract = brought.get(envelope.contract, envelope.contract)
            frame = frame_of(envelope, None if isinstance(contract, str) else contract.facts)
            if isinstance(contract, str):
                faults = validate(frame, load_schema(find(contract, contracts())))
            else:
                faults = request_faults(contract)(frame)
            told = [fault.sentence() for fault in faults]
            assert not told, f"the envelope {envelope.id} is not {envelope.contract}: {told}"
            data = json.dumps(frame).encode()
            again = parse_envelope(data, contract, default_source=envelope.source.source_id)
            assert again.command == envelope.command, "read again it is another command"

    @needs("errors")
    async def test_bad_input_gets_an_error_and_the_next_is_read(self, tmp_path: Path) -> None:
        """What cannot be accepted is told to its sender, without a traceback; what follows is read as ever."""
        bad = tuple(type(self).rig(Path()).bad_samples)
        assert bad, "give `bad_samples` in the rig, or put 'errors' into `lacks`"
        async with self.at_work(tmp_path) as running:
            await running.send(self.samples[0])
            await running.until("the first is there", lambda intake: len(intake.settled) == 1)
            for number, sample in enumerate(bad, 1):
                await running.send(sample)
                told = await running.answers(f"bad sample {number} is refused", number, lambda answer: answer.error)
                for answer in told:
                    assert answer.text.strip(), "an error without words"
                    assert "Traceback (most recent call last)" not in answer.text, "a sender sees a traceback"
            await running.send(self.samples[1])
            await running.until("the next is there", lambda intake: len(intake.settled) == 2)
            assert len(running.intake.taken) == 2, "a bad sample became a delivery"

    @needs("end")
    async def test_it_ends_at_the_end_of_its_input(self, tmp_path: Path) -> None:
        """`run` returns when the input has ended and every delivery has been settled, and not before."""
        go_on = anyio.Event()

        async def slowly(taken: Taken) -> None:
            await go_on.wait()
            await taken.send(answered("done"))

        async with self.at_work(tmp_path, slowly) as running:
            await running.send(*self.samples)
            await running.rig.end()
            await running.until("all are there", lambda intake: len(intake.taken) == len(self.samples))
            await anyio.wait_all_tasks_blocked()
            assert not running.ended.is_set(), "`run` returned while deliveries were under way"
            go_on.set()
            with anyio.move_on_after(self.patience):
                await running.ended.wait()
            running.still_well()
            assert running.ended.is_set(), "the input has ended, all is settled, and `run` does not return"
            assert len(running.intake.settled) == len(self.samples)
            assert running.status is None or isinstance(running.status, int), f"`run` returned {running.status!r}"

    # --- the host is full, or does not want it

    @needs("wait")
    async def test_it_waits_while_the_host_is_full(self, tmp_path: Path) -> None:
        """While `submit` waits no more is read; when there is room again everything comes, and nothing is lost."""
        go_on = anyio.Event()
        many = self.samples

        async def slowly(taken: Taken) -> None:  # noqa: ARG001
            await go_on.wait()

        async with self.at_work(tmp_path, slowly, room=1) as running:
            running.send_soon(*many)
            await running.until("one is taken, the next waits", lambda intake: intake.taken and intake.waiting)
            for _ in range(5):
                await anyio.sleep(0.02)
                assert running.intake.waiting <= self.readers, (
                    f"it reads on while the host is full: {running.intake.waiting} deliveries wait in memory, and it "
                    f"has {self.readers} sender(s) (see `readers`)"
                )
            assert len(running.intake.taken) == 1
            go_on.set()
            await running.until("all have come", lambda intake: len(intake.settled) == len(many))

    async def test_what_the_host_refuses_is_told(self, tmp_path: Path) -> None:
        """If `submit` raises, the sender gets the error (where there are answers), and the next input is read."""
        seen: list[str] = []

        def refuse(envelope: Envelope) -> None:
            seen.append(envelope.id)
            if len(seen) == 1:
                raise ValidationError(REFUSED)

        async with self.at_work(tmp_path, refuse=refuse) as running:
            await running.send(self.samples[0])
            await running.until("the first is refused", lambda intake: intake.refused)
            if "answers" not in self.lacks:
                await running.answer("the host refused it", saying(REFUSED, error=True))
            await running.send(self.samples[1])
            await running.until("the next is there", lambda intake: len(intake.settled) == 1)

    # --- how it is settled

    @needs("answers")
    async def test_done_is_told(self, tmp_path: Path) -> None:
        """Every result that is sent (see ``progress``) reaches the sender, and settling it as `Done` is no error."""

        async def twice(taken: Taken) -> None:
            await taken.send(answered(f"first-{taken.number}"))
            await taken.send(answered(f"second-{taken.number}"))

        async with self.at_work(tmp_path, twice) as running:
            await running.send(*self.samples)
            for number in range(len(self.samples)):
                for word in ("second",) if "progress" in self.lacks else ("first", "second"):
                    await running.answer("a result", saying(f"{word}-{number}"))
            await self._all_settled(running)
            assert not [each for each in await running.rig.answers() if each.error], (
                "Done, and the sender sees an error"
            )

    @needs("answers")
    async def test_reject_is_told(self, tmp_path: Path) -> None:
        """A delivery that is settled as `Reject` is an error to its sender, with the error's message."""

        async def fails(taken: Taken) -> Outcome:
            return Reject(OrchestrationError(f"{REFUSED} {taken.number}").report())

        async with self.at_work(tmp_path, fails) as running:
            await running.send(*self.samples)
            for number in range(len(self.samples)):
                await running.answer("it was rejected", saying(f"{REFUSED} {number}", error=True))
            await self._all_settled(running)

    async def test_retry_harms_nobody(self, tmp_path: Path) -> None:
        """A delivery that is settled as `Retry` keeps nothing from the others, and the adapter goes on."""

        async def later(taken: Taken) -> Outcome | None:
            if taken.number:
                return None
            return Retry(OrchestrationError("stopped before it was done").report(), after=60)

        async with self.at_work(tmp_path, later) as running:
            await running.send(*self.samples)
            await self._all_settled(running)

    async def _all_settled(self, running: Running) -> None:
        await running.until("all are settled", lambda intake: len(intake.settled) >= len(self.samples))
        await anyio.wait_all_tasks_blocked()
        assert not running.intake.failures, f"`send` or `settle` raised {running.intake.failures!r}"
        assert not running.ended.is_set() or "end" not in self.lacks, "`run` has returned"
        assert len(running.intake.taken) == len(self.samples), "a delivery was submitted again"

    # --- the end

    async def test_cancelling_ends_it_and_leaves_nothing(self, tmp_path: Path) -> None:
        """Cancelled with a delivery under way, `run` returns at once, and no task, thread, file or socket is left."""
        counts: list[dict[str, int]] = []
        for turn in range(4):
            async with self.at_work(tmp_path / str(turn), self._for_ever) as running:
                await running.send(self.samples[0])
                await running.until("one is under way", lambda intake: intake.taken)
                running.cancel()
                with anyio.move_on_after(self.cancel_within):
                    await running.ended.wait()
                assert running.ended.is_set(), f"`run` has not returned {self.cancel_within} s after it was cancelled"
            del running
            gc.collect()
            await anyio.wait_all_tasks_blocked()
            counts.append(held())
        for what in counts[0]:
            found = [count[what] for count in counts[1:]]  # the first turn may fill caches
            assert not found[0] < found[1] < found[2], f"{what} are left behind, more with every run: {found}"

    async def _for_ever(self, taken: Taken) -> None:  # noqa: ARG002
        await anyio.sleep_forever()

    @needs("answers")
    async def test_what_is_under_way_is_answered_after_it_was_cancelled(self, tmp_path: Path) -> None:
        """Cancelling stops the reading only: a delivery that was taken in is still sent to, and settled.

        An adapter that lacks ``late`` keeps the answer, and its next run brings it.
        """
        go_on = anyio.Event()

        async def slowly(taken: Taken) -> None:
            await go_on.wait()
            await taken.send(answered("late-but-there"))

        async with self.at_work(tmp_path, slowly) as running:
            await running.send(self.samples[0])
            await running.until("one is under way", lambda intake: intake.taken)
            running.cancel()
            with anyio.move_on_after(self.patience):
                await running.ended.wait()
            go_on.set()
            await running.until("it is settled", lambda intake: intake.settled)
            assert not running.intake.failures, f"`send` or `settle` raised {running.intake.failures!r}"
            if "late" in self.lacks:
                await running.again()
            await running.answer("the late answer", saying("late-but-there"))

    @needs("restore", "answers")
    async def test_another_process_can_answer(self, tmp_path: Path) -> None:
        """`restore` makes of the envelope and the stored `reply_to` a delivery that takes the answer, even twice."""
        async with self.at_work(tmp_path, self._for_ever) as running:
            await running.send(self.samples[0])
            await running.until("one is under way", lambda intake: intake.taken)
            (taken,) = running.intake.taken
            assert taken.reply_to is not None, "`submit` was given no `reply_to`, so nobody can answer after a restart"
            reply_to = json.loads(json.dumps(taken.reply_to))
            running.cancel()
            with anyio.move_on_after(self.patience):
                await running.ended.wait()
            for _ in range(2):
                following = running.make()
                assert isinstance(following, Restoring)
                delivery = following.restore(taken.envelope, reply_to)
                assert delivery.envelope == taken.envelope
                await delivery.send(answered("from-the-next-process"))
                await delivery.settle(Done())
            if "late" in self.lacks:
                await running.again()
            if "redelivers" not in self.lacks:
                await running.answer("the answer of the next process", saying("from-the-next-process"))

    async def test_a_summary_is_json(self, tmp_path: Path) -> None:
        """An adapter that says at its end what it did says it as JSON."""
        async with self.at_work(tmp_path) as running:
            await running.send(self.samples[0])
            await running.until("one is settled", lambda intake: intake.settled)
            running.cancel()
            with anyio.move_on_after(self.patience):
                await running.ended.wait()
            if isinstance(running.adapter, Summarizing):
                summary = running.adapter.summary()
                json.dumps(dict(summary.data), allow_nan=False)

    async def test_no_secret_is_seen(self, tmp_path: Path) -> None:
        """No secret of the options is in a log, an answer, an error or a `repr`, whatever comes in."""
        assert type(self).rig(tmp_path).options() is not None
        async with self.at_work(tmp_path) as running:
            secrets = running.rig.secrets
            declared = self.spec.secrets
            assert secrets or not declared, f"give {declared} in the rig's options, by `self.secret(…)`"
            await running.send(self.samples[0])
            await running.until("one is settled", lambda intake: intake.settled)
            if "errors" not in self.lacks:
                await running.send(*running.rig.bad_samples)
                await running.answers("it is refused", len(running.rig.bad_samples), lambda answer: answer.error)
            answers = [] if "answers" in self.lacks else [answer.text for answer in await running.rig.answers()]
        said = "\n".join([running.everything_said(), *answers])
        for number, secret in enumerate(secrets):
            assert secret not in said, f"secret number {number} is seen in a log, an answer, an error or a repr"


def saying(text: str, *, error: bool = False) -> Callable[[Answer], bool]:
    """Return what knows an answer with a text in it."""
    return lambda answer: text in answer.text and (answer.error or not error)


def gist(envelope: Envelope) -> tuple[Any, ...]:
    """Return what is the same when the same is sent a second time."""
    command = stored(envelope)["command"]
    return tuple(command.get(name) for name in ("command", "agent", "group", "message", "task_id"))


def frame_of(envelope: Envelope, facts: str | None = None) -> dict[str, Any]:
    """Return the frame that an envelope is made of, written out; `facts` is the field of its contract's own."""
    data = stored(envelope)
    frame = {"schema_version": data["contract"], "id": data["id"], "source": data["source"], **data["command"]}
    if not frame.get("requirements", True):
        del frame["requirements"]  # nothing is required: it is what the field is if it is left out
    if data["metadata"]:
        frame[facts or ("chat" if envelope.contract == CHAT else "metadata")] = data["metadata"]
    if data.get("idempotency_key") is not None:
        frame["idempotency_key"] = data["idempotency_key"]
    return frame
