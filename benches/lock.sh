#!/usr/bin/env bash
# `estaleiro lock` beside `apt-get update` and `apt-get --print-uris install`, of 1, 50 and 700 packages: wall and CPU.
# Usage: [SOURCES=record] benches/lock.sh [ROUNDS]      as root, on Debian; installs time if it is missing.
# Both ask the machine's own Debian archives for the same closure into an empty root. Cold, nothing is known; warm, the
# archive is unchanged since the last time. Runs are interleaved; each line is one run. The number of packages is that of
# the request; with the Essential ones there are more. apt's closure has usrmerge and its needs where ours is merged.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3}
[ -x /usr/bin/time ] || apt-get install -y -q time >&2
cargo build --release --locked >&2
estaleiro=$PWD/target/release/estaleiro
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export SOURCE_DATE_EPOCH=0   # without it a lock fetches the .debs, whose times an image from scratch goes by

declare -A requests=(
  [1]="jq"
  [50]="ca-certificates curl file git gnupg iproute2 jq less openssh-client procps python3 rsync unzip"
  [700]="gnome-core"
)

# The machine's Debian suites, as one-line sources.
mkdir -p "$work/etc/sources.list.d" "$work/etc/preferences.d" "$work/etc/apt.conf.d"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
apt-get indextargets --format "\$(ORIGIN)|deb [signed-by=$keyring] \$(REPO_URI) \$(RELEASE) \$(COMPONENT)" 'Created-By: Packages' |
  sed -n 's/^Debian|//p' >"$work/etc/sources.list"
: >"$work/status"

definition() { # PACKAGE…; like apt's, its lists leave sources out unless SOURCES says otherwise
  printf 'image "bench" {\n  apt {\n    sources = "%s"\n    repositories = [\n' "${SOURCES:-none}"
  sed 's/.*/      "&",/' "$work/etc/sources.list"
  printf '    ]\n'
  printf '    package "%s" {}\n' "$@"
  printf '  }\n}\n'
}

apt() { # STATE ARGUMENT…
  local state=$1
  shift
  mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
  apt-get -qq -o "Dir::State=$state" -o "Dir::State::lists=$state/lists" -o "Dir::State::status=$work/status" \
    -o "Dir::Cache=$state/cache" -o "Dir::Etc=$work/etc" -o APT::Sandbox::User=root -o Acquire::Languages=none \
    -o APT::Install-Recommends=false "$@"
}

theirs() { # STATE PACKAGE…
  local state=$1
  shift
  apt "$state" update
  # An empty status has no Essential packages: apt is asked for them by name, as estaleiro adds them.
  apt "$state" --print-uris install $essential "$@"
}

ours() { # STATE DEFINITION
  "$estaleiro" lock --quiet --state "$1" --lock - "$2"
}

measure() { # NAME COMMAND…
  local name=$1
  shift
  /usr/bin/time -f '%e %U %S' -o "$work/time" "$@" >"$work/out" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
  awk -v name="$name" '{ printf "%-34s %7.3f s wall %7.2f s cpu\n", name, $1, $2 + $3 }' "$work/time"
}

apt "$work/first" update
essential=$(apt "$work/first" indextargets --format '$(FILENAME)' 'Created-By: Packages' |
  xargs -n1 /usr/lib/apt/apt-helper cat-file |
  awk '/^Package: /{ name = $2 } /^Essential: yes/{ print name }' | sort -u | tr '\n' ' ')

export -f apt theirs ours
export work estaleiro essential
for round in $(seq "$rounds"); do
  for n in 1 50 700; do
    mkdir -p "$work/$n"
    definition ${requests[$n]} >"$work/$n/estaleiro.hcl"
    rm -rf "$work/$n/ours" "$work/$n/theirs"
    for temperature in cold warm; do
      measure "estaleiro lock, $n, $temperature" bash -c "ours $work/$n/ours $work/$n"
      count=$(grep -c '"architecture":' "$work/out" || true)
      measure "apt-get update+print, $n, $temperature" bash -c "theirs $work/$n/theirs ${requests[$n]}"
      echo "  packages: $count ours, $(grep -c '^.http' "$work/out" || true) apt's"
    done
  done
done
