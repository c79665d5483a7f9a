//! The token profiles of the table: round trips, rotation of every label, confusion, tampering, times.

use claviger::catalogue;
use claviger::error::ErrorKind;
use claviger::profiles::journey::{Between, PROFILES};
use claviger::profiles::{DeniedIds, Parts};
use claviger::usage::Horizon;
use serde_json::json;

use crate::deployment::{Deployment, Mapped, START, aliases, kind_of, reason};
use crate::token_kinds::{
    NODE, REALM, Variant, claims_of, expected, kinds, labels_of, mappings, sides, variants,
};

fn whole(more: &str) -> Deployment {
    let deployment = Deployment::new();
    deployment.configure(&mappings(), more);
    deployment
}

#[test]
fn the_rows_name_labels_of_the_catalogue_and_themselves_once() {
    let mut names = Vec::new();
    let mut types = Vec::new();
    for row in PROFILES {
        names.push(row.name);
        if row.between == Between::Ourselves {
            types.push(row.typ.name());
        }
        for label in row.labels() {
            let found = catalogue::all().iter().any(|spec| spec.name == label);
            assert!(found, "{}: {label}", row.name);
        }
    }
    // And the catalogue says that these are the labels of the table.
    for spec in catalogue::all() {
        let named = PROFILES.iter().any(|row| row.labels().any(|label| label == spec.name));
        assert_eq!(named, spec.home == catalogue::Home::Journey, "{}", spec.name);
    }
    for list in [&mut names, &mut types] {
        let count = list.len();
        list.sort_unstable();
        list.dedup();
        assert_eq!(list.len(), count);
    }
    assert!(types.iter().all(|typ| typ.ends_with("+jwt")));
}

#[test]
fn a_token_of_every_row_comes_back_with_its_claims() {
    let keyring = whole("").keyring();
    for variant in variants() {
        let (maker, opener) = sides(&keyring, variant);
        let claims = claims_of(variant.0);
        let opened = opener.open(&maker.seal(&claims).unwrap()).unwrap();
        assert_eq!(opened.claims(), &claims, "{variant:?}");
        assert_eq!(
            opened.times().map(|times| times.expires - times.issued),
            variant.0.life.map(|life| life.as_secs())
        );
        assert_eq!(opened.id().is_some(), variant.0.life.is_some());
        assert_eq!(opened.verified_by().is_some(), variant.0.parts.signing().is_some());
        assert_eq!(opened.decrypted_by().is_some(), variant.0.parts.encryption().is_some());
    }
}

#[test]
fn no_kind_of_token_is_taken_for_another_though_they_share_keys() {
    let keyring = whole("").keyring();
    let kinds = kinds(&keyring);
    let mut pairs = 0;
    for made in &kinds {
        let token = (made.make)();
        for asked in &kinds {
            let opened = (asked.open)(&token);
            if made.name == asked.name {
                opened.unwrap_or_else(|error| panic!("{}: {error:?}", made.name));
            } else {
                let why = opened.map_err(|error| error.kind());
                assert_eq!(why, Err(ErrorKind::TokenRefused), "{} as {}", made.name, asked.name);
                pairs += 1;
            }
        }
    }
    assert!(pairs >= 36 * 35, "{pairs}");
}

/// The mappings of a variant: one label with these keys, the others with keys that stay.
fn with_keys<'v>(labels: &'v [String], rotated: &str, numbers: &[u32]) -> Vec<Mapped<'v>> {
    let names = |label: &'v String| {
        let numbers = if label == rotated { numbers } else { &[3] };
        (Some(REALM), label.as_str(), aliases(kind_of(label), numbers))
    };
    labels.iter().map(names).collect()
}

