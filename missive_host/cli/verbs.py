"""`verb`: a click command made from a command struct.

=====================  =========================================================
field of the struct    on the command line
=====================  =========================================================
no default             an argument
``bool``               a flag
``int``                an option with a whole number
``float``              an option with a number
``Literal``            an option with choices, completed by the shell
``tuple``              an option that may be repeated
``dict``               ``KEY=VALUE``, repeated; the value is JSON if it reads as JSON, else text
a struct               an option for each of its fields; `options` names them ``"requirements.tags"``
``timeout``            the global flag
=====================  =========================================================

The help is the field's ``Meta(description=…)``. What is typed is turned into the struct by
`missive_host.envelopes.convert`, the same as a frame is, so both are checked by the same rules and refused with the
same sentences (exit code 64).
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import click
import msgspec

from missive_host.cli.groups import Command
from missive_host.cli.known import Known

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from missive_host.cli.app import App
    from missive_host.cli.known import Here
    from missive_host.commands import Command as CommandStruct
    from missive_host.store.names import Stored

    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # generic only since click 8.4


class Field(msgspec.Struct, frozen=True):
    """How one field looks on the command line, where that is not what its type says."""

    flags: str | tuple[str, ...] = ()
    metavar: str | None = None
    help: str | None = None
    parse: Callable[[Any], Any] | None = None
    """Turns what click gives (text, a tuple of texts, or True for a switch) into the field's value."""
    switch: bool = False
    """True: a flag without a value, though the field is not ``bool``."""
    type: ParamType | None = None


Options = Mapping[str, str | tuple[str, ...] | Field | None]
"""Field to flag, or to a `Field`; None leaves the field out."""


class Positional(click.Argument):
    """An argument with a description for the help."""

    def __init__(self, name: str, description: str, **kwargs: Any) -> None:
        super().__init__([name], **kwargs)
        self.description = description


class Choices(ParamType):
    """Shows and completes the choices. Whether the value is one of them is for the struct to say."""

    name = "choice"

    def __init__(self, choices: tuple[str, ...]) -> None:
        self.choices = choices

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:  # noqa: ARG002
        from click.shell_completion import CompletionItem

        return [CompletionItem(choice) for choice in self.choices if choice.startswith(incomplete)]


def verb(
    name: str,
    struct: type[CommandStruct],
    *,
    arguments: Sequence[str] = (),
    options: Options | None = None,
    examples: Sequence[str] = (),
    help: str | None = None,  # noqa: A002 - click's word
) -> Command:
    """Return the click command `name` for a command struct.

    `arguments` are fields with a default that are arguments all the same, in order, after the required ones.
    `options` gives a field another flag (``{"json_parts": "--json-part"}``) or a `Field`; None leaves it out.
    """
    return Verb(name, struct, tuple(arguments), options or {}, examples, help)


class Verb(Command):
    """Its parameters are made when they are first needed: one process runs one command."""

    def __init__(
        self,
        name: str,
        struct: type[CommandStruct],
        arguments: tuple[str, ...],
        options: Options,
        examples: Sequence[str],
        help_text: str | None,
    ) -> None:
        text = _with_flags(help_text or struct.__doc__ or "", struct, arguments, options)
        first = text.strip().splitlines()[0] if text.strip() else ""
        super().__init__(name, help=text, short_help=first, examples=examples, callback=self._handle)
        self._struct = struct
        self._arguments = arguments
        self._options = options
        self._fields: dict[str, _Shape] | None = None

    def own_params(self) -> list[click.Parameter]:
        if self._fields is None:
            self._fields = _shapes(self._struct, self._arguments, self._options)
            optional = sorted(
                (shape for shape in self._fields.values() if shape.argument and not shape.required),
                key=lambda shape: self._arguments.index(shape.name),
            )
            required = [shape for shape in self._fields.values() if shape.argument and shape.required]
            rest = [shape for shape in self._fields.values() if not shape.argument]
            self.params = [shape.parameter() for shape in (*required, *optional, *rest)]
        return self.params

    def _handle(self, **values: Any) -> None:
        app: App = click.get_current_context().obj
        app.run(self.build(app, values))

    def build(self, app: App, values: dict[str, Any]) -> CommandStruct:
        """Return the struct. Raises `ValidationError` that names the flag."""
        from missive_host.commands import tag_of
        from missive_host.envelopes import convert
        from missive_host.errors import ValidationError

        self.own_params()
        assert self._fields is not None
        given: dict[str, Any] = {"command": tag_of(self._struct)}
        for name, shape in self._fields.items():
            value = values.get(shape.name)
            if value is None or value is False or value == ():
                continue
            value = shape.value(value)
            outer, _, inner = name.partition(".")
            if inner:
                given.setdefault(outer, {})[inner] = value
            else:
                given[name] = _states(value) if name in ("state", "states", "task_source") else value
        if app.flags.timeout is not None and "timeout" in self._struct.__struct_fields__:
            given["timeout"] = app.flags.timeout
        try:
            command: CommandStruct = convert(given, self._struct)
        except ValidationError as error:
            raise _named(error, self._fields) from None
        return command


