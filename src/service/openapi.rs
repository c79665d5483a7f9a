//! The OpenAPI 3.1 document of the service, made from the table of routes.

use std::collections::BTreeMap;

use hyper::StatusCode;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::route::Route;
use super::{Problem, idempotency};
use crate::access::Scope;

/// Writes the document.
pub(super) fn document(routes: &[Route]) -> Value {
    let mut writer = Writer::new();
    let problem = writer.answers.subschema_for::<Problem>();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in routes {
        let operation = writer.operation(route, &problem);
        let method = route.method.as_str().to_ascii_lowercase();
        paths.entry(&route.path).or_default().insert(method, operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "claviger",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Sign, verify, encrypt and decrypt by label, rotate by reordering. The first alias \
                            acts, every alias still verifies and decrypts.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "security": [{ "certificate": [] }, { "bearer": [] }],
        "paths": paths,
        "components": { "schemas": writer.schemas(), "securitySchemes": {
            "certificate": { "type": "mutualTLS",
                "description": "The client certificate of a caller of [[callers]]." },
            "bearer": { "type": "http", "scheme": "bearer",
                "description": "An API key, or a JWT of an issuer that [[callers]] name." },
        } },
    })
}

/// Schemas of bodies and of answers are written apart: what may be left out differs.
struct Writer {
    bodies: SchemaGenerator,
    answers: SchemaGenerator,
}

impl Writer {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self {
            bodies: settings().for_deserialize().into_generator(),
            answers: settings().for_serialize().into_generator(),
        }
    }

    fn operation(&mut self, route: &Route, problem: &Schema) -> Value {
        let mut operation = json!({
            "operationId": operation_id(route),
            "summary": route.summary,
            "tags": [tag(route)],
            "parameters": parameters(route),
            "responses": self.responses(route, problem),
        });
        let members = operation.as_object_mut();
        let Some(members) = members else { return operation };
        match route.right {
            Some(right) => {
                members.insert("description".into(), format!("Needs the right `{right}`.").into());
            }
            None => {
                members.insert("security".into(), json!([]));
            }
        }
        if let Some(body) = route.body {
            let schema = body(&mut self.bodies);
            let content = json!({ "application/json": { "schema": schema } });
            let body = json!({ "required": true, "content": content });
            members.insert("requestBody".into(), body);
        }
        operation
    }

    fn responses(&mut self, route: &Route, problem: &Schema) -> Value {
        let mut responses = Map::new();
        let mut ok = match route.answer {
            Some(answer) => {
                let schema = answer(&mut self.answers);
                json!({ "description": "Done", "content": { "application/json": { "schema": schema } } })
            }
            None => json!({ "description": "Done", "content": { route.content_type: {} } }),
        };
        if let Some(members) = ok.as_object_mut().filter(|_| route.kept) {
            members.insert("headers".into(), caching());
            let unchanged =
                json!({ "description": "It is what is kept already", "headers": caching() });
            responses.insert("304".into(), unchanged);
        }
        responses.insert("200".into(), ok.clone());
        for status in statuses(route) {
            let reason = status.canonical_reason().unwrap_or_default();
            let mut content = json!({ "application/problem+json": { "schema": problem } });
            if let Some(members) = content.as_object_mut().filter(|_| route.also == Some(status)) {
                members.extend(
                    ok.get("content").and_then(Value::as_object).cloned().unwrap_or_default(),
                );
            }
            let mut response = json!({ "description": reason, "content": content });
            if [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status)
                && let Some(members) = response.as_object_mut()
            {
                let seconds = json!({ "description": "Seconds after which to try again",
                    "schema": { "type": "integer", "minimum": 0 } });
                members.insert("headers".into(), json!({ "Retry-After": seconds }));
            }
            if status == StatusCode::UNSUPPORTED_MEDIA_TYPE
                && let Some(members) = response.as_object_mut()
            {
                let codings = json!({ "description": "The content codings that are read",
                    "schema": { "type": "string", "enum": ["identity"] } });
                members.insert("headers".into(), json!({ "Accept-Encoding": codings }));
            }
            responses.insert(status.as_u16().to_string(), response);
        }
        for response in responses.values_mut().filter_map(Value::as_object_mut) {
            let headers = response.entry("headers").or_insert_with(|| json!({}));
            if let Some(headers) = headers.as_object_mut() {
                headers.insert("X-Request-Id".into(), request_id());
            }
        }
        responses.into()
    }

    fn schemas(mut self) -> Map<String, Value> {
        let mut all = self.bodies.take_definitions(true);
        all.extend(self.answers.take_definitions(true));
        all.values_mut().for_each(list_words);
        all
    }
}

