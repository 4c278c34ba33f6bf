"""``docs/configuration.md``: its examples load, and its tables are those of the model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from missive_host.config import load
from missive_host.config.reference import refreshed

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
BLOCKS = re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_an_example_loads(block: str, tmp_path: Path) -> None:
    path = tmp_path / "missive.toml"
    path.write_text(block)
    assert load(config_path=str(path), env={"HOME": str(tmp_path)}).path == path


def test_there_are_examples() -> None:
    assert len(BLOCKS) >= 4


def test_a_profile_replaces_the_block_as_the_page_says(tmp_path: Path) -> None:
    path = tmp_path / "missive.toml"
    path.write_text(next(block for block in BLOCKS if "[profiles.work.qos]" in block))
    settings = load(config_path=str(path), env={"HOME": str(tmp_path)})
    assert (settings.profile, settings.config.qos.connect_timeout) == ("work", "10s")


def test_the_tables_of_keys_are_fresh() -> None:
    page = PAGE.read_text("utf-8")
    assert refreshed(page) == page, "run: python -m missive_host.config.reference docs/configuration.md"
