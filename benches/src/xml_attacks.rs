//! How long XML of 1 MiB that is made to cost much takes until it is refused, by the reader and by the verifier.

#[path = "../../tests/it/xml_attacks.rs"]
mod attacks;

use claviger::error::Error;
use claviger::profiles::saml::{self, Expect};
use claviger::xmlsec::{CanonicalForm, PeerKeys, PeerPolicy, Trust, XmlLimits, canonicalize};

use crate::harness::{Case, measure};

const BYTES: usize = 1 << 20;
const CERTIFICATE: &[u8] = include_bytes!("../../keystores/openssl.pem");

/// Prints the table.
pub fn run() {
    println!(
        "XML of 1 MiB, read or verified with limits that let 1 MiB in: ms of CPU time until it is refused\n"
    );
    let limits = XmlLimits { max_bytes: BYTES, ..XmlLimits::MESSAGE };
    let form = CanonicalForm::default();
    let mut slowest: f64 = 0.0;
    for (name, text) in attacks::all(BYTES) {
        let read = || canonicalize(text.as_bytes(), None, &form, &limits);
        let why = read().expect_err(name);
        let ms = measure(&mut [Case::new(|| read().is_err())])[0] / 1e6;
        slowest = slowest.max(ms);
        println!("{ms:<8.3} {name}: {}", told(&why));
    }
    let peer = PeerKeys::from_file(CERTIFICATE).expect("a certificate");
    let (trust, policy) = (Trust::Certificates(&peer), PeerPolicy::default());
    for (name, text) in attacks::on_signatures(BYTES) {
        let verify = || {
            saml::verify(text.as_bytes(), Expect::Any, trust, &policy, &XmlLimits::METADATA)
        };
        let why = verify().expect_err(name);
        let ms = measure(&mut [Case::new(|| verify().is_err())])[0] / 1e6;
        slowest = slowest.max(ms);
        println!("{ms:<8.3} {name}: {}", told(&why));
    }
    println!("\nthe slowest: {slowest:.3} ms");
}

fn told(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error} ({source})"),
        None => error.to_string(),
    }
}
