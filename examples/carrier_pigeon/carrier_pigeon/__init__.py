"""Messages by pigeon post: a note in a loft is a message for an agent, its answer a note in another one.

This module only declares. The work is in ``adapter``, which is imported when the loft is opened.
"""

from __future__ import annotations

from collections.abc import Iterator

from missive_host.hookspecs import hookimpl
from missive_host.specs import AdapterSpec, ContractSpec, Option

PIGEON = ContractSpec("missive.pigeon.v1", __name__, "Notes that pigeons bring.")


@hookimpl
def missive_adapters() -> Iterator[AdapterSpec]:
    yield AdapterSpec(
        "pigeon",
        "carrier_pigeon.adapter:PigeonAdapter",
        "Notes in a maildir; answers in another one.",
        accepts=(PIGEON.name,),
        options=(
            Option("loft", "path", required=True, help="The maildir where notes arrive, in new/."),
            Option(
                "answers", "path", help="The maildir where answers leave, in new/; .answers in the loft if not said."
            ),
            Option(
                "mode",
                "choice",
                choices=("once", "watch"),
                help="once ends when the loft is empty; watch goes on. "
                "once is the default on the command line, watch in the gateway.",
            ),
            Option("interval", "duration", default=0.5, help="How often watch looks into the loft."),
        ),
        examples=(
            "missive adapter pigeon --loft loft",
            "missive adapter pigeon --loft loft --mode watch --interval 2s",
        ),
    )


@hookimpl
def missive_contracts() -> Iterator[ContractSpec]:
    yield PIGEON
