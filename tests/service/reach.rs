//! How far a grant reaches: steps touch no mapping, no key and no file beyond it, and no name beyond it is told.

use serde_json::{Value, json};

use super::shop::{ES256, KEY, SEAL, Shop};

const OTHER: &str = "app.other.seal";
const ALPHA: &str = "app.alpha.seal";

/// `OTHER` has the keys `t` and `s`, `ALPHA` too, in the realm alpha alone; `c` stands behind `app.sign`, and a volume holds
/// `app.file`.
fn shop(grants: &str) -> Shop {
    let folder = tempfile::tempdir().unwrap();
    let values = folder.path().join("values");
    std::fs::create_dir(&values).unwrap();
    std::fs::write(values.join("app.file.v2"), "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
        .unwrap();
    std::fs::write(folder.path().join("secret"), "QUJDREVGR0hJSktMTU5PUEFCQ0RFRkdISUpLTE1OT1A=")
        .unwrap();
    let text = format!(
        "[stores.others]\nkind = \"keystore\"\npath = \"keys.jwks\"\nintegrity = \"none\"\n\
         [stores.others.mappings]\n\"{OTHER}\" = [\"t\", \"s\"]\n\
         [stores.alphas]\nkind = \"keystore\"\npath = \"keys.jwks\"\nintegrity = \"none\"\nrealm = \"alpha\"\n\
         [stores.alphas.mappings]\n\"{ALPHA}\" = [\"t\", \"s\"]\n\"{SEAL}\" = [\"t\"]\n\
         [stores.values]\nkind = \"volume\"\ndirectory = \"values\"\nformat = \"base64\"\nversion_suffix = \".v\"\n\
         [stores.signs]\nkind = \"keystore\"\npath = \"keys.jwks\"\nintegrity = \"none\"\n\
         [stores.signs.mappings]\n\"app.sign\" = [\"c\"]\n\
         [labels.\"app.sign\"]\nuse = \"sign\"\nalgorithms = [\"ES256\"]\n\
         [labels.\"{OTHER}\"]\nuse = \"encrypt\"\nalgorithms = [\"A256GCMKW\", \"A256GCM\"]\n\
         [labels.\"{ALPHA}\"]\nuse = \"encrypt\"\nalgorithms = [\"A256GCMKW\", \"A256GCM\"]\n\
         [labels.\"app.file\"]\nuse = \"mac\"\nalgorithms = [\"HS256\"]\n{grants}"
    );
    Shop::in_folder(folder, &[], &text)
}

fn grant(rights: &[&str], labels: &[&str], realms: &[&str]) -> String {
    format!(
        "[[grants]]\ncallers = [\"portal\"]\nrights = {rights:?}\nlabels = {labels:?}\nrealms = {realms:?}\n"
    )
}

/// Every step, on a label whose aliases are `t` and `s`.
fn steps(more: &[(&str, Value)]) -> Vec<(&'static str, Value)> {
    let bodies = [
        ("stage", json!({"alias": "u"})),
        ("generate", json!({"alias": "u"})),
        ("promote", json!({"alias": "s", "now": true})),
        ("reorder", json!({"aliases": ["s", "t"], "now": true})),
        ("retire", json!({"alias": "s", "force": true})),
        ("revoke", json!({"alias": "s", "force": true})),
        ("undo", json!({"now": true})),
    ];
    let mut all = Vec::new();
    for (what, body) in bodies {
        for dry_run in [false, true] {
            let mut body = body.clone();
            body["dry_run"] = json!(dry_run);
            for (name, value) in more {
                body[*name] = value.clone();
            }
            all.push((what, body));
        }
    }
    all
}

#[test]
fn without_a_realm_no_step_reaches_the_mapping_of_one() {
    let rights = ["stage", "generate", "promote", "reorder", "retire", "revoke", "undo"];
    let shop = shop(&grant(&rights, &["*"], &["/"]));
    let before = shop.text();
    for (what, body) in steps(&[]) {
        let problem = shop.refused(ALPHA, what, &body, (404, "unknown_label"));
        assert!(!problem.to_string().contains("alphas"), "{what}: {problem}");
    }
    for (what, body) in steps(&[("store", json!("alphas"))]) {
        let (status, problem) = shop.post(ALPHA, what, &body);
        assert!(status == 404 || status == 400, "{what} {body}: {status} {problem}");
    }
    assert_eq!(shop.text(), before);
}

#[test]
fn no_step_brings_the_key_of_another_label_along() {
    let shop = shop(&grant(&["stage", "encrypt", "decrypt"], &[SEAL], &["/"]));
    let before = shop.text();
    for dry_run in [false, true] {
        let body = json!({"alias": "t", "dry_run": dry_run});
        let problem = shop.refused(SEAL, "stage", &body, (403, "forbidden"));
        assert!(!problem.to_string().contains(OTHER), "{problem}");
    }
    assert_eq!(shop.text(), before);
    // Who may do the same to that label may: nothing is reached that was not.
    let both = grant(&["stage"], &[SEAL, OTHER, ALPHA], &["*"]);
    let shop = self::shop(&both);
    shop.done(SEAL, "stage", &json!({"alias": "t"}));
}

#[test]
fn no_step_brings_a_key_along_that_left_another_label() {
    let retires = grant(&["retire"], &[ES256], &["/"]);
    let shop = shop(&[&*retires, &grant(&["stage"], &["app.sign"], &["/"])].concat());
    shop.done(ES256, "retire", &json!({"alias": "b", "force": true}));
    shop.refused("app.sign", "stage", &json!({"alias": "b"}), (403, "forbidden"));
    let left = shop.history().records.last().unwrap().refusal.clone().unwrap();
    assert_eq!(left.code, "forbidden");
    // Behind its own it comes back.
    shop.write(&shop.text().replace("[\"app.sign\"]", &format!("[\"{ES256}\"]")));
    shop.service.keyring().reload().unwrap();
    shop.done(ES256, "stage", &json!({"alias": "b"}));
}

#[test]
fn a_revocation_needs_its_right_wherever_the_key_stands() {
    let shop = shop(&grant(&["revoke"], &[SEAL], &["/"]));
    let before = shop.text();
    for body in [
        json!({"alias": "s"}),
        json!({"alias": "s", "dry_run": true}),
        json!({"alias": "s", "force": true}),
        json!({"alias": "s", "force": true, "dry_run": true}),
    ] {
        let problem = shop.refused(SEAL, "revoke", &body, (403, "forbidden"));
        let told = problem.to_string();
        assert!(!told.contains(OTHER) && !told.contains(ALPHA), "{told}");
    }
    assert_eq!(shop.text(), before);
    let shop = self::shop(&grant(&["revoke"], &["*"], &["*"]));
    shop.done(SEAL, "revoke", &json!({"alias": "s", "force": true}));
    assert!(!shop.text().contains("\"s\""));
}

#[test]
fn no_step_reads_a_file_that_its_caller_names() {
    let shop = shop(&grant(&["stage", "generate"], &["app.file", "app.new"], &["/"]));
    let there = shop.path().join("secret").display().to_string();
    let told: Vec<Value> = [there.as_str(), "/nowhere", "/dev/zero", "values/app.file.v2", "."]
        .into_iter()
        .map(|alias| {
            let body = json!({"alias": alias, "dry_run": true});
            let dry = shop.refused("app.file", "stage", &body, (409, "step_refused"));
            let body = json!({"alias": alias});
            assert_eq!(shop.refused("app.file", "stage", &body, (409, "step_refused")), dry);
            dry
        })
        .collect();
    assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
    shop.done("app.file", "generate", &json!({"alias": "next"}));
}

#[test]
fn no_label_is_told_of_to_who_has_no_right_to_it() {
    let shop = shop(&grant(&["sign", "encrypt", "read", "stage"], &["app.o*"], &["/"]));
    for what in ["encrypt", "sign", "encrypt/batch", "stage"] {
        let body = json!({"text": "a"});
        let body = match what {
            "stage" => json!({"alias": "a"}),
            "encrypt/batch" => json!({"items": [body]}),
            _ => body,
        };
        for near in ["app.other.sea", "app.other.sealed"] {
            let problem = shop.refused(near, what, &body, (404, "unknown_label"));
            assert!(!problem["help"].to_string().contains("mean"), "{problem}");
        }
    }
}

#[test]
fn no_folder_and_no_file_is_told() {
    let shop = shop(&grant(&["read"], &["*"], &["/"]));
    let folder = shop.path().display().to_string();
    let explained = || {
        let found = ["app.file", SEAL]
            .map(|label| shop.running().get(&format!("/v1/labels/{label}/explain"), KEY));
        found.map(|(status, text)| {
            assert_eq!(status, 200, "{text}");
            assert!(!text.contains(&folder), "{text}");
            text
        })
    };
    assert!(explained()[1].contains(&format!("no file {SEAL}\"")));
    // Larger than a file of a store may be.
    std::fs::write(shop.path().join("values/app.file.v2"), vec![b'A'; 17 << 20]).unwrap();
    let [unusable, _] = explained();
    assert!(unusable.contains("unusable: limit_exceeded"), "{unusable}");
}

#[test]
fn nothing_of_another_realm_is_told() {
    let shop = shop(&grant(&["drill", "read"], &[SEAL], &["/"]));
    let drilled = shop.done(SEAL, "drill", &json!({}));
    assert_eq!(drilled["labels"].as_array().unwrap().len(), 1, "{drilled}");
    let get = |path: &str| shop.running().get(path, KEY);
    let looks = ["", "/explain", "/history"].map(|what| get(&format!("/v1/labels/{SEAL}{what}")));
    let told = looks.into_iter().chain([get("/v1/labels"), (200, drilled.to_string())]);
    for (status, text) in told {
        assert_eq!(status, 200, "{text}");
        assert!(!text.contains("alpha") && !text.contains("\"t\""), "{text}");
    }
    // `s` and `t` are what alpha sees.
    for path in ["", "/explain", "/history", "/jwks.json"] {
        assert_eq!(get(&format!("/v1/labels/{SEAL}{path}?realm=alpha")).0, 403, "{path}");
    }
}

/// What was refused changed no mapping that would say whose it is.
#[test]
fn what_was_refused_in_a_realm_is_told_in_that_one_alone() {
    let boss = "[[callers]]\nname = \"boss\"\napi_key_sha256 = ";
    let grants = [
        grant(&["read", "stage", "promote"], &[SEAL], &["/"]),
        format!("{boss}\"{}\"\n", Shop::hash("the key of boss")),
        grant(&["read", "stage"], &[SEAL], &["alpha"]).replace("portal", "boss"),
    ];
    let shop = shop(&grants.concat());
    let key = Some("the key of boss");
    let stage = format!("/v1/labels/{SEAL}/stage?realm=alpha");
    let body = json!({"alias": "of-alpha", "reason": "the plans of alpha"});
    assert_eq!(shop.running().post(&stage, key, &body).1["code"], json!("unknown_alias"));
    shop.refused(
        SEAL,
        "stage",
        &json!({"alias": "of-all", "reason": "of all"}),
        (404, "unknown_alias"),
    );
    let told = |key, realm: &str| {
        let (status, text) = shop.running().get(&format!("/v1/labels/{SEAL}/history{realm}"), key);
        assert_eq!(status, 200, "{text}");
        text
    };
    let everywhere = told(KEY, "");
    assert!(everywhere.contains("of-all"), "{everywhere}");
    assert!(!everywhere.contains("alpha"), "{everywhere}");
    let alpha = told(key, "?realm=alpha");
    assert!(alpha.contains("the plans of alpha") && alpha.contains("of-all"), "{alpha}");
}

/// A revocation takes the key out of every mapping, whichever label it was asked for.
#[test]
fn of_a_step_that_reached_further_a_label_is_told_its_own_part() {
    let grants = [
        grant(&["revoke"], &["*"], &["*"]),
        format!("[[callers]]\nname = \"auditor\"\napi_key_sha256 = \"{}\"\n", Shop::hash("k")),
        grant(&["read"], &[OTHER], &["/"]).replace("portal", "auditor"),
    ];
    let shop = shop(&grants.concat());
    let stage = shop.text().replace("[\"t\"]", "[\"s\", \"t\"]");
    shop.write(&stage);
    shop.service.keyring().reload().unwrap();
    let path = format!("/v1/labels/{SEAL}/revoke?realm=alpha");
    let body = json!({"alias": "t", "force": true});
    let (status, done) = shop.running().post(&path, KEY, &body);
    assert_eq!(status, 200, "{done}");
    let history = format!("/v1/labels/{OTHER}/history");
    let (status, text) = shop.running().get(&history, Some("k"));
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("revoke"), "{text}");
    for hidden in ["alpha", SEAL] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
}

