#!/bin/sh
# A folder of texts becomes a folder of answers, by way of the file-drop door:
#
#     sh drop.sh echo texts answers
#
# A request is written beside the inbox and moved into it, so that it is never seen half-written.
set -eu
agent=${1:?usage: drop.sh AGENT TEXTS ANSWERS} texts=${2:?} answers=${3:?}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/inbox" "$answers"

for file in "$texts"/*.txt; do
    name=$(basename "$file" .txt)
    jq -Rsc --arg agent "$agent" --arg id "$name" '{id: $id, command: "send", agent: $agent, message: .}' \
        < "$file" > "$work/draft"
    mv "$work/draft" "$work/inbox/$name.json"
done
missive adapter file-drop --inbox "$work/inbox" --outbox "$work/outbox" --quiet || true
for file in "$work"/outbox/*.json; do
    name=$(basename "$file" .json)
    jq -r 'if .ok then .outputs[-1].data.data.response.text else "error: \(.error.message)" end' \
        < "$file" > "$answers/${name%.*}.txt"
done
