//! What encrypting and decrypting cost beyond the primitives.
//!
//! Fixed input: a claims set of 300 bytes, compact tokens with a kid; every key management algorithm with
//! A256GCM, then `dir` with every content algorithm. RSA of 2048 bits, P-256.

use crate::fixture::{BASE64URL, CLAIMS, label, material, row, rows};
use crate::harness::{Case, measure, ns, print_row};
use crate::primitive;
use base64::Engine;
use claviger::alg::{Algorithm, Family, Operation};

/// Prints the tables.
pub fn run() {
    println!(
        "one call on a Label, ns of CPU time: ours = primitives + base64url and JSON + over\n"
    );
    let head =
        ["encrypt", "primitives", "format", "over", "decrypt", "primitives", "format", "over"];
    print_row("algorithm", &head.map(str::to_owned));
    let built_in = |row: &Algorithm| cfg!(feature = "openssl") || row.family != Family::Rsa15;
    let alone = |row: &&Algorithm| row.family != Family::Direct && built_in(row);
    for one in rows(Operation::KeyManagement).filter(alone) {
        compare(one, row("A256GCM"));
    }
    for enc in rows(Operation::Content) {
        compare(row("dir"), enc);
    }
}

fn compare(algorithm: &'static Algorithm, enc: &'static Algorithm) {
    let folder = tempfile::tempdir().expect("a directory");
    let (_, key) = material(algorithm, Some(enc));
    let raw = key.expose_secret().to_vec();
    let direct = algorithm.family == Family::Direct;
    // Agreement makes the content key itself.
    let agreed = algorithm.family == Family::EcdhEs(None);
    let cek = if direct { raw.clone() } else { primitive::random::<32>().to_vec() };
    let management = primitive::key_management(algorithm, &raw);
    let (seal, open) = primitive::content(enc, &cek, direct);
    let wrapped = management.as_ref().map(|(wrap, _)| wrap(&cek));
    let ours = label(folder.path(), &[key], &[algorithm, enc], 16);
    let token = ours.encrypt(CLAIMS.as_bytes()).expect("encrypted");
    let parts: Vec<&str> = token.split('.').collect();
    let decoded: Vec<Vec<u8>> =
        parts.iter().map(|part| BASE64URL.decode(part).expect("base64url")).collect();
    let header: serde_json::Value = serde_json::from_slice(&decoded[0]).expect("a header");
    let held = members(&header);
    let aad = parts[0].as_bytes();
    let (iv, sealed) = seal(aad, CLAIMS.as_bytes());
    let times = measure(&mut [
        Case::new(|| ours.encrypt(CLAIMS.as_bytes()).expect("encrypted")),
        Case::new(|| {
            let fresh = (!direct && !agreed).then(primitive::random::<32>);
            let wrapped = management.as_ref().map(|(wrap, _)| wrap(&cek));
            (fresh, wrapped, seal(aad, CLAIMS.as_bytes()))
        }),
        Case::new(|| {
            // A header that is another for each token is JSON that has to be written, with what it holds.
            let written = (!has_constant_header(algorithm)).then(|| header.to_string());
            let held: Vec<String> = held.iter().map(|one| BASE64URL.encode(one)).collect();
            let mut out = String::with_capacity(token.len());
            for part in decoded.iter().skip(usize::from(has_constant_header(algorithm))) {
                BASE64URL.encode_string(part, &mut out);
            }
            (written, held, out)
        }),
        Case::new(|| ours.decrypt(&token).expect("decrypted")),
        Case::new(|| {
            let cek = management.as_ref().zip(wrapped.as_ref());
            (cek.map(|((_, unwrap), wrapped)| unwrap(wrapped)), open(&iv, aad, &sealed))
        }),
        Case::new(|| {
            let parts: Vec<Vec<u8>> =
                parts.iter().map(|part| BASE64URL.decode(part).expect("base64url")).collect();
            let header: serde_json::Value = serde_json::from_slice(&parts[0]).expect("a header");
            let held = members(&header);
            (parts, header, held)
        }),
    ]);
    let over = |at: usize| times[at] - times[at + 1] - times[at + 2];
    let cells = [times[0], times[1], times[2], over(0), times[3], times[4], times[5], over(3)];
    print_row(&format!("{algorithm} {enc}"), &cells.map(ns));
}

/// What a header holds in base64url: an ephemeral key, IV and tag of AES-GCM key wrap, a salt.
fn members(header: &serde_json::Value) -> Vec<Vec<u8>> {
    let own = ["iv", "tag", "p2s"].iter().map(|name| &header[*name]);
    let epk = ["x", "y"].iter().map(|name| &header["epk"][*name]);
    let texts = own.chain(epk).filter_map(|value| value.as_str());
    texts.map(|text| BASE64URL.decode(text).expect("base64url")).collect()
}

/// Whether the header can be encoded in advance.
const fn has_constant_header(algorithm: &Algorithm) -> bool {
    matches!(
        algorithm.family,
        Family::AesKw(_) | Family::Direct | Family::Rsa15 | Family::RsaOaep(_)
    )
}
