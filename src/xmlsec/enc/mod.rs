//! XML encryption of one element, in the shapes that SAML uses: RSA key transport and AES.

mod decrypt;
mod encrypt;

use crate::alg::{Algorithm, Family, Operation, Status};
use crate::ops::KeySet;
use crate::xmlsec::PeerPolicy;

pub use decrypt::{Decrypted, Place, Wanted, decrypt};
pub use encrypt::{EncryptOptions, Encrypted, Recipient, encrypt, encrypt_in};

/// What is made where nobody names it is the first that is allowed.
const TRANSPORTS: [&str; 3] = ["rsa-oaep-mgf1p", "rsa-oaep", "rsa-1_5"];
const CONTENTS: [&str; 6] =
    ["aes256-gcm", "aes128-gcm", "aes192-gcm", "aes256-cbc", "aes192-cbc", "aes128-cbc"];

/// What a label decrypts without a switch of the peer, as metadata tell it: a key transport, and two contents at most.
pub(crate) fn methods_of(set: &KeySet) -> Vec<&'static Algorithm> {
    let policy = PeerPolicy::default();
    let transports = allowed(&TRANSPORTS, &policy, Some(set)).take(1);
    transports.chain(allowed(&CONTENTS, &policy, Some(set)).take(2)).collect()
}

fn allowed<'a>(
    names: &'a [&str],
    policy: &'a PeerPolicy,
    set: Option<&'a KeySet>,
) -> impl Iterator<Item = &'static Algorithm> + use<'a> {
    let rows = names.iter().filter_map(|name| Algorithm::named(name).ok());
    rows.filter(move |row| allows(row, policy, set))
}

/// Whether peer policy or label switched a row on that is off otherwise.
fn allows(row: &'static Algorithm, policy: &PeerPolicy, set: Option<&KeySet>) -> bool {
    let switched = match row.family {
        Family::AesCbc(_) => policy.cbc,
        Family::Rsa15 => policy.rsa1_5,
        Family::TripleDesCbc => policy.triple_des && policy.cbc,
        _ => row.status == Status::On,
    };
    let listed = set.is_some_and(|set| set.algorithms().contains(&row));
    match set {
        // Of the rows that are on, a label may list some and mean only those.
        Some(set) if row.status == Status::On => {
            listed || (row.family == Family::RsaOaepNamed && names_oaep_of_jose_alone(set))
        }
        _ => switched || listed,
    }
}

fn names_oaep_of_jose_alone(set: &KeySet) -> bool {
    let mut families = set.algorithms().iter().map(|row| row.family);
    families.clone().any(|family| matches!(family, Family::RsaOaep(_)))
        && families.all(|family| family != Family::RsaOaepNamed)
}

/// The row of a content algorithm.
fn content_row(uri: &str) -> Option<&'static Algorithm> {
    let row = Algorithm::by_xml_uri(uri)?;
    matches!(row.operation, Operation::Content | Operation::XmlContent).then_some(row)
}

/// The row of a key transport algorithm.
fn transport_row(uri: &str) -> Option<&'static Algorithm> {
    let row = Algorithm::by_xml_uri(uri)?;
    matches!(row.operation, Operation::KeyManagement | Operation::XmlKeyTransport).then_some(row)
}

/// Lengths of initialization vector and tag around the ciphertext (XML-Enc 1.1 §5.2).
const fn iv_and_tag_bytes(row: &Algorithm) -> (usize, usize) {
    match row.family {
        Family::AesGcm(_) => (12, 16),
        Family::TripleDesCbc => (8, 0),
        _ => (16, 0),
    }
}
