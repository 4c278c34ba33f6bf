"""``python -m missive_host`` is the ``missive`` command."""

from missive_host.cli import main

main()
