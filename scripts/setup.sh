#!/bin/sh
# Installs what building and testing need, on Debian and its relatives: a C compiler, perl and make for the crypto
# libraries, keytool, openssl, curl, h2load, wrk and strace for the tests. Rust itself comes from rustup. Quick when all
# is there.
set -eu
missing=''
say() { printf 'set-up: %s\n' "$*" >&2; }
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need cc build-essential
need make make
need perl perl
need openssl openssl
need curl curl
need h2load nghttp2-client
need wrk wrk
need keytool default-jdk-headless
need strace strace
if [ -n "$missing" ]; then
  say "installing$missing"
  apt-get update -qq
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
fi
command -v cargo >/dev/null 2>&1 || { echo "install Rust 1.89 or later: https://rustup.rs" >&2; exit 1; }

# Peers of the interoperability tests, in a folder of their own: npm's `jose`, `oidc-provider` and `openid-client`,
# PyPI's `joserfc`, `jwcrypto`, `lxml`, `openapi-python-client`, `opentelemetry-proto`,
# `pyjwt`, `pysaml2`, `python3-saml`, `schemathesis`,
# `signxml` and `xmlsec`; xmlsec1.
cd "$(dirname "$0")/.."
PEERS="${CARGO_TARGET_DIR:-target}/interop"
missing=''
need node nodejs
need npm npm
need xmlsec1 xmlsec1
need python3 python3-venv
if [ -n "$missing" ]; then
  say "installing$missing"
  apt-get update -qq
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing python3-venv
fi
mkdir -p "$PEERS"
if [ ! -d "$PEERS/node_modules/jose" ] || [ ! -d "$PEERS/node_modules/oidc-provider" ]; then
  say "installing npm's peers of the tests"
  [ -f "$PEERS/package.json" ] || printf '{"private":true}\n' > "$PEERS/package.json"
  npm install --prefix "$PEERS" --silent --no-fund --no-audit jose@6 oidc-provider@9 openid-client@6
fi
if [ ! -x "$PEERS/venv/bin/python" ] || ! "$PEERS/venv/bin/python" -c 'import joserfc, jwcrypto, jwt, lxml, onelogin.saml2, openapi_python_client, opentelemetry.proto, saml2, schemathesis, signxml, xmlsec' 2>/dev/null; then
  say "installing PyPI's peers of the tests"
  python3 -m venv "$PEERS/venv"
  "$PEERS/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'joserfc>=1.6,<2' 'jwcrypto>=1.5,<2' 'lxml>=6,<7' \
    'openapi-python-client>=0.29,<0.30' 'opentelemetry-proto>=1.30,<2' 'pyjwt[crypto]>=2.10,<3' 'pysaml2>=7.5,<8' 'python3-saml>=1.16,<2' \
    'schemathesis>=4,<5' 'signxml>=5,<6' 'xmlsec>=1.3,<2'
fi

# promtool, out of Debian's package of Prometheus, without the server that it would start.
if ! command -v promtool >/dev/null 2>&1 && [ ! -x "$PEERS/prometheus/usr/bin/promtool" ]; then
  say "installing promtool"
  apt-get update -qq
  (cd "$PEERS" && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb prometheus && rm prometheus_*.deb)
fi
