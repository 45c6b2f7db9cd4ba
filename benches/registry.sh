#!/usr/bin/env bash
# Images between a directory and Debian's docker-registry, beside skopeo and umoci on the same machine: a put of a large
# image, a put of the same once more, a get as a layout, and a get as a root file system. Runs are interleaved.
# Usage: [BIN=DIRECTORY] benches/registry.sh [ROUNDS] [MIB] [TREE]      as root, on Debian; installs what is missing
# MIB is how large the image of random bytes is, in four layers; TREE the directory whose files are the other image's.
# Each line is one run: what, wall seconds, user and system seconds, peak memory in MiB.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3} mib=${2:-2048} tree=${3:-/usr/share}
for program in docker-registry skopeo umoci jq; do
  command -v "$program" >/dev/null || apt-get install -y -qq docker-registry skopeo umoci jq time >&2
done
[ -x /usr/bin/time ] || apt-get install -y -qq time >&2
if [ -z "${BIN:-}" ]; then
  cargo build --release --locked >&2
  BIN=$PWD/target/release
fi
work=$(mktemp -d)
registry=
trap '[ -z "$registry" ] || kill "$registry"; rm -rf "$work"' EXIT

blob() { # FILE; moves it among the blobs and says its digest
  local digest
  digest=$(sha256sum "$1" | cut -d' ' -f1)
  mv "$1" "$work/$image/blobs/sha256/$digest"
  echo "sha256:$digest"
}

size() { stat -c %s "$work/$image/blobs/sha256/${1#sha256:}"; }

layout() { # NAME LAYER...; makes a layout of the layers, uncompressed tar archives
  image=$1; shift
  mkdir -p "$work/$image/blobs/sha256"
  local layers='[]' ids='[]' layer id digest
  for layer; do
    id=$(sha256sum "$layer" | cut -d' ' -f1)
    gzip -1 "$layer"
    digest=$(blob "$layer.gz")
    ids=$(jq -c ". + [\"sha256:$id\"]" <<<"$ids")
    layers=$(jq -c ". + [{mediaType: \"application/vnd.oci.image.layer.v1.tar+gzip\", digest: \"$digest\", size: $(size "$digest")}]" <<<"$layers")
  done
  jq -nc "{architecture: \"amd64\", os: \"linux\", config: {}, rootfs: {type: \"layers\", diff_ids: $ids}}" >"$work/config"
  digest=$(blob "$work/config")
  jq -nc "{schemaVersion: 2, mediaType: \"application/vnd.oci.image.manifest.v1+json\", config: {mediaType: \"application/vnd.oci.image.config.v1+json\", digest: \"$digest\", size: $(size "$digest")}, layers: $layers}" >"$work/manifest"
  digest=$(blob "$work/manifest")
  jq -nc "{schemaVersion: 2, manifests: [{mediaType: \"application/vnd.oci.image.manifest.v1+json\", digest: \"$digest\", size: $(size "$digest"), annotations: {\"org.opencontainers.image.ref.name\": \"latest\"}}]}" >"$work/$image/index.json"
  echo '{"imageLayoutVersion":"1.0.0"}' >"$work/$image/oci-layout"
}

measure() { # NAME COMMAND...
  local name=$1; shift
  /usr/bin/time -o "$work/time" -f '%e %U %S %M' "$@" >"$work/out" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
  awk -v name="$name" '{ printf "%-34s %7.2f s wall %7.2f user %7.2f system %6.0f MiB\n", name, $1, $2, $3, $4 / 1024 }' "$work/time"
}

request() { # SOURCE MORE
  jq -nc "{source: {repository: \"$1\", tag: \"latest\"}} + $2" >"$work/request"
}

put() { request "$host/$2" "{params: {image: \"$3\"}}"; measure "$1" sh -c "'$BIN/out' '$work' <'$work/request'"; }
get() { # NAME REPOSITORY PARAMS
  local digest
  digest=$(jq -r '.manifests[0].digest' "$work/$2/index.json")
  request "$host/$2" "{version: {tag: \"latest\", digest: \"$digest\"}, params: $3}"
  rm -rf "$work/got"; mkdir "$work/got"
  measure "$1" sh -c "'$BIN/in' '$work/got' <'$work/request'"
  rm -rf "$work/got"
}

for n in 1 2 3 4; do
  head -c "$((mib / 4))M" /dev/urandom >"$work/random-$n"
  tar -cf "$work/layer-$n" -C "$work" "random-$n"; rm "$work/random-$n"
done
layout random "$work"/layer-[1-4]
tar -cf "$work/layer-5" -C / "${tree#/}"
layout tree "$work/layer-5"
du -sm "$work/random" "$work/tree" | sed "s#$work/##" >&2

start() { # starts an empty registry
  rm -rf "$work/registry"
  cat >"$work/registry.yml" <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: "$host"}
YAML
  OTEL_TRACES_EXPORTER=none docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
  registry=$!
  until curl -fso /dev/null "http://$host/v2/"; do sleep 0.1; done
}
stop() { kill "$registry"; wait "$registry" || true; registry=; }
host=127.0.0.1:$(shuf -i 20000-29999 -n 1)

for round in $(seq "$rounds"); do
  start
  put "put of random bytes" random random
  put "put of them again" random random
  put "put of files" tree tree
  stop; start
  measure "skopeo copy of random bytes" skopeo copy --quiet --dest-tls-verify=false "oci:$work/random:latest" "docker://$host/random:latest"
  measure "skopeo copy of them again" skopeo copy --quiet --dest-tls-verify=false "oci:$work/random:latest" "docker://$host/random:latest"
  skopeo copy --quiet --dest-tls-verify=false "oci:$work/tree:latest" "docker://$host/tree:latest"
  get "get of random bytes as a layout" random '{format: "oci-layout"}'
  rm -rf "$work/got"
  measure "skopeo copy of them to a layout" skopeo copy --quiet --src-tls-verify=false "docker://$host/random:latest" "oci:$work/got:latest"
  rm -rf "$work/got"
  get "get of random bytes as a root" random '{format: "rootfs"}'
  get "get of files as a root" tree '{format: "rootfs"}'
  measure "skopeo copy, umoci unpack of files" sh -c "skopeo copy --quiet --src-tls-verify=false 'docker://$host/tree:latest' 'oci:$work/got:latest' && umoci unpack --image '$work/got:latest' '$work/bundle'"
  rm -rf "$work/got" "$work/bundle"
  stop
done
