//! Tokens of profiles over HTTP: each profile makes what it opens, and no other one does.

use serde_json::{Value, json};

use super::shop::{KEY, Shop};

const MAPPINGS: &str = "[stores.more]\nkind = \"keystore\"\npath = \"more.jwks\"\nintegrity = \"none\"\n\n\
                        [stores.more.mappings]\n\"am.authn.authid.signing.HMAC\" = [\"h\"]\n";

fn post(shop: &Shop, path: &str, body: &Value) -> (u16, Value) {
    shop.running().post(&format!("/v1/tokens/{path}"), KEY, body)
}

#[test]
fn a_profile_opens_what_it_made_for_its_realm_and_time() {
    let shop = Shop::with_key(&["token-issue", "token-open"], MAPPINGS, "more.jwks", "h", "hmac");
    let body = json!({"claims": {"otk": "a1"}, "life": 60});
    let (status, sealed) = post(&shop, "authid/seal", &body);
    assert_eq!(status, 200, "{sealed}");
    let token = json!({"token": sealed["token"]});
    let (status, opened) = post(&shop, "authid/open", &token);
    assert_eq!((status, &opened["claims"]["otk"]), (200, &json!("a1")), "{opened}");
    assert_eq!(opened["verified_by"]["alias"], json!("h"));
    let (status, problem) = post(&shop, "authid/open?realm=alpha", &token);
    assert_eq!((status, &problem["code"]), (422, &json!("token_refused")));
    shop.wait(61);
    assert_eq!(post(&shop, "authid/open", &token), (status, problem));
    for (path, body, status) in [
        ("nothing/seal", json!({"claims": {}}), 400),
        ("authid/seal", json!({"claims": {"exp": 1}}), 400),
        ("authid/seal", json!({"claims": {"otk": "a"}, "identifier": "x"}), 400),
        ("authid/seal", json!({"claims": {"otk": "a"}, "life": u64::MAX}), 400),
        ("authid/seal", json!({"claims": {"otk": "a"}, "peer": {"keys": []}}), 400),
        ("authid/open", json!({"token": "a", "issuer": "i"}), 400),
        ("authid/seal", json!({"claim": {}}), 400),
    ] {
        let (got, problem) = post(&shop, path, &body);
        assert_eq!(got, status, "{path} {body}: {problem}");
    }
}

#[test]
fn making_and_opening_are_two_rights() {
    for (right, allowed) in [("token-issue", "seal"), ("token-open", "open")] {
        let shop = Shop::new(&[right]);
        for what in ["seal", "open"] {
            let (status, _) = post(&shop, &format!("authid/{what}"), &json!({"none": 1}));
            assert_eq!(status, if what == allowed { 400 } else { 403 }, "{right} {what}");
        }
    }
}
