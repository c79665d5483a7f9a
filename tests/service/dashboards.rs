//! Dashboard and alert rules of `deploy/` ask for figures and labels that the service really has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use claviger::key_tools::{self, GenerateOptions};
use claviger::service::Tls;
use serde_json::{Value, json};

use super::shop::{ES256, KEY, SEAL, Shop};

/// What a scrape adds.
const OF_THE_SCRAPE: [&str; 2] = ["instance", "job"];

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The names of series that a service with every kind of figure gives, with their labels.
fn given() -> BTreeMap<String, BTreeSet<String>> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy("keystores/default.p12", folder.path().join("more.p12")).unwrap();
    std::fs::copy("keystores/storepass.txt", folder.path().join("pass")).unwrap();
    let more = "[stores.more]\nkind = \"keystore\"\npath = \"more.p12\"\nstore_password = { file = \"pass\" }\n\n\
                [stores.more.mappings]\n\"am.services.oauth2.oidc.signing.RSA\" = [\"rsa\"]\n\n\
                [service]\nplain_http = true\ncertificate = { chain = \"server.pem\", key = \"server.pem\" }\n\
                [service.audit]\nto = \"audit.log\"\n";
    let options = GenerateOptions {
        alias: "server",
        key_type: "ec",
        bits: None,
        curve: None,
        subject: None,
        days: 30,
        now: UNIX_EPOCH + Duration::from_secs(1_800_000_000),
    };
    let server = key_tools::generate_file("pem", &options).unwrap().content;
    std::fs::write(folder.path().join("server.pem"), server.expose_secret()).unwrap();
    let shop = Shop::in_folder(folder, &["encrypt", "metrics", "sign"], more);
    let config = shop.service.keyring().config();
    shop.service.show_certificate_of(&Tls::new(shop.service.keyring(), &config.service).unwrap());
    let exp = json!({"claims": {"exp": 1_800_000_600}});
    shop.done(ES256, "sign", &exp);
    shop.done(SEAL, "encrypt", &json!({"text": "x", "alg": "A256GCMKW"}));
    let (status, text) = shop.running().get("/metrics", KEY);
    assert_eq!(status, 200, "{text}");
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
        let labels = rest.strip_prefix('{').map_or("", |rest| rest.rsplit_once('}').unwrap().0);
        found.entry(name.to_owned()).or_default().extend(names_before_equals(labels));
    }
    found
}

/// `label` and `alias` of `label="a",alias=~"b"`.
fn names_before_equals(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    // Between quotation marks is a value; before one stand a name and an operator.
    for part in text.split('"').step_by(2) {
        let name = part.trim_matches([',', ' ', '=', '~', '!']);
        if !name.is_empty() {
            names.push(name.to_owned());
        }
    }
    names
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Each series that an expression names, with the labels that it chooses by.
fn series_of(expression: &str) -> Vec<(String, Vec<String>)> {
    let starts = expression.match_indices("claviger_").map(|(at, _)| at);
    let series = starts.map(|at| {
        let (_, rest) = expression.split_at(at);
        let (name, rest) = rest.split_at(rest.find(|c| !is_word(c)).unwrap_or(rest.len()));
        let chosen = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        (name.to_owned(), names_before_equals(chosen.map_or("", |(labels, _)| labels)))
    });
    series.collect()
}

/// The labels that an expression groups or matches by, and those that a text shows.
fn grouped_by(expression: &str) -> Vec<String> {
    let lists = ["by (", "on ("].iter().flat_map(|word| expression.split(word).skip(1));
    let names = lists.flat_map(|rest| rest.split(')').next().unwrap().split(','));
    names.map(|name| name.trim().to_owned()).filter(|name| name != "le").collect()
}

fn shown(text: &str) -> Vec<String> {
    let places = text.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap().trim());
    let names = places.filter_map(|place| {
        let name = place.strip_prefix("$labels.").unwrap_or(place);
        (!name.starts_with('$')).then(|| name.to_owned())
    });
    names.collect()
}

