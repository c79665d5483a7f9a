//! How often callers may ask and addresses fail: 429 with a Retry-After that holds, and reloads that count at once.

use std::time::Duration;

use serde_json::{Value, json};

use crate::process::{BOTH, Home};
use crate::shop::{ES256, KEY, Shop};

fn shop(limits: &str) -> Shop {
    let other = format!(
        "[[callers]]\nname = \"other\"\napi_key_sha256 = \"{}\"\n[[grants]]\ncallers = [\"other\"]\n\
         rights = [\"sign\"]\nlabels = [\"*\"]\n",
        Shop::hash("the key of other")
    );
    let limits = format!("{other}[service]\nplain_http = true\n[service.rate_limits]\n{limits}\n");
    Shop::with(&["sign", "metrics", "reload"], &limits)
}

/// Status and code of a signature.
fn sign(shop: &Shop, key: Option<&str>) -> (u16, Value) {
    let path = format!("/v1/labels/{ES256}/sign");
    let (status, answer) = shop.running().post(&path, key, &json!({ "claims": {} }));
    (status, answer["code"].clone())
}

/// As long as the answer says.
fn wait(shop: &Shop, key: Option<&str>) {
    let got = shop.running().fetch("/metrics", key, &[]);
    assert_eq!(got.status, 429);
    let seconds: u64 = got.header("retry-after").parse().unwrap();
    assert_eq!(seconds, 1);
    std::thread::sleep(Duration::from_secs(seconds));
}

fn limited() -> (u16, Value) {
    (429, json!("rate_limited"))
}

#[test]
fn a_caller_that_asks_too_often_waits_as_it_is_told_and_others_do_not() {
    let shop = shop("caller = { per_second = 1, burst = 3 }");
    let first: Vec<u16> = (0..3).map(|_| sign(&shop, KEY).0).collect();
    assert_eq!(first, [200; 3]);
    // A slow machine may have been given one more meanwhile.
    let then: Vec<(u16, Value)> = (0..20).map(|_| sign(&shop, KEY)).collect();
    assert!(then.contains(&limited()), "{then:?}");
    assert_eq!(sign(&shop, Some("the key of other")).0, 200);
    assert_eq!(shop.running().get("/healthz", None).0, 200);
    wait(&shop, KEY);
    assert_eq!(sign(&shop, KEY).0, 200);
}

#[test]
fn who_guesses_keys_is_not_looked_at_before_it_may_fail_again() {
    let shop = shop("unauthenticated = { per_second = 1, burst = 5 }");
    let failed: Vec<u16> = (0..5).map(|_| sign(&shop, Some("a guess")).0).collect();
    assert_eq!(failed, [401; 5]);
    // Not even a right one: that it is right would be told by its answer.
    let then: Vec<(u16, Value)> = (0..3).map(|_| sign(&shop, Some("a guess"))).collect();
    assert!(then.contains(&limited()), "{then:?}");
    assert_eq!(sign(&shop, KEY), limited());
    wait(&shop, KEY);
    for _ in 0..10 {
        assert_eq!(sign(&shop, KEY).0, 200, "who is somebody is not counted");
    }
}

#[test]
fn reloads_change_the_rates_and_the_figures_count_who_was_told_to_wait() {
    let shop = shop("caller = { per_second = 1, burst = 1 }");
    let text = shop.text();
    let seen: Vec<(u16, Value)> = (0..20).map(|_| sign(&shop, KEY)).collect();
    assert!(seen.contains(&limited()), "{seen:?}");
    shop.write(&text.replace("caller = { per_second = 1, burst = 1 }", "caller = \"off\""));
    shop.service.keyring().reload().unwrap();
    for _ in 0..20 {
        assert_eq!(sign(&shop, KEY).0, 200);
    }
    let figures = shop.running().get("/metrics", KEY).1;
    assert!(figures.contains("outcome=\"rate_limited\",status=\"429\""), "{figures}");
    // By default only who is nobody is bounded.
    shop.write(&text.replace("[service.rate_limits]\ncaller = { per_second = 1, burst = 1 }", ""));
    shop.service.keyring().reload().unwrap();
    let mut failed = Vec::new();
    while failed.last() != Some(&429) {
        failed.push(sign(&shop, None).0);
        assert!(failed.len() < 60_000, "nobody is told to wait");
    }
    assert!(failed.len() > 1_000 && failed.iter().filter(|one| **one != 401).count() == 1);
}

#[test]
fn a_certificate_of_a_caller_is_let_through_where_others_have_to_wait() {
    let home = Home::new(&format!(
        "{BOTH}[service.rate_limits]\nunauthenticated = {{ per_second = 1, burst = 1 }}\n\
         [[callers]]\nname = \"client\"\ncertificate = {{ subject = \"CN=client\" }}\n\
         [[grants]]\ncallers = [\"client\"]\nrights = [\"metrics\"]\n"
    ));
    let served = home.serve();
    let url = format!("https://localhost:{}/metrics", served.port());
    let asked = |more: &[&str]| {
        let common = ["--output", "/dev/null", "--write-out", "%{http_code}", url.as_str()];
        home.curl(&[&common[..], more].concat())
    };
    let guess = ["--header", "authorization: Bearer guess"];
    let guesses: Vec<String> = (0..4).map(|_| asked(&guess)).collect();
    assert!(guesses.contains(&"429".to_owned()), "{guesses:?}");
    let proven = ["--cert", "client.pem", "--key", "client.key"];
    assert_eq!(asked(&proven), "200");
}
