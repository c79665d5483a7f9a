//! What can be told of public keys that are not built in, for people who look into a keystore.

use der::asn1::{ObjectIdentifier, UintRef};
use der::{Decode, Reader, SliceReader};
use pkcs8::spki::SubjectPublicKeyInfoRef;

const DSA: &str = "1.2.840.10040.4.1";
const DH: &str = "1.2.840.113549.1.3.1";
const EC: &str = "1.2.840.10045.2.1";

/// Named curves that Java, OpenSSL and GnuTLS know beyond ours (SEC 2, RFC 5639).
const CURVES: &[(&str, &str, usize)] = &[
    ("1.2.840.10045.3.1.1", "P-192", 192),
    ("1.3.132.0.33", "P-224", 224),
    ("1.3.36.3.3.2.8.1.1.5", "brainpoolP224r1", 224),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1", 256),
    ("1.3.36.3.3.2.8.1.1.11", "brainpoolP384r1", 384),
    ("1.3.36.3.3.2.8.1.1.13", "brainpoolP512r1", 512),
    ("1.2.156.10197.1.301", "SM2", 256),
];

/// Name, curve and size of a key that is not built in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain facts")]
pub struct Unserved {
    /// `DSA`, `DH` or `EC`.
    pub algorithm: &'static str,
    /// The curve of an EC key, where it is known.
    pub curve: Option<&'static str>,
    /// Its size, where it is known.
    pub bits: Option<usize>,
}

/// The name of a curve that is not built in.
pub(super) fn curve_name(oid: &ObjectIdentifier) -> Option<&'static str> {
    let oid = oid.to_string();
    CURVES.iter().find(|(known, ..)| *known == oid).map(|(_, name, _)| *name)
}

/// Describes a SubjectPublicKeyInfo; `None` for algorithms without a name here.
#[must_use]
pub fn describe(spki: &[u8]) -> Option<Unserved> {
    let info = SubjectPublicKeyInfoRef::from_der(spki).ok()?;
    let parameters = info.algorithm.parameters;
    match info.algorithm.oid.to_string().as_str() {
        DSA => {
            let bits = parameters.and_then(|any| first_number_bits(any.value()));
            Some(Unserved { algorithm: "DSA", curve: None, bits })
        }
        DH => {
            let bits = parameters.and_then(|any| first_number_bits(any.value()));
            Some(Unserved { algorithm: "DH", curve: None, bits })
        }
        EC => {
            let named = parameters.and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
            let named = named.map(|named| named.to_string());
            let known = CURVES.iter().find(|(oid, ..)| Some(*oid) == named.as_deref());
            Some(Unserved {
                algorithm: "EC",
                curve: known.map(|(_, name, _)| *name),
                bits: known.map(|(.., bits)| *bits),
            })
        }
        _ => None,
    }
}

/// The size of the prime that the parameters of DSA and DH begin with (RFC 3279 §2.3.2, §2.3.3).
fn first_number_bits(parameters: &[u8]) -> Option<usize> {
    let mut reader = SliceReader::new(parameters).ok()?;
    let prime = UintRef::decode(&mut reader).ok()?;
    let bytes = prime.as_bytes();
    let zeros = usize::try_from(bytes.first()?.leading_zeros()).ok()?;
    (!reader.is_finished()).then(|| (bytes.len() * 8).saturating_sub(zeros))
}
