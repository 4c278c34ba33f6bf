"""What a new plugin is called, everywhere it has a name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from missive_host import __version__
from missive_host.errors import ValidationError

Kind = Literal["adapter", "policy", "reducer"]
KINDS: tuple[Kind, ...] = get_args(Kind)
PREFIX = "missive"
_NAME = re.compile(r"[a-z](?=.{0,30}\Z)[a-z0-9]*([_-][a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Plan:
    """A plugin that is to be made. Raises `ValidationError` if it cannot be called so."""

    name: str
    """Of the entry point, and of what it declares."""
    kind: Kind
    own_contract: bool = False
    """Of an adapter: it reads an envelope of its own."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            likely = _likely(self.name)
            raise ValidationError(
                f"`{self.name[:64]}` is not a plugin name" + (f"; did you mean '{likely}'?" if likely else ""),
                help="at most 31 lower-case letters and digits, with single '-' or '_' between, a letter first",
            )
        if re.match(rf"{PREFIX}[_-]", self.name):
            short = self.name[len(PREFIX) + 1 :]
            raise ValidationError(
                f"the name of a plugin says nothing of {PREFIX}; did you mean '{short}'?",
                help=f"the distribution is called {PREFIX}-NAME by itself",
            )
        if self.own_contract and self.kind != "adapter":
            raise ValidationError(
                f"a {self.kind} reads no envelope, so it has no contract of its own", help="leave --contract out"
            )

    @property
    def distribution(self) -> str:
        return f"{PREFIX}-{self.name.replace('_', '-')}"

    @property
    def module(self) -> str:
        return self.distribution.replace("-", "_")

    @property
    def contract(self) -> str:
        """The contract that the adapter reads."""
        return f"{PREFIX}.{self._word}.v1" if self.own_contract else f"{PREFIX}.stdio.v1"

    @property
    def words(self) -> dict[str, str]:
        """What stands for the words of the templates."""
        class_name = "".join(part.capitalize() for part in self._word.split("_")) + self.kind.capitalize()
        return {
            "name": self.name,
            "word": self._word,
            "kind": self.kind,
            "distribution": self.distribution,
            "module": self.module,
            "class": class_name,
            "contract": self.contract,
            "version": __version__,
            "own": "yes" if self.own_contract else "",
            "frames": "" if self.own_contract else "yes",
        }

    @property
    def _word(self) -> str:
        return self.name.replace("-", "_")


def _likely(name: str) -> str | None:
    """Return a name that is like this one and can be used."""
    parts = re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower())
    likely = "-".join(parts).lstrip("0123456789-")
    return likely if _NAME.fullmatch(likely) else None
