#!/bin/sh
# What one agent answers is what the next one is asked:
#
#     echo "a text" | sh relay.sh translator summariser
#
# It ends with the exit status of the first agent that fails, and asks nobody after that.
set -eu
[ $# -gt 0 ] || { echo "usage: relay.sh AGENT ..." >&2; exit 64; }

text=$(cat)
for agent; do
    text=$(printf '%s' "$text" | missive send "$agent" --stdin)
done
printf '%s\n' "$text"
