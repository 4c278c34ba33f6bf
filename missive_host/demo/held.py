"""``python -m missive_host.demo.held PROGRAM …``: a program that ends when our standard input does.

A parent that dies, however it dies, closes that pipe: nothing of it is left running.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

GRACE_SECONDS = 3.0


def main(argv: list[str]) -> int:
    """Run a program, and end it at the end of standard input. Returns its exit status."""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)

    def wait_for_end() -> None:
        while os.read(0, 4096):
            pass
        end(process)

    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    threading.Thread(target=wait_for_end, daemon=True).start()
    return process.wait()


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and kill it if it does not."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
        return
    process.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
