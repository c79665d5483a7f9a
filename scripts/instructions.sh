#!/bin/sh
# Instructions of the hottest operations, counted by Callgrind and compared with benches/instructions.tsv:
# a regression shows without a clock. Needs valgrind. `--update` writes the table anew.
set -eu
cd "$(dirname "$0")/.."
TABLE=benches/instructions.tsv
TOLERANCE=5 # percent, either way: less is news too, and belongs into the table
COUNT=20

command -v valgrind > /dev/null || { echo "valgrind is missing: apt-get install valgrind" >&2; exit 3; }
cargo build --release --quiet --manifest-path benches/Cargo.toml
MEASURE="${CARGO_TARGET_DIR:-benches/target}/release/measure"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

count() {
  valgrind --tool=callgrind --toggle-collect='measure::hot::collected*' --callgrind-out-file="$WORK/out" \
    "$MEASURE" hot "$1" "$COUNT" 2> "$WORK/log" || { cat "$WORK/log" >&2; exit 3; }
  sed -n 's/.*Collected : //p' "$WORK/log" | awk -v count="$COUNT" '{ printf "%d\n", $1 / count }'
}

status=0
: > "$WORK/table"
for operation in $("$MEASURE" hot); do
  now=$(count "$operation")
  before=$(awk -v name="$operation" '$1 == name { print $2 }' "$TABLE" 2> /dev/null || true)
  printf '%s\t%s\n' "$operation" "$now" >> "$WORK/table"
  awk -v name="$operation" -v now="$now" -v before="${before:-0}" -v tolerance="$TOLERANCE" 'BEGIN {
    change = before > 0 ? (now / before - 1) * 100 : 0
    off = before == 0 || change > tolerance || change < -tolerance
    printf "%-28s %10d  before %10d  %+6.1f %%%s\n", name, now, before, change, off ? "  <<" : ""
    exit off
  }' || status=1
done
if [ "${1:-}" = --update ]; then
  cp "$WORK/table" "$TABLE"
  exit 0
fi
[ "$status" = 0 ] || echo "beyond $TOLERANCE %: find out why, then scripts/instructions.sh --update" >&2
exit "$status"
