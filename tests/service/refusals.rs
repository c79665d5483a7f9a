//! Requests that are refused before their body came: the connection goes on, or says that it ends.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;

use claviger::access::{Access, Right};
use serde_json::{Value, json};

use super::process::{Home, PLAIN, Served};
use super::running::Running;
use super::shop::{ES256, KEY, Shop};

/// The head of an answer, and its body.
fn answer(stream: &mut BufReader<TcpStream>) -> (String, Vec<u8>) {
    let lines = stream.by_ref().lines().map_while(Result::ok);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let length = head.iter().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).unwrap();
    (head.join("\n"), body)
}

#[test]
fn a_short_body_that_comes_late_costs_no_connection() {
    let running = Running::new(Access::default());
    let mut stream = BufReader::new(TcpStream::connect(running.address).unwrap());
    for _ in 0..20 {
        let head = "POST /v1/labels/a/sign HTTP/1.1\r\nhost: x\r\ncontent-length: 12\r\n\r\n";
        stream.get_mut().write_all(head.as_bytes()).unwrap();
        // The refusal needs nothing of it, and may be there before it.
        std::thread::yield_now();
        stream.get_mut().write_all(b"{\"claims\":1}").unwrap();
        let (head, _) = answer(&mut stream);
        assert!(head.starts_with("HTTP/1.1 401"), "{head}");
        assert!(!head.contains("connection: close"), "{head}");
    }
}

