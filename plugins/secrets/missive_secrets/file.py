"""Secrets in files that only their owner may read: ``file:PATH``."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from missive_host.errors import AuthError

if TYPE_CHECKING:
    from missive_host.protocols import SecretContext

MAX_BYTES = 8192
"""No credential is longer; the host says so of one that is."""


class File:
    """A `SecretProvider`."""

    def __init__(self, context: SecretContext) -> None:
        """A file needs nothing of the context."""

    def get(self, reference: str) -> str:
        where = f"the file {reference}"
        try:
            # Not blocking, so that a pipe in its place is refused below and cannot hang us.
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
            descriptor = os.open(os.path.expanduser(reference), flags)  # noqa: PTH111
        except (OSError, ValueError) as error:
            raise AuthError(
                f"{where} cannot be read: {getattr(error, 'strerror', 'that is no path')}",
                help=f"write the credential into {reference}, then chmod 600 {reference}",
            ) from None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise AuthError(f"{where} is not a regular file", help="name a file that holds the credential alone")
            if status.st_mode & 0o077:
                raise AuthError(f"{where} can be read by others", help=f"chmod 600 {reference}")
            data = os.read(descriptor, MAX_BYTES + 3)  # with a line end, and one more to see that it is too long
        except OSError as error:
            raise AuthError(f"{where} cannot be read: {error.strerror}") from None
        finally:
            os.close(descriptor)
        try:
            value = data.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise AuthError(f"{where} is not text", help="it must hold the credential alone, as text") from None
        if not value:
            raise AuthError(f"{where} is empty", help=f"write the credential into {reference}")
        return value