def _states(value: Any) -> Any:
    from missive_host.envelopes import normal_state

    return [normal_state(item) for item in value] if isinstance(value, list) else normal_state(value)


def _named(error: Exception, fields: dict[str, _Shape]) -> Exception:
    """Return the error with the flag that was typed in place of the field's name."""
    import re

    from missive_host.errors import ValidationError

    match = re.match(r"field `([\w.]+)[^`]*`: (.*)", str(error), re.DOTALL)
    if match is None or not isinstance(error, ValidationError):
        return error
    shape = fields.get(match[1]) or fields.get(match[1].partition(".")[0])
    if shape is None:
        return ValidationError(f"--{match[1]}: {match[2]}", help=error.help, sources=error.sources)
    choices = "one of: " + ", ".join(shape.choices) if shape.choices else None
    return ValidationError(f"{shape.label}: {match[2]}", help=error.help or choices, sources=error.sources)


# --- one field


class _Shape(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a struct, as the command line sees it."""

    name: str
    """The parameter's name."""
    plain_name: str
    """The field's own name."""
    kind: Literal["flag", "integer", "number", "text", "json", "map", "choice"]
    repeated: bool
    required: bool
    argument: bool
    description: str
    metavar: str
    choices: tuple[str, ...]
    field: Field
    free_values: bool
    """Of a map: True if its values are any JSON."""

    @property
    def label(self) -> str:
        """The flag, or the argument's name."""
        if self.argument:
            return self.metavar
        return max(self._flags(), key=len)

    def _flags(self) -> tuple[str, ...]:
        flags = self.field.flags
        return ((flags,) if isinstance(flags, str) else flags) or ("--" + self.plain_name.replace("_", "-"),)

    def parameter(self) -> click.Parameter:
        if self.argument:
            return Positional(
                self.name,
                self.description,
                metavar=self.metavar if self.required else f"[{self.metavar}]",
                required=self.required,
                nargs=-1 if self.repeated else 1,
                type=self._type(),
            )
        if self.kind == "flag" or self.field.switch:
            return click.Option([self.name, *self._flags()], is_flag=True, default=False, help=self.description)
        many = self.repeated or self.kind == "map"
        return click.Option(
            [self.name, *self._flags()],
            multiple=many,
            required=self.required,
            metavar=self.metavar,
            type=self._type(),
            help=self.description + (" Repeatable." if many else ""),
        )

    def _type(self) -> ParamType:
        if self.field.type is not None:
            return self.field.type
        if self.choices:
            return Choices(self.choices)
        if self.plain_name in _AGENTS and "alias to give" not in self.description:
            return Known("agent")
        return Known(_NAMED[self.plain_name]) if self.plain_name in _NAMED else click.STRING

    def value(self, raw: Any) -> Any:
        """Turn what was typed into what `convert` takes. Raises `ValidationError`."""
        if self.field.parse is not None:
            return self.field.parse(raw)
        if self.kind == "map":
            return dict_value(self.label, raw, free=self.free_values)
        if self.kind == "integer":
            return _integer(self.label, raw)
        if self.kind == "number":
            return _number(self.label, raw)
        if self.kind == "json":
            return [json_value(self.label, text) for text in raw]
        return list(raw) if self.repeated else raw


def _integer(label: str, text: str) -> int:
    from missive_host.errors import ValidationError

    try:
        if text.isascii() and len(text) <= 20:
            return int(text)
    except ValueError:
        pass
    raise ValidationError(f"{label}: expected a whole number, not '{text[:64]}'")


def _number(label: str, text: str) -> float:
    from math import isfinite

    from missive_host.errors import ValidationError

    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise ValidationError(f"{label}: expected a number, not '{text[:64]}'")
    return number


def json_value(label: str, text: str) -> Any:
    """Return the JSON value in `text`. As strict as a frame. Raises `ValidationError`."""
    from missive_host.envelopes import parse_object
    from missive_host.errors import ValidationError

    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ValidationError(f"{label}: not valid JSON", sources=(str(error),)) from None
    try:
        return parse_object(b'{"value":%s}' % text.encode())["value"]
    except ValidationError as error:
        raise ValidationError(f"{label}: {error.message}", help=error.help) from None


def dict_value(label: str, pairs: Sequence[str], *, free: bool) -> dict[str, Any]:
    """Return ``KEY=VALUE`` pairs as a dict. With `free` what reads as JSON is JSON. Raises `ValidationError`."""
    from missive_host.errors import ValidationError

    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise ValidationError(f"{label}: expected KEY=VALUE, not '{pair[:64]}'")
        if not text:
            raise ValidationError(f"{label}: the value of '{key}' is empty", help=f"""for an empty text: {key}='""'""")
        if key in found:
            raise ValidationError(f"{label}: '{key}' is given twice")
        value: Any = text
        if free:
            try:
                msgspec.json.decode(text)
            except msgspec.DecodeError:
                value = text
            else:
                value = json_value(label, text)
        found[key] = value
    return found


# --- what the types say


def _shapes(
    struct: type[msgspec.Struct],
    arguments: tuple[str, ...],
    options: Options,
) -> dict[str, _Shape]:
    hints = typing.get_type_hints(struct, include_extras=True)
    metavars = _metavars()
    shapes: dict[str, _Shape] = {}
    for info in msgspec.structs.fields(struct):
        name = info.name
        said = options.get(name, Field())
        if said is None or name == "timeout":
            continue
        field = said if isinstance(said, Field) else Field(flags=said)
        description, inner = _described(hints[name])
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            within = {key.partition(".")[2]: value for key, value in options.items() if key.startswith(name + ".")}
            for key, shape in _shapes(inner, (), within).items():
                shapes[f"{name}.{key}"] = msgspec.structs.replace(shape, name=f"{name}_{key}")
            continue
        description = _with_flags(description, struct, arguments, options)
        repeated = typing.get_origin(inner) is tuple
        if repeated:
            _, inner = _described(typing.get_args(inner)[0])
        kind, choices, free = _kind(inner)
        argument = (info.required and not field.flags) or name in arguments
        default = (
            _METAVARS.get(name)
            or metavars.get(inner)
            or {"integer": "N", "number": "NUMBER", "json": "JSON", "map": "KEY=VALUE"}.get(kind, "TEXT")
        )
        if choices:
            default = "[" + "|".join(choices) + "]"
        if len(default) > _WIDEST:
            default = name.upper().removesuffix("S") if repeated else name.upper()
            description = f"{description} One of: {', '.join(choices)}."
        shapes[name] = _Shape(
            name=name,
            plain_name=name,
            kind=kind,
            repeated=repeated,
            required=info.required,
            argument=argument,
            description=field.help or description,
            metavar=field.metavar or (name.upper() if argument else default),
            choices=choices,
            field=field,
            free_values=free,
        )
    return shapes


def _with_flags(text: str, struct: type[msgspec.Struct], arguments: tuple[str, ...], options: Options) -> str:
    """Return a description with ```--flag``` where it names a field of the struct that is an option here."""
    if "`" not in text:
        return text
    import re

    def flag(match: re.Match[str]) -> str:
        name = match[1]
        if name not in struct.__struct_fields__ or name in arguments:
            return match[0]
        said = options.get(name)
        flags = (said.flags if isinstance(said, Field) else said) or "--" + name.replace("_", "-")
        return f"`{flags if isinstance(flags, str) else max(flags, key=len)}`"

    return re.sub(r"`([a-z_]+)`", flag, text)


def _described(hint: Any) -> tuple[str, Any]:
    """Return the description of a type and the type itself, without the description and without ``| None``."""
    description = ""
    while True:
        origin = typing.get_origin(hint)
        if origin is typing.Annotated:
            found = [meta.description for meta in hint.__metadata__ if getattr(meta, "description", None)]
            if not found:
                return description, hint
            description, hint = found[0], hint.__origin__
        elif origin is typing.Union or origin is types.UnionType:
            (hint,) = (arg for arg in typing.get_args(hint) if arg is not type(None))
        else:
            return description, hint


def _kind(hint: Any) -> tuple[Any, tuple[str, ...], bool]:
    bare = hint.__origin__ if typing.get_origin(hint) is typing.Annotated else hint
    origin = typing.get_origin(bare)
    if bare is bool:
        return "flag", (), False
    if bare is int:
        return "integer", (), False
    if bare is float:
        return "number", (), False
    if bare is Any:
        return "json", (), False
    if origin is dict:
        return "map", (), typing.get_args(bare)[1] is Any
    if origin is Literal:
        return "choice", typing.get_args(bare), False
    return "text", (), False


_NAMED: dict[str, Stored | Here] = {
    "adapter": "adapter",
    "artifact_id": "artifact",
    "auth_credentials_env": "env",
    "auth_ref": "auth_ref",
    "binding": "binding",
    "binding_preference": "binding",
    "config_id": "push_config",
    "context": "context",
    "event": "event",
    "group": "group",
    "job_id": "job",
    "operation": "operation",
    "parent": "context",
    "policy": "policy",
    "receipt": "receipt",
    "receipts": "dead_receipt",
    "routing_policy": "policy",
    "schedule_id": "schedule",
    "session": "session",
    "strategy": "reducer",
    "task": "task",
    "task_id": "task",
    "token_env": "env",
    "time_zone": "time_zone",
    "types": "event_type",
    "work": "work",
}
"""A field to what its value is the name of."""
_AGENTS = ("agent", "agents", "preferred_agent", "reducer_agent")
_WIDEST = 60
"""Of the choices that a metavar shows."""
_METAVARS = {"binding": "BINDING", "binding_preference": "BINDING", "updated_after": "TIME"}


def _metavars() -> dict[Any, str]:
    from missive_host import commands as known

    return {
        known.Name: "NAME",
        known.OpaqueId: "ID",
        known.Duration: "DURATION",
        known.MediaType: "MEDIA_TYPE",
    }
