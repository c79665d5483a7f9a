//! XML input: what costs much is refused early, and canonical forms equal libxml2's.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use claviger::xmlsec::{CanonicalForm, XmlLimits, canonicalize};

#[test]
fn what_would_cost_the_parser_much_is_refused_at_once() {
    let mebibyte = 1 << 20;
    let fill = |open: &str, one: &dyn Fn(usize) -> String, close: &str| {
        let mut text = open.to_owned();
        let mut index = 0;
        while text.len() < mebibyte - 64 {
            text.push_str(&one(index));
            index += 1;
        }
        text + close
    };
    let attacks = [
        fill("<a", &|index| format!(" a{index}=\"\""), "/>"),
        fill("<a", &|index| format!(" xmlns:a{index}=\"urn:x\""), "/>"),
        fill("", &|index| format!("<a xmlns:n{index}=\"urn:x\">"), ""),
        fill("", &|_| "<a>".into(), ""),
        fill("<a>", &|_| "<b/>".into(), "</a>"),
        fill("<!DOCTYPE a [", &|index| format!("<!ENTITY e{index} '&e;'>"), "]><a/>"),
    ];
    let limits = XmlLimits { max_bytes: mebibyte, ..XmlLimits::MESSAGE };
    for (index, attack) in attacks.iter().enumerate() {
        // The best of a few, since the machine does other things too.
        let fastest = (0..5)
            .map(|_| {
                let start = Instant::now();
                assert!(
                    canonicalize(attack.as_bytes(), None, &CanonicalForm::default(), &limits)
                        .is_err()
                );
                start.elapsed()
            })
            .min();
        assert!(fastest.unwrap() < Duration::from_millis(50), "attack {index}: {fastest:?}");
    }
}

fn canonical(text: &str, id: Option<&str>, form: CanonicalForm<'_>) -> String {
    String::from_utf8(canonicalize(text.as_bytes(), id, &form, &XmlLimits::MESSAGE).unwrap())
        .unwrap()
}

/// Literal white space in attributes, and default namespaces outside the subset: two other crates fail these.
#[test]
fn the_faults_of_others_are_not_ours() {
    let text =
        "<a xmlns=\"urn:d\"><p:b xmlns:p=\"urn:p\" ID='x' v='1\t2\n3'><c xmlns=\"\"/></p:b></a>";
    let expected = "<p:b xmlns:p=\"urn:p\" ID=\"x\" v=\"1 2 3\"><c></c></p:b>";
    assert_eq!(canonical(text, Some("x"), CanonicalForm::default()), expected);
}

#[test]
fn prefix_lists_comments_and_the_inclusive_form() {
    let text = "<a xmlns='urn:d' xmlns:q='urn:q'><b ID='x' z='&#9;' a='\"'><!-- c --><?p  q ?>&#13;&gt;]</b></a>";
    let form = CanonicalForm { comments: true, prefix_list: "q #default", ..Default::default() };
    let inside = "<!-- c --><?p q ?>&#xD;&gt;]</b>";
    let start = "<b xmlns=\"urn:d\" xmlns:q=\"urn:q\" ID=\"x\" a=\"&quot;\" z=\"&#x9;\">";
    assert_eq!(canonical(text, Some("x"), form), format!("{start}{inside}"));
    let form = CanonicalForm { inclusive: true, comments: true, ..Default::default() };
    assert_eq!(canonical(text, Some("x"), form), format!("{start}{inside}"));
}

/// 10,000 random documents, an element in the middle of each: octet for octet what libxml2 writes.
#[test]
fn canonical_forms_equal_those_of_libxml2() {
    let target = Path::new(env!("CARGO_BIN_EXE_claviger")).parent().unwrap().parent().unwrap();
    let python = target.join("interop/venv/bin/python");
    let has_lxml = Command::new(&python).args(["-c", "import lxml"]).output();
    if !has_lxml.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "run scripts/setup.sh first");
        println!("lxml is absent: run scripts/setup.sh for the comparison with libxml2");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/c14n.py");
    let output = Command::new(python).arg(script).args(["10000", "1"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut compared = 0;
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let form = CanonicalForm {
            comments: case["comments"].as_bool().unwrap(),
            prefix_list: case["listed"].as_str().unwrap(),
            inclusive: false,
        };
        let text = case["text"].as_str().unwrap();
        assert_eq!(canonical(text, Some("apex"), form), case["form"], "{text}");
        compared += 1;
    }
    println!("C14N: {compared} documents equal libxml2's");
    assert_eq!(compared, 10_000);
}

/// Changed, cut and doubled bytes: an error or a form, never a panic.
#[test]
fn no_mutation_of_a_document_panics() {
    let seed = "<?xml version=\"1.0\"?><a:b xmlns:a='urn:x' ID='i' a:c=\"&#13;\"><!-- c --><?p q?>\
                <![CDATA[<]]>t&amp;<d xmlns='urn:y'/></a:b>";
    let form = CanonicalForm { inclusive: true, comments: true, ..Default::default() };
    let marks = b"<>&'\"!?-[]/ \0x:=;";
    for at in 0..seed.len() {
        for mark in marks {
            let mut bytes = seed.as_bytes().to_vec();
            bytes[at] = *mark;
            for bytes in [&bytes[..], &bytes[..at], &bytes[at..]] {
                if let Ok(octets) = canonicalize(bytes, None, &form, &XmlLimits::MESSAGE) {
                    // What is canonical stays as it is.
                    let again = canonicalize(&octets, None, &form, &XmlLimits::MESSAGE).unwrap();
                    assert_eq!(again, octets);
                }
            }
        }
    }
}
