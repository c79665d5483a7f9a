#!/bin/sh
# Installs what building and testing need, on Debian and its relatives: a C compiler, perl and make for the
# crypto libraries, keytool and openssl for the tests. Rust itself comes from rustup. Quick when all is there.
set -eu
missing=''
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need cc build-essential
need make make
need perl perl
need openssl openssl
need keytool default-jdk-headless
if [ -n "$missing" ]; then
  apt-get update -qq
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
fi
command -v cargo >/dev/null 2>&1 || { echo "install Rust 1.88 or later: https://rustup.rs" >&2; exit 1; }
