#!/bin/sh
# Makes the seed corpora in fuzz/corpus: small containers with openssl (password changeit, one iteration, so
# that a fuzzer meets the parser and not the key derivation), tokens and values with our own generators, and
# the vectors where they are installed.
set -eu
cd "$(dirname "$0")"
mkdir -p seeds
if [ ! -f seeds/plain.p12 ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  key=$work/key.pem certificate=$work/certificate.pem
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$key" -out "$certificate" \
    -subj '/CN=claviger seed' -days 36500 2>/dev/null
  pkcs12() { openssl pkcs12 -export -inkey "$key" -in "$certificate" -name seed -passout pass:changeit -iter 1 "$@"; }
  pkcs12 -nomac -keypbe NONE -certpbe NONE -out seeds/plain.p12
  pkcs12 -nomac -out seeds/nomac.p12
  pkcs12 -out seeds/mac.p12
  pkcs12 -legacy -out seeds/legacy.p12
  pkcs12 -legacy -nomac -keypbe PBE-SHA1-RC4-128 -certpbe PBE-SHA1-RC2-128 -out seeds/old-ciphers.p12
  openssl pkcs8 -topk8 -nocrypt -in "$key" -outform DER -out seeds/pkcs8.der
  openssl ec -in "$key" -outform DER -out seeds/sec1.der 2>/dev/null
  openssl ec -in "$key" -out seeds/sec1.pem 2>/dev/null
  openssl ec -in "$key" -pubout -out seeds/public.pem 2>/dev/null
  openssl ec -in "$key" -aes256 -passout pass:changeit -out seeds/dek-info.pem 2>/dev/null
  openssl pkcs8 -topk8 -iter 1 -passout pass:changeit -in "$key" -out seeds/pbes2.pem
  openssl pkcs8 -topk8 -v1 PBE-MD5-DES -iter 1 -provider default -provider legacy -passout pass:changeit \
    -in "$key" -out seeds/pbes1.pem
  openssl pkcs8 -topk8 -scrypt -scrypt_N 16 -passout pass:changeit -in "$key" -out seeds/scrypt.pem
  openssl pkcs8 -topk8 -iter 1 -passout pass:changeit -in "$key" -outform DER -out seeds/pbes2.der
  openssl x509 -in "$certificate" -outform DER -out seeds/certificate.der
  openssl genpkey -algorithm ED25519 -out seeds/ed25519.pem
  openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 2>/dev/null |
    openssl rsa -traditional -outform DER -out seeds/pkcs1.der 2>/dev/null
fi
CLAVIGER_WRITE_SEEDS="$PWD/corpus" cargo test --manifest-path ../Cargo.toml --test it --quiet -- \
  --exact mutation::every_target_has_seeds_of_our_own
