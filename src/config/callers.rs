//! `[[callers]]`: a name each, and the one credential that proves it.

use std::collections::{BTreeMap, HashSet};

use crate::access::{
    Caller, CertificateName, Credential, DistinguishedName, KeySetUrl, TokenKeys, TokenRule,
};
use crate::alg::{ALGORITHMS, Algorithm, Family, Operation, Status};
use crate::catalogue;
use crate::config::reader::{Source, Table, Value, parse_name, wrong_type};
use crate::config::values::algorithms;
use crate::config::{LabelSettings, Placed};
use crate::label::{CallerName, LabelName, Realm};

/// What the file says of callers.
pub(super) struct Callers {
    /// Every name that is well formed, whatever else is wrong with its caller.
    pub(super) names: Vec<Placed<CallerName>>,
    /// Those without a mistake.
    pub(super) callers: Vec<Placed<Caller>>,
}

type Labels = BTreeMap<LabelName, Placed<LabelSettings>>;

pub(super) fn read(source: &Source<'_>, items: Vec<Value<'_>>, labels: &Labels) -> Callers {
    let mut found = Callers { names: Vec::new(), callers: Vec::new() };
    let mut seen = HashSet::new();
    for item in items {
        let Some(map) = item.get_ref().as_table() else {
            wrong_type(source, item, "a caller", "a table");
            continue;
        };
        let table = Table::new(source, map, "[[callers]]", item.span());
        let name = read_name(source, &table);
        let credential = credential(source, &table, labels);
        table.finish();
        let Some(name) = name else { continue };
        if !seen.insert(name.value.clone()) {
            let text = format!("caller \"{}\" is there twice", name.value);
            let help = "give each a name of its own: one credential proves one caller";
            source.error_with("repeated_caller", text, help, name.location.span.clone());
            continue;
        }
        found.names.push(name.clone());
        let Some(credential) = credential else { continue };
        let mut others = found.callers.iter();
        let other = others.find(|one| one.value.credential.same_as(&credential.value));
        if let Some(other) = other {
            let other = &other.value.name;
            let text = format!("caller \"{}\" has the credential of \"{other}\"", name.value);
            let help = "who calls must be clear: keep one of the two";
            source.error_with("shared_credential", text, help, credential.location.span);
            continue;
        }
        let caller = Caller { name: name.value, credential: credential.value };
        found.callers.push(Placed { value: caller, location: name.location });
    }
    found
}

fn read_name(source: &Source<'_>, table: &Table<'_>) -> Option<Placed<CallerName>> {
    let text = table.required_filled("name", "\"portal\"")?;
    parse_name(source, &text, "bad_caller_name")
}

const CREDENTIALS: [&str; 4] = ["certificate", "api_key_sha256", "token", "anonymous"];

/// The one credential; every mistake in it is reported.
fn credential(
    source: &Source<'_>,
    table: &Table<'_>,
    labels: &Labels,
) -> Option<Placed<Credential>> {
    // Each is asked for, so that a misspelt one is suggested.
    let found = [
        certificate(source, table),
        table
            .string("api_key_sha256")
            .and_then(|text| sha256(source, &text))
            .map(Credential::ApiKey),
        token(source, table, labels),
        table.bool("anonymous").filter(|anonymous| *anonymous).map(|_| Credential::Anonymous),
    ];
    let off =
        table.value("anonymous").is_some_and(|value| value.get_ref().as_bool() == Some(false));
    let there: Vec<&str> = CREDENTIALS
        .into_iter()
        .filter(|key| table.has(key) && !(*key == "anonymous" && off))
        .collect();
    match there.as_slice() {
        [] => {
            let text = "a caller needs something that proves it";
            let help = format!("add one of {}", CREDENTIALS.join(", "));
            source.error_with("missing_credential", text, help, table.span());
            None
        }
        [key] => {
            let value = found.into_iter().flatten().next()?;
            Some(Placed { value, location: source.location(table.key_span(key)) })
        }
        [first, second, ..] => {
            let text = format!("a caller has `{first}` and `{second}`");
            let help = "make two callers of it, and name both in a grant";
            let span = table.key_span(second);
            source.error_with("conflicting_credentials", text, help, span);
            None
        }
    }
}

/// 64 hexadecimal digits.
fn sha256(source: &Source<'_>, text: &Placed<String>) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let fits = hex::decode_to_slice(&text.value, &mut hash).is_ok();
    if !fits {
        let help = "write 64 hexadecimal digits; `claviger api-key` makes a key and its hash";
        let span = text.location.span.clone();
        source.error_with("bad_hash", "this is no SHA-256", help, span);
    }
    fits.then_some(hash)
}

fn certificate(source: &Source<'_>, table: &Table<'_>) -> Option<Credential> {
    let inner = table.table("certificate", "`certificate`")?;
    let dns = inner.filled("san_dns").filter(|name| {
        let exact = !name.value.contains('*');
        if !exact {
            let help = "write the one name of the certificate";
            let span = name.location.span.clone();
            source.error_with("bad_san", "a caller's name is no pattern", help, span);
        }
        exact
    });
    let uri = inner.filled("san_uri").filter(|uri| {
        let whole = uri.value.split_once(':').is_some_and(|(scheme, rest)| {
            !scheme.is_empty() && !rest.is_empty() && !uri.value.contains('*')
        });
        if !whole {
            let text = format!("\"{}\" is no URI of a certificate", uri.value.escape_debug());
            let help = "write it whole: \"spiffe://example.org/portal\"";
            source.error_with("bad_san", text, help, uri.location.span.clone());
        }
        whole
    });
    let hash = inner.string("sha256").and_then(|text| sha256(source, &text));
    let subject = inner.parsed::<DistinguishedName>("subject", "bad_subject");
    let found = [
        dns.map(|name| CertificateName::SanDns(name.value.to_ascii_lowercase())),
        uri.map(|uri| CertificateName::SanUri(uri.value)),
        hash.map(CertificateName::Sha256),
        subject.map(|name| CertificateName::Subject(name.value)),
    ];
    let there = ["san_dns", "san_uri", "sha256", "subject"].map(|key| inner.has(key));
    let one = there.iter().filter(|there| **there).count() == 1;
    if !one {
        let text = "`certificate` needs exactly one of san_uri, san_dns, subject and sha256";
        let help = "write certificate = { san_uri = \"spiffe://example.org/portal\" }";
        source.error_with("bad_certificate_name", text, help, inner.span());
    }
    inner.finish();
    found.into_iter().flatten().next().filter(|_| one).map(Credential::Certificate)
}

