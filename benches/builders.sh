#!/usr/bin/env bash
# estaleiro beside buildah, dockerd's BuildKit and mmdebstrap on five workloads: wall and CPU seconds, peak memory, sizes,
# ratios, and the targets. Prints Markdown tables, and keeps all runs in a JSON under benches/results. See benches/README.md.
# Usage: [ESTALEIRO=PROGRAM] benches/builders.sh [--rounds N] [--workloads W1,…] [--builders NAME,…] …    (--help tells all)
# As root, on Debian; installs what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
. benches/harness/prepare.sh
exec python3 -m harness.compare --estaleiro "$ESTALEIRO" "$@"