#[test]
fn a_body_that_is_long_or_waits_is_not_waited_for_and_the_connection_says_so() {
    let running = Running::new(Access::default());
    for more in ["content-length: 1000000", "content-length: 12\r\nexpect: 100-continue"] {
        let mut stream = BufReader::new(TcpStream::connect(running.address).unwrap());
        let head = format!("POST /v1/labels/a/sign HTTP/1.1\r\nhost: x\r\n{more}\r\n\r\n");
        stream.get_mut().write_all(head.as_bytes()).unwrap();
        let (head, _) = answer(&mut stream);
        assert!(head.starts_with("HTTP/1.1 401") && head.contains("connection: close"), "{head}");
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
}

/// Asked for and then refused in its midst, it would still be on its way, and its sender be cut off.
#[test]
fn a_body_that_says_that_it_is_too_large_is_not_asked_for() {
    let shop = Shop::new(&["sign"]);
    for more in ["", "expect: 100-continue\r\n"] {
        let mut stream = BufReader::new(TcpStream::connect(shop.running().address).unwrap());
        let head = format!(
            "POST /v1/labels/{ES256}/sign HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n{more}\
             content-length: 1048577\r\n\r\n",
            KEY.unwrap()
        );
        stream.get_mut().write_all(head.as_bytes()).unwrap();
        let (head, body) = answer(&mut stream);
        assert!(head.starts_with("HTTP/1.1 413") && head.contains("connection: close"), "{head}");
        assert!(String::from_utf8(body).unwrap().contains("max_body_bytes"), "{head}");
    }
}

/// Most clients read no answer before their body is sent: cut off in its midst they would never know why.
#[test]
fn the_refusal_of_a_large_body_is_read_by_who_sends_it_all() {
    let home = Home::new(PLAIN);
    std::fs::write(home.path("large.json"), vec![b'x'; 5_000_000]).unwrap();
    let served = home.serve();
    for (label, status, told) in [(ES256, 413, "max_body_bytes"), ("a..b", 400, "no label")] {
        let path = format!("/v1/labels/{label}/sign");
        for _ in 0..10 {
            let url = format!("http://{}{path}", served.address());
            // Of a stream that is reset curl shows nothing.
            let shown = home.curl(&["--http2-prior-knowledge", "--json", "@large.json", &url]);
            assert!(shown.contains(told), "{shown:?}");
            let mut stream = BufReader::new(served.connect());
            let head =
                format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 5000000\r\n\r\n");
            stream.get_mut().write_all(head.as_bytes()).unwrap();
            stream.get_mut().write_all(&vec![b'x'; 5_000_000]).unwrap();
            let (head, body) = answer(&mut stream);
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            assert!(String::from_utf8(body).unwrap().contains(told), "{head}");
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        }
    }
}

#[test]
fn a_body_in_a_coding_is_refused_with_the_one_that_is_read() {
    let shop = Shop::new(&["sign"]);
    let ask = |more: &str, key: &str| {
        let mut stream = BufReader::new(TcpStream::connect(shop.running().address).unwrap());
        let (body, length) = if more.contains("transfer-encoding") {
            ("d\r\n{\"claims\":{}}\r\n0\r\n\r\n", String::new())
        } else {
            ("{\"claims\":{}}", "content-length: 13\r\n".to_owned())
        };
        let head =
            format!("POST /v1/labels/{ES256}/sign HTTP/1.1\r\nhost: x\r\n{length}{more}\r\n");
        let proof = format!("authorization: Bearer {key}\r\n\r\n{body}");
        stream.get_mut().write_all((head + &proof).as_bytes()).unwrap();
        let (head, body) = answer(&mut stream);
        (head, serde_json::from_slice::<Value>(&body).unwrap())
    };
    let key = KEY.unwrap();
    for plain in [
        "x: y",
        "content-encoding: identity",
        "content-encoding: Identity,",
        "transfer-encoding: Chunked",
    ] {
        let (head, body) = ask(plain, key);
        assert!(head.starts_with("HTTP/1.1 200"), "{plain}: {head} {body}");
    }
    for coded in [
        "content-encoding: gzip",
        "content-encoding: x",
        "content-encoding: identity, br",
        "content-encoding: identity\r\ncontent-encoding: gzip",
    ] {
        let (head, problem) = ask(coded, key);
        assert!(head.starts_with("HTTP/1.1 415"), "{coded}: {head}");
        // RFC 9110 §12.5.3
        assert!(head.contains("\naccept-encoding: identity"), "{coded}: {head}");
        assert_eq!(problem["code"], "unsupported_encoding", "{problem}");
        // Who is nobody is told nothing of it.
        assert!(ask(coded, "guess").0.starts_with("HTTP/1.1 401"));
    }
    // RFC 9112 §6.1
    for coded in [
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked",
    ] {
        let (head, problem) = ask(coded, key);
        assert!(head.starts_with("HTTP/1.1 501"), "{coded}: {head}");
        assert_eq!(problem["code"], "unsupported_encoding", "{problem}");
    }
}

#[test]
fn a_challenge_tells_a_wrong_credential_from_none() {
    let running = Running::new(Access::default());
    let challenge = |key| running.fetch("/metrics", key, &[]).header("www-authenticate").to_owned();
    assert_eq!(challenge(None), r#"Bearer realm="claviger""#);
    assert_eq!(challenge(Some("guess")), r#"Bearer realm="claviger", error="invalid_token""#);
}

#[test]
fn a_parameter_that_the_path_has_not_is_refused_and_no_other_realm_answers() {
    let shop = Shop::new(&["sign", "read"]);
    let ask = |query: &str, key| {
        shop.running().post(&format!("/v1/labels/{ES256}/sign{query}"), key, &json!({"claims": {}}))
    };
    assert_eq!(ask("?realm=alpha", KEY).0, 200);
    for query in
        ["?relm=alpha", "?Realm=alpha", "?realm=alpha&since=2027-01-15T08:00:00Z", "?=", "?%ff"]
    {
        let (status, problem) = ask(query, KEY);
        assert_eq!((status, &problem["code"]), (400, &json!("malformed")), "{query}: {problem}");
        // Who is nobody is told nothing of it.
        assert_eq!(ask(query, None).0, 401, "{query}");
    }
    let history = format!("/v1/labels/{ES256}/history?since=2027-01-15T08:00:00Z");
    assert_eq!(shop.running().get(&history, KEY).0, 200);
}

#[test]
fn claims_that_name_a_member_twice_are_refused_by_every_profile() {
    let rights = ["sign", "session-seal", "token-issue", "oidc-issue"];
    let shop = Shop::new(&rights);
    let client = r#""issuer":"https://op.example","client":{"client_id":"a"},"#;
    let oidc =
        ["id-token", "access-token", "refresh-token", "logout-token", "request-object", "userinfo"]
            .map(|kind| (format!("/v1/oidc/{kind}/issue"), client));
    let others = ["/v1/sessions/seal", "/v1/tokens/authid/seal"].map(|path| (path.to_owned(), ""));
    let sign = [(format!("/v1/labels/{ES256}/sign"), "")];
    for (path, before) in oidc.into_iter().chain(others).chain(sign) {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(110), "}".repeat(110));
        for (claims, why) in [
            (r#"{"sub":"a","sub":"b"}"#, "a member occurs twice at line 1, column 21"),
            (r#"{"sub":"a","x":[{"y":1,"\u0079":2}]}"#, "a member occurs twice"),
            (r#"{"sub":"a","n":1e999}"#, "a number is too large"),
            (&deep, "nest"),
            ("[]", "object"),
        ] {
            if claims == deep && path.ends_with("/sign") {
                continue;
            }
            let body = format!("{{{before}\"claims\":{claims}}}");
            let (status, problem) = shop.running().post_text(&path, KEY, &body);
            let detail = problem["detail"].as_str().unwrap();
            assert_eq!((status, &problem["code"]), (400, &json!("malformed")), "{path}: {problem}");
            assert!(detail.contains("\"claims\"") && detail.contains(why), "{path}: {problem}");
        }
    }
}

/// A list would be read by the order of the members in the source, which no document tells.
#[test]
fn a_body_and_whatever_it_holds_is_an_object_on_every_route() {
    let rights: Vec<String> = Right::ALL.iter().map(ToString::to_string).collect();
    let rights: Vec<&str> = rights.iter().map(String::as_str).collect();
    let shop = Shop::new(&rights);
    let document = shop.running().get("/openapi.json", None).1;
    let document: Value = serde_json::from_str(&document).unwrap();
    let (mut asked, mut nested) = (0, 0);
    for (path, methods) in document["paths"].as_object().unwrap() {
        let body = &methods["post"]["requestBody"]["content"]["application/json"]["schema"];
        if body.is_null() {
            continue;
        }
        let path = path.replace("{label}", ES256).replace("{profile}", "authid");
        for body in ["[]", r#"["a",null,null,true]"#, "null", r#""a""#, "1"] {
            let (status, problem) = shop.running().post_text(&path, KEY, body);
            let told = (status, &problem["code"]);
            assert_eq!(told, (400, &json!("malformed")), "{path} {body}: {problem}");
        }
        for body in with_lists(&document, body) {
            let (_, answer) = shop.running().post_text(&path, KEY, &body.to_string());
            let problem = answer["results"].get(0).map_or(&answer, |result| &result["problem"]);
            let detail = problem["detail"].as_str().unwrap_or_default();
            assert!(detail.ends_with(": expected an object"), "{path} {body}: {answer}");
            nested += 1;
        }
        asked += 1;
    }
    // Of each route its body, and of some what stands in it.
    assert!(asked > 40 && nested > asked + 8, "{asked} {nested}");
    let path = format!("/v1/labels/{ES256}/sign/batch");
    let items = r#"{"items":[[null,null,"x"],[],{"text":"x"}]}"#;
    let (status, answer) = shop.running().post_text(&path, KEY, items);
    let results = answer["results"].as_array().unwrap();
    assert_eq!((status, results.len()), (200, 3), "{answer}");
    for refused in &results[..2] {
        assert_eq!(refused["problem"]["code"], json!("malformed"), "{answer}");
    }
    assert!(results[2]["token"].is_string(), "{answer}");
}

/// Whoever reads the problem may know no more than JSON.
#[test]
fn a_body_of_another_form_is_told_of_in_words_of_json() {
    let rights: Vec<String> = Right::ALL.iter().map(ToString::to_string).collect();
    let rights: Vec<&str> = rights.iter().map(String::as_str).collect();
    let shop = Shop::new(&rights);
    let document = shop.running().get("/openapi.json", None).1;
    let document: Value = serde_json::from_str(&document).unwrap();
    let wrong = [json!(-1), json!(1.5), json!(true), json!("x"), json!([7]), json!({"x": null})];
    let mut told = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let body = &methods["post"]["requestBody"]["content"]["application/json"]["schema"];
        let name = body["$ref"].as_str().unwrap_or_default();
        let body = document.pointer(name.trim_start_matches('#')).unwrap();
        let path = path.replace("{label}", ES256).replace("{profile}", "authid");
        for (name, wrong) in body["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .flat_map(|(name, _)| wrong.iter().map(move |wrong| (name, wrong)))
        {
            let body = json!({ name.as_str(): wrong });
            let (_, answer) = shop.running().post(&path, KEY, &body);
            let detail = answer["detail"].as_str().unwrap_or_default();
            if answer["code"] == json!("malformed") && !detail.ends_with(" is missing") {
                let form = detail.rsplit_once(": expected ").map(|(_, form)| form);
                told.insert(form.unwrap_or(detail).to_owned());
            }
        }
    }
    let (names, told): (BTreeSet<_>, BTreeSet<_>) =
        told.into_iter().partition(|form| form.contains('"') && !form.starts_with("the body"));
    let forms = [
        "a boolean",
        "a list",
        "a string",
        "a string or an object",
        "a whole number from 0 to 18446744073709551615",
        "a whole number from 0 to 4294967295",
        "an object",
    ];
    assert_eq!(told, forms.map(str::to_owned).into());
    assert!(names.len() > 5, "{names:?}");
}

/// Values of a schema that each hold a list where one object with members of known names belongs.
fn with_lists(document: &Value, schema: &Value) -> Vec<Value> {
    if let Some(name) = schema["$ref"].as_str() {
        return with_lists(document, document.pointer(name.trim_start_matches('#')).unwrap());
    }
    let mut values = Vec::new();
    for one in schema["anyOf"].as_array().into_iter().flatten() {
        values.extend(with_lists(document, one));
    }
    if schema["items"].is_object() {
        values.extend(with_lists(document, &schema["items"]).into_iter().map(|item| json!([item])));
    }
    if schema["additionalProperties"] == json!(false) || schema["properties"].is_object() {
        values.push(json!([]));
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let inner = with_lists(document, member).into_iter();
        values.extend(inner.map(|value| json!({ name.as_str(): value })));
    }
    values
}

/// A browser shows its certificate, and the machine where it runs, for a page of any site.
#[test]
fn a_web_page_is_let_in_by_a_bearer_alone() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::starter(folder.path());
    let curl = |arguments: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--max-time", "60", "--write-out", "%{http_code} "]);
        let done = command.args(arguments).current_dir(folder.path()).output().unwrap();
        String::from_utf8(done.stdout).unwrap()
    };
    let tls = ["--cacert", "tls/ca.pem", "--cert", "tls/admin.pem", "--key", "tls/admin.key"];
    let of_page =
        ["--header", "origin: https://evil.example", "--header", "content-type: text/plain"];
    let url = |path: &str| format!("https://localhost:{}{path}", served.port());
    let promote = url(&format!("/v1/labels/{ES256}/promote"));
    let step =
        ["--data", r#"{"alias":"es256-2","dry_run":true}"#, "--output", "/dev/null", &promote];
    // Over one connection, which remembers what it was let in for.
    let ours = [&tls[..], &step].concat();
    let theirs = [&tls[..], &of_page, &step].concat();
    let next = ["--next", "--silent", "--write-out", "%{http_code} "];
    let told = curl(&[&ours[..], &next, &theirs, &next, &ours, &next, &theirs].concat());
    assert_eq!(told, "200 403 200 403 ");
    let status = url("/v1/status");
    let read = [&tls[..], &of_page, &["--output", "/dev/null", &status]].concat();
    assert_eq!(curl(&read), "200 ");
    let nobody = ["--cacert", "tls/ca.pem", "--output", "/dev/null", "--data", "{}", &promote];
    assert_eq!(curl(&[&of_page[..], &nobody].concat()), "401 ");

    let home = Home::new(PLAIN);
    let served = home.serve();
    let sign = format!("http://{}/v1/labels/{ES256}/sign", served.address());
    let body = ["--data", r#"{"text":"x"}"#, &sign];
    assert!(curl(&body).contains("200 "), "anybody may sign");
    let told = curl(&[&of_page[..], &body].concat());
    assert!(told.contains("a web page") && told.ends_with("403 "), "{told}");

    let shop = Shop::new(&["sign"]);
    let path = format!("/v1/labels/{ES256}/sign");
    let headers = [("origin", "https://ops.example")];
    assert_eq!(shop.running().post_with(&path, KEY, &headers, r#"{"text":"x"}"#).0, 200);
}

/// What a caller hopes to reach by it, a realm of the service, say, is not reached.
#[test]
fn a_parameter_that_a_route_has_not_is_refused() {
    let shop = Shop::new(&["metrics", "reload", "read", "keys"]);
    let running = shop.running();
    for (path, has) in [
        ("/metrics?realm=alpha", "it has none"),
        ("/v1/status?realm=alpha", "it has none"),
        ("/v1/status?since=x", "it has none"),
        ("/v1/labels?since=x", "it has: realm"),
        ("/v1/history/verify?since=x", "it has: realm, head"),
    ] {
        let (status, text) = running.get(path, KEY);
        assert!(status == 400 && text.contains(has), "{path}: {text}");
    }
    let (status, answer) = running.post("/v1/reload?realm=alpha", KEY, &json!({}));
    assert_eq!((status, &answer["code"]), (400, &json!("malformed")), "{answer}");
}

#[test]
fn whoever_asks_by_a_method_that_a_path_has_not_is_told_all_that_it_has() {
    let running = Running::new(Access::default());
    for (path, allow) in [("/healthz", "GET, HEAD"), ("/v1/reload", "POST")] {
        let mut stream = BufReader::new(TcpStream::connect(running.address).unwrap());
        let head = format!("OPTIONS {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.get_mut().write_all(head.as_bytes()).unwrap();
        let (head, _) = answer(&mut stream);
        assert!(head.starts_with("HTTP/1.1 405"), "{head}");
        assert!(head.contains(&format!("\nallow: {allow}\n")), "{head}");
    }
}
