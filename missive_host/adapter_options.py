"""The options that plugins declare: from what was typed or configured to what a factory gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from missive_host.errors import AuthError, ValidationError, nearest

if TYPE_CHECKING:
    from missive_host.security.providers import Secrets
    from missive_host.specs import AdapterSpec, Option, SinkSpec


def convert_options(
    spec: AdapterSpec | SinkSpec,
    given: Mapping[str, Any],
    *,
    label: Callable[[str], str] = "`{}`".format,
    secrets: Secrets | None = None,
) -> dict[str, Any]:
    """Return every option of `spec` by name: converted, complete with defaults.

    `given` has texts (from a command line) or values (from TOML) by name, repeated options as a list or tuple.
    ``size`` becomes ``int`` bytes, ``duration`` ``float`` seconds, a secret a `Secret`; an option that is not given
    and has no default is None, a repeated one ``()``. `label` is how errors name an option; `secrets` resolves
    references.

    Raises `ValidationError`, and `AuthError` when a secret cannot be had.
    """
    options = {option.name: option for option in spec.options}
    for name in given:
        if name not in options:
            adapter = table_of(spec) == "adapters"
            raise ValidationError(
                f"{label(name)}: {'adapter' if adapter else 'event sink'} `{spec.name}` has no such option"
                f"{nearest(name, list(options))}",
                help=f"see `missive adapter {spec.name} --help`" if adapter else "see `missive plugin show`",
            )
    return convert_values(spec.options, given, label=label, secrets=secrets)


def table_of(spec: AdapterSpec | SinkSpec) -> str:
    """Return in which table of the config such things are."""
    from missive_host.specs import AdapterSpec

    return "adapters" if isinstance(spec, AdapterSpec) else "sinks"


def configured_options(
    spec: AdapterSpec | SinkSpec, name: str, settings: Mapping[str, Any], file: Path | None, secrets: Secrets
) -> dict[str, Any]:
    """Return the options of the adapter or sink `name` from its table in the config. Raises as `convert_options` does.

    A relative path begins at the folder of `file`, which is the config's.
    """
    options = convert_options(
        spec, settings, label=lambda key: f"{table_of(spec)}.{name}.settings.{key}", secrets=secrets
    )
    folder = Path.cwd() if file is None else file.absolute().parent
    for option in spec.options:
        if option.type == "path" and isinstance(path := options[option.name], str):
            options[option.name] = str(folder / Path(path).expanduser())
    return options


def declared_options(
    what: str, declared: Iterable[Option], given: Mapping[str, Any], where: str, secrets: Secrets
) -> dict[str, Any]:
    """Return the options of anything else that a plugin declares from its table in the config, `where`."""
    known = [option.name for option in declared]
    for name in given:
        if name not in known:
            raise ValidationError(
                f"{where}.{name}: {what} has no such option{nearest(name, known)}",
                help=f"it has: {', '.join(known) or 'none'}",
            )
    return convert_values(declared, given, label=lambda key: f"{where}.{key}", secrets=secrets)


def convert_values(
    declared: Iterable[Option],
    given: Mapping[str, Any],
    *,
    label: Callable[[str], str],
    secrets: Secrets | None = None,
) -> dict[str, Any]:
    """As `convert_options`, for any options that a plugin declares."""
    found: dict[str, Any] = {}
    for option in declared:
        name = option.name
        value = given.get(name)
        if value is None:
            if option.required:
                raise ValidationError(f"{label(name)}: is required")
            found[name] = _default(option, label(name))
        elif option.repeated:
            values = value if isinstance(value, list | tuple) else (value,)
            found[name] = tuple(_one(option, item, label(name), secrets) for item in values)
        else:
            found[name] = _one(option, value, label(name), secrets)
    return found


def _default(option: Option, label: str) -> Any:
    if option.default is None:
        return () if option.repeated else None
    if option.repeated:
        return tuple(_one(option, item, label, None) for item in option.default)
    return _one(option, option.default, label, None)


def _one(option: Option, value: Any, label: str, secrets: Secrets | None) -> Any:
    if option.secret:
        return _secret(value, label, secrets)
    match option.type:
        case "boolean":
            return _boolean(value, label)
        case "integer":
            return _limited(option, _integer(value, label), label)
        case "size":
            from missive_host.config.units import parse_size

            return _limited(option, parse_size(value, label), label)
        case "duration":
            return _duration(value, label)
        case "choice":
            if value not in option.choices:
                hint = nearest(value, option.choices) if isinstance(value, str) else ""
                raise ValidationError(f"{label}: expected one of {', '.join(option.choices)}{hint}")
            return value
        case "table":
            if not isinstance(value, Mapping):
                raise ValidationError(f"{label}: expected a table")
            return {key: _within(item, f"{label}.{key}", secrets) for key, item in value.items()}
        case _:
            if not isinstance(value, str):
                raise ValidationError(f"{label}: expected text")
            return value


def _within(value: Any, label: str, secrets: Secrets | None) -> Any:
    """Return a value of a table, with secrets in the place of the references to them."""
    if isinstance(value, Mapping):
        if set(value) == {"secret"} and not isinstance(value["secret"], Mapping):
            return _secret(value, label, secrets)
        return {key: _within(item, f"{label}.{key}", secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_within(item, label, secrets) for item in value]
    return value


def _secret(value: Any, label: str, secrets: Secrets | None) -> Any:
    reference = value.get("secret") if isinstance(value, Mapping) and len(value) == 1 else value
    if not isinstance(reference, str):
        raise ValidationError(f"{label}: expected a reference to a secret", help='{ secret = "env:NAME" }')
    if secrets is None:
        raise AuthError(f"{label}: no secret can be had here")
    return secrets.resolve(label, reference)


def _boolean(value: Any, label: str) -> bool:
    if isinstance(value, bool):
        return value
    raise ValidationError(f"{label}: expected true or false")


def _integer(value: Any, label: str) -> int:
    if type(value) is int:
        return value
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit() and len(value) <= 20:
        return int(value)
    raise ValidationError(f"{label}: expected a whole number")


def _limited(option: Option, value: int, label: str) -> int:
    if (option.minimum is not None and value < option.minimum) or (
        option.maximum is not None and value > option.maximum
    ):
        low = "" if option.minimum is None else f" at least {option.minimum}"
        high = "" if option.maximum is None else f" at most {option.maximum}"
        raise ValidationError(f"{label}: must be{' and'.join(filter(None, (low, high)))}, not {value}")
    return value


def _duration(value: Any, label: str) -> float:
    if type(value) in (int, float) and value > 0:
        return float(value)
    from missive_host.config.units import parse_duration

    return parse_duration(value if isinstance(value, str) else "", label)
