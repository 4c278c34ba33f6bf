"""``python -m missive_host.contracts``: write the schemas anew from the code; with ``--check`` say which are stale."""

from __future__ import annotations

import sys
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Return 0, or 1 if something was stale and ``--check`` was given."""
    from missive_host.contracts.library import folder
    from missive_host.contracts.schemas import refresh

    if [word for word in arguments if word != "--check"]:
        sys.stderr.write("usage: python -m missive_host.contracts [--check]\n")
        return 2
    check = "--check" in arguments
    place = Path(str(folder()))
    stale = refresh(place, write=not check)
    for name in stale:
        sys.stdout.write(f"{'stale' if check else 'written'}: {place / name}\n")
    if check and stale:
        sys.stderr.write("run: python -m missive_host.contracts\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
