#!/bin/sh
# Each line of standard input is a question for one agent, each line of output its answer, in the same order:
#
#     sh ask.sh echo < questions.txt
#
# One process does it all, up to four questions at a time: each is a session of its own, so none waits for another.
set -eu
agent=${1:?usage: ask.sh AGENT}

jq -Rc --arg agent "$agent" '"line-\(input_line_number)" as $id
        | {id: $id, source: {source_id: $id}, command: "send", agent: $agent, message: .}' |
    missive adapter stdio --mode long-running |
    jq -rn '[inputs | {line: (.id[5:] | tonumber), ok, data, error}] | sort_by(.line)[]
        | if .ok then .data.data.response.text // "" else "error: \(.error.message)" end'
