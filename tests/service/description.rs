//! The OpenAPI document and its page.

use claviger::access::Right;
use serde_json::Value;

use super::running::{Running, granting};

#[test]
fn the_document_and_its_page_are_for_everybody_and_name_every_operation() {
    let running = Running::new(granting(&[Right::Sign]));
    let (status, text) = running.get("/openapi.json", None);
    assert_eq!(status, 200);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let sign = &document["paths"]["/v1/labels/{label}/sign"]["post"];
    assert_eq!(sign["description"], "Needs the right `sign`.");
    assert!(sign["requestBody"]["content"]["application/json"]["schema"].is_object(), "{sign}");
    assert_eq!(document["paths"]["/healthz"]["get"]["security"], serde_json::json!([]));
    let (status, page) = running.get("/", None);
    assert_eq!(status, 200);
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 5);
    for (path, methods) in paths {
        for operation in methods.as_object().unwrap().values() {
            let summary = operation["summary"].as_str().unwrap();
            assert!(page.contains(path.as_str()) && page.contains(summary), "{path}");
        }
    }
}
