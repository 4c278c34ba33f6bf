"""The result documents of adapters that say at their end what they did."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from missive_host.outputs import Data, Output, all_kinds


class FileDropView(msgspec.Struct, frozen=True, kw_only=True):
    """One file that was worked on."""

    input_file: str
    """Its name in the inbox."""
    ok: bool
    output_file: str
    """The path of its answer."""
    output_kind: str
    """``file_drop_result`` or ``file_drop_error``."""
    output_count: int
    """How many results the answer has."""
    archived_file: str | UnsetType = UNSET
    """Its name in ``processed_dir`` or ``error_dir``."""
    error_code: str | UnsetType = UNSET


class AdapterFileDropResult(Data, frozen=True, kw_only=True):
    """What a door did with the files in its inbox."""

    kind = "adapter_file_drop"

    profile: str
    mode: str
    """``once`` or ``watch``."""
    inbox: str
    outbox: str
    processed_dir: str
    error_dir: str
    scanned_ready_files: int
    """How many ready files were seen; one that another process was faster to take is seen, and not processed."""
    processed_files: int
    succeeded: int
    failed: int
    files: tuple[FileDropView, ...]
    """The last 1000."""
    message: str


def summary_output(kind: str, data: dict[str, Any]) -> Output | None:
    """Return what an adapter said as a result document; None if missive has no such kind."""
    cls = all_kinds().get(kind)
    return None if cls is None else Output(msgspec.convert(data, cls))
