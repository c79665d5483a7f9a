//! Reading the configuration again: what changed, and what is refused.

use serde_json::json;

use super::shop::{ES256, KEY, Shop};

#[test]
fn a_reload_tells_what_it_changed_and_a_bad_one_changes_nothing() {
    let shop = Shop::new(&["reload"]);
    let reload = || shop.running().post("/v1/reload", KEY, &json!({}));
    let text = shop.text();
    shop.write(&text.replace(r#"["a", "b"]"#, r#"["b", "a"]"#));
    let (status, answer) = reload();
    assert_eq!((status, &answer["generation"]), (200, &json!(2)), "{answer}");
    let label = &answer["diff"]["labels"][0];
    assert_eq!((&label["label"], &label["active_after"]), (&json!(ES256), &json!("b")));
    let path = shop.text();
    shop.write(&text.replace("keys.jwks", "secret-place.jwks"));
    let (status, problem) = reload();
    assert_eq!((status, &problem["code"]), (409, &json!("config_invalid")), "{problem}");
    assert!(!problem.to_string().contains("secret-place"), "{problem}");
    assert_eq!(shop.aliases(ES256), ["b", "a"]);
    shop.write(&path);
    let (status, answer) = reload();
    assert_eq!((status, &answer["diff"]["labels"]), (200, &json!([])), "{answer}");
    let closed = Shop::new(&["read"]);
    assert_eq!(closed.running().post("/v1/reload", KEY, &json!({})).0, 403);
}
