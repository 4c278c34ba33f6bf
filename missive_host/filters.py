"""Filters of what comes in and goes out through adapters.

They are declared by plugins and put in order by ``[[filters]]``. A filter that fails, or takes too long, refuses:
nothing gets past it. What is said of a failure names the filter and never the content.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from inspect import isawaitable, iscoroutinefunction
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from missive_host.commands import duration_seconds, tag_of
from missive_host.envelopes import Envelope, from_stored, stored
from missive_host.errors import ConfigError, ErrorReport, MissiveError, OrchestrationError, ValidationError
from missive_host.outputs import Output
from missive_host.protocols import FilterContext, Outgoing
from missive_host.specs import InboundFilterSpec

if TYPE_CHECKING:
    from missive_host.config.model import Config, FilterBlock
    from missive_host.plugins import Plugins
    from missive_host.security.providers import Secrets
    from missive_host.security.secrets import Secret

log = logging.getLogger("missive.filters")

THREADS = 8
"""How many calls of a plain function run at once. One that hangs keeps its thread; without one left all is refused."""


class FilterError(OrchestrationError):
    """A filter could not do its work, so nothing was let through."""


class Filters:
    """The filters of a configuration, made once; `of` gives those of one adapter.

    Raises `ConfigError` for what cannot be made. Secrets that their settings have are handed to `learn`.
    """

    def __init__(self, config: Config, plugins: Plugins, secrets: Secrets, learn: Callable[[Secret], None]) -> None:
        self._chains: dict[str, Chain] = {}
        self._steps: list[tuple[FilterBlock, bool, _Step]] = []
        for index, block in enumerate(config.filters):
            for spec, factory, options in _declared(config, index, plugins, secrets, learn):
                inbound = isinstance(spec, InboundFilterSpec)
                try:
                    context = FilterContext(block.kind, options, logging.getLogger(f"missive.filters.{block.kind}"))
                    step = _Step(block, getattr(factory(context), "inbound" if inbound else "outbound"))
                except MissiveError as error:
                    raise ConfigError(f"filters[{index}]: {error.message}", help=error.help) from None
                except Exception as error:
                    raise ConfigError(
                        f"filters[{index}]: the filter `{block.kind}` cannot be made: {type(error).__name__}",
                        help="this is a fault in its plugin; `missive plugin check` says whose it is",
                    ) from error
                self._steps.append((block, inbound, step))

    def of(self, adapter: str) -> Chain:
        """Return the filters of an adapter, in order."""
        if adapter not in self._chains:
            own = [(way, step) for block, way, step in self._steps if not block.adapters or adapter in block.adapters]
            inbound = [step for is_inbound, step in own if is_inbound]
            self._chains[adapter] = Chain(inbound, [step for is_inbound, step in own if not is_inbound])
        return self._chains[adapter]


def check(config: Config, index: int, plugins: Plugins) -> tuple[Any, ...]:
    """Return the declarations that a ``[[filters]]`` table means. Raises `ConfigError` that names the key."""
    block = config.filters[index]
    where = f"filters[{index}]"
    try:
        found = plugins.filters(block.kind)
        for name in block.adapters:
            if name not in config.adapters:
                plugins.adapter(name)
    except MissiveError as error:
        key = "adapters" if error.message.startswith("no adapter") else "kind"
        raise ConfigError(f"{where}.{key}: {error.message}", help=error.help, sources=error.sources) from None
    if block.direction != "both":
        wanted = block.direction == "inbound"
        found = tuple(spec for spec in found if isinstance(spec, InboundFilterSpec) is wanted)
        if not found:
            raise ConfigError(
                f"{where}.direction: the filter `{block.kind}` does not look at what is {block.direction}",
                help="leave `direction` out",
            )
    return found


def _declared(
    config: Config, index: int, plugins: Plugins, secrets: Secrets, learn: Callable[[Secret], None]
) -> list[tuple[Any, Callable[..., Any], dict[str, Any]]]:
    from missive_host.adapter_options import declared_options
    from missive_host.security.secrets import secrets_in

    block = config.filters[index]
    found = []
    for spec in check(config, index, plugins):
        try:
            options = declared_options(
                f"filter `{spec.name}`", spec.options, block.settings, f"filters[{index}].settings", secrets
            )
            found.append((spec, plugins.factory(spec), options))
        except MissiveError as error:
            raise ConfigError(error.message, help=error.help, sources=error.sources) from None
        for secret in secrets_in(options):
            learn(secret)
    return found


class Chain:
    """The filters of one adapter."""

    def __init__(self, inbound: list[_Step] | None = None, outbound: list[_Step] | None = None) -> None:
        self._inbound = inbound or []
        self._outbound = outbound or []

    async def inbound(self, envelope: Envelope) -> Envelope:
        """Return the envelope as it is to be kept and run. Raises `ValidationError`, or `FilterError`."""
        for step in self._inbound:
            envelope = await step.envelope(envelope)
        return envelope

    async def output(self, output: Output) -> Output:
        """Return a result as it is to be kept and sent. Raises as `inbound` does."""
        if not self._outbound:
            return output
        shape = type(output.data)
        data = msgspec.to_builtins(output.data)
        for step in self._outbound:
            data = await step.answer(output.kind, data, shape)
        return Output(msgspec.convert(data, shape), output.sequence)

    async def report(self, report: ErrorReport) -> ErrorReport:
        """Return an error as it is to be kept and sent; in the place of one that is refused, that it was."""
        try:
            data = msgspec.to_builtins(report)
            for step in self._outbound:
                data = await step.answer("error", data, ErrorReport)
            return msgspec.convert(data, ErrorReport)
        except MissiveError as error:
            return error.report()


class _Step:
    """One filter, one way."""

    def __init__(self, block: FilterBlock, function: Callable[[Any], Any]) -> None:
        self._kind = block.kind
        self._seconds = duration_seconds(block.timeout)
        self._function = function
        self._limiter: anyio.CapacityLimiter | None = None

    async def envelope(self, before: Envelope) -> Envelope:
        fixed = _fixed(before)
        after = await self._call(before, f"a `{tag_of(before.command)}` that came in")
        with suppress(Exception):  # whatever is wrong with what a stranger gives, it is not let through
            checked = from_stored(msgspec.json.decode(msgspec.json.encode(stored(after))))
            if isinstance(after, Envelope) and _fixed(checked) == fixed:
                return checked
        raise self._failed("gave an envelope that is not valid, or changed what must stay")

    async def answer(self, kind: str, data: Any, shape: type[Any]) -> Any:
        after = await self._call(Outgoing(kind, data), f"a `{kind}` that was to go out")
        with suppress(Exception):
            if after.kind == kind:
                return msgspec.to_builtins(msgspec.convert(after.data, shape))
        raise self._failed(f"gave what is no `{kind}`")

    async def _call(self, argument: Any, what: str) -> Any:
        try:
            with anyio.fail_after(self._seconds):
                if iscoroutinefunction(self._function):
                    return await self._function(argument)
                if self._limiter is None:
                    self._limiter = anyio.CapacityLimiter(THREADS)
                result = await anyio.to_thread.run_sync(
                    self._function, argument, abandon_on_cancel=True, limiter=self._limiter
                )
                return await result if isawaitable(result) else result
        except ValidationError as error:
            log.info("the filter `%s` refused %s", self._kind, what)
            raise ValidationError(f"refused by the filter `{self._kind}`: {error.message}", help=error.help) from None
        except TimeoutError:
            raise self._failed(f"did not end within {self._seconds:g} s") from None
        except Exception as error:  # noqa: BLE001 - its text may be what was to be kept back: only its kind is told
            raise self._failed(f"failed ({type(error).__name__})", _where(error)) from None

    def _failed(self, why: str, where: str = "") -> FilterError:
        log.warning("the filter `%s` %s%s: nothing is let through", self._kind, why, where)
        return FilterError(
            f"the filter `{self._kind}` {why}",
            help="nothing was let through; whoever runs this missive finds more in its log",
        )


def _fixed(envelope: Envelope) -> tuple[Any, ...]:
    """Return what no filter may change: the host and the adapter know the envelope by it."""
    return (
        envelope.contract,
        envelope.id,
        envelope.session,
        envelope.source.source_id,
        envelope.source.profile,
        envelope.idempotency_key,
        tag_of(envelope.command),
    )


def _where(error: BaseException) -> str:
    trace, place = error.__traceback__, ""
    while trace is not None:
        place = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