fn rotate(variant: Variant, labels: &[String], rotated: &str) {
    let deployment = Deployment::new();
    let write = |numbers: &[u32]| deployment.configure(&with_keys(labels, rotated, numbers), "");
    write(&[1]);
    let keyring = deployment.keyring();
    let claims = claims_of(variant.0);
    let mut live = vec![sides(&keyring, variant).0.seal(&claims).unwrap()];
    // Staged, promoted, and one more staged.
    for numbers in [&[1, 2][..], &[2, 1], &[2, 1, 3]] {
        write(numbers);
        drop(keyring.reload().unwrap());
        let (maker, opener) = sides(&keyring, variant);
        live.push(maker.seal(&claims).unwrap());
        for token in &live {
            let opened = opener.open(token);
            assert!(opened.is_ok(), "{variant:?} {rotated}: {opened:?}");
        }
    }
    // Retired: what its key made is refused, and nothing else.
    write(&[2]);
    drop(keyring.reload().unwrap());
    let (_, opener) = sides(&keyring, variant);
    let opened: Vec<bool> = live.iter().map(|token| opener.open(token).is_ok()).collect();
    assert_eq!(opened, [false, false, true, true], "{variant:?} {rotated}");
    reason(opener.open(&live[0]));
}

#[test]
fn a_rotation_of_any_label_breaks_no_live_token() {
    for variant in variants() {
        let labels = labels_of(variant);
        for rotated in &labels {
            // Of several labels that sign the first that is mapped acts: the others are left out.
            let signing = variant.0.parts.signing().map_or(&[][..], |labels| labels.plain);
            let alone: Vec<String> = labels
                .iter()
                .filter(|label| {
                    *label == rotated
                        || !signing.contains(&rotated.as_str())
                        || !signing.contains(&label.as_str())
                })
                .cloned()
                .collect();
            rotate(variant, &alone, rotated);
        }
    }
}

#[test]
fn every_changed_character_is_noticed() {
    let keyring = whole("").keyring();
    for variant in variants() {
        let (maker, opener) = sides(&keyring, variant);
        let token = maker.seal(&claims_of(variant.0)).unwrap();
        // RSA is slow in a test build: some of its characters.
        let step = if matches!(variant.0.parts, Parts::Signed(_)) { 1 } else { 41 };
        for at in (0..token.len()).step_by(step) {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            reason(opener.open(&String::from_utf8(bytes).unwrap()));
            reason(opener.open(&token[..at]));
        }
    }
}

#[test]
fn tokens_end_with_the_second_that_the_row_says_and_stored_ones_never_do() {
    let deployment = whole("");
    let keyring = deployment.keyring();
    for variant in variants() {
        deployment.set(START);
        let (maker, opener) = sides(&keyring, variant);
        let token = maker.seal(&claims_of(variant.0)).unwrap();
        let Some(life) = variant.0.life else {
            deployment.set(START + (1 << 31));
            drop(opener.open(&token).unwrap());
            continue;
        };
        deployment.set(START + life.as_secs() - 1);
        drop(opener.open(&token).unwrap());
        deployment.set(START + life.as_secs());
        assert!(reason(opener.open(&token)).contains("expired"), "{variant:?}");
    }
}