/// Every string of a JSON document that asks for a figure.
fn strings<'v>(value: &'v Value, found: &mut Vec<&'v Value>) {
    match value {
        Value::Object(members) => {
            if members.contains_key("expr") {
                found.push(value);
            }
            members.values().for_each(|one| strings(one, found));
        }
        Value::Array(items) => items.iter().for_each(|one| strings(one, found)),
        _ => {}
    }
}

/// An expression names what is there, and groups by and shows what its series have.
fn check(expression: &str, texts: &[&str], given: &BTreeMap<String, BTreeSet<String>>) {
    let mut has: BTreeSet<&str> = OF_THE_SCRAPE.into();
    let series = series_of(expression);
    assert!(!series.is_empty(), "{expression}");
    for (name, chosen) in &series {
        let labels = given.get(name).unwrap_or_else(|| panic!("no figure {name}: {expression}"));
        has.extend(labels.iter().map(String::as_str));
        for label in chosen {
            let known = labels.contains(label) || OF_THE_SCRAPE.contains(&label.as_str());
            assert!(known, "{name} has no label {label}: {expression}");
        }
    }
    for label in grouped_by(expression).into_iter().chain(texts.iter().flat_map(|text| shown(text)))
    {
        assert!(has.contains(label.as_str()), "no label {label}: {expression} {texts:?}");
    }
}

#[test]
fn the_dashboard_asks_for_what_is_there() {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana-dashboard.json")).unwrap();
    let (given, mut asked) = (given(), Vec::new());
    strings(&dashboard, &mut asked);
    assert!(asked.len() > 15, "{}", asked.len());
    let mut used = BTreeSet::new();
    for one in asked {
        let text = |name: &str| one[name].as_str().unwrap_or_default();
        let expression = text("expr");
        check(expression, &[text("legendFormat"), text("titleFormat")], &given);
        used.extend(series_of(expression).into_iter().map(|(name, _)| name));
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(definition) = variable["definition"].as_str() {
            let (name, label) = definition
                .strip_prefix("label_values(")
                .and_then(|rest| rest.strip_suffix(')')?.split_once(", "))
                .unwrap();
            assert!(given[name].contains(label) || OF_THE_SCRAPE.contains(&label), "{definition}");
        }
    }
    // Nothing that is told is left out of it.
    for name in given.keys() {
        assert!(used.contains(name), "{name} is on no panel");
    }
}

#[test]
fn the_alert_rules_ask_for_what_is_there() {
    let (rules, given) = (read("deploy/prometheus-rules.yaml"), given());
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert!(alerts.len() > 8, "{}", alerts.len());
    for alert in alerts {
        let (expression, rest) =
            alert.split_once("expr:").unwrap().1.split_once("labels: {").unwrap();
        check(expression, &[rest], &given);
    }
}

/// promtool, of Prometheus itself: the rules are well formed, fire when they shall, and are silent otherwise.
#[test]
fn the_alert_rules_fire_when_they_shall() {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join(target);
    let ours = target.join("interop/prometheus/usr/bin/promtool");
    let promtool = if ours.is_file() { ours.as_path() } else { Path::new("promtool") };
    if Command::new(promtool).arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "promtool is missing: sh scripts/setup.sh");
        println!("promtool is not installed: sh scripts/setup.sh installs it");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("rules.yaml", &read("deploy/prometheus-rules.yaml"));
    write("tests.yaml", &read("tests/interop/prometheus_rules.yaml"));
    for arguments in [["check", "rules", "rules.yaml"], ["test", "rules", "tests.yaml"]] {
        let done = Command::new(promtool).args(arguments).current_dir(&folder).output().unwrap();
        let told = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        assert!(done.status.success(), "{told}");
    }
    // Each alert has a test that fires it.
    let tests = read("tests/interop/prometheus_rules.yaml");
    for alert in read("deploy/prometheus-rules.yaml").split("- alert: ").skip(1) {
        let name = alert.lines().next().unwrap();
        let fires = format!("labels: '{{alertname=\"{name}\"}}', value: 1");
        assert!(tests.contains(&fires), "{name}");
    }
}
