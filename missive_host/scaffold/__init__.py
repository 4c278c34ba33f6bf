"""A new plugin: a small complete project, written from the templates beside this file.

A template ends in ``.in``; in it and in its path ``@word@`` stands for a value of `Plan.words`. What is in ``common``
is for every kind, what is in the folder of a kind for that kind. A line that begins with ``@word?@`` is there if the
word is not empty.
"""

from missive_host.scaffold.naming import KINDS, Kind, Plan
from missive_host.scaffold.writing import write

__all__ = ["KINDS", "Kind", "Plan", "write"]
