"""``missive doctor``: one look at everything a message needs, on a home in which anything may be broken."""

from __future__ import annotations

from missive_host.doctor.examination import Examination, diagnose

__all__ = ["Examination", "diagnose"]
