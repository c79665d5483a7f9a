//! Reading over HTTP: the same facts as on the command line, for labels that the caller may read alone.

use serde_json::{Value, json};

use super::shop::{ES256, KEY, SEAL, Shop};

fn get(shop: &Shop, path: &str) -> (u16, Value) {
    let got = shop.running().fetch(path, KEY, &[]);
    (got.status, serde_json::from_str(&got.text).unwrap())
}

fn read(shop: &Shop, path: &str) -> Value {
    let (status, answer) = get(shop, path);
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

#[test]
fn labels_are_told_with_what_their_keys_did() {
    let shop = Shop::new(&["read", "sign", "stage", "promote", "retire"]);
    shop.done(ES256, "sign", &json!({"claims": {}}));
    shop.done(ES256, "stage", &json!({"alias": "c"}));
    let all = read(&shop, "/v1/labels");
    let names: Vec<&Value> =
        all["labels"].as_array().unwrap().iter().map(|one| &one["label"]).collect();
    assert_eq!(names, [&json!(ES256), &json!(SEAL)]);
    let one = read(&shop, &format!("/v1/labels/{ES256}"));
    assert_eq!(one, all["labels"][0]);
    assert_eq!((&one["active"], &one["algorithms"]), (&json!("a"), &json!(["ES256"])));
    assert_eq!(
        (&one["aliases"][0]["signed"], &one["aliases"][0]["phase"]),
        (&json!(1), &json!("active"))
    );
    assert_eq!(one["aliases"][2]["phase"], json!("staged"), "{one}");
    shop.done(ES256, "promote", &json!({"alias": "c", "force": true}));
    shop.done(ES256, "retire", &json!({"alias": "a", "force": true}));
    let one = read(&shop, &format!("/v1/labels/{ES256}"));
    assert_eq!(
        (&one["gone"][0]["alias"], &one["gone"][0]["phase"]),
        (&json!("a"), &json!("retired"))
    );
    let explained = read(&shop, &format!("/v1/labels/{SEAL}/explain"));
    assert_eq!(
        (&explained["active"], &explained["steps"][0]["outcome"]),
        (&json!("s"), &json!("active"))
    );
    for (path, status) in [
        ("/v1/labels/app.none", 404),
        ("/v1/labels/a..b", 400),
        (&format!("/v1/labels/{ES256}/history?since=yesterday"), 400),
        ("/v1/status", 403),
    ] {
        assert_eq!(get(&shop, path).0, status, "{path}");
    }
}

#[test]
fn the_journal_is_told_by_label_and_checked_as_a_whole() {
    let shop = Shop::new(&["read", "stage"]);
    shop.done(ES256, "stage", &json!({"alias": "c", "reason": "yearly"}));
    shop.wait(60);
    shop.done(SEAL, "stage", &json!({"alias": "t"}));
    let told = read(&shop, &format!("/v1/labels/{ES256}/history"));
    let done: Vec<&Value> = told["records"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|record| record["event"] == json!("done"))
        .collect();
    assert_eq!((done.len(), &done[0]["reason"]), (1, &json!("yearly")), "{told}");
    assert!(!told.to_string().contains(SEAL), "{told}");
    let later = read(&shop, &format!("/v1/labels/{ES256}/history?since=2027-01-15T08:00:30Z"));
    assert_eq!(later["records"], json!([]));
    let verdict = read(&shop, "/v1/history/verify");
    assert_eq!((&verdict["ok"], &verdict["missing"]), (&json!(true), &json!([])), "{verdict}");
    let kept = verdict["head"]["hash"].as_str().unwrap();
    let again = read(&shop, &format!("/v1/history/verify?head={kept}"));
    assert_eq!(again["kept_head_is_record"], verdict["head"]["seq"]);
    assert_eq!(read(&shop, "/v1/history/verify?head=abc")["ok"], json!(false));
}

#[test]
fn who_may_read_one_label_sees_that_one() {
    let hash = Shop::hash("the key of auditor");
    let shop = Shop::with(
        &["metrics"],
        &format!(
            "[[callers]]\nname = \"auditor\"\napi_key_sha256 = \"{hash}\"\n\n[[grants]]\n\
             callers = [\"auditor\"]\nrights = [\"read\"]\nlabels = [\"{SEAL}\"]\n"
        ),
    );
    let get = |path: &str| {
        let got = shop.running().fetch(path, Some("the key of auditor"), &[]);
        (got.status, serde_json::from_str::<Value>(&got.text).unwrap())
    };
    let (status, all) = get("/v1/labels");
    assert_eq!((status, all["labels"].as_array().unwrap().len()), (200, 1), "{all}");
    assert_eq!(all["labels"][0]["label"], json!(SEAL));
    assert_eq!(get(&format!("/v1/labels/{ES256}")).0, 403);
    assert_eq!(get("/v1/labels?realm=alpha").0, 403);
    assert_eq!(get("/v1/status").0, 403);
    let got = shop.running().fetch("/v1/labels", KEY, &[]);
    assert_eq!(got.status, 403);
    let status = read(&shop, "/v1/status");
    assert_eq!((&status["generation"], &status["reload"]), (&json!(1), &json!("off")), "{status}");
}

#[test]
fn a_rotation_is_rehearsed() {
    let shop = Shop::new(&["drill"]);
    let found = shop.done(SEAL, "drill", &json!({}));
    assert_eq!(found["verdict"], json!("safe"), "{found}");
    assert!(
        found["tokens"].as_u64().unwrap() > 0 && !found["labels"].as_array().unwrap().is_empty()
    );
    shop.refused("app.none", "drill", &json!({}), (404, "unknown_label"));
}
