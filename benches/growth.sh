#!/usr/bin/env bash
# How estaleiro's time and memory grow with the work: cold builds of 1, 10, 100 and 700 packages; of 10 MB, 100 MB and 2 GB;
# of 10 to 10,000 files; of 1 to 64 stages. Prints Markdown tables, and keeps all runs in a JSON under benches/results.
# Usage: [ESTALEIRO=PROGRAM] benches/growth.sh [--rounds N] [--only packages,bytes,files,stages] …    (--help tells all)
# As root, on Debian; installs what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
. benches/harness/prepare.sh
exec python3 -m harness.growth --estaleiro "$ESTALEIRO" "$@"
