"""The declaration of Discord: it costs nothing, and names what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.chat.discord_rig import Rig
from support.chat.fake_discord import FakeDiscord

WITHOUT = "import sys\nsys.modules['discord'] = None\nfrom missive_host.cli import main\nmain()\n"
CONFIG = """schema_version = "missive.config.v1"
[adapters.team]
kind = "discord"
[adapters.team.settings]
token = { secret = "env:DISCORD_TOKEN" }
agent = "echo"
"""


def test_a_library_that_is_missing_is_named_with_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "missive.toml").write_text(CONFIG)
    (tmp_path / "without.py").write_text(WITHOUT)
    done = subprocess.run(
        [sys.executable, "without.py", "--config", "missive.toml", "plugin", "check", "--json"],
        cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "adapter `discord` needs the extra `discord`: pip install 'missive-host[discord]'" in done.stdout
    assert done.returncode == 0


def test_declaring_it_imports_nothing_of_it() -> None:
    code = "import sys, missive_chat as c; list(c.missive_adapters()); print({'discord', 'aiohttp'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


@pytest.mark.anyio
async def test_a_proxy_of_the_environment_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:1")
    async with FakeDiscord() as fake:
        rig = Rig(fake, tmp_path)
        async with rig.listening():
            await fake.says("look", files=(("a.txt", b"x"),))
            (attachment,) = (await rig.next()).attachments
            assert await rig.platform.download(attachment, tmp_path / "a", limit=10) == 1
