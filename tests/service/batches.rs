//! Batches: order, problems of single items, bounds.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::access::Right;
use claviger::jose::jwe::{self, EncryptOptions};
use serde_json::{Value, json};

use super::running::{Running, granting};
use super::shop::Shop;

const LABEL: &str = "/v1/labels/am.services.oauth2.jwt.authenticity.signing";
const KEY: Option<&str> = Some("the key of portal");

#[test]
fn each_item_has_its_result_in_its_place() {
    let running = Running::new(granting(&[Right::Sign, Right::Verify]));
    let items: Vec<Value> = (0..100).map(|n| json!({"claims": {"n": n}})).collect();
    let (status, signed) =
        running.post(&format!("{LABEL}/sign/batch"), KEY, &json!({ "items": items }));
    assert_eq!(status, 200, "{signed}");
    let tokens = |signed: &Value| -> Vec<Value> {
        let results = signed["results"].as_array().unwrap();
        results.iter().map(|one| json!({"token": one["token"]})).collect()
    };
    let mut tokens = tokens(&signed);
    assert_eq!(tokens.len(), 100);
    tokens[7] = json!({"token": "a.b.c"});
    // A form that is wrong, and one that only JSON can be.
    tokens[8] = json!({"tokens": 1});
    tokens[9] = json!([]);
    let (status, verified) =
        running.post(&format!("{LABEL}/verify/batch"), KEY, &json!({ "items": tokens }));
    assert_eq!(status, 200, "{verified}");
    for (at, result) in verified["results"].as_array().unwrap().iter().enumerate() {
        match at {
            7 => assert_eq!(result["problem"]["code"], json!("not_verified"), "{result}"),
            8 | 9 => assert_eq!(result["problem"]["code"], json!("malformed"), "{result}"),
            _ => assert_eq!(result["claims"], json!({"n": at}), "{result}"),
        }
    }
}

