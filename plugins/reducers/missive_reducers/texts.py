"""Reducers that make a text of texts: summarise, merge, rank, custom, concat and first.

The first four have the forms of the reference. They take the setting ``template``, as vote does: then the rendered
template is the answer, and what the reducer would have answered is its ``{{default_reduction}}``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from missive_host.errors import ValidationError
from missive_host.specs import AgentResult, Reduced, ReductionContext
from missive_reducers.gathering import (
    GATHERED,
    Answer,
    Collecting,
    Gathered,
    agents,
    answering,
    gather,
    said,
    single,
    source,
)
from missive_reducers.settings import Settings
from missive_reducers.templates import PLACEHOLDERS, Template
from missive_reducers.values import fault


def templated(strategy: str, settings: Settings, answer: Answer) -> Answer:
    """Return `answer`, or the rendering of the template in `settings` around it."""
    text = settings.text("template")
    if text is None:
        return answer
    template = Template(text)

    def rendered(gathered: Gathered) -> Reduced:
        default = answer(gathered)
        known = {
            "group": lambda: gathered.context.group,
            "context_id": lambda: gathered.context.context_id,
            "strategy": lambda: strategy,
            "input_count": lambda: str(len(gathered.inputs)),
            "inputs": lambda: described(gathered),
            "default_reduction": lambda: default.text,
        }
        return replace(default, text=template.render(known), used=agents(gathered.inputs))

    return rendered


def described(gathered: Gathered) -> str:
    """Return ``{{inputs}}``: a section for each result, also of those that hold nothing."""
    sections = []
    for each in gathered.everything:
        head = (
            f"### {source(each)}\n- status: {each.status}\n- task: {each.task_id or 'missing'}\n"
            f"- messages: {each.message_count}\n- artifacts: {each.artifact_count}"
        )
        sections.append(f"{head}\n\n{said(each)}" if each.status == GATHERED else head)
    return "\n\n".join(sections)


class Summarise:
    """A heading, and a line ``- rank (agent, task id): text`` for each input. A form, not a model."""

    def start(self, context: ReductionContext) -> Collecting:
        settings = Settings("summarise", context.settings, "template")
        return Collecting(context, templated("summarise", settings, answering(_summary)))


def _summary(gathered: Gathered) -> Reduced:
    lines = [f"Summary for group '{gathered.context.group}' in context '{gathered.context.context_id}':"]
    lines += [
        f"- {each.rank} ({each.agent}, task {each.task_id or 'missing'}): {said(each)}" for each in gathered.inputs
    ]
    return Reduced("\n".join(lines), used=agents(gathered.inputs), notes=gathered.notes())


class Merge:
    """A heading, and a section ``## rank (agent)`` for each input."""

    def start(self, context: ReductionContext) -> Collecting:
        settings = Settings("merge", context.settings, "template")
        return Collecting(context, templated("merge", settings, answering(_merged)))


def _merged(gathered: Gathered) -> Reduced:
    sections = [f"Merged output for group '{gathered.context.group}' in context '{gathered.context.context_id}'."]
    sections += [f"## {source(each)}\n{said(each)}" for each in gathered.inputs]
    return Reduced("\n\n".join(sections), used=agents(gathered.inputs), notes=gathered.notes())


class Rank:
    """The inputs by score: characters + 25 × artifacts + 10 × messages; of equals by rank, then alias."""

    def start(self, context: ReductionContext) -> Collecting:
        settings = Settings("rank", context.settings, "template")
        return Collecting(context, templated("rank", settings, answering(_ranked)))


def score(result: AgentResult) -> int:
    """Return how much a result holds."""
    return len(result.text or "") + 25 * result.artifact_count + 10 * result.message_count


def _ranked(gathered: Gathered) -> Reduced:
    best = sorted(gathered.inputs, key=lambda each: (-score(each), each.rank, each.agent))
    lines = [f"Ranked outputs for group '{gathered.context.group}' in context '{gathered.context.context_id}':"]
    lines += [f"{place}. {source(each)} — score {score(each)} — {said(each)}" for place, each in enumerate(best, 1)]
    ranking = [{"agent": each.agent, "rank": each.rank, "score": score(each)} for each in best]
    return Reduced("\n".join(lines), {"ranking": ranking}, agents(best), gathered.notes())


class Custom:
    """What the template in the setting ``template`` says."""

    def start(self, context: ReductionContext) -> Collecting:
        settings = Settings("custom", context.settings, "template")
        if settings.text("template") is None:
            raise ValidationError(
                "the reducer `custom` needs the setting `template`",
                help=f"a text with any of {', '.join(f'{{{{{name}}}}}' for name in PLACEHOLDERS)}",
            )
        return Collecting(context, templated("custom", settings, answering(_inputs)))


def _inputs(gathered: Gathered) -> Reduced:
    return Reduced(described(gathered), used=agents(gathered.inputs), notes=gathered.notes())


class Concat:
    """The texts in rank order, with the setting ``separator`` between them: a new line, if it is not given."""

    def start(self, context: ReductionContext) -> Collecting:
        separator = Settings("concat", context.settings, "separator").text("separator")
        return Collecting(context, answering(partial(_joined, separator="\n" if separator is None else separator)))


def _joined(gathered: Gathered, *, separator: str) -> Reduced:
    texts = [each for each in gathered.inputs if each.text is not None]
    left = gathered.without(texts, "there is no text")
    if not texts:
        return Reduced("No text: no member gave one.", notes=gathered.notes(*left))
    return Reduced(separator.join(each.text or "" for each in texts), used=agents(texts), notes=gathered.notes(*left))


class First:
    """The first input in rank order that says something: a text, data or files. It answers early."""

    def start(self, context: ReductionContext) -> FirstOf:
        Settings("first", context.settings)
        return FirstOf(context)


class FirstOf:
    """Waits for the first answer, and stays with it. The host hands the results over in rank order."""

    def __init__(self, context: ReductionContext) -> None:
        self._context = context
        self._passed: list[AgentResult] = []
        self._answer: Reduced | None = None

    def add(self, result: AgentResult) -> Reduced | None:
        """Answer if the result says something."""
        if self._answer is None:
            if result.status == GATHERED and (result.text or result.data or result.files):
                faulty = any(fault(value) for value in result.data)
                notes = gather(self._context, self._passed, ()).notes(*(("its data cannot be used",) if faulty else ()))
                data = None if faulty else single(result.data)
                self._answer = Reduced(said(result), data, (result.agent,), notes)
            else:
                self._passed.append(replace(result, status="empty_output") if result.status == GATHERED else result)
        return self._answer

    def close(self, missing: tuple[str, ...]) -> Reduced:
        """Return the answer that was given, or say that there was none."""
        return self._answer or gather(self._context, self._passed, missing).nothing()
