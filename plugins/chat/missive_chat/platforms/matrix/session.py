"""What is kept of a login: the device stays the same, and so does its token.

A new login with the same device takes the token from whoever uses it (the gateway, while ``missive chat test`` runs),
and homeservers allow few logins. The device is also what message ids are deduplicated by.
"""

from __future__ import annotations

import json
import os
import secrets
import string
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FILE = "session.json"


@dataclass(frozen=True, slots=True)
class Session:
    device_id: str
    user_id: str = ""
    homeserver: str = ""
    access_token: str = field(default="", repr=False)

    @classmethod
    def load(cls, folder: Path) -> Session | None:
        """Return what was kept; a file that is no session counts as none."""
        try:
            data = json.loads((folder / FILE).read_text(encoding="utf-8"))
            session = cls(**data)
        except (OSError, ValueError, TypeError):
            return None
        return session if all(isinstance(value, str) for value in asdict(session).values()) else None

    def save(self, folder: Path) -> None:
        """Write it so that only the owner reads it, and that a crash leaves the old or the new one."""
        new = folder / f"{FILE}.new"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(self), file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(folder / FILE)

    def is_of(self, user: str, homeserver: str) -> bool:
        """Tell whether it is a login of this user, who may be given without the server's name."""
        named = self.user_id == user or self.user_id.partition(":")[0].removeprefix("@") == user
        return bool(self.access_token) and named and self.homeserver == homeserver


def new_device_id() -> str:
    return "MISSIVE" + "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(8))
