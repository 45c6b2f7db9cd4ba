# Sourced by benches/builders.sh and benches/growth.sh: installs what is missing, builds estaleiro unless ESTALEIRO names
# its program, and lets Python find the harness.

# program=package
wanted=(
  python3=python3 taskset=util-linux gzip=gzip dpkg-deb=dpkg
  buildah=buildah dockerd=docker.io mmdebstrap=mmdebstrap umoci=umoci skopeo=skopeo docker-registry=docker-registry
)
missing=()
for pair in "${wanted[@]}"; do
  command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
done
[ -x /usr/bin/time ] || missing+=(time)
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring)
if [ ${#missing[@]} -ne 0 ]; then
  apt-get update -q >&2
  # Newer releases have docker.io's client and BuildKit's in packages of their own.
  case " ${missing[*]} " in *" docker.io "*)
    for package in docker-cli docker-buildx; do
      [ -z "$(apt-cache search --names-only "^$package\$")" ] || missing+=("$package")
    done ;;
  esac
  apt-get install -y -q --no-install-recommends "${missing[@]}" >&2
fi

if [ -z "${ESTALEIRO:-}" ]; then
  cargo build --release --locked --bin estaleiro >&2
  ESTALEIRO=${CARGO_TARGET_DIR:-$PWD/target}/release/estaleiro
fi
ESTALEIRO=$(realpath "$ESTALEIRO")
export PYTHONPATH=$PWD/benches PYTHONDONTWRITEBYTECODE=1
