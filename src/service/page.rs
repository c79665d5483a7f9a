//! The OpenAPI document as a page for people: no script, nothing from elsewhere.

use std::fmt::Write as _;

use serde_json::Value;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;\
    color:#1b1b1b;background:#fff}h1{font-size:1.6rem}h2{margin-top:2.5rem;border-bottom:1px solid #ccc}\
    h3{font-size:1rem;margin:1.5rem 0 .2rem}code{font:.9em ui-monospace,monospace}\
    .m{display:inline-block;min-width:3.2rem;font-weight:700}table{border-collapse:collapse;width:100%}\
    td{border-top:1px solid #ddd;padding:.2rem .6rem .2rem 0;vertical-align:top}p{margin:.2rem 0}\
    @media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}td,h2{border-color:#444}}";

/// The page of a document.
pub(super) fn html(document: &Value) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>claviger</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\
         <h1>claviger {}</h1><p>{}</p><p>For programs: <a href=\"/openapi.json\">/openapi.json</a></p>",
        escape(text(document, "/info/version")),
        escape(text(document, "/info/description")),
    );
    let mut tag = "";
    for (path, method, operation) in operations(document) {
        let its_tag = text(operation, "/tags/0");
        if its_tag != tag {
            tag = its_tag;
            put(&mut page, format_args!("<h2>{}</h2>", escape(tag)));
        }
        put(
            &mut page,
            format_args!(
                "<h3><span class=\"m\">{}</span> <code>{}</code></h3><p>{}. {}</p>",
                escape(&method.to_ascii_uppercase()),
                escape(path),
                escape(text(operation, "/summary")),
                escape(text(operation, "/description")).replace('`', ""),
            ),
        );
        for (title, place) in [("Body", "/requestBody"), ("Answer", "/responses/200")] {
            let schema = operation.pointer(&format!("{place}/content/application~1json/schema"));
            members(&mut page, title, document, schema);
        }
    }
    page.push_str("</body></html>\n");
    page
}

/// Every operation: those of one tag together.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document.get("paths").and_then(Value::as_object).into_iter().flatten();
    let mut all: Vec<_> = paths
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().into_iter().flatten();
            methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        })
        .collect();
    all.sort_by_key(|(path, method, operation)| (text(operation, "/tags/0"), *path, *method));
    all
}

/// The members of a struct, each with what it is.
fn members(page: &mut String, title: &str, document: &Value, schema: Option<&Value>) {
    // Names of schemas hold neither `~` nor `/`.
    let named = schema.map(|schema| text(schema, "/$ref")).and_then(|name| name.strip_prefix('#'));
    let schema = named.and_then(|place| document.pointer(place)).or(schema);
    let properties = schema.and_then(|schema| schema.get("properties")?.as_object());
    let (Some(schema), Some(properties)) = (schema, properties) else { return };
    put(page, format_args!("<table><tr><td colspan=\"2\"><b>{title}</b></td></tr>"));
    let required = schema.get("required").and_then(Value::as_array);
    for (name, property) in properties {
        let needed = required.is_some_and(|names| names.iter().any(|one| text(one, "") == name));
        let needed = if needed && title == "Body" { " (required)" } else { "" };
        let what = escape(text(property, "/description"));
        let name = escape(name);
        put(page, format_args!("<tr><td><code>{name}</code>{needed}</td><td>{what}</td></tr>"));
    }
    page.push_str("</table>");
}

fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Into memory: nothing can fail.
    let _ = page.write_fmt(text);
}

/// The text at a place (RFC 6901).
fn text<'v>(value: &'v Value, place: &str) -> &'v str {
    value.pointer(place).and_then(Value::as_str).unwrap_or_default()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
