#!/bin/sh
# The main job, with the commands that a person would type: a starter, a token, a rotation, two tokens.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh
# The first time it takes some minutes, and says how far it is.
cargo build
PATH="${CARGO_TARGET_DIR:-$PWD/target}/debug:$PATH"
DIR=$(mktemp -d)
trap 'rm -rf "$DIR"' EXIT
export CLAVIGER_CONFIG="$DIR/demo/claviger.toml"
LABEL=am.services.oauth2.oidc.signing.ES256
run() { printf '\n$ %s\n' "$*" | sed "s|$DIR/||g"; "$@"; }

run claviger init "$DIR/demo"
run claviger check
echo '{"sub":"alice"}' > "$DIR/claims.json"
run claviger sign --label $LABEL --in "$DIR/claims.json" --out "$DIR/old.jws"
printf '\n# rotate: es256-2 moves to the front of its list in the TOML\n'
run sed -i 's/\["es256-1", "es256-2"\]/["es256-2", "es256-1"]/' "$CLAVIGER_CONFIG"
run claviger labels $LABEL
run claviger sign --label $LABEL --in "$DIR/claims.json" --out "$DIR/new.jws"
run claviger verify --label $LABEL --in "$DIR/old.jws"
run claviger verify --label $LABEL --in "$DIR/new.jws"
claviger --json verify --label $LABEL --in "$DIR/old.jws" | grep -q '"alias":"es256-1"'
claviger --json verify --label $LABEL --in "$DIR/new.jws" | grep -q '"alias":"es256-2"'
printf '\nboth verify: the old one with es256-1, the new one with es256-2\n'
