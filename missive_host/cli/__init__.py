"""The command line. ``main`` answers ``--version`` before it imports anything; the rest is ``root``."""

import sys

from missive_host import __version__


def main() -> None:
    """Run ``missive`` with the arguments of this process. Leaves by `SystemExit`."""
    if sys.argv[1:2] in (["--version"], ["-V"]):
        print(f"missive {__version__}")
        raise SystemExit(0)
    from missive_host.cli.root import run

    raise SystemExit(run(sys.argv[1:]))
