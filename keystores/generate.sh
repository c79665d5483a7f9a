#!/bin/sh
# Makes the fixtures of this folder with keytool and openssl. Everybody has these keys: they protect nothing.
set -eu
cd "$(dirname "$0")"
rm -f ./*.p12 ./*.jks ./*.jceks ./*.pem
PW=changeit
NAME='CN=claviger test fixture - not a real key'
keytool_() { keytool "$@" -storepass "$PW" -noprompt 2>/dev/null; }

# default.p12: every kind of key, as Java writes PKCS#12 today.
P12='-storetype PKCS12 -keystore default.p12'
keytool_ -genkeypair $P12 -alias es256-a -keyalg EC -groupname secp256r1 -dname "$NAME" -validity 36500
keytool_ -genkeypair $P12 -alias es256-b -keyalg EC -groupname secp256r1 -dname "$NAME" -validity 36500
keytool_ -genkeypair $P12 -alias es384 -keyalg EC -groupname secp384r1 -dname "$NAME" -validity 36500
keytool_ -genkeypair $P12 -alias rsa -keyalg RSA -keysize 2048 -dname "$NAME" -validity 36500
keytool_ -genkeypair $P12 -alias ed25519 -keyalg Ed25519 -dname "$NAME" -validity 36500
keytool_ -genseckey $P12 -alias aes -keyalg AES -keysize 256
keytool_ -genseckey $P12 -alias hmac -keyalg HmacSHA256 -keysize 256

# legacy.jks and legacy.jceks: Java's old formats.
keytool_ -genkeypair -storetype JKS -keystore legacy.jks -alias rsa -keyalg RSA -keysize 2048 -dname "$NAME" -validity 36500
keytool_ -genkeypair -storetype JCEKS -keystore legacy.jceks -alias es256 -keyalg EC -groupname secp256r1 -dname "$NAME" -validity 36500
keytool_ -genseckey -storetype JCEKS -keystore legacy.jceks -alias hmac -keyalg HmacSHA256 -keysize 256
keytool_ -genseckey -storetype JCEKS -keystore legacy.jceks -alias aes -keyalg AES -keysize 128

# openssl.p12 and openssl.pem: a key with its certificate, as OpenSSL writes them.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout openssl.key -out openssl.crt \
  -subj '/CN=claviger test fixture - not a real key' -days 36500 2>/dev/null
openssl pkcs12 -export -inkey openssl.key -in openssl.crt -name es256 -out openssl.p12 -passout "pass:$PW"
cat openssl.key openssl.crt > openssl.pem
rm -f openssl.key openssl.crt

# trust.p12: a certificate alone.
keytool_ -exportcert -rfc -storetype PKCS12 -keystore default.p12 -alias rsa -file ca.crt
keytool_ -importcert -storetype PKCS12 -keystore trust.p12 -alias ca -file ca.crt
rm -f ca.crt
