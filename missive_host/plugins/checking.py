"""What a plugin module must look like, and what its hooks may return. Each fault has one sentence."""

from __future__ import annotations

import inspect
import re
from itertools import islice
from typing import TYPE_CHECKING, Any, get_args

from missive_host.errors import nearest
from missive_host.hookspecs import HOOK_API, HOOKS
from missive_host.specs import (
    AdapterSpec,
    CommandSpec,
    Completes,
    ContractSpec,
    FilterSpec,
    InboundFilterSpec,
    Option,
    OptionType,
    OutboundFilterSpec,
    PolicySpec,
    ReducerSpec,
    SecretProviderSpec,
    SinkSpec,
    Spec,
    Status,
    TransportSpec,
    VerbSpec,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

    import pluggy

RETURNS: dict[str, type[Spec]] = {
    "missive_adapters": AdapterSpec,
    "missive_routing_policies": PolicySpec,
    "missive_reducers": ReducerSpec,
    "missive_commands": CommandSpec,
    "missive_contracts": ContractSpec,
    "missive_secret_providers": SecretProviderSpec,
    "missive_event_sinks": SinkSpec,
    "missive_agent_transports": TransportSpec,
    "missive_inbound": InboundFilterSpec,
    "missive_outbound": OutboundFilterSpec,
}
KINDS: dict[type[Spec], str] = {
    AdapterSpec: "adapter",
    PolicySpec: "routing policy",
    ReducerSpec: "reducer",
    CommandSpec: "command",
    ContractSpec: "contract",
    SecretProviderSpec: "secret provider",
    SinkSpec: "event sink",
    TransportSpec: "agent transport",
    InboundFilterSpec: "inbound filter",
    OutboundFilterSpec: "outbound filter",
}
"""What people call each."""

HOST_OPTIONS = (
    "config", "file-root", "help", "json", "ndjson", "no-color", "no-plugin", "plugin",
    "profile", "quiet", "strict-plugins", "trace", "verbose", "version",
)  # fmt: skip
"""Flags that mean the same on every command line, so no option of a plugin may be called that."""
HOST_NOUNS = frozenset((
    "adapter", "agent", "allreduce", "barrier", "bcast", "completion", "config", "context", "contract", "demo",
    "doctor", "events", "gateway", "gather", "group", "help", "intake", "job", "logs", "manpage", "plugin", "push",
    "reduce", "route", "scatter", "send", "session", "skill", "store", "stream", "task", "token", "trace", "webhook",
))  # fmt: skip
"""What follows ``missive`` already: no plugin's command takes its place."""

MAX_SPECS = 1000
_SPEC_NAME = re.compile(r"[a-z](?=.{0,30}\Z)[a-z0-9]*([_-][a-z0-9]+)*")
_OPTION_NAME = re.compile(r"[a-z](?=.{0,40}\Z)[a-z0-9]*([_-][a-z0-9]+)*")
_FACTORY = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_CONTRACT = re.compile(r"[a-z][a-z0-9]*([._-][a-z0-9]+)*\.v[1-9][0-9]*")
_MODULE = re.compile(r"[A-Za-z_]\w*")
_PACKAGE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_FOLDER = re.compile(r"[\w.-]+(/[\w.-]+)*")
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,40}")
_EXTRA = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


class RefusedError(Exception):
    """The plugin cannot be used; the message is the reason."""


def check_api(module: ModuleType) -> None:
    """Refuse a plugin that was written for another version of the hooks."""
    api = vars(module).get("MISSIVE_API", HOOK_API)
    if type(api) is not int:
        raise RefusedError(f"MISSIVE_API is {_shown(api)}; it must be a number, and this host has {HOOK_API}")
    if api > HOOK_API:
        raise RefusedError(
            f"it is written for plugin API {api}, this host has {HOOK_API}: install a newer missive-host"
        )
    if api != HOOK_API:
        raise RefusedError(f"it is written for plugin API {api}, this host has {HOOK_API}: install a newer plugin")


def check_hooks(manager: pluggy.PluginManager, module: ModuleType) -> None:
    """Refuse hooks that would never be called, or could not be.

    pluggy itself lets an unknown hook name pass in silence.
    """
    implemented = 0
    for name, value in list(vars(module).items()):
        options = manager.parse_hookimpl_opts(module, name)
        if options is None:
            if name.startswith("missive_") and inspect.isfunction(value):
                raise RefusedError(_not_marked(name))
            continue
        hook = options.get("specname") or name
        if hook in HOOKS:
            implemented += 1
            _check_implementation(name, value, options)
        elif not options.get("optionalhook"):
            raise RefusedError(f"there is no hook `{hook}`{nearest(hook, HOOKS)}")
    if not implemented:
        raise RefusedError("it implements no hook: mark a function such as `missive_adapters` with @hookimpl")