#[test]
fn a_persistent_cookie_lives_on_with_use_and_no_longer_than_it_may() {
    let deployment = whole("");
    let keyring = deployment.keyring().realm(REALM).unwrap();
    let seconds = std::time::Duration::from_secs;
    let cookies = keyring.tokens("persistent-cookie", None).unwrap();
    let cookies = cookies.with_times(seconds(100), Some(seconds(10))).unwrap();
    let claims = claims_of(cookies.profile());
    let mut token = cookies.seal(&claims).unwrap();
    for second in (9..100).step_by(9) {
        deployment.set(START + second);
        let opened = cookies.open(&token).unwrap();
        token = cookies.refresh(&opened).unwrap();
    }
    deployment.set(START + 100);
    assert!(reason(cookies.open(&token)).contains("expired"));
    // What was opened as something else is not refreshed as a cookie.
    deployment.set(START);
    for (other, identifier) in
        [("authid", None), ("persistent-cookie", Some(NODE)), ("persistent-cookie-module", None)]
    {
        let other = keyring.tokens(other, identifier).unwrap();
        let opened = other.open(&other.seal(&claims).unwrap()).unwrap();
        reason(cookies.refresh(&opened));
    }
    let stored = keyring.tokens("device-oath", None).unwrap();
    assert_eq!(stored.clone().with_times(seconds(1), None).unwrap_err().kind(), ErrorKind::Usage);
    let opened = stored.open(&stored.seal(&claims).unwrap()).unwrap();
    assert_eq!(stored.refresh(&opened).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn another_realm_node_or_deployment_is_foreign() {
    // Every key is global: only the claims tell realms apart.
    let global: Vec<Mapped<'_>> =
        mappings().into_iter().map(|(_, label, names)| (None, label, names)).collect();
    let deployment = Deployment::new();
    deployment.configure(&global, "");
    let keyring = deployment.keyring();
    let elsewhere = Deployment::new();
    elsewhere.configure(&global, "[sessions]\nissuer = \"https://b\"\n");
    let elsewhere = elsewhere.keyring();
    for (row, identifier) in variants() {
        if row.between == Between::Peers {
            continue;
        }
        let of = |keyring: &claviger::Keyring, realm: &str| {
            keyring.realm(realm).unwrap().tokens(row.name, identifier).unwrap()
        };
        let token = of(&keyring, REALM).seal(&claims_of(row)).unwrap();
        drop(of(&keyring, REALM).open(&token).unwrap());
        assert!(reason(of(&keyring, "beta").open(&token)).contains("realm"));
        assert!(
            reason(keyring.tokens(row.name, identifier).unwrap().open(&token)).contains("realm")
        );
        assert!(reason(of(&elsewhere, REALM).open(&token)).contains("deployment"));
    }
    // A node without keys of its own does not get those of the default; a module does, and stays apart.
    let node = keyring.tokens("persistent-cookie", Some("other")).unwrap();
    assert_eq!(node.seal(&claims_of(node.profile())).unwrap_err().kind(), ErrorKind::UnknownLabel);
    let module = |identifier| keyring.tokens("persistent-cookie-module", identifier).unwrap();
    let token = module(Some("other")).seal(&claims_of(node.profile())).unwrap();
    drop(module(Some("other")).open(&token).unwrap());
    for other in [None, Some(NODE), Some("another")] {
        assert!(reason(module(other).open(&token)).contains("node"), "{other:?}");
    }
}

#[test]
fn what_a_caller_gets_wrong_is_said() {
    let keyring = whole("").keyring().realm(REALM).unwrap();
    for (profile, identifier) in
        [("authId", None), ("authid", Some("x")), ("persistent-cookie", Some("a/b"))]
    {
        let refused = keyring.tokens(profile, identifier).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Usage, "{profile}");
    }
    for row in PROFILES {
        let tokens = keyring.tokens(row.name, None).unwrap();
        for name in ["jti", "exp", "nbf"].into_iter().chain(row.is_identified().then_some("aud")) {
            let mut claims = claims_of(row);
            claims.insert(name.to_owned(), json!(1));
            assert_eq!(
                tokens.seal(&claims).unwrap_err().kind(),
                ErrorKind::Usage,
                "{} {name}",
                row.name
            );
        }
        for name in row.required {
            let mut claims = claims_of(row);
            claims.remove(*name);
            let refused = tokens.seal(&claims).unwrap_err();
            assert!(refused.kind() == ErrorKind::Usage && refused.message().contains(name));
        }
    }
}

#[test]
fn a_peer_is_who_it_says_and_speaks_to_us() {
    let deployment = whole("");
    let keyring = deployment.keyring();
    for variant in variants().into_iter().filter(|(row, _)| row.between == Between::Peers) {
        let (maker, opener) = sides(&keyring, variant);
        let claims = claims_of(variant.0);
        let token = maker.seal(&claims).unwrap();
        let unsaid = keyring.realm(REALM).unwrap().tokens(variant.0.name, None).unwrap();
        let refused = unsaid.open(&token).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Usage);
        for (issuer, audience) in
            [("https://other", "reader"), ("https://maker.example.com", "other")]
        {
            let mut other = expected();
            (other.issuer, other.audience) = (issuer.into(), audience.into());
            let other = opener.clone().expecting(other).unwrap();
            reason(other.open(&token));
        }
        // Claims that it left out: whoever has its keys makes any.
        for name in variant.0.required {
            let mut less = claims.clone();
            less.remove(*name);
            reason(opener.open(&forged(&maker, &less, &keyring, variant)));
        }
        drop(opener.open(&forged(&maker, &claims, &keyring, variant)).unwrap());
    }
    let ours = keyring.realm(REALM).unwrap().tokens("authid", None).unwrap();
    assert_eq!(ours.expecting(expected()).unwrap_err().kind(), ErrorKind::Usage);
}

