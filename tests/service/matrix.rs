//! Every route, every right, every kind of caller: who is let in, and what the others learn.

use std::collections::BTreeSet;

use claviger::access::{Right, Scope};
use claviger::clock::Clock;
use claviger::service::{RouteFacts, route_table};

use super::credentials::api_key;
use super::door::{Client, Door};

/// Mapped, not mapped though of the catalogue, and no label at all.
const LABEL: &str = "am.services.oauth2.oidc.signing.ES256";
const OTHER: &str = "am.services.oauth2.oidc.signing.ES384";
const UNMAPPED: &str = "am.services.oauth2.oidc.signing.ES512";
const UNKNOWN: &str = "no.such.label";
const REALM: &str = "alpha";

/// What everybody may ask for: a new route without a right is named here, or the test fails.
const FOR_EVERYBODY: &[&str] = &["GET /", "GET /healthz", "GET /openapi.json", "GET /readyz"];
/// Lists over labels: who has the right to any label gets those that it may read.
const LISTS: [&str; 2] = ["/v1/history/verify", "/v1/labels"];

/// The callers of one right: it alone, all but it, and it at other places.
fn callers(right: Right) -> [(String, Vec<Right>, &'static str, &'static str); 4] {
    let others = Right::ALL.iter().copied().filter(|one| *one != right).collect();
    [
        (format!("only-{right}"), vec![right], LABEL, REALM),
        (format!("others-{right}"), others, "*", "*"),
        (format!("realm-{right}"), vec![right], "*", "beta"),
        (format!("label-{right}"), vec![right], OTHER, "*"),
    ]
}

/// The form of a grant: labels and realms are named where one of its rights asks for them.
fn grant(name: &str, rights: &[Right], labels: &str, realms: &str) -> String {
    let has = |scopes: &[Scope]| rights.iter().any(|one| scopes.contains(&one.scope()));
    let names: Vec<String> = rights.iter().map(|right| format!("'{right}'")).collect();
    let mut text = format!("[[grants]]\ncallers = ['{name}']\nrights = [{}]\n", names.join(", "));
    if has(&[Scope::Label]) {
        text += &format!("labels = ['{labels}']\n");
    }
    if has(&[Scope::Label, Scope::Realm]) {
        text += &format!("realms = ['{realms}']\n");
    }
    text
}

fn key_of(name: &str) -> String {
    format!("the key of {name}")
}

fn configuration() -> String {
    let all = Right::ALL.iter().flat_map(|right| callers(*right));
    let one = |(name, rights, labels, realms): (String, Vec<Right>, &str, &str)| {
        let credential = api_key(&key_of(&name));
        let grant = grant(&name, &rights, labels, realms);
        format!("[[callers]]\nname = '{name}'\n{credential}\n{grant}")
    };
    let without = format!("[[callers]]\nname = 'nothing'\n{}\n", api_key(&key_of("nothing")));
    all.map(one).collect::<String>() + &without
}

/// A route with something in the place of each variable part.
fn path(route: &RouteFacts, label: &str, realm: &str) -> String {
    let parts = route.path.split('/').map(|part| match part {
        "{label}" => label,
        part if part.starts_with('{') => "x",
        part => part,
    });
    format!("{}?realm={realm}", parts.collect::<Vec<_>>().join("/"))
}

/// What a right is about is in the path of its routes, and nothing of it where it is not asked for.
#[test]
fn the_table_names_labels_where_rights_are_to_labels() {
    let table = route_table();
    let mut seen = BTreeSet::new();
    for route in &table {
        assert!(seen.insert((&route.method, &route.path)), "{route:?} is there twice");
        match route.right {
            None => {
                let name = format!("{} {}", route.method, route.path);
                assert!(FOR_EVERYBODY.contains(&name.as_str()), "{name} is for everybody");
            }
            Some(right) if right.scope() == Scope::Label => {
                let is_list = LISTS.contains(&route.path.as_str());
                assert!(route.path.contains("/{label}") || is_list, "{route:?}");
            }
            Some(_) => {}
        }
    }
    assert!(table.len() >= 10, "{}", table.len());
}