/// Whether the journal is whole concerns whoever may read any of it; what is missing may be anybody's.
#[test]
fn what_the_journal_lacks_is_named_to_nobody_over_http() {
    let grants = [
        grant(&["revoke"], &["*"], &["*"]),
        format!("[[callers]]\nname = \"auditor\"\napi_key_sha256 = \"{}\"\n", Shop::hash("k")),
        grant(&["read"], &[SEAL], &["/"]).replace("portal", "auditor"),
    ];
    let shop = shop(&grants.concat());
    shop.done(OTHER, "revoke", &json!({"alias": "t", "replace": null, "force": true}));
    std::fs::remove_file(shop.path().join("state/revoked.json")).unwrap();
    let (status, text) = shop.running().get("/v1/history/verify", Some("k"));
    assert_eq!(status, 200, "{text}");
    let (first, told) = (text.clone(), serde_json::from_str::<Value>(&text).unwrap());
    assert_eq!((&told["ok"], told["missing"].as_array().map(Vec::len)), (&json!(false), Some(1)));
    for hidden in [OTHER, shop.path().to_str().unwrap()] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
    // What the caller has kept itself is told.
    let (_, text) = shop.running().get("/v1/history/verify?head=mine", Some("k"));
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["missing"][0], serde_json::from_str::<Value>(&first).unwrap()["missing"][0]);
    assert!(told["missing"][1].as_str().unwrap().contains("mine"), "{text}");
}

#[test]
fn what_was_edited_by_hand_is_told_of_the_labels_of_the_caller_alone() {
    let shop = shop(&grant(&["generate"], &[SEAL], &["/"]));
    let generate = |alias: &str| shop.done(SEAL, "generate", &json!({"alias": alias}));
    generate("n1");
    let lists = |text: &str| text.replace("[\"t\", \"s\"]", "[\"s\", \"t\"]");
    shop.write(&lists(&shop.text()));
    let told = generate("n2").to_string();
    assert!(!told.contains(OTHER) && !told.contains(ALPHA), "{told}");
    shop.write(&shop.text().replace("[\"s\", \"n1\", \"n2\"]", "[\"n2\", \"n1\", \"s\"]"));
    let told = generate("n3");
    assert!(told["notes"].to_string().contains("edited by hand"), "{told}");
}