/// A token of a peer that writes what it wants.
fn forged(
    maker: &claviger::profiles::journey::Tokens,
    claims: &serde_json::Map<String, serde_json::Value>,
    keyring: &claviger::Keyring,
    (row, _): Variant,
) -> String {
    use claviger::jose::jwe::EncryptOptions;
    use claviger::jose::jws::SignOptions;
    let mut claims = claims.clone();
    claims.insert("iat".into(), json!(START));
    claims.insert("exp".into(), json!(START + 60));
    let label = |label: &str| keyring.realm(REALM).unwrap().label(label).unwrap().keys().unwrap();
    let signing = label(row.parts.signing().unwrap().plain[0]);
    let encryption = match maker.peer() {
        Some(peer) => std::sync::Arc::clone(peer),
        None => label(row.parts.encryption().unwrap().plain[0]),
    };
    let payload = serde_json::Value::Object(claims).to_string();
    let (sign, encrypt) = (SignOptions::default(), EncryptOptions::default());
    claviger::jose::nested::seal(&signing, &encryption, payload.as_bytes(), &sign, &encrypt)
        .unwrap()
}

#[test]
fn a_token_that_was_taken_back_is_refused() {
    let keyring = whole("").keyring();
    let authid = keyring.realm(REALM).unwrap().tokens("authid", None).unwrap();
    let token = authid.seal(&claims_of(authid.profile())).unwrap();
    let opened = authid.open(&token).unwrap();
    let mut list = DeniedIds::default();
    list.deny(opened.id().unwrap(), opened.times().unwrap().expires);
    assert!(reason(authid.with_denylist(list).open(&token)).contains("logged out"));
}

#[test]
fn a_key_stays_for_as_long_as_any_token_that_it_made_however_it_is_wrapped() {
    for variant in variants() {
        let deployment = Deployment::new();
        let labels = labels_of(variant);
        deployment.configure(&with_keys(&labels, "", &[]), "[keyring]\nstate_dir = \"state\"\n");
        let keyring = deployment.keyring();
        let (maker, opener) = sides(&keyring, variant);
        let token = maker.seal(&claims_of(variant.0)).unwrap();
        let end = opener.open(&token).unwrap().times().map(|times| times.expires);
        // To the key of a peer nothing of ours is bound.
        let parts = [
            variant.0.parts.signing(),
            variant.0.parts.encryption().filter(|_| maker.peer().is_none()),
        ];
        for part in parts.into_iter().flatten() {
            let identified = variant.1.is_some() && !part.identified.is_empty();
            let label = if identified { part.identified[0] } else { part.plain[0] };
            let label = label.replace("{identifier}", NODE);
            let keys = keyring.realm(REALM).unwrap().label(&label).unwrap().keys().unwrap();
            let (name, realm) = (label.parse().unwrap(), REALM.parse().unwrap());
            let thumbprint = keys.active().key.thumbprint().to_owned();
            let report = keyring.usage().report(&name, Some(&realm), &thumbprint).unwrap();
            let horizon = report.horizon(None);
            match end {
                Some(end) => assert_eq!(horizon, Horizon::Until(end), "{variant:?} {label}"),
                None => assert!(matches!(horizon, Horizon::Unknown(_)), "{variant:?} {label}"),
            }
        }
    }
}

#[test]
fn a_drill_of_every_label_has_its_profile_tokens_and_breaks_nothing() {
    let keyring = whole("").keyring();
    let (config, snapshot) = (keyring.config(), keyring.snapshot());
    for (realm, label, _) in mappings() {
        let label = label.parse().unwrap();
        let forms = claviger::profiles::forms(&label);
        let Some(form) = forms.first() else { continue };
        let realm = realm.map(|realm| realm.parse().unwrap());
        for found in claviger::drill::rehearse(&config, &snapshot, &label, realm.as_ref()).unwrap()
        {
            assert!(found.breaks.is_empty(), "{label}: {:?}", found.breaks);
            let lines = serde_json::to_value(&found.lines).unwrap();
            let named = lines.as_array().unwrap().iter().any(|line| line["token"] == form.name);
            assert!(named, "{label}: {lines}");
        }
    }
}
