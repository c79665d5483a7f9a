//! What a verification costs among many keys: named by a kid, without one, and with kids of an attacker.
//!
//! Fixed input: HS256 and ES256, a payload of 300 bytes; labels of 1, 20 and 1,000 aliases.

use crate::fixture::{BASE64URL, CLAIMS, label, material, row};
use crate::harness::{Case, measure, ns, print_row, ratio};
use base64::Engine;
use claviger::jose::jws::{SignOptions, VerifyOptions, sign, verify};
use claviger::ops::{KeySet, Label};

/// Prints the tables.
pub fn run() {
    println!("verify, ns of CPU time\n");
    let head = ["1 alias", "1,000 aliases", "ratio"];
    print_row("with a kid", &head.map(str::to_owned));
    for name in ["HS256", "ES256"] {
        let (one, thousand) = (Many::new(name, 1, 16), Many::new(name, 1_000, 16));
        let last = thousand.token(999, false);
        let first = one.token(0, false);
        let times = measure(&mut [
            Case::new(|| one.label.verify(&first).expect("verified")),
            Case::new(|| thousand.label.verify(&last).expect("verified")),
        ]);
        print_row(name, &[ns(times[0]), ns(times[1]), ratio(times[1] / times[0])]);
    }
    let head = [
        "first of 20",
        "last of 20",
        "unknown kid",
        "longest",
        "no kid",
        "ratio",
        "escaped",
        "4,000",
        "another's",
    ];
    println!();
    print_row("without a usable kid", &head.map(str::to_owned));
    for (name, max_tries) in [("HS256", 20), ("HS256", 16), ("ES256", 20), ("ES256", 16)] {
        let many = Many::new(name, 20, max_tries);
        let (first, last) = (many.token(0, true), many.token(19, true));
        // Nobody's: every key that the bound allows is tried.
        let unknown = many.forged(name, "nobody");
        // The longest for which keys are tried, and as many bytes that are no kid.
        let longest = many.forged(name, &"k".repeat(256));
        let as_long = many.forged_without_kid(name, longest.len());
        // Those for which none is: the same characters in the longest way that JSON has, and more of them.
        let escaped = many.forged(name, &"\\u006b".repeat(256));
        let long = many.forged(name, &"k".repeat(4_000));
        let another = many.forged(name, "k7");
        let times = measure(&mut [
            Case::new(|| many.label.verify(&first).is_ok()),
            Case::new(|| many.label.verify(&last).is_ok()),
            Case::new(|| many.label.verify(&unknown).is_ok()),
            Case::new(|| many.label.verify(&longest).is_ok()),
            Case::new(|| many.label.verify(&as_long).is_ok()),
            Case::new(|| many.label.verify(&escaped).is_ok()),
            Case::new(|| many.label.verify(&long).is_ok()),
            Case::new(|| many.label.verify(&another).is_ok()),
        ]);
        let mut cells: Vec<String> = times.iter().map(|time| ns(*time)).collect();
        cells.insert(5, ratio(times[3] / times[4]));
        print_row(&format!("{name}, max_tries = {max_tries}"), &cells);
    }
}

struct Many {
    label: Label,
    sets: Vec<KeySet>,
    _folder: tempfile::TempDir,
}

impl Many {
    fn new(name: &str, count: usize, max_tries: usize) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let keys: Vec<_> = (0..count).map(|_| material(row(name), None).1).collect();
        let label = label(folder.path(), &keys, &[row(name)], max_tries);
        let all = label.keys().expect("mapped");
        let alone = |key: &claviger::ops::LabelKey| {
            let (name, uses) = (all.label().clone(), all.uses().to_vec());
            let (rows, policy) = (all.algorithms().to_vec(), all.policy().clone());
            KeySet::new(name, uses, vec![key.clone()], rows, policy).expect("one key")
        };
        let sets = all.keys().iter().map(|key| alone(key)).collect();
        Self { label, sets, _folder: folder }
    }

    /// A token of the key at `index`.
    fn token(&self, index: usize, without_kid: bool) -> String {
        let options = SignOptions { without_kid, ..SignOptions::default() };
        let token = sign(&self.sets[index], CLAIMS.as_bytes(), &options).expect("signed");
        let check = verify(&self.sets[index], &token, &VerifyOptions::default());
        assert!(check.is_ok());
        token
    }

    /// A token whose signature is wrong, with this kid.
    fn forged(&self, name: &str, kid: &str) -> String {
        let header = BASE64URL.encode(format!(r#"{{"alg":"{name}","kid":"{kid}"}}"#));
        let token = self.token(0, true);
        let (_, rest) = token.split_once('.').expect("three parts");
        format!("{header}.{rest}")
    }

    /// A token without a kid whose signature is wrong, this long: whoever makes its payload.
    fn forged_without_kid(&self, name: &str, length: usize) -> String {
        let header = BASE64URL.encode(format!(r#"{{"alg":"{name}"}}"#));
        let token = self.token(0, true);
        let (_, signature) = token.rsplit_once('.').expect("three parts");
        let characters = length - header.len() - signature.len() - 2;
        let payload = BASE64URL.encode("k".repeat(characters * 3 / 4));
        format!("{header}.{payload}.{signature}")
    }
}
