# ruff: noqa: INP001 - a program
"""``jq [-r] FILTER`` for machines without jq: as much of it as the examples of the documentation use."""

import json
import sys

import jq  # type: ignore[import-not-found, unused-ignore]

arguments = sys.argv[1:]
raw = "-r" in arguments
(program,) = [argument for argument in arguments if argument != "-r"]
try:
    for value in jq.compile(program).input_text(sys.stdin.read()):
        print(value if raw and isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False))
except ValueError as error:
    sys.exit(f"jq: error: {error}")
