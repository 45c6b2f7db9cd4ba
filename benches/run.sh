#!/usr/bin/env bash
# What a RUN costs beside its own process: a Dockerfile of COUNT commands that change nothing, and one of as many that write
# a file each, on a root that holds only busybox.
# Usage: [ESTALEIRO=PROGRAM] benches/run.sh [ROUNDS] [COUNT]      as root, on Debian with busybox-static
# Each line is one build: what, wall seconds, and milliseconds a command, less what the same takes with one command.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3} count=${2:-50}
if [ -z "${ESTALEIRO:-}" ]; then
  cargo build --release --locked >&2
  ESTALEIRO=$PWD/target/release/estaleiro
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/context"
cp /bin/busybox "$work/context/"

seconds() { # COMMANDS INSTRUCTION; says how long a build of so many takes
  { printf 'FROM scratch\nCOPY busybox /bin/busybox\n'; for n in $(seq "$1"); do printf "$2\n" "$n"; done; } >"$work/Dockerfile"
  rm -rf "$work/state" "$work/out"
  local start=$EPOCHREALTIME
  "$ESTALEIRO" build -f "$work/Dockerfile" --state "$work/state" --output "oci:$work/out" "$work/context" >/dev/null 2>"$work/log" ||
    { cat "$work/log" >&2; exit 1; }
  awk -v start="$start" -v end="$EPOCHREALTIME" 'BEGIN { print end - start }'
}

measure() { # NAME INSTRUCTION
  local one all
  one=$(seconds 1 "$2")
  all=$(seconds "$count" "$2")
  awk -v name="$1" -v one="$one" -v all="$all" -v n="$count" \
    'BEGIN { printf "%-28s %7.2f s wall %7.1f ms a command\n", name, all, (all - one) / (n - 1) * 1000 }'
}

for round in $(seq "$rounds"); do
  measure "changes nothing" 'RUN ["/bin/busybox", "true", "%d"]'
  measure "writes a file" 'RUN ["/bin/busybox", "touch", "/%d"]'
done
