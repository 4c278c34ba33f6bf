"""What every reducer must hold, one test each. The docstring of a test is the rule."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any, ClassVar

from missive_host.errors import MissiveError, ValidationError
from missive_host.protocols import Reducer
from missive_host.specs import AgentResult, Reduced, ReducerSpec, ReductionContext
from missive_host.testing.declared import PluginContract

SAMPLES = (
    AgentResult("a", "0", "gathered", "yes", ({"answer": 1},), task_id="t-a", message_count=1),
    AgentResult("b", "1", "gathered", "no", ({"answer": 2, "more": [1]},), ("report.pdf",), weight=2.0),
    AgentResult("c", "2", "gathered", "yes", ({"answer": 1},), message_count=2, artifact_count=1),
)
EMPTY = (
    AgentResult("x", "7", "failed"),
    AgentResult("y", "8", "missing_task"),
    AgentResult("z", "9", "empty_output"),
)
"""Members that gave nothing; the status says why."""


def _nested() -> Any:
    deep: Any = []
    for _ in range(3000):
        deep = [deep]
    return deep


HOSTILE = (
    AgentResult("a", "0", "gathered", "{{inputs}}{{group}}{{nope}}${x}%(x)s{0}", ({"{{group}}": "{{inputs}}"},)),
    AgentResult("a", "0", "gathered", None, (_nested(),)),
    AgentResult("a", "0", "gathered", '{"a":' * 3000 + "1" + "}" * 3000),
    AgentResult("a", "0", "gathered", "9" * 10_000, (float("nan"), float("inf"), 10**6000)),
    AgentResult("a", "0", "gathered", "\x00\x1b[2J\r\n\u202e", ({"\x00\n": "\x1b]0;x\x07"},)),
    AgentResult("a", "0", "gathered", "\ud800", ({"\udfff": "\ud800"},)),
    AgentResult("a", "0", "gathered", "", (None, [], {}, "", False, 0)),
    AgentResult("a", "0", "gathered", None),
    AgentResult("a", "0", "gathered", "word " * 200_000),
)
"""What an agent may write: it is a stranger."""


class ReducerContract(PluginContract[ReducerSpec]):
    """Subclass it as ``Test…`` and say which plugin; give `samples` if yours reads something of its own."""

    settings: ClassVar[Mapping[str, Any]] = {}
    """Settings that it accepts; all that it needs are in it."""

    _kind = ReducerSpec

    def samples(self) -> Sequence[AgentResult]:
        """Return at least three results, of different agents, from which it makes an answer. All are gathered."""
        return copy.deepcopy(SAMPLES)

    def reducer(self) -> Reducer:
        """Return a new one, made as the host makes it."""
        made: Reducer = self.factory()()
        return made

    def context(self, results: Sequence[AgentResult], missing: Sequence[str] = ()) -> ReductionContext:
        """Return what a reduction of these is begun with."""
        expected = (*(each.agent for each in sorted(results, key=lambda each: each.rank)), *missing)
        return ReductionContext("group", "ctx-1", expected, dict(self.settings))

    def reduce(self, results: Sequence[AgentResult], missing: Sequence[str] = ()) -> Reduced:
        """Reduce as the host does: the results one by one, until it answers or all are in."""
        results = sorted(results, key=lambda each: each.rank) if self.spec.ordered else results
        reduction = self.reducer().start(self.context(results, missing))
        for result in results:
            answer = reduction.add(result)
            if answer is not None:
                return answer
        return reduction.close(tuple(missing))

    def answers(self) -> Iterator[tuple[Sequence[AgentResult], tuple[str, ...], Reduced]]:
        """Reduce what may be there: nothing, each number of samples, some who gave nothing, some who are missing."""
        samples = list(self.samples())
        for count in range(len(samples) + 1):
            for more in ((), EMPTY):
                for missing in ((), ("gone", "lost")):
                    results = [*samples[:count], *more]
                    yield results, missing, self.reduce(results, missing)

    # --- the rules

    def test_it_always_answers(self) -> None:
        """With nothing, with everything, with members missing or failed: `close` returns a `Reduced` with a text."""
        for results, missing, answer in self.answers():
            where = f"{[(each.agent, each.status) for each in results]}, missing {missing}"
            assert isinstance(answer, Reduced), f"it returned {type(answer).__name__}, not a Reduced: {where}"
            assert isinstance(answer.text, str), f"the text is {type(answer.text).__name__}: {where}"
            assert answer.text or answer.used, f"no text, and nothing used: a reader learns nothing: {where}"

    def test_used_are_those_that_gave_something(self) -> None:
        """`used` names members whose result went in: gathered ones, each once; and of good samples there are some."""
        for results, missing, answer in self.answers():
            gathered = {each.agent for each in results if each.status == "gathered"}
            assert set(answer.used) <= gathered, f"{answer.used} were used, and {gathered} gave something"
            assert len(set(answer.used)) == len(answer.used), f"{answer.used}: twice the same"
            assert all(isinstance(note, str) and note.strip() for note in answer.notes), answer.notes
            del missing
        assert self.reduce(self.samples()).used, "it made nothing of the samples: give `samples` that it can use"

    def test_a_reader_learns_who_is_missing(self) -> None:
        """With members missing the answer differs from the one without: a note, or the text, names each."""
        for results in ([], list(self.samples())):
            answer = self.reduce(results, ("gone", "lost"))
            if results and answer == self.reduce(results):
                continue  # it answered before it could know
            said = "\n".join((answer.text, *answer.notes))
            silent = [name for name in ("gone", "lost") if name not in said]
            assert not silent, f"nobody is told that {silent} gave nothing"

    def test_the_data_are_json(self) -> None:
        """`Reduced.data` can be stored and sent."""
        for _, _, answer in self.answers():
            try:
                json.dumps(answer.data, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise AssertionError(f"`data` is no JSON: {error}") from None

    def test_the_order_does_not_matter(self) -> None:
        """In whatever order the results arrive the answer is the same; see `ReducerSpec.ordered`."""
        samples = [*self.samples()][:4]
        if self.spec.ordered:  # the host sorts by rank, so there is one order
            return
        wanted = self.reduce(samples)
        for order in permutations(samples):
            assert self.reduce(order) == wanted, f"another answer for {[each.agent for each in order]}"

    def test_it_is_pure(self) -> None:
        """The same gives the same, two reductions at once do not mix, and what it was given is as it was."""
        samples = tuple(self.samples())
        context = self.context(samples)
        given, kept = copy.deepcopy((samples, context))
        wanted = self.reduce(samples)
        reducer = self.reducer()
        both = [reducer.start(context), reducer.start(context)]
        early: list[Reduced | None] = [None, None]
        for result in samples:
            for number, reduction in enumerate(both):
                if early[number] is None:
                    early[number] = reduction.add(result)
        first, second = (answer or reduction.close(()) for answer, reduction in zip(early, both, strict=True))
        assert first == second == wanted, "two reductions of one reducer do not give the same"
        assert reducer.start(self.context(())).close(()).used == (), "something is left of an earlier reduction"
        assert given == samples, "it has changed the results"
        assert context == kept, "it has changed the context"

    def test_unknown_settings_are_refused(self) -> None:
        """`start` raises a `ValidationError` that names the setting, before anybody is asked."""
        context = ReductionContext("group", "ctx-1", ("a",), {**self.settings, "no_such_setting": 1})
        try:
            self.reducer().start(context)
        except ValidationError as error:
            told = f"{error.message} {error.help}"
            assert "no_such_setting" in told, f"the error does not name the setting: {told}"
        except Exception as error:
            raise AssertionError(f"{type(error).__name__} instead of a ValidationError") from error
        else:
            raise AssertionError("it takes a setting that it does not know: a misspelt one would be ignored in silence")

    def test_it_bears_what_strangers_write(self) -> None:
        """Templates, deep and broken JSON, huge numbers, control characters, a megabyte: an answer or its own error."""
        others = [each for each in self.samples() if each.agent != "a"]
        for hostile in HOSTILE:
            for results in ([hostile], [hostile, *others], [*others, hostile]):
                shown = f"{(hostile.text or '')[:40]!r} {str(type(hostile.data[0]).__name__) if hostile.data else ''}"
                try:
                    answer = self.reduce(results)
                except MissiveError:
                    continue
                except Exception as error:
                    raise AssertionError(f"{type(error).__name__} because of {shown}") from error
                assert isinstance(answer.text, str), shown
                try:
                    json.dumps(answer.data, allow_nan=False)
                except (TypeError, ValueError, RecursionError) as error:
                    raise AssertionError(f"`data` is no JSON, because of {shown}: {error}") from None
