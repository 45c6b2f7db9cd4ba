#!/usr/bin/env bash
# A get as rootfs beside `skopeo copy` and `umoci unpack`, and a put of an unchanged image beside `skopeo copy` of it, from and
# to Debian's docker-registry on this machine. The image has one layer for each DIRECTORY.
# Usage: [IN=PROGRAM OUT=PROGRAM] benches/registry.sh [ROUNDS] [DIRECTORY ...]      as root, on Debian with skopeo, umoci,
# docker-registry and time
# Runs are interleaved; each line is one run: what, wall seconds, CPU seconds, peak RSS of the largest process in MB.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3}
shift || true
[ $# -gt 0 ] || set -- /usr/lib /usr/share /usr/bin
if [ -z "${IN:-}" ]; then
  cargo build --release --locked --bins >&2
  IN=$PWD/target/release/in OUT=$PWD/target/release/out
fi
work=$(mktemp -d)
trap 'kill "${registry:-}" 2>/dev/null || true; rm -rf "$work"' EXIT

cat >"$work/registry.yml" <<END
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $work/storage}}
http: {addr: "127.0.0.1:0"}
END
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
registry=$!
port=
for _ in $(seq 50); do
  port=$(ss -ltnpH | awk -v pid="pid=$registry," 'index($0, pid) { sub(".*:", "", $4); print $4; exit }')
  [ -z "$port" ] || break
  sleep 0.1
done
name=127.0.0.1:$port/bench/app

mkdir "$work/saved"
diff_ids= layers=
for directory in "$@"; do
  tar -C / --numeric-owner --sort=name -cf "$work/saved/layer" "${directory#/}"
  diff_id=$(sha256sum <"$work/saved/layer" | cut -d' ' -f1)
  mv "$work/saved/layer" "$work/saved/$diff_id.tar"
  diff_ids+=${diff_ids:+,}'"sha256:'$diff_id'"' layers+=${layers:+,}'"'$diff_id.tar'"'
done
echo '{"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": ['$diff_ids']}}' \
  >"$work/saved/config.json"
echo '[{"Config": "config.json", "RepoTags": ["bench/app:1"], "Layers": ['$layers']}]' >"$work/saved/manifest.json"
tar -C "$work/saved" -cf "$work/saved.tar" .
rm -rf "$work/saved"
skopeo --insecure-policy copy -q --dest-tls-verify=false "docker-archive:$work/saved.tar" "docker://$name:1"
rm "$work/saved.tar"
skopeo --insecure-policy copy -q --src-tls-verify=false "docker://$name:1" "oci:$work/layout:1"
skopeo --insecure-policy copy -q --dest-tls-verify=false "oci:$work/layout:1" "docker://$name:1"
digest=$(skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$name:1")
du -sm "$work/layout/blobs" | awk '{ printf "an image of %d MB, compressed\n", $1 }'

measure() { # NAME COMMAND ...; says wall, CPU and peak RSS
  local name=$1
  shift
  sync
  /usr/bin/time -f '%e %U %S %M' -o "$work/time" "$@" >/dev/null 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
  awk -v name="$name" '{ printf "%-28s %7.2f s wall %7.2f s cpu %7.0f MB\n", name, $1, $2 + $3, $4 / 1024 }' "$work/time"
}

source='{"repository": "'$name'", "tag": "1"}'
echo '{"source": '$source', "version": {"tag": "1", "digest": "'$digest'"}}' >"$work/get.json"
echo '{"source": '$source', "params": {"image": "layout"}}' >"$work/put.json"
for round in $(seq "$rounds"); do
  rm -rf "$work/got" "$work/oci" "$work/bundle"
  mkdir "$work/got"
  measure "get rootfs" sh -c "$IN $work/got <$work/get.json"
  measure "skopeo copy, umoci unpack" sh -c "skopeo --insecure-policy copy -q --src-tls-verify=false docker://$name:1 \
    oci:$work/oci:1 && umoci unpack --image $work/oci:1 $work/bundle"
  measure "put unchanged" sh -c "$OUT $work <$work/put.json"
  measure "skopeo copy unchanged" \
    skopeo --insecure-policy copy -q --dest-tls-verify=false "oci:$work/layout:1" "docker://$name:1"
done
