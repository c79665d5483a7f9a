//! Kids of tokens: named or valid, and what a kid that names no key may cost.

use claviger::config::{TokenLimits, UnknownKid};
use claviger::crypto::Role;
use claviger::jose::jwe::EncryptOptions;
use claviger::jose::{Serialization, jwe};
use claviger::ops::{KeySet, KeySetPolicy};
use serde_json::{Value, json};

use crate::jose_attacks::{forged, label, oct, row, sealed, verify};

#[test]
fn named_or_valid() {
    let keys = || (1..=5).map(|n| oct(&format!("k{n}"), n)).collect::<Vec<_>>();
    let signer = |n: u8| {
        let set = label(vec![oct(&format!("k{n}"), n)], &["HS256"], KeySetPolicy::default());
        move |header: &str| forged(&set, header, b"x")
    };
    let limits = TokenLimits { max_tries: 3, ..TokenLimits::default() };
    let tries = KeySetPolicy { limits, ..KeySetPolicy::default() };
    let set = label(keys(), &["HS256"], tries.clone());
    let strict = KeySetPolicy { unknown_kid: UnknownKid::Reject, ..tries };
    let strict = label(keys(), &["HS256"], strict);
    for (made_by, header, open, reject) in [
        (3, r#"{"alg":"HS256"}"#, true, true),
        // The bound on tries without a kid; with one it costs a single try.
        (4, r#"{"alg":"HS256"}"#, false, false),
        (5, r#"{"alg":"HS256","kid":"k5"}"#, true, true),
        (3, r#"{"alg":"HS256","kid":"K3"}"#, true, false),
        (3, r#"{"alg":"HS256","kid":""}"#, true, false),
        // A kid that names a key selects that key alone.
        (3, r#"{"alg":"HS256","kid":"k2"}"#, false, false),
    ] {
        let token = signer(made_by)(header);
        assert_eq!(verify(&set, &token).is_ok(), open, "{made_by} {header}");
        assert_eq!(verify(&strict, &token).is_ok(), reject, "{made_by} {header}, reject");
    }
}

#[test]
fn a_kid_that_names_no_key_and_is_longer_than_its_bound_reaches_no_key() {
    let keys = || (1..=5).map(|n| oct(&format!("k{n}"), n)).collect::<Vec<_>>();
    let rows = ["HS256", "A256KW", "A256GCM"];
    let (signs, opens) = (row("HS256"), row("A256KW"));
    let long = "k".repeat(257);
    let check = |set: &KeySet, kid: &str, tried: usize| {
        assert_eq!(set.candidates(Some(kid), signs, Role::Verify).count(), tried, "{kid}");
        assert_eq!(set.candidates(Some(kid), opens, Role::Decrypt).count(), tried, "{kid}");
        // Made with a valid key: the kid alone decides.
        let header = json!({ "alg": "HS256", "kid": kid }).to_string();
        assert_eq!(verify(set, &forged(set, &header, b"x")).is_ok(), tried > 0, "{kid}");
        let options = EncryptOptions {
            serialization: Serialization::Flattened,
            without_kid: true,
            ..EncryptOptions::default()
        };
        let token = jwe::encrypt(set, b"x", &options).unwrap();
        let mut token: Value = serde_json::from_str(&token).unwrap();
        token["header"] = json!({ "kid": kid });
        assert_eq!(jwe::decrypt_json(set, &token.to_string()).is_ok(), tried > 0, "{kid}");
    };
    let set = label(keys(), &rows, KeySetPolicy::default());
    check(&set, "", 5);
    check(&set, &long[..256], 5);
    check(&set, &long, 0);
    // Bytes count, not characters.
    check(&set, &"é".repeat(129), 0);
    // However long it is, a kid that names a key selects it.
    let mut named = keys();
    named.insert(0, oct(&long, 6));
    check(&label(named, &rows, KeySetPolicy::default()), &long, 1);
    let limits = TokenLimits { max_kid_bytes: 300, ..TokenLimits::default() };
    let wider = KeySetPolicy { limits, ..KeySetPolicy::default() };
    check(&label(keys(), &rows, wider), &long, 5);
}

/// Every key that is tried goes over the header: an escaped kid counts with its escapes.
#[test]
fn a_kid_counts_as_it_is_spelled_unless_it_names_a_key() {
    let limits = TokenLimits { max_kid_bytes: 60, ..TokenLimits::default() };
    let policy = KeySetPolicy { limits, ..KeySetPolicy::default() };
    let rows = ["HS256", "dir", "A256GCM"];
    let set = label(vec![oct("k1", 1)], &rows, policy);
    let escaped = |count: usize| "\\u006b".repeat(count);
    for (kid, holds) in [
        (escaped(10), true),
        (escaped(11), false),
        ("k".repeat(60), true),
        ("k".repeat(61), false),
        // As PHP writes a slash: one more character each.
        ("a\\/b".repeat(15), true),
        ("a\\/b".repeat(16), false),
        // However it is spelled, a kid that names a key selects it.
        ("\\u006b\\u0031".to_owned(), true),
    ] {
        let header = format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#);
        assert_eq!(verify(&set, &forged(&set, &header, b"x")).is_ok(), holds, "{header}");
        let header = format!(r#"{{"alg":"HS256","k\u0069d":"{kid}"}}"#);
        assert_eq!(verify(&set, &forged(&set, &header, b"x")).is_ok(), holds, "{header}");
        let header = format!(r#"{{"alg":"dir","enc":"A256GCM","kid":"{kid}"}}"#);
        assert_eq!(jwe::decrypt(&set, &sealed(&set, &header)).is_ok(), holds, "{header}");
    }
    let named = label(vec![oct(&"k".repeat(50), 1)], &rows, set.policy().clone());
    let header = format!(r#"{{"alg":"HS256","kid":"{}"}}"#, escaped(50));
    assert!(verify(&named, &forged(&named, &header, b"x")).is_ok(), "it names the key");
    // Escapes elsewhere are no part of it.
    let header = format!(r#"{{"alg":"HS256","typ":"{}","kid":"other"}}"#, escaped(40));
    assert!(verify(&set, &forged(&set, &header, b"x")).is_ok());
}
