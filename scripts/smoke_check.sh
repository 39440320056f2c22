#!/bin/sh
# A smoke check for CI: posecli still finds the people in some pictures at the expected positions.
#
#   scripts/smoke_check.sh PICTURES EXPECTED.jsonl
#
# Create EXPECTED.jsonl once with `posecli estimate PICTURES -o EXPECTED.jsonl --preset balanced`, review it, commit it.
set -eu
[ $# -eq 2 ] || { echo "usage: $0 PICTURES EXPECTED.jsonl" >&2; exit 2; }

found=$(mktemp)
trap 'rm -f "$found"' EXIT
posecli estimate "$1" -o "$found" --overwrite -f jsonl --preset balanced --require-pose
posecli compare "$2" "$found" --max-distance 8 --max-score-change 0.2
