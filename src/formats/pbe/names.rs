//! Names of algorithms that real files use and that are not built in.

use der::asn1::ObjectIdentifier;

use crate::error::{Error, ErrorKind};

/// What OpenSSL, NSS, GnuTLS and Bouncy Castle can write beyond what is read here.
const NAMES: &[(&str, &str)] = &[
    ("1.2.156.10197.1.104.2", "SM4-CBC"),
    ("1.2.392.200011.61.1.1.1.2", "Camellia-128-CBC"),
    ("1.2.392.200011.61.1.1.1.3", "Camellia-192-CBC"),
    ("1.2.392.200011.61.1.1.1.4", "Camellia-256-CBC"),
    ("1.2.410.200004.1.4", "SEED-CBC"),
    ("1.2.410.200046.1.1.2", "ARIA-128-CBC"),
    ("1.2.410.200046.1.1.7", "ARIA-192-CBC"),
    ("1.2.410.200046.1.1.12", "ARIA-256-CBC"),
    ("1.2.643.2.2.21", "GOST 28147-89"),
    ("1.2.643.7.1.1.2.2", "GOST R 34.11-2012 (256)"),
    ("1.2.643.7.1.1.2.3", "GOST R 34.11-2012 (512)"),
    ("1.2.840.113549.1.5.1", "PBE with MD2 and DES"),
    ("1.2.840.113549.1.5.4", "PBE with MD2 and RC2"),
    ("1.2.840.113549.1.7.2", "signed data"),
    ("1.2.840.113549.1.7.3", "public-key encryption"),
    ("1.2.840.113549.2.2", "MD2"),
    ("1.2.840.113549.2.5", "MD5"),
    ("1.2.840.113549.2.6", "HMAC-MD5"),
    ("1.2.840.113549.3.4", "RC4"),
    ("1.2.840.113549.3.9", "RC5-CBC"),
    ("1.3.6.1.4.1.11591.4.11", "scrypt"),
    ("1.3.6.1.4.1.3029.1.2", "Blowfish-CBC"),
    ("1.3.36.3.2.1", "RIPEMD-160"),
    ("2.16.840.1.101.3.4.1.3", "AES-128-OFB"),
    ("2.16.840.1.101.3.4.1.4", "AES-128-CFB"),
    ("2.16.840.1.101.3.4.1.6", "AES-128-GCM"),
    ("2.16.840.1.101.3.4.1.23", "AES-192-OFB"),
    ("2.16.840.1.101.3.4.1.24", "AES-192-CFB"),
    ("2.16.840.1.101.3.4.1.26", "AES-192-GCM"),
    ("2.16.840.1.101.3.4.1.43", "AES-256-OFB"),
    ("2.16.840.1.101.3.4.1.44", "AES-256-CFB"),
    ("2.16.840.1.101.3.4.1.46", "AES-256-GCM"),
    ("2.16.840.1.101.3.4.2.7", "SHA3-224"),
    ("2.16.840.1.101.3.4.2.8", "SHA3-256"),
    ("2.16.840.1.101.3.4.2.9", "SHA3-384"),
    ("2.16.840.1.101.3.4.2.10", "SHA3-512"),
    ("2.16.840.1.101.3.4.2.13", "HMAC-SHA3-224"),
    ("2.16.840.1.101.3.4.2.14", "HMAC-SHA3-256"),
    ("2.16.840.1.101.3.4.2.15", "HMAC-SHA3-384"),
    ("2.16.840.1.101.3.4.2.16", "HMAC-SHA3-512"),
];

/// The error for an algorithm that is not read, by its name where it has one here.
pub(crate) fn unsupported(what: &str, named: ObjectIdentifier) -> Error {
    let oid = named.to_string();
    let name = NAMES.iter().find(|(known, _)| *known == oid).map(|(_, name)| *name);
    let shown = name.map_or_else(|| oid.clone(), |name| format!("{name} ({oid})"));
    Error::new(ErrorKind::Unsupported, format!("{what} {shown} is not built in")).with_help(
        "write it again with AES-256: keytool -importkeystore, openssl pkcs12 -export or openssl pkcs8 -topk8",
    )
}
