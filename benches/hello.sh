#!/usr/bin/env bash
# examples/hello beside the same root made with mmdebstrap and buildah (--isolation chroot): wall, CPU and peak RSS.
# Usage: benches/hello.sh [ROUNDS]      as root, on Debian; installs buildah, mmdebstrap and time if they are missing.
# Runs are interleaved; each line is one run: what, wall seconds, CPU seconds, peak RSS of the largest process in MB.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3}

missing=()
for program in buildah mmdebstrap; do
  command -v "$program" >/dev/null || missing+=("$program")
done
[ -x /usr/bin/time ] || missing+=(time)
[ ${#missing[@]} -eq 0 ] || apt-get install -y -q "${missing[@]}" >&2

cargo build --release --locked >&2
estaleiro=$PWD/target/release/estaleiro
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r examples/hello "$work/hello"

suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
# Says `NAME wall cpu rss` of a command.
measure() {
  local name=$1
  shift
  /usr/bin/time -f '%e %U %S %M' -o "$work/time" "$@" >/dev/null 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
  awk -v name="$name" '{ printf "%-28s %7.2f s wall %7.2f s cpu %7.0f MB\n", name, $1, $2 + $3, $4 / 1024 }' "$work/time"
}

ours() { # STATE OUTPUT
  "$estaleiro" build "$work/hello" --output "oci:$2" --state "$1"
}

theirs() { # OUTPUT
  local container mount
  container=$(buildah from scratch)
  mount=$(buildah mount "$container")
  mmdebstrap --variant=essential --include=ca-certificates,jq "$suite" "$mount"
  buildah umount "$container"
  buildah copy --chmod 0755 "$container" "$work/hello/hello.sh" /usr/local/bin/hello
  buildah run --isolation chroot "$container" -- jq --version </dev/null
  buildah config --env GREETING=hello --entrypoint '["/usr/local/bin/hello"]' "$container"
  buildah commit "$container" "oci:$1:latest"
  buildah rm "$container"
}

export -f ours theirs
export work estaleiro suite
for round in $(seq "$rounds"); do
  rm -rf "$work/state" "$work/out" "$work/other"
  cp examples/hello/hello.sh "$work/hello/hello.sh"
  measure "estaleiro cold" bash -c 'ours "$work/state" "$work/out"'
  measure "buildah+mmdebstrap cold" bash -c 'theirs "$work/other"'
  measure "estaleiro again" bash -c 'ours "$work/state" "$work/out"'
  rm -rf "$work/state"
  measure "estaleiro again, state wiped" bash -c 'ours "$work/state" "$work/out"'
  echo "# $round" >>"$work/hello/hello.sh"
  rm -rf "$work/state"
  measure "estaleiro changed, wiped" bash -c 'ours "$work/state" "$work/out"'
done
