"""What a declaration may hold: each fault has its sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from missive_host.errors import ValidationError
from missive_host.plugins.checking import RefusedError, check_spec
from missive_host.specs import AdapterSpec, Option, PolicySpec, ReducerSpec

if TYPE_CHECKING:
    from collections.abc import Callable


def adapter(**changes: Any) -> AdapterSpec:
    values: dict[str, Any] = {"name": "pigeon", "factory": "pigeons.adapter:Pigeon", "summary": "By pigeon.", **changes}
    return AdapterSpec(**values)


def test_a_full_declaration_is_fine() -> None:
    check_spec(
        adapter(
            accepts=("missive.pigeon.v1", "pigeon.v12"),
            emits=("missive.pigeon.v1",),
            examples=("missive adapter pigeon",),
            extra="pigeon-post",
            status="deprecated",
            options=(
                Option("loft", "path", default="~/loft"),
                Option("birds", "integer", default=2, minimum=1, maximum=9, help="How many."),
                Option("letter-size", "size", default="8MiB"),
                Option("letter_limit", "size", default=1024, minimum=1),
                Option("flight", "duration", default="500ms"),
                Option("rest", "duration", default=0.5),
                Option("fast", "boolean", default=False),
                Option("colour", "choice", choices=("grey", "white"), default="grey"),
                Option("via", repeated=True, default=("a", "b")),
                Option("key", secret=True, required=True),
            ),
        )
    )
    check_spec(PolicySpec("by-tag", "a:b", "By tag."))
    check_spec(ReducerSpec("join_all", "a.b:c.d", "Join.", ordered=True))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "Pigeon"}, "adapter name 'Pigeon': use at most 31"),
        ({"name": "p" * 32}, "use at most 31"),
        ({"name": "-pigeon"}, "adapter name '-pigeon'"),
        ({"name": "pigeon\n"}, "adapter name"),
        ({"name": None}, "adapter name None"),
        ({"factory": "pigeons"}, "factory 'pigeons' is not of the form `module:attribute`"),
        ({"factory": "pigeons:1x"}, "not of the form"),
        ({"factory": "../x:y"}, "not of the form"),
        ({"factory": print}, "factory an object of type builtin_function_or_method"),
        ({"summary": ""}, "summary must be one line"),
        ({"summary": "a\nb"}, "summary must be one line"),
        ({"summary": None}, "summary must be one line"),
        ({"extra": "a b"}, "extra 'a b' is not the name"),
        ({"status": "good"}, "status 'good' is none of stable, beta"),
        ({"accepts": "pigeon.v1"}, "accepts must be a tuple"),
        ({"emits": ("pigeon",)}, "emits 'pigeon' is not a contract id"),
        ({"examples": (1,)}, "example 1 is not text"),
        ({"options": [Option("a")]}, "options must be a tuple"),
        ({"options": ("a",)}, "option 'a' is not of type Option"),
        ({"options": (Option("Loft"),)}, "option name 'Loft'"),
        ({"options": (Option("json", "boolean"),)}, "--json is a flag of every missive command"),
        ({"options": (Option("no_plugin"),)}, "--no-plugin is a flag of every missive command"),
        ({"options": (Option("a-b"), Option("a_b"))}, "option `a_b` is declared twice"),
    ],
)
def test_a_faulty_declaration_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(RefusedError) as caught:
        check_spec(adapter(**changes))
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"type": "number"}, "type 'number' is none of string, integer"),
        ({"completes": "agnet"}, "completes 'agnet' is none of adapter, agent"),
        ({"help": None}, "help is not text"),
        ({"choices": ["a"]}, "choices must be a tuple of texts"),
        ({"type": "choice"}, "choices belong to type choice, and it needs some"),
        ({"choices": ("a",)}, "choices belong to type choice"),
        ({"type": "choice", "choices": ("a",), "default": "b"}, "default 'b' is not one of the choices"),
        ({"secret": True, "default": "s3cret"}, "a secret is a string without a default"),
        ({"secret": True, "type": "integer"}, "a secret is a string"),
        ({"type": "table", "default": {}}, "a table has no default"),
        ({"type": "table", "repeated": True}, "a table has no default, and is not repeated"),
        ({"required": True, "default": "x"}, "it is required, so a default would never be used"),
        ({"minimum": 1}, "minimum and maximum belong to integer and size"),
        ({"type": "integer", "minimum": 1.5}, "must be whole numbers"),
        ({"type": "integer", "minimum": 2, "maximum": 1}, "minimum is more than maximum"),
        ({"type": "integer", "default": True}, "default True is not a whole number"),
        ({"type": "integer", "default": 0, "minimum": 1}, "default 0 is not between"),
        ({"type": "integer", "default": 9, "maximum": 8}, "default 9 is not between"),
        ({"type": "boolean", "default": 1}, "default 1 is not true or false"),
        ({"type": "size", "default": "big"}, "default 'big' is not bytes"),
        ({"type": "duration", "default": "30"}, "default '30' is not seconds"),
        ({"type": "path", "default": 3}, "default 3 is not a text"),
        ({"repeated": True, "default": "a"}, "must be a tuple"),
        ({"repeated": True, "default": ("a", 1)}, "default 1 is not a text"),
    ],
)
def test_a_faulty_option_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(RefusedError) as caught:
        check_spec(adapter(options=(Option("loft", **fields),)))
    assert str(caught.value).startswith("adapter `pigeon`: option `loft`: ")
    assert reason in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["1", "8MiB", "512 KiB", "1MB", "01kB", "0", "", "-1", "1TB", "1.5MiB", "MiB", "1  MiB"]
)
def test_a_size_is_what_the_configuration_calls_one(text: str) -> None:
    from missive_host.config.units import parse_size

    assert accepted(lambda: parse_size(text)) == accepted(lambda: check_option("size", text))


@pytest.mark.parametrize("text", ["1s", "500ms", "05m", "1h", "0s", "", "1", "1.5s", "-1s", "1d", "1 s"])
def test_a_duration_is_what_the_configuration_calls_one(text: str) -> None:
    from missive_host.config.units import parse_duration

    assert accepted(lambda: parse_duration(text)) == accepted(lambda: check_option("duration", text))


def check_option(kind: Any, default: str) -> None:
    check_spec(adapter(options=(Option("loft", kind, default=default),)))


def accepted(check: Callable[[], object]) -> bool:
    try:
        check()
    except (RefusedError, ValidationError):
        return False
    return True
