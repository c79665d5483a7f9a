//! XML input: what costs much is refused early, and canonical forms equal libxml2's.

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