#[test]
fn no_caller_reaches_anything_without_exactly_its_grant() {
    let door = Door::new(&configuration(), Clock::system());
    let client = door.client(None);
    let table: Vec<(RouteFacts, Right)> =
        route_table().into_iter().filter_map(|one| one.right.map(|right| (one, right))).collect();
    let mut requests = 0;
    for (route, right) in &table {
        let mut ask = |label: &str, realm: &str, name: Option<&str>| {
            requests += 1;
            client.send(&route.method, &path(route, label, realm), name.map(key_of).as_deref())
        };
        let of_one_label = right.scope() == Scope::Label && !LISTS.contains(&route.path.as_str());
        // Who is nobody is told one thing, whatever is there.
        let nobody = ask(LABEL, REALM, None);
        assert_eq!(nobody.0, 401, "{route:?}");
        for label in [UNMAPPED, UNKNOWN, "a..b"] {
            assert_eq!(ask(label, REALM, None), nobody, "{route:?} {label}");
        }
        assert_eq!(ask(LABEL, "a//b", None), nobody, "{route:?}");
        assert_eq!(ask(LABEL, REALM, Some("not-a-caller")), nobody, "{route:?}");
        // Who is somebody else learns as little.
        let refused = ask(LABEL, REALM, Some("nothing"));
        assert_eq!(refused.0, 403, "{route:?}");
        for other in Right::ALL.iter().filter(|other| *other != right) {
            let name = format!("only-{other}");
            assert_eq!(ask(LABEL, REALM, Some(&name)), refused, "{route:?} {name}");
        }
        let others = format!("others-{right}");
        for label in [LABEL, UNMAPPED, UNKNOWN] {
            assert_eq!(ask(label, REALM, Some(&others)), refused, "{route:?} {label}");
        }
        for (name, counts) in [
            (format!("realm-{right}"), right.scope() != Scope::Service),
            (format!("label-{right}"), of_one_label),
        ] {
            if counts {
                assert_eq!(ask(LABEL, REALM, Some(&name)), refused, "{route:?} {name}");
            }
        }
        // The right one is let in, there and nowhere else.
        let only = format!("only-{right}");
        let (status, answer) = ask(LABEL, REALM, Some(&only));
        assert!(![401, 403].contains(&status), "{route:?}: {answer}");
        if of_one_label {
            for label in [OTHER, UNMAPPED, UNKNOWN] {
                assert_eq!(ask(label, REALM, Some(&only)), refused, "{route:?} {label}");
            }
        }
        if right.scope() != Scope::Service {
            for realm in ["beta", "alpha.x", "alph", "Alpha"] {
                assert_eq!(ask(LABEL, realm, Some(&only)), refused, "{route:?} {realm}");
            }
        }
    }
    println!("matrix: {} routes, {requests} requests", table.len());
}

#[test]
fn other_methods_open_no_way_around() {
    let door = Door::new(&configuration(), Clock::system());
    let client = door.client(None);
    for route in route_table().iter().filter(|route| route.right.is_some()) {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            check_method(&client, route, method);
        }
    }
}

/// A method without a route of its own does nothing: only `HEAD` stands for `GET`, with the same right.
fn check_method(client: &Client, route: &RouteFacts, method: &str) {
    let same = route_table().into_iter().filter(|one| one.path == route.path);
    let mut methods: BTreeSet<String> = same.map(|one| one.method).collect();
    if methods.contains("GET") {
        methods.insert("HEAD".to_owned());
    }
    let (status, _) = client.send(method, &path(route, LABEL, REALM), Some(&key_of("nothing")));
    let expected = if methods.contains(method) { 403 } else { 405 };
    assert_eq!(status, expected, "{method} {}", route.path);
}