def _not_marked(name: str) -> str:
    if name in HOOKS:
        return f"`{name}` is not marked with @hookimpl, so it would never be called"
    return f"there is no hook `{name}`{nearest(name, HOOKS)} (names that begin with `missive_` are kept for hooks)"


def _check_implementation(name: str, function: Any, options: Any) -> None:
    if options.get("wrapper") or options.get("hookwrapper"):
        raise RefusedError(f"`{name}` is a hook wrapper; a declaration wraps nothing")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise RefusedError(f"`{name}` is async; hooks are plain functions, what they declare may be async")
    required = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if required:
        raise RefusedError(f"`{name}` takes no arguments; this one wants ({', '.join(required)})")


def declared(hook: str, returned: Any) -> Iterator[Spec]:
    """Yield what one hook implementation declares, checked. `returned` may be a generator: it runs here."""
    kind = RETURNS[hook]
    if isinstance(returned, (*KINDS, str, bytes)) or not hasattr(returned, "__iter__"):
        raise RefusedError(f"`{hook}` returned {_shown(returned)}; it must return {kind.__name__}s in a tuple or list")
    for count, spec in enumerate(islice(returned, MAX_SPECS + 1)):
        if count == MAX_SPECS:
            raise RefusedError(f"`{hook}` declares more than {MAX_SPECS} things")
        if not isinstance(spec, kind):
            raise RefusedError(f"`{hook}` returned {_shown(spec)}, which is not of type {kind.__name__}")
        check_spec(spec)
        yield spec


def check_spec(spec: Spec) -> None:
    """Refuse a declaration whose values are not what its type says: dataclasses do not look."""
    if isinstance(spec, ContractSpec):
        _check_contract(spec)
        return
    kind = KINDS[type(spec)]
    if not _matches(_SPEC_NAME, spec.name):
        raise RefusedError(
            f"{kind} name {_shown(spec.name)}: use at most 31 lower-case letters, digits, '-' and '_', a letter first"
        )
    where = f"{kind} `{spec.name}`"
    if not isinstance(spec, CommandSpec):
        _check_factory(where, spec.factory)
    _check_line(where, "summary", spec.summary)
    if spec.extra is not None and not _matches(_EXTRA, spec.extra):
        raise RefusedError(f"{where}: extra {_shown(spec.extra)} is not the name of an extra")
    if spec.status not in get_args(Status):
        raise RefusedError(f"{where}: status {_shown(spec.status)} is none of {', '.join(get_args(Status))}")
    if isinstance(spec, AdapterSpec):
        _check_adapter(spec, where)
    elif isinstance(spec, CommandSpec):
        _check_command(spec, where)
    elif isinstance(spec, SecretProviderSpec):
        _check_line(where, "form", spec.form)
    elif isinstance(spec, TransportSpec) and (spec.name.startswith(("ht", "fil")) or "_" in spec.name):
        raise RefusedError(f"{where}: its name is the scheme of URLs: without '_', and not begun with `ht` or `fil`")
    if isinstance(spec, AdapterSpec | SinkSpec | TransportSpec):
        _check_needs(spec, where)
    if isinstance(spec, AdapterSpec | SinkSpec | FilterSpec):
        _check_options(where, spec.options)


def _check_factory(where: str, factory: Any) -> None:
    if not _matches(_FACTORY, factory):
        raise RefusedError(f"{where}: factory {_shown(factory)} is not of the form `module:attribute`")


def _check_line(where: str, field: str, value: Any) -> None:
    if not (isinstance(value, str) and value.strip() and value.isprintable()):
        raise RefusedError(f"{where}: {field} must be one line of text")


def _check_examples(where: str, examples: Any) -> None:
    for example in _items(where, "examples", examples):
        if not isinstance(example, str):
            raise RefusedError(f"{where}: example {_shown(example)} is not text")


def _check_adapter(spec: AdapterSpec, where: str) -> None:
    for field in ("accepts", "emits"):
        for contract in _items(where, field, getattr(spec, field)):
            if not _matches(_CONTRACT, contract):
                raise RefusedError(f"{where}: {field} {_shown(contract)} is not a contract id such as pigeon.v1")
    _check_examples(where, spec.examples)
    if spec.noun is not None and not _matches(_SPEC_NAME, spec.noun):
        raise RefusedError(f"{where}: noun {_shown(spec.noun)} is not the name of a command")


