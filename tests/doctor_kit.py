"""A home for ``missive doctor`` to look at."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

from support.secrets import planted

if TYPE_CHECKING:
    from cli.conftest import Missive

SECRET = planted("doctor")


COMMANDS = (
    "missive", "export", "unset", "kill", "fuser", "sudo", "chmod", "mv", "curl", "pip", "ssh", "(umask", "read",
    "keyring", "${EDITOR:-vi}",
)  # fmt: skip


def harm_of(hint: str) -> str:
    """Say what would be wrong if somebody typed a hint without thinking; nothing, if that is all right."""
    command, _, remark = hint.partition("  # ")
    if re.search(r"\brm\b|\bdd\b|\bmkfs|\bkill\b.*[$`0-9]|--force|--yes", command):
        return "it takes away what cannot be had back"
    if ">" in command and "set -C" not in command:
        return "it writes over a file"
    if re.search(r"chmod .*(\s/(tmp|home|etc|usr|var|root)?$|-R)|chown .*(\s/\w*$|-R)", command):
        return "it is about more than what is missive's"
    if command.partition(" ")[0].rstrip(";") not in COMMANDS:
        return ""  # advice in words
    values = re.findall(r"(?<![\w$/.-])/?(?:URL|NAME|PID|BACKUP|FILE|FOLDER|PATH|CONFIG)\b", command)
    return "".join(f"what {value} stands for is not said" for value in values if f"{value}:" not in remark)


class Home:
    """A home that can be broken, and what the doctor says about it."""

    def __init__(self, missive: Missive) -> None:
        self.missive = missive
        self.config_file = missive.home / "config.toml"
        self.state = missive.home / "missive/state/profiles/default"
        self.store = self.state / "missive.sqlite3"

    def config(self, text: str) -> None:
        self.config_file.write_text(text)
        self.missive.env["MISSIVE_CONFIG"] = str(self.config_file)

    def used(self) -> None:
        """Let a store be there."""
        self.missive.ok("agent", "list")

    def look(self, *words: str, code: int, **options: Any) -> dict[str, dict[str, Any]]:
        """Return the checks by id; the exit code, the document and the error must agree."""
        done = subprocess.run(
            self.missive.argv("doctor", "--json", *words),
            env=self.missive.env,
            capture_output=True,
            text=True,
            timeout=90,
            **{"cwd": self.missive.home, **options},
        )
        assert done.returncode == code, (done.stdout, done.stderr)
        assert SECRET not in done.stdout + done.stderr
        document = json.loads(done.stdout)
        assert document["kind"] == "doctor"
        data = document["data"]
        assert data["overall"]["exit_code"] == code
        assert data["overall"]["check_count"] == len(data["checks"])
        if code:
            error = json.loads(done.stderr)["data"]
            assert (error["category"], error["exit_code"]) == ("orchestration", code)
        for check in data["checks"]:
            assert check["hints"] or check["status"] in ("pass", "skipped"), check
            for hint in check["hints"]:
                assert not harm_of(hint), hint
        return {check["id"]: check for check in data["checks"]}

    def fails(self, check: str, *words: str, code: int, says: str, mends: str, **options: Any) -> dict[str, Any]:
        """Look, and expect this check to fail with these words, and a command with these among its hints."""
        found = self.look(*words, code=code, **options)[check]
        assert found["status"] == "fail", found
        assert found["severity"] == "error"
        assert found["exit_code"] == code
        assert says in found["message"], found
        assert any(mends in hint for hint in found["hints"]), found
        return found