/// Claims alone are read without a parser: whatever they are, they are signed as they stand, as beside other members.
#[test]
fn claims_alone_are_signed_as_others_are() {
    let running = Running::new(granting(&[Right::Sign, Right::Verify]));
    let claims = [
        r#"{"sub":"alice","exp":4102444800,"aud":["a","b"]}"#,
        r#"{ "sub" : "é" , "n" : -1 }"#,
        r#"{"a":{"b":{}}}"#,
        r#"{"a":"}"}"#,
        r#"{"a":"b"}"#,
        "{}",
        r#"{"a":1,"a":2}"#,
        r#"{"a":"b}"#,
        r#"{"a":01}"#,
        r#"["a"]"#,
    ];
    let payload = |made: &Value| {
        let payload = made["token"].as_str()?.split('.').nth(1)?.to_owned();
        String::from_utf8(URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    };
    let sign = |body: &str| running.post_text(&format!("{LABEL}/sign"), KEY, body);
    for text in claims {
        let (status, alone) = sign(&format!(r#"{{"claims":{text}}}"#));
        assert!(status == 400 || payload(&alone).as_deref() == Some(text), "{text}: {alone}");
        for spelled in
            [format!(r#"{{ "claims":{text}}}"#), format!(r#"{{"claims":{text},"detached":false}}"#)]
        {
            let (again, other) = sign(&spelled);
            assert_eq!((again, payload(&other)), (status, payload(&alone)), "{text}");
            assert_eq!(other["code"], alone["code"], "{text}");
        }
    }
    // Those that can be read at all stand in one list.
    let sound = claims.get(..7).unwrap();
    let list = |spaces: &str| {
        let items: Vec<_> =
            sound.iter().map(|text| format!(r#"{{{spaces}"claims":{text}}}"#)).collect();
        let body = format!(r#"{{"items":[{}]}}"#, items.join(","));
        let (status, answer) = running.post_text(&format!("{LABEL}/sign/batch"), KEY, &body);
        let results = answer["results"].as_array().unwrap();
        (status, results.iter().map(payload).collect::<Vec<_>>())
    };
    let (status, payloads) = list("");
    assert_eq!((status, payloads.len(), &payloads[6]), (200, 7, &None));
    assert_eq!((status, payloads), list(" "));
}

/// Tokens alone are read without a parser: whatever they are, they are answered as they are beside other members.
#[test]
fn tokens_alone_are_answered_as_others_are() {
    let running = Running::new(granting(&[Right::Sign, Right::Verify]));
    let (_, made) = running.post(&format!("{LABEL}/sign"), KEY, &json!({"claims": {"a": ["b"]}}));
    let (_, bytes) = running.post(&format!("{LABEL}/sign"), KEY, &json!({"text": "no claims"}));
    let good = made["token"].as_str().unwrap();
    let other = bytes["token"].as_str().unwrap();
    let tokens = [
        good,
        other,
        "",
        "a",
        "a.b.c",
        "é",
        "\\u0061",
        "{}",
        "]}",
        good.get(1..).unwrap(),
        &format!("{good} "),
    ];
    let verify = |body: &str| running.post_text(&format!("{LABEL}/verify"), KEY, body);
    for token in tokens {
        let (status, answer) = verify(&format!(r#"{{"token":"{token}"}}"#));
        assert_eq!(status == 200, token == good, "{token}: {answer}");
        for spelled in [
            format!(r#"{{ "token": "{token}" }}"#),
            format!(r#"{{"token":"{token}","as":"claims"}}"#),
        ] {
            assert_eq!(verify(&spelled), (status, answer.clone()), "{token}");
        }
    }
    let list = |spaces: &str| {
        let items = tokens.map(|token| format!(r#"{{{spaces}"token":"{token}"}}"#)).join(",");
        let body = format!(r#"{{"items":[{items}]}}"#);
        running.post_text(&format!("{LABEL}/verify/batch"), KEY, &body)
    };
    let (status, results) = list("");
    assert_eq!((status, results["results"].as_array().unwrap().len()), (200, tokens.len()));
    assert_eq!((status, results), list(" "));
    let broken = verify("{\"token\":\"a\nb\"}");
    assert_eq!((broken.0, &broken.1["code"]), (400, &json!("malformed")));
    for (count, status) in [(1_000, 200), (1_001, 413)] {
        let items: Vec<Value> = (0..count).map(|_| json!({"token": "a"})).collect();
        let body = json!({ "items": items });
        assert_eq!(running.post(&format!("{LABEL}/verify/batch"), KEY, &body).0, status);
    }
}

#[test]
fn a_batch_is_a_list_and_bounded() {
    let running = Running::new(granting(&[Right::Sign]));
    let many: Vec<Value> = (0..1_001).map(|_| json!({"text": ""})).collect();
    let path = format!("{LABEL}/sign/batch");
    for (body, status, code) in [
        (json!({}), 400, "malformed"),
        (json!({"items": {}}), 400, "malformed"),
        (json!({"items": [], "more": 1}), 400, "malformed"),
        (json!([]), 400, "malformed"),
        (json!({ "items": many }), 413, "limit_exceeded"),
        // Whatever is in them.
        (json!({ "items": vec![0; 1_001] }), 413, "limit_exceeded"),
    ] {
        let (got, problem) = running.post(&path, KEY, &body);
        assert_eq!((got, &problem["code"]), (status, &json!(code)), "{problem}");
    }
    for text in
        [r#"{"items":[{"text":"a"},{"text":]}"#, r#"{"items":[]} x"#, r#"{"items":[],"items":[]}"#]
    {
        let (got, problem) = running.post_text(&path, KEY, text);
        assert_eq!((got, &problem["code"]), (400, &json!("malformed")), "{problem}");
    }
    let (status, answer) = running.post(&path, KEY, &json!({ "items": [] }));
    assert_eq!((status, answer), (200, json!({ "results": [] })));
    let at_the_bound = json!({ "items": many[..1_000] });
    let (status, answer) = running.post(&path, KEY, &at_the_bound);
    assert_eq!((status, answer["results"].as_array().unwrap().len()), (200, 1_000));
}

#[test]
fn a_batch_needs_the_right_of_its_operation() {
    let running = Running::new(granting(&[Right::Sign]));
    let body = json!({ "items": [] });
    for (what, expected) in [("sign", 200), ("verify", 403), ("encrypt", 403), ("rewrap", 403)] {
        let (status, answer) = running.post(&format!("{LABEL}/{what}/batch"), KEY, &body);
        assert_eq!(status, expected, "{answer}");
    }
}

/// A token of some hundred bytes may hold 256,000, and a batch has room for thousands.
#[test]
fn an_answer_does_not_grow_without_end_from_compressed_tokens() {
    let more = "[stores.zipped]\nkind = \"keystore\"\npath = \"keys.jwks\"\nintegrity = \"none\"\n\
                [stores.zipped.mappings]\n\"app.zipped\" = [\"t\"]\n\
                [labels.\"app.zipped\"]\nuse = \"encrypt\"\nalgorithms = [\"A256GCMKW\", \"A256GCM\"]\nzip = true\n\
                [service]\nplain_http = true\nmax_body_bytes = 65536\n";
    let shop = Shop::with(&["decrypt"], more);
    let keys = shop.service.keyring().label("app.zipped").unwrap().keys().unwrap();
    let options = EncryptOptions { zip: true, ..EncryptOptions::default() };
    let token = jwe::encrypt(&keys, &[b'a'; 200_000], &options).unwrap();
    assert!(token.len() < 1_000);
    for more in [json!({}), json!({"header": true})] {
        let mut item = json!({"token": token, "as": "text"});
        item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let items = vec![item; 50];
        let results = shop.done("app.zipped", "decrypt/batch", &json!({ "items": items }));
        let results = results["results"].as_array().unwrap();
        let done = results.iter().take_while(|one| one["text"].is_string()).count();
        assert_eq!((results.len(), done), (50, 6));
        for refused in results.iter().skip(done) {
            assert_eq!(refused["problem"]["code"], json!("limit_exceeded"), "{refused}");
        }
    }
}
