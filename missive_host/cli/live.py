"""A stream for people: text as it arrives on stdout, states and progress on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from missive_host.cli.screen import harmless, one_line, shorten, write
from missive_host.cli.wording import FINISHED, WAITING, next_steps, number, part_text, say_route, state_style

if TYPE_CHECKING:
    from missive_host import outputs as o
    from missive_host.cli.screen import Screen

_ERASE = "\r\x1b[2K"


class StreamView:
    """Shows the events of one stream.

    stdout gets the agent's words and nothing else, so ``missive stream … > file`` gives a clean text. What the agent
    says about its progress is a line on stderr; when both are a terminal that line is written over by the next.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._live = screen.out_tty and screen.err_tty
        self._transient = False
        """A progress line stands on the terminal, without a line end."""
        self._open = False
        """The last text on stdout did not end with a line end."""
        self._artifact: str | None = None
        self._artifacts: dict[str, tuple[int, int]] = {}
        """What was shown of each artifact: characters of text, and other parts."""
        self._status: tuple[str, str] | None = None
        self._said = False

    def show(self, data: o.StreamEvent | o.StreamResult) -> None:
        """Show one event, or the end."""
        if data.kind == "stream_result":
            self._end(data)  # type: ignore[arg-type]
        else:
            self._event(data)  # type: ignore[arg-type]

    def close(self) -> None:
        """The stream is over, however it ended: leave the cursor at the beginning of a line."""
        self._erase()
        self._new_line()

    # --- events

    def _event(self, event: o.StreamEvent) -> None:
        value: dict[str, Any] = next(iter(event.raw.values()), {}) if event.raw else {}
        if event.event_type == "message":
            self._parts(value.get("parts"))
        elif event.event_type == "artifact_update":
            self._chunk(event, value.get("artifact") or {})
        else:
            for artifact in value.get("artifacts") or ():
                self._snapshot(artifact)
            status = value.get("status") or {}
            self._state(str(event.state), (status.get("message") or {}).get("parts"))

    def _state(self, state: str, parts: list[dict[str, Any]] | None) -> None:
        # What a task made is its answer; what it says when it completes is the answer only if it made nothing.
        if state in WAITING or (state in FINISHED and not (state == "completed" and self._artifacts)):
            self._parts(parts)
            self._progress(state, "")
        else:
            self._progress(state, " ".join(part_text(part) for part in parts or ()))

    def _chunk(self, event: o.StreamEvent, artifact: dict[str, Any]) -> None:
        name = str(event.artifact_id)
        if event.append is not True:
            self._new_line()
            self._artifacts[name] = (0, 0)
        self._more(name, artifact.get("parts") or [])
        if event.last_chunk is True:
            self._new_line()

    def _snapshot(self, artifact: dict[str, Any]) -> None:
        """Show what is new in an artifact that comes as a whole: a stream that was taken up again begins so."""
        name = str(artifact.get("artifactId"))
        characters, others = self._artifacts.get(name, (0, 0))
        news = []
        for part in artifact.get("parts") or ():
            if "text" in part:
                text = part["text"][characters:]
                characters -= len(part["text"]) - len(text)
                if text:
                    news.append({"text": text})
            elif others:
                others -= 1
            else:
                news.append(part)
        self._more(name, news)

    def _more(self, name: str, parts: list[dict[str, Any]]) -> None:
        characters, others = self._artifacts.get(name, (0, 0))
        if name != self._artifact and parts:
            self._new_line()
            self._artifact = name
        for part in parts:
            if "text" in part:
                characters += len(part["text"])
                self._text(part["text"])
            else:
                others += 1
                self._parts([part])
        self._artifacts[name] = (characters, others)

    def _end(self, result: o.StreamResult) -> None:
        self.close()
        state = result.final_state if isinstance(result.final_state, str) else "done"
        task = result.final_task_id if isinstance(result.final_task_id, str) else None
        if not self._said:
            self._screen.line(f"task {task}: {state}" if task else result.message)
        if result.route:
            say_route(self._screen, result.agent, result.route)
        if not task and not result.resumed:
            return
        resumed = f", taken up again {number(result.resumed, 'time')}" if result.resumed else ""
        about = f"task {task} of {result.agent}: " if task else ""
        line = f"{about}{state}, {number(result.event_count, 'event')}{resumed}"
        self._screen.note(line, state_style(state) or "dim")
        for step in next_steps(result.agent, task, state, len(self._artifacts)) if task else ():
            self._screen.note(f"  {step}")

    # --- writing

    def _parts(self, parts: list[dict[str, Any]] | None) -> None:
        for part in parts or ():
            self._new_line()
            self._text(part_text(part))
            self._new_line()

    def _text(self, text: str) -> None:
        if not text:
            return
        self._erase()
        write(self._screen.out, harmless(text) if self._screen.out_tty else text)
        self._open = not text.endswith("\n")
        self._said = True

    def _new_line(self) -> None:
        if self._open:
            write(self._screen.out, "\n")
            self._open = False

    def _progress(self, state: str, text: str) -> None:
        if (state, text) == self._status:
            return
        changed = self._status is None or self._status[0] != state
        self._status = (state, text)
        line = f"{state}: {one_line(text)}" if text else state
        if not self._live:
            self._screen.note(line, state_style(state) or "dim")
        elif changed or not self._open:  # never in the middle of the agent's own line, unless the state changed
            self._erase()
            self._new_line()
            self._transient = state not in FINISHED
            line = self._screen.style(
                shorten(line, (self._screen.columns or 80) - 1), state_style(state) or "dim", err=True
            )
            write(self._screen.err, line + ("" if self._transient else "\n"))

    def _erase(self) -> None:
        if self._transient:
            write(self._screen.err, _ERASE)
            self._transient = False