def _check_needs(spec: AdapterSpec | SinkSpec | TransportSpec, where: str) -> None:
    for module in _items(where, "requires", spec.requires):
        if not (_matches(_MODULE, module) and spec.extra is not None):
            raise RefusedError(f"{where}: requires {_shown(module)}: top-level modules that `extra` brings")


def _check_contract(spec: ContractSpec) -> None:
    if not _matches(_CONTRACT, spec.name):
        raise RefusedError(f"contract {_shown(spec.name)} is not a contract id such as pigeon.v1")
    where = f"contract `{spec.name}`"
    if not _matches(_PACKAGE, spec.package):
        raise RefusedError(f"{where}: package {_shown(spec.package)} is not the name of a package")
    _check_line(where, "summary", spec.summary)
    if not (_matches(_FOLDER, spec.folder) and ".." not in spec.folder.split("/")):
        raise RefusedError(f"{where}: folder {_shown(spec.folder)} is not one in the package, such as contracts")
    if spec.facts is not None and not _matches(_FIELD, spec.facts):
        raise RefusedError(f"{where}: facts {_shown(spec.facts)} is not the name of a field")


def check_contract_names(plugin: str, specs: Iterable[Spec]) -> None:
    """Refuse a contract whose id another plugin, or a later missive, has the better right to."""
    specs = tuple(specs)
    own = {_plain(name) for name in (plugin, *(spec.name for spec in specs if isinstance(spec, AdapterSpec)))}
    for spec in specs:
        if isinstance(spec, ContractSpec) and spec.name.startswith("missive."):
            subject = spec.name.removeprefix("missive.").rpartition(".")[0]
            if _plain(subject) not in own:
                raise RefusedError(
                    f"contract `{spec.name}`: missive.X.vN is for the plugin or adapter that is called X; "
                    f"this one could be called `missive.{plugin}.v1` or `{spec.name.removeprefix('missive.')}`"
                )


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name)


def _check_options(where: str, options: Any, *, field: str = "options") -> set[str]:
    """Refuse options that are faulty, or that take a flag from missive. Returns their names, as flags have them."""
    names: set[str] = set()
    for option in _items(where, field, options):
        if not isinstance(option, Option):
            raise RefusedError(f"{where}: option {_shown(option)} is not of type Option")
        if not _matches(_OPTION_NAME, option.name):
            raise RefusedError(
                f"{where}: option name {_shown(option.name)}: use lower-case letters, digits, '-' and '_'"
            )
        flag = option.name.replace("_", "-")
        if flag in HOST_OPTIONS:
            raise RefusedError(f"{where}: option `{option.name}`: --{flag} is a flag of every missive command")
        if flag in names:
            raise RefusedError(f"{where}: option `{option.name}` is declared twice")
        names.add(flag)
        fault = _option_fault(option)
        if fault is not None:
            raise RefusedError(f"{where}: option `{option.name}`: {fault}")
    return names


def _check_command(spec: CommandSpec, where: str) -> None:
    _check_examples(where, spec.examples)
    paths: set[tuple[str, ...]] = set()
    for verb in _items(where, "verbs", spec.verbs):
        if not isinstance(verb, VerbSpec):
            raise RefusedError(f"{where}: verb {_shown(verb)} is not of type VerbSpec")
        words = _items(where, "path", verb.path)
        if not words or not all(_matches(_SPEC_NAME, word) for word in words):
            raise RefusedError(f"{where}: path {_shown(words[0]) if words else '()'}: use lower-case words")
        if verb.path in paths:
            raise RefusedError(f"{where}: verb `{verb.name}` is declared twice")
        paths.add(verb.path)
        _check_verb(verb, f"command `{spec.name} {verb.name}`")
    if not paths:
        raise RefusedError(f"{where}: it has no verbs")
    groups = {path[:count] for path in paths for count in range(1, len(path))}
    if groups & paths:
        raise RefusedError(f"{where}: `{' '.join(min(groups & paths))}` is a verb, and others begin with it")
    for group in _items(where, "groups", spec.groups):
        if not (isinstance(group, tuple) and len(group) == 2 and isinstance(group[0], str)):
            raise RefusedError(f"{where}: groups are pairs of words and a line about them")
        if tuple(group[0].split()) not in groups:
            raise RefusedError(f"{where}: no verb begins with the group {_shown(group[0])}")
        _check_line(f"{where}: group `{group[0]}`", "its line", group[1])


