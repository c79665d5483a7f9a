//! Published keys: documents, entity tags, how long they may be kept, who may read them.

use serde_json::{Value, json};

use super::shop::{ES256, SEAL, Shop};

const ANYBODY: &str = "[[callers]]\nname = \"anybody\"\nanonymous = true\n\n\
                       [[grants]]\ncallers = [\"anybody\"]\nrights = [\"keys\"]\nrealms = [\"/\"]\n";

fn kids(jwks: &str) -> usize {
    let jwks: Value = serde_json::from_str(jwks).unwrap();
    jwks["keys"].as_array().unwrap().len()
}

#[test]
fn anybody_reads_the_keys_and_has_them_until_they_change() {
    let shop = Shop::with(&["stage"], ANYBODY);
    let get = |path: &str, headers: &[(&str, &str)]| shop.running().fetch(path, None, headers);
    let paths = [
        "/.well-known/jwks.json".to_owned(),
        "/v1/jwks.json".to_owned(),
        format!("/v1/labels/{ES256}/jwks.json"),
    ];
    for path in &paths {
        let first = get(path, &[]);
        assert_eq!((first.status, kids(&first.text)), (200, 2), "{}", first.text);
        assert_eq!(first.header("content-type"), "application/jwk-set+json");
        assert_eq!(first.header("cache-control"), "public, max-age=3600");
        let tag = first.header("etag").to_owned();
        for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
            let second = get(path, &[("if-none-match", &known)]);
            assert_eq!((second.status, second.text.as_str()), (304, ""), "{known}");
            assert_eq!(
                (second.header("etag"), second.header("cache-control")),
                (tag.as_str(), "public, max-age=3600")
            );
        }
        assert_eq!(get(path, &[("if-none-match", "\"x\"")]).status, 200);
    }
    let old = get(&paths[0], &[]).header("etag").to_owned();
    shop.done(ES256, "stage", &json!({"alias": "c"}));
    shop.wait(600);
    for path in &paths {
        let new = get(path, &[("if-none-match", &old)]);
        assert_eq!((new.status, kids(&new.text)), (200, 3));
        // In fifty minutes the staged key may act.
        assert_eq!(new.header("cache-control"), "public, max-age=3000");
    }
    shop.wait(3_000);
    assert_eq!(get(&paths[0], &[]).header("cache-control"), "public, max-age=3600");
}

#[test]
fn whether_a_label_is_mapped_is_not_told_by_its_key_set() {
    let shop = Shop::with(&["stage", "keys"], ANYBODY);
    // A planned step would shorten the life of a key set that shows something.
    shop.done(SEAL, "stage", &json!({"alias": "t"}));
    shop.wait(600);
    let facts = |label: &str| {
        let got = shop.running().fetch(&format!("/v1/labels/{label}/jwks.json"), None, &[]);
        let headers =
            ["etag", "cache-control", "content-type"].map(|one| got.header(one).to_owned());
        (got.status, got.text, headers)
    };
    let mapped = facts(SEAL);
    assert_eq!((mapped.0, kids(&mapped.1)), (200, 0));
    assert_eq!(mapped.2[1], "public, max-age=3600");
    for unmapped in ["no.such", "am.services.oauth2.oidc.signing.ES384"] {
        assert_eq!(facts(unmapped), mapped);
    }
}

#[test]
fn nothing_private_is_published_and_nobody_reads_without_the_right() {
    let shop = Shop::with(&["keys"], ANYBODY);
    let rp = shop.running().fetch("/v1/rp/jwks.json", None, &[]);
    assert_eq!((rp.status, kids(&rp.text)), (200, 0));
    let all = shop.running().fetch("/v1/jwks.json", super::shop::KEY, &[]);
    assert_eq!(all.header("cache-control"), "public, max-age=3600");
    let jwks: Value = serde_json::from_str(&all.text).unwrap();
    for key in jwks["keys"].as_array().unwrap() {
        assert!(key.get("d").is_none() && key.get("k").is_none(), "{key}");
    }
    assert_eq!(shop.running().fetch("/v1/jwks.json?realm=alpha", None, &[]).status, 403);

    let closed = Shop::new(&["keys"]);
    assert_eq!(closed.running().fetch("/.well-known/jwks.json", None, &[]).status, 401);
    let mine = closed.running().fetch("/.well-known/jwks.json?realm=alpha", super::shop::KEY, &[]);
    assert_eq!((mine.status, mine.header("cache-control")), (200, "private, max-age=3600"));
}
