"""A door with everything, in one file: it reads frames from the end of a file, and writes answers to another.

`test_kit_adapters_bite` breaks it in every way.
"""

from __future__ import annotations

from missive_host.hookspecs import hookimpl
from missive_host.specs import AdapterSpec, Option

CONTRACT = "missive.stdio.v1"
SPEC = AdapterSpec(
    "journal",
    f"{__name__}:Journal",
    "Frames from the end of a file, answers to another.",
    accepts=(CONTRACT,),
    emits=(CONTRACT,),
    options=(
        Option("source", "path", required=True, help="The file to read."),
        Option("target", "path", required=True, help="The file to write to."),
        Option("token", secret=True, help="What a frame is signed with."),
        Option("colours", "table", help="A colour for each kind of answer: `ok` and `error`."),
        Option("mode", "choice", choices=("tail", "all"), default="tail", help="How it reads."),
    ),
)


@hookimpl
def missive_adapters() -> tuple[AdapterSpec, ...]:
    return (SPEC,)


def __getattr__(name: str) -> object:
    if name == "Journal":  # so that declaring imports nothing
        from support.journal import Journal

        return Journal
    raise AttributeError(name)
