"""A small IRC server on this machine, if one is installed: for ``missive demo chat``."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

from missive_host.demo.server import HOST, listen
from missive_host.errors import TransportError

if TYPE_CHECKING:
    import subprocess
    from types import TracebackType
    from typing import Self

PROGRAMS = ("ngircd", "inspircd")
ALSO = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
"""Where they are installed, and where many people's PATH does not lead."""
MODULES = (Path("/usr/lib/inspircd/modules"), Path("/usr/lib64/inspircd/modules"))
START_SECONDS = 10.0
STOP_SECONDS = 5.0

_NGIRCD = """[Global]
Name = irc.demo
Info = missive demo chat
Listen = {host}
Ports = {port}
{unprivileged}
[Limits]
MaxConnectionsIP = 0
MaxNickLength = 20
MaxPenaltyTime = 1
[Options]
DNS = no
Ident = no
PAM = no
"""
_INSPIRCD = """<config format="xml">
<server name="irc.demo" description="missive demo chat" network="Demo" id="0DE">
<admin name="demo" email="demo@irc.demo" nick="demo">
<path {modules} datadir="{folder}" logdir="{folder}" runtimedir="{folder}">
<bind address="{host}" port="{port}" type="clients">
<connect allow="*" timeout="20" pingfreq="120" resolvehostnames="no" useident="no" localmax="100" globalmax="100"
  fakelag="no" threshold="1000" commandrate="100000">
<performance nouserdns="yes">
<pid file="{folder}/inspircd.pid">
<log method="file" type="*" level="default" target="inspircd.log">
<module name="cap"><module name="ircv3"><module name="ircv3_servertime"><module name="ircv3_ctctags">
<module name="ircv3_msgid"><module name="ircv3_echomessage"><module name="ircv3_batch">
"""


def installed() -> str | None:
    """Return the path of an IRC server, if there is one."""
    import shutil

    places = os.pathsep.join((os.environ.get("PATH", ""), *ALSO))
    return next((found for name in PROGRAMS if (found := shutil.which(name, path=places))), None)


class IrcServer:
    """An IRC server on a free port of the loopback interface, for as long as the ``with`` block lasts.

    Entering raises `TransportError` if it does not start.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        import subprocess
        import tempfile

        self._said = tempfile.TemporaryFile()
        with listen(0) as free:  # given back at once: whoever takes it meanwhile is told below
            self.port = int(free.getsockname()[1])
        # A session of its own: Ctrl-C is for us; it ends when we do, since its standard input does.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "missive_host.demo.held", *self._command()],
            stdin=subprocess.PIPE, stdout=self._said, stderr=self._said, start_new_session=True,
        )  # fmt: skip
        try:
            self._wait()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import subprocess

        assert self._process is not None
        assert self._process.stdin is not None
        assert self._said is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()

    def _command(self) -> list[str]:
        as_root = hasattr(os, "geteuid") and os.geteuid() == 0
        file = self._folder / "irc.conf"
        if Path(self._program).name == "ngircd":
            unprivileged = "ServerUID = nobody\nServerGID = nogroup" if as_root else ""
            file.write_text(_NGIRCD.format(host=HOST, port=self.port, unprivileged=unprivileged), encoding="utf-8")
            return [self._program, "-n", "-f", str(file)]
        modules = next((f'moduledir="{each}"' for each in MODULES if each.is_dir()), "")
        text = _INSPIRCD.format(host=HOST, port=self.port, folder=self._folder, modules=modules)
        file.write_text(text, encoding="utf-8")
        return [self._program, "--nofork", *(["--runasroot"] if as_root else []), f"--config={file}"]

    def _wait(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise TransportError(f"{self._program} ended before it was ready", sent=False, sources=self._reason())
            try:
                socket.create_connection((HOST, self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise TransportError(f"{self._program} was not ready in time", sent=False, sources=self._reason())

    def _reason(self) -> tuple[str, ...]:
        assert self._said is not None
        self._said.seek(0)
        text = self._said.read()[-2000:].decode(errors="replace").strip()
        return (text,) if text else ()
