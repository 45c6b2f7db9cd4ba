#!/usr/bin/env bash
# What the bill of materials of an image of 700 packages takes: each form and report that `estaleiro bom` prints, and the
# build of what is known already, beside syft, which scans the same image. A Markdown table of medians.
# Usage: [ESTALEIRO=PROGRAM] benches/bom.sh [ROUNDS]      as root, on Debian, with syft (ci/prepare installs it)
# The image is made from nothing, of the machine's own Debian archives. All read the same layout, and what is printed is written
# nowhere; the forms are read as they are attached, for the builds made them. Runs are interleaved. syft runs as it is, and
# with all its catalogers. Where the archives move, the number of packages may: the first line says it.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5}
[ -x /usr/bin/time ] && command -v jq >/dev/null || apt-get install -y -q time jq >&2
if [ -z "${ESTALEIRO:-}" ]; then
  cargo build --release --locked --bin estaleiro >&2
  ESTALEIRO=${CARGO_TARGET_DIR:-$PWD/target}/release/estaleiro
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/context"
image=oci:$work/layout

# Programs of many languages, whose packages have packages inside.
packages="npm git php-cli default-jre-headless ruby lintian python3-requests nginx postgresql-client"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

definition() { # FORM…; which forms are attached
  local form package
  printf 'image "example/bom" {\n  bom_formats = ['
  for form; do printf '"%s", ' "$form"; done
  printf ']\n  apt {\n    repositories = [\n'
  apt-get indextargets --format "\$(ORIGIN)|\"deb [signed-by=$keyring] \$(REPO_URI) \$(RELEASE) \$(COMPONENT)\"," 'Created-By: Packages' |
    sed -n 's/^Debian|//p'
  printf '    ]\n'
  for package in $packages; do printf '    package "%s" {}\n' "$package"; done
  printf '  }\n}\n'
}

run() { # NAME COMMAND…; notes what a command takes
  local name=$1
  shift
  /usr/bin/time -f '%e %U %S %M' -o "$work/time" "$@" >/dev/null 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
  awk -v name="$name" '{ printf "%s\t%.2f\t%.2f\t%.0f\n", name, $1, $2 + $3, $4 / 1024 }' "$work/time" >>"$work/runs"
}

build() { # NAME FORM…
  local name=$1
  shift
  definition "$@" >"$work/context/estaleiro.hcl"
  # The lock stays, so that no archive is asked.
  [ -e "$work/context/estaleiro.lock" ] || "$ESTALEIRO" lock --quiet --state "$work/state" "$work/context" >/dev/null
  run "$name" "$ESTALEIRO" build --quiet --state "$work/state" --output "$image" "$work/context"
}

export SYFT_CHECK_FOR_APP_UPDATE=false
build "build from nothing, with fetching" yaml cyclonedx spdx spdx3
for round in $(seq "$rounds"); do
  build "build of what is known, YAML alone" yaml
  build "build of what is known, every form" yaml cyclonedx spdx spdx3
  for form in yaml cyclonedx spdx spdx3; do
    run "estaleiro bom --format $form" "$ESTALEIRO" bom "$image" --format "$form"
  done
  for report in html licenses verify; do
    run "estaleiro bom --$report" "$ESTALEIRO" bom "$image" "--$report"
  done
  run "syft scan" syft scan --quiet --output cyclonedx-json "oci-dir:$work/layout"
  run "syft scan, all catalogers" syft scan --quiet --output cyclonedx-json --override-default-catalogers all "oci-dir:$work/layout"
done

"$ESTALEIRO" bom "$image" --format cyclonedx >"$work/bom.json"
count() { jq "[.components[] | recurse(.components[]?) | .purl // empty | select($1)] | length" "$work/bom.json"; }
echo "$(count 'startswith("pkg:deb/")') packages, $(count 'startswith("pkg:deb/") | not') packages inside files, $(du -sm "$work/layout" | cut -f1) MB, medians of $rounds rounds"
echo
echo "| | wall, s | CPU, s | peak RSS, MB |"
echo "| --- | --- | --- | --- |"
median() { # NAME COLUMN
  grep -F "$1"$'\t' "$work/runs" | cut -f"$2" | sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'
}
cut -f1 "$work/runs" | awk '!seen[$0]++' | while read -r name; do
  echo "| $name | $(median "$name" 2) | $(median "$name" 3) | $(median "$name" 4) |"
done