def _check_verb(verb: VerbSpec, where: str) -> None:
    _check_factory(where, verb.factory)
    _check_line(where, "summary", verb.summary)
    if not isinstance(verb.description, str):
        raise RefusedError(f"{where}: description is not text")
    _check_examples(where, verb.examples)
    names = _check_options(where, verb.arguments, field="arguments")
    both = sorted(names & _check_options(where, verb.options))
    if both:
        raise RefusedError(f"{where}: option `{both[0]}` is declared twice")
    optional = None
    for number, argument in enumerate(verb.arguments, 1):
        if argument.secret or argument.type in ("boolean", "table"):
            raise RefusedError(f"{where}: argument `{argument.name}`: a secret, a boolean or a table is no argument")
        if argument.repeated and number < len(verb.arguments):
            raise RefusedError(f"{where}: argument `{argument.name}`: only the last may be repeated")
        if argument.required and optional is not None:
            raise RefusedError(
                f"{where}: argument `{argument.name}` is required and follows `{optional}`, which is not"
            )
        optional = optional or (None if argument.required else argument.name)
    for option in (*verb.arguments, *verb.options):
        if option.type == "table":
            raise RefusedError(f"{where}: option `{option.name}`: a table cannot be typed")
        if option.name == "context":
            raise RefusedError(f"{where}: option `context`: that is the function's first argument")


def _items(where: str, field: str, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, tuple):
        raise RefusedError(f"{where}: {field} must be a tuple, not {_shown(value)}")
    return value


def _option_fault(option: Any) -> str | None:
    """Return what is wrong with an option taken by itself, or None. Its fields are what the author wrote."""
    limits = (option.minimum, option.maximum)
    if option.type not in get_args(OptionType):
        return f"type {_shown(option.type)} is none of {', '.join(get_args(OptionType))}"
    if option.completes is not None and option.completes not in get_args(Completes):
        return f"completes {_shown(option.completes)} is none of {', '.join(get_args(Completes))}"
    if not isinstance(option.help, str):
        return "help is not text"
    if not isinstance(option.choices, tuple) or not all(isinstance(choice, str) for choice in option.choices):
        return "choices must be a tuple of texts"
    if (option.type == "choice") != bool(option.choices):
        return "choices belong to type choice, and it needs some"
    if option.secret and (option.type != "string" or option.default is not None):
        return "a secret is a string without a default"
    if option.type == "table" and (option.default is not None or option.repeated):
        return "a table has no default, and is not repeated"
    if option.required and option.default is not None:
        return "it is required, so a default would never be used"
    if any(limit is not None for limit in limits) and option.type not in ("integer", "size"):
        return "minimum and maximum belong to integer and size"
    if not all(limit is None or type(limit) is int for limit in limits):
        return "minimum and maximum must be whole numbers"
    if option.minimum is not None and option.maximum is not None and option.minimum > option.maximum:
        return "minimum is more than maximum"
    return _default_fault(option)


def _default_fault(option: Option) -> str | None:
    if option.default is None:
        return None
    if option.repeated:
        if not isinstance(option.default, tuple):
            return "the default of a repeated option must be a tuple"
        values = option.default
    else:
        values = (option.default,)
    for value in values:
        if not _fits(option, value):
            return f"default {_shown(value)} is not {_EXPECTED[option.type]}"
        if isinstance(value, int) and (
            (option.minimum is not None and value < option.minimum)
            or (option.maximum is not None and value > option.maximum)
        ):
            return f"default {value} is not between minimum and maximum"
    return None


_SIZE = re.compile(r"0*[1-9][0-9]{0,14} ?(B|kB|KB|MB|GB|KiB|MiB|GiB)?")
_DURATION = re.compile(r"0*[1-9][0-9]{0,11}(ms|s|m|h)")
_EXPECTED = {
    "string": "a text",
    "path": "a text",
    "choice": "one of the choices",
    "integer": "a whole number",
    "boolean": "true or false",
    "duration": "seconds, or a text such as 30s",
    "size": "bytes, or a text such as 8MiB",
    "table": "a table",
}


def _fits(option: Option, value: Any) -> bool:
    match option.type:
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return type(value) is int
        case "choice":
            return value in option.choices
        case "size":
            return (type(value) is int and value > 0) or _matches(_SIZE, value)
        case "duration":
            return (type(value) in (int, float) and value > 0) or _matches(_DURATION, value)
        case _:
            return isinstance(value, str)


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and pattern.fullmatch(value) is not None


def _shown(value: Any) -> str:
    """Return a value as a few characters; what it says of itself may raise, or be long."""
    if value is None or isinstance(value, (bool, int, float)):
        return str(value)[:40]
    if isinstance(value, str):
        return repr(value[:40])
    return f"an object of type {type(value).__name__}"