fn token(source: &Source<'_>, table: &Table<'_>, labels: &Labels) -> Option<Credential> {
    let inner = table.table("token", "`token`")?;
    let issuer = inner.required_filled("issuer", "\"https://op.example\"");
    let audience = inner.required_filled("audience", "\"claviger\"");
    let subject = inner.required_filled("subject", "\"ci\"");
    let keys = match (inner.has("label"), inner.has("jwks_url")) {
        (true, false) => label_keys(source, &inner, labels),
        (false, true) => url_keys(source, &inner, labels),
        _ => {
            inner.value("label");
            inner.value("jwks_url");
            let text = "`token` needs exactly one of label and jwks_url";
            let help = "say whose keys sign the tokens: jwks_url = \"https://…\" or label = \"…\"";
            source.error_with("bad_token_keys", text, help, inner.span());
            None
        }
    };
    inner.finish();
    Some(Credential::Token(TokenRule {
        issuer: issuer?.value,
        audience: audience?.value,
        subject: subject?.value,
        keys: keys?,
    }))
}

fn label_keys(source: &Source<'_>, table: &Table<'_>, labels: &Labels) -> Option<TokenKeys> {
    let label = known_label(source, table, "label", labels);
    let realm = table.parsed::<Realm>("realm", "bad_realm");
    let realm = match realm {
        None if table.has("realm") => return None,
        realm => realm.map(|realm| realm.value),
    };
    Some(TokenKeys::Label { label: label?, realm })
}

fn url_keys(source: &Source<'_>, table: &Table<'_>, labels: &Labels) -> Option<TokenKeys> {
    let url = table.filled("jwks_url").filter(|url| {
        let fits = is_fetched(&url.value);
        if !fits {
            let text = format!("\"{}\" is not fetched", url.value.escape_debug());
            let help = "write https://host/path; http is for this host alone";
            source.error_with("bad_url", text, help, url.location.span.clone());
        }
        fits
    });
    let roots = known_label(source, table, "roots", labels);
    let rows = match algorithms(source, table) {
        Some(rows) => rows.into_iter().filter(|row| is_asymmetric(source, row)).collect(),
        None => Vec::new(),
    };
    let rows: Vec<&Algorithm> = rows.into_iter().map(|row| row.value).collect();
    if table.has("algorithms") && rows.is_empty() || table.has("roots") && roots.is_none() {
        return None;
    }
    let algorithms = if rows.is_empty() { asymmetric().collect() } else { rows };
    Some(TokenKeys::Url(KeySetUrl { url: url?.value, roots, algorithms }))
}

/// A label of the catalogue or of the file.
fn known_label(
    source: &Source<'_>,
    table: &Table<'_>,
    key: &'static str,
    labels: &Labels,
) -> Option<LabelName> {
    let label = table.parsed::<LabelName>(key, "bad_label")?;
    let name = catalogue::canonical(&label.value);
    if catalogue::find(&name).is_some() || labels.contains_key(&name) {
        return Some(name);
    }
    let text = format!("label \"{name}\" is not in the catalogue and not declared");
    let help = catalogue::nearest(name.as_str()).map_or_else(
        || format!("declare it: [labels.\"{name}\"]"),
        |near| format!("did you mean \"{near}\"?"),
    );
    source.error_with("unknown_label", text, help, label.location.span.clone());
    None
}

/// Whether a key set is fetched from there; `remote` has the same rule for what it is given.
fn is_fetched(url: &str) -> bool {
    let host = |rest: &str| {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        rest.get(..end).filter(|host| !host.is_empty() && !host.contains('@')).map(str::to_owned)
    };
    let clean = url.bytes().all(|byte| byte.is_ascii_graphic());
    let local = |host: String| {
        let name = host.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let name = name.map_or_else(|| host.split(':').next().unwrap_or_default(), |(ip, _)| ip);
        name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    };
    clean
        && match url.split_once("://") {
            Some(("https", rest)) => host(rest).is_some(),
            Some(("http", rest)) => host(rest).is_some_and(local),
            _ => false,
        }
}

/// Signatures that somebody else can make and we can only check.
fn asymmetric() -> impl Iterator<Item = &'static Algorithm> {
    let rows = ALGORITHMS.iter();
    rows.filter(|row| row.status == Status::On && signs_for_others(row))
}

const fn signs_for_others(row: &Algorithm) -> bool {
    matches!(row.operation, Operation::Sign) && !matches!(row.family, Family::Hmac(_))
}

fn is_asymmetric(source: &Source<'_>, row: &Placed<&'static Algorithm>) -> bool {
    let fits = signs_for_others(row.value);
    if !fits {
        let text = format!("{} is no signature that others can make and all can check", row.value);
        let help = "name signatures: algorithms = [\"ES256\"]";
        source.error_with("algorithm_not_for_use", text, help, row.location.span.clone());
    }
    fits
}