/// How the service calls a request.
fn request_id() -> Value {
    json!({ "description": "How audit lines name the request: as it did itself, or as the service does",
        "schema": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" } })
}

/// The headers of an answer that may be kept.
fn caching() -> Value {
    let text = |description| json!({ "description": description, "schema": { "type": "string" } });
    json!({ "ETag": text("What tells this answer from others"), "Cache-Control": text("How long it may be kept") })
}

/// Makes a list of what is a choice between words: generators of clients read no other enumeration. What each word
/// means goes into the description.
fn list_words(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else { return };
    let word = |choice: &Value| {
        let means = choice.get("description").and_then(Value::as_str)?;
        Some((choice.get("const")?.as_str()?.to_owned(), means.to_owned()))
    };
    let choices = members.get("oneOf").and_then(Value::as_array);
    let words: Option<Vec<_>> = choices.and_then(|all| all.iter().map(word).collect());
    let Some(words) = words else { return };
    let meanings = words.iter().map(|(word, means)| format!("`{word}`: {means}"));
    let said = members.get("description").and_then(Value::as_str).map(str::to_owned);
    let text: Vec<String> = said.into_iter().chain(meanings).collect();
    members.remove("oneOf");
    members.insert("type".into(), "string".into());
    members.insert("enum".into(), words.into_iter().map(|(word, _)| word).collect());
    members.insert("description".into(), text.join(" ").into());
}

/// `post_labels_sign`, of `POST /v1/labels/{label}/sign`. A part that varies counts where nothing follows it.
fn operation_id(route: &Route) -> String {
    let varies = |part: &&str| part.starts_with('{');
    let parts = route.path.split('/').filter(|part| !part.is_empty() && *part != "v1");
    let last = route.path.rsplit('/').next().filter(varies);
    let words = std::iter::once(route.method.as_str()).chain(parts.filter(|part| !varies(part)));
    let clean = |word: &str| {
        let word = word.trim_matches(['{', '}']).to_ascii_lowercase();
        word.replace(|c: char| !c.is_ascii_alphanumeric(), "_")
    };
    words.chain(last).map(clean).collect::<Vec<_>>().join("_")
}

/// What the path is about: its first part after the version.
fn tag(route: &Route) -> &str {
    let mut parts = route.path.split('/').filter(|part| !part.is_empty());
    match (parts.next(), parts.next()) {
        (Some("v1"), Some(part)) => part,
        _ => "service",
    }
}

fn parameters(route: &Route) -> Vec<Value> {
    let in_path = route.path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        Some(
            json!({ "name": name, "in": "path", "required": true, "schema": schema_of_part(name) }),
        )
    });
    let realm = route.right.filter(|right| right.scope() != Scope::Service).map(|_| {
        json!({ "name": "realm", "in": "query", "description": "The realm; absent: the root realm",
            "schema": { "type": "string", "maxLength": 255 } })
    });
    let query = route.query.iter().map(|(name, description)| {
        json!({ "name": name, "in": "query", "description": description,
            "schema": { "type": "string" } })
    });
    let once = route.once.then(|| {
        json!({ "name": "Idempotency-Key", "in": "header",
            "description": "Does the step once, however often it is sent within a day: a new one for each step. The process keeps \
                the last 64 answers of each caller until it ends",
            "schema": { "type": "string", "pattern": idempotency::PATTERN } })
    });
    let known = route.kept.then(|| {
        json!({ "name": "If-None-Match", "in": "header",
            "description": "The `ETag` of what is kept already: if it still is that, the answer is 304",
            "schema": { "type": "string" } })
    });
    in_path.chain(realm).chain(query).chain(once).chain(known).collect()
}

fn schema_of_part(name: &str) -> Value {
    match name {
        "label" => json!({ "type": "string", "maxLength": 255,
            "pattern": "^[A-Za-z0-9]+(\\.[A-Za-z0-9]+)*$",
            "examples": ["am.services.oauth2.oidc.signing.ES256"] }),
        _ => json!({ "type": "string", "minLength": 1 }),
    }
}

/// What a route may answer besides 200.
fn statuses(route: &Route) -> Vec<StatusCode> {
    let mut all = vec![StatusCode::BAD_REQUEST];
    if route.right.is_some() {
        all.extend([StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND]);
        all.extend([StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY]);
        all.push(StatusCode::TOO_MANY_REQUESTS);
    }
    if route.body.is_some() {
        all.extend([StatusCode::REQUEST_TIMEOUT, StatusCode::PAYLOAD_TOO_LARGE]);
        all.extend([StatusCode::UNSUPPORTED_MEDIA_TYPE, StatusCode::NOT_IMPLEMENTED]);
    }
    all.extend([StatusCode::INTERNAL_SERVER_ERROR, StatusCode::SERVICE_UNAVAILABLE]);
    all
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::routes;
    use super::*;

    #[test]
    fn operations_have_names_of_their_own_and_schemas_that_are_there() {
        let routes = routes::all();
        let ids: HashSet<_> = routes.iter().map(operation_id).collect();
        assert_eq!(ids.len(), routes.len());
        let document = document(&routes);
        let text = document.to_string();
        // A number would be given by the order of the table, and be another one after the next route.
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for name in schemas.keys() {
            assert!(!name.ends_with(|c: char| c.is_ascii_digit()), "{name}");
        }
        assert_eq!(schemas["Form"]["enum"], json!(["claims", "payload", "text"]));
        for part in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_schema_is_the_same_for_bodies_and_answers_or_has_another_name() {
        let mut writer = Writer::new();
        for route in &routes::all() {
            let _ = route.body.map(|body| body(&mut writer.bodies));
            let _ = route.answer.map(|answer| answer(&mut writer.answers));
        }
        let (bodies, answers) =
            (writer.bodies.take_definitions(true), writer.answers.take_definitions(true));
        for (name, schema) in &bodies {
            assert!(answers.get(name).is_none_or(|other| other == schema), "{name}");
        }
    }
}
