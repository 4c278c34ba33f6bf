"""``python -m missive_host.contracts``: write schemas and promises anew from the code.

With ``--check`` it only says what is stale. ``--unreleased DOCUMENT …`` (``missive.output.v1/doctor``) is for documents
that no release has had yet: they may take another shape.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Return 0, or 1 if something was stale and ``--check`` was given, or if a promise is broken."""
    from missive_host.contracts.library import folder
    from missive_host.contracts.promises import advice, keep, promised_documents
    from missive_host.contracts.schemas import refresh, schemas

    parser = argparse.ArgumentParser(
        prog="python -m missive_host.contracts", description="Write schemas and promises anew from the code."
    )
    parser.add_argument("--check", action="store_true", help="only say what is stale")
    parser.add_argument(
        "--unreleased",
        nargs="+",
        default=[],
        metavar="DOCUMENT",
        help="documents that no release has had, such as missive.output.v1/doctor: their shape is taken anew",
    )
    given = parser.parse_args(arguments)
    place = Path(str(folder()))
    unknown = set(given.unreleased) - promised_documents(place)
    if unknown:
        parser.error(f"nothing is promised of {', '.join(sorted(unknown))}")
    stale = refresh(place, write=not given.check)
    kept = keep(place, schemas(), write=not given.check, unreleased=given.unreleased)
    stale += kept.stale
    for name in stale:
        sys.stdout.write(f"{'stale' if given.check else 'written'}: {place / name}\n")
    if kept.breaks:
        sys.stderr.write("".join(f"broken: {each.sentence()}\n" for each in kept.breaks) + advice(kept.breaks))
    if given.check and stale:
        sys.stderr.write("run: python -m missive_host.contracts\n")
    return 1 if kept.breaks or (given.check and stale) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
