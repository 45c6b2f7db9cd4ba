#!/usr/bin/env bash
# How long the page of an image of 2,000 packages and 50,000 files takes to load, search and fold in Chromium; and
# screenshots of it, light and dark, wide and narrow.
# Usage: benches/page.sh [DIR]    (DIR: where page and screenshots go; default: target/page)
set -euo pipefail
cd "$(dirname "$0")/.."
PAGE_OUT=$(realpath -m "${1:-target/page}")
export PAGE_OUT
mkdir -p "$PAGE_OUT"
cargo test --quiet --test page -- --ignored --exact how_long_a_large_page_takes --nocapture
echo "page and screenshots: $PAGE_OUT"
