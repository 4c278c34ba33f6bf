"""What went wrong with a plugin, in one line, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host.plugins.checking import KINDS, RefusedError

if TYPE_CHECKING:
    from missive_host.plugins.catalogue import PluginRecord
    from missive_host.specs import Spec


def reason(error: BaseException, target: str) -> str:
    """Return the reason of a failure: its type, its message and the plugin's own line."""
    text = _text(error)
    if isinstance(error, RefusedError):
        return text
    if (
        isinstance(error, ModuleNotFoundError)
        and error.name
        and (target == error.name or target.startswith(error.name + "."))
    ):
        return f"there is no module `{error.name}`"
    where = _where(error, target.partition(".")[0])
    return f"{type(error).__name__}: {text}" + (f" ({where})" if where else "")


def _text(error: BaseException) -> str:
    """Return an error's message in one line of at most 300 characters. A plugin's error may fail to say anything."""
    try:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:  # noqa: BLE001 - the plugin's own __str__
        text = ""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return (text if len(text) <= 300 else text[:299] + "…") or "without a message"


def _where(error: BaseException, package: str) -> str | None:
    """Return ``file:line`` of the innermost frame that is the plugin's own."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    found = None
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] == package:
            found = f"{frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def raisable(error: BaseException, record: PluginRecord) -> BaseException:
    """Return what strict mode raises: the error itself, unless it would end the process or is a bare reason."""
    from missive_host.errors import PluginError

    if isinstance(error, Exception) and not isinstance(error, RefusedError):
        return error
    return PluginError(f"{record.label}: {reason(error, record.target)}")


def titled(spec: Spec) -> str:
    return f"{KINDS[type(spec)]} `{spec.name}`"


def why(record: PluginRecord) -> str:
    if record.state == "disabled":
        return f"{record.label} is disabled by {record.gate}"
    return f"{record.label} failed to load: {record.reason}"


def remedy(record: PluginRecord) -> str:
    if record.state == "disabled":
        return (
            f"take `{record.name}` out of {record.gate}"
            if record.gate != "[plugins] enabled"
            else (f"add `{record.name}` to [plugins] enabled")
        )
    return "mend or replace the plugin; `missive plugin check` says whether it loads"


def lacks_extra(error: BaseException, spec: Spec) -> bool:
    return isinstance(error, ImportError) and extra_of(spec) is not None


def missing(spec: Spec) -> tuple[str, ...]:
    """Return the modules of its extra that are not installed. Nothing is imported."""
    from importlib.util import find_spec

    return tuple(name for name in getattr(spec, "requires", ()) if find_spec(name) is None)


def needs(record: PluginRecord, spec: Spec) -> str | None:
    """Return what is to be installed, e.g. ``missive-host[slack]``, for an extra that is not there; None if it is."""
    if not missing(spec):
        return None
    extra = extra_of(spec)
    return f"{record.distribution}[{extra}]" if record.distribution else f"the extra `{extra}`"


def install(record: PluginRecord, spec: Spec) -> str:
    if record.distribution is None:
        return f"install what the extra `{extra_of(spec)}` stands for"
    return f"pip install '{record.distribution}[{extra_of(spec)}]'"


def extra_of(spec: Spec) -> str | None:
    """Return the extra that it needs. A contract is data, and needs none."""
    from missive_host.specs import ContractSpec

    return None if isinstance(spec, ContractSpec) else spec.extra
