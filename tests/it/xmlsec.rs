//! XML input: what costs much is refused early, and canonical forms equal libxml2's.

use std::cell::Cell;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use claviger::error::ErrorKind;
use claviger::xmlsec::{CanonicalForm, XmlLimits, canonicalize};
use proptest::prelude::*;

use crate::xml_attacks;

/// Figures are in `benches/src/xml_attacks.rs`; here nothing hangs.
#[test]
fn what_would_cost_the_parser_much_is_refused() {
    let mebibyte = 1 << 20;
    let limits = XmlLimits { max_bytes: mebibyte, ..XmlLimits::MESSAGE };
    for (name, text) in xml_attacks::all(mebibyte) {
        assert!(text.len() <= mebibyte && text.len() > mebibyte - 8_192, "{name}: {}", text.len());
        let start = Instant::now();
        let form = CanonicalForm::default();
        assert!(canonicalize(text.as_bytes(), None, &form, &limits).is_err(), "{name}");
        assert!(start.elapsed() < Duration::from_secs(4), "{name}: {:?}", start.elapsed());
    }
}

/// What is not well-formed, or what readers disagree about: texts, and a word of the reason.
const REFUSED: &[(&str, &str)] = &[
    ("", "no document element"),
    ("text", "no document element"),
    ("<!-- c --><?p q?>", "no document element"),
    ("<a/><b/>", "behind the document element"),
    ("<a/>text", "behind the document element"),
    ("<a/><![CDATA[]]>", "document type"),
    ("<![CDATA[]]><a/>", "document type"),
    ("<!DOCTYPE a><a/>", "document type"),
    ("<a><!ENTITY x 'y'></a>", "document type"),
    ("<a/><!DOCTYPE a>", "document type"),
    ("<a>", "ends early"),
    ("<a><!--", "ends early"),
    ("<a b='", "ends early"),
    ("<a><![CDATA[", "ends early"),
    ("<a><?p ", "ends early"),
    ("</a>", "name"),
    ("<a></b>", "another name"),
    ("<a></a b='c'>", "another name"),
    ("<a></ab>", "another name"),
    ("<p:a xmlns:p='urn:x' xmlns:q='urn:x'></q:a>", "another name"),
    ("< a/>", "name"),
    ("<1a/>", "name"),
    ("<:a/>", "name"),
    ("<a:/>", "name"),
    ("<a:b:c xmlns:a='urn:x'/>", "no space"),
    ("<a :ID='x'/>", "name"),
    ("<a\u{d7}/>", "no space"),
    ("<a b='c'd='e'/>", "no space"),
    ("<a b/>", "no value"),
    ("<a b=c/>", "quotes"),
    ("<a b='<'/>", "\"<\""),
    ("<a b='c' b='d'/>", "twice"),
    ("<a c='1' b='2' c='3'/>", "twice"),
    ("<a xmlns:p='urn:x' xmlns:q='urn:x' p:b='' q:b=''/>", "twice"),
    ("<a xmlns='urn:x' xmlns='urn:y'/>", "twice"),
    ("<a xmlns:p='urn:x' xmlns:p='urn:y'/>", "twice"),
    ("<a xmlns:p='urn:x'><b xmlns:p=''/></a>", "takes back"),
    ("<a xmlns:xml='urn:x'/>", "\"xml\""),
    ("<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>", "\"xml\""),
    ("<a xmlns:xmlns='urn:x'/>", "declarations"),
    ("<a xmlns='http://www.w3.org/2000/xmlns/'/>", "declarations"),
    ("<xmlns:a/>", "xmlns"),
    ("<a xmlns='1'/>", "relative"),
    ("<a xmlns:p='/a:b'/>", "relative"),
    ("<p:a/>", "not declared"),
    ("<a p:b=''/>", "not declared"),
    ("<a><b xmlns:p='urn:x'/><p:c/></a>", "not declared"),
    ("<a>&b;</a>", "reference"),
    ("<a>&amp</a>", "reference"),
    ("<a>& </a>", "reference"),
    ("<a>&#0;</a>", "reference"),
    ("<a>&#xD800;</a>", "reference"),
    ("<a>&#x110000;</a>", "reference"),
    ("<a>&#xFFFE;</a>", "reference"),
    ("<a>&#+65;</a>", "reference"),
    ("<a>&#X41;</a>", "reference"),
    ("<a>&#;</a>", "reference"),
    ("<a b='&#x;'/>", "reference"),
    ("<a>]]></a>", "]]>"),
    ("<a>\u{1}</a>", "character"),
    ("<a b='\u{b}'/>", "character"),
    ("<a>\u{fffe}</a>", "character"),
    ("<a><!-- \u{ffff} --></a>", "character"),
    ("<a><!-- -- --></a>", "\"--\""),
    ("<a><!-- ---></a>", "\"--\""),
    ("<a><?xml version='1.0'?></a>", "very beginning"),
    ("<a><?XmL?></a>", "target"),
    ("<a><? p?></a>", "target"),
    ("<a><?p:q?></a>", "target"),
    ("<a><?p!?></a>", "target"),
    (" <?xml version='1.0'?><a/>", "very beginning"),
    ("<?xml?><a/>", "target"),
    ("<?xml version='1.1'?><a/>", "XML 1.0"),
    ("<?xml encoding='UTF-8'?><a/>", "XML 1.0"),
    ("<?xml version='1.0' encoding='ISO-8859-1'?><a/>", "encoding"),
    ("<?xml version='1.0' encoding='UTF-16'?><a/>", "encoding"),
    ("<?xml version='1.0' standalone='maybe'?><a/>", "declaration"),
    ("<?xml version='1.0'encoding='UTF-8'?><a/>", "declaration"),
    ("<?xml version='1.0' standalone='no' encoding='UTF-8'?><a/>", "declaration"),
];

#[test]
fn what_is_no_xml_is_refused_for_its_reason() {
    for (text, why) in REFUSED {
        let form = CanonicalForm::default();
        let told = match canonicalize(text.as_bytes(), None, &form, &XmlLimits::MESSAGE) {
            Ok(octets) => panic!("{text}: {}", String::from_utf8_lossy(&octets)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Malformed, "{text}");
                error.to_string()
            }
        };
        assert!(told.contains(why), "{text}: {told}");
    }
    for bytes in [&b"<a>\xff</a>"[..], b"\xff\xfe<\0a\0/\0>\0", b"<a>\xed\xa0\x80</a>"] {
        let form = CanonicalForm::default();
        assert!(canonicalize(bytes, None, &form, &XmlLimits::MESSAGE).is_err());
    }
}

/// One step beyond each limit.
#[test]
fn what_goes_beyond_a_limit_is_told_apart() {
    let attributes = |count: usize| -> String { (0..count).map(|i| format!(" a{i}=''")).collect() };
    let declares =
        |count: usize| -> String { (0..count).map(|i| format!(" xmlns:a{i}='urn:x'")).collect() };
    let nested = |count: usize, tag: &str| {
        format!("{}{}", format!("<a{tag}>").repeat(count), "</a>".repeat(count))
    };
    let row = |count: usize| format!("<a>{}</a>", "<b/>".repeat(count));
    let uri = |bytes: usize| format!("<a xmlns:p='urn:{}'/>", "x".repeat(bytes - 4));
    let cases: [(String, String); 6] = [
        (nested(100, ""), nested(101, "")),
        (format!("<a{}/>", attributes(128)), format!("<a{}/>", attributes(129))),
        (format!("<a{}/>", declares(32)), format!("<a{}/>", declares(33))),
        (nested(64, " xmlns:p='urn:x'"), nested(65, " xmlns:p='urn:x'")),
        (row(19_999), row(20_000)),
        (uri(512), uri(513)),
    ];
    for (within, beyond) in cases {
        let read = |text: &str| {
            canonicalize(text.as_bytes(), None, &CanonicalForm::default(), &XmlLimits::MESSAGE)
        };
        assert!(read(&within).is_ok(), "{within:.200}");
        assert_eq!(read(&beyond).unwrap_err().kind(), ErrorKind::LimitExceeded, "{beyond:.200}");
    }
}

/// What looks odd and is XML: text, canonical form.
#[test]
fn what_is_xml_is_read() {
    for (text, expected) in [
        ("<a/>", "<a></a>"),
        (
            "\u{feff}<?xml version='1.0' encoding=\"utf-8\" standalone='yes' ?>\n<a xmlns='urn:x' b = '>\"'\n/>\n<!-- c --><?p?>",
            "<a xmlns=\"urn:x\" b=\">&quot;\"></a>",
        ),
        ("<?xml\tversion='1.0'\nencoding='US-ASCII'?><a></a >", "<a></a>"),
        (
            "<a><!-- <!DOCTYPE --><![CDATA[<!DOCTYPE]]><?pi <!DOCTYPE ?></a>",
            "<a>&lt;!DOCTYPE<?pi <!DOCTYPE ?></a>",
        ),
        (
            "<a xml:lang='de' xmlns:xml='http://www.w3.org/XML/1998/namespace'/>",
            "<a xml:lang=\"de\"></a>",
        ),
        (
            "<a b='1' a='2'\tc='&#9;&quot;&gt;&apos;\n'>\r\n&#13;&#10;&quot;&gt;></a>",
            "<a a=\"2\" b=\"1\" c=\"&#x9;&quot;>' \">\n&#xD;\n\"&gt;&gt;</a>",
        ),
        (
            "<\u{e9}t\u{e9}.-1 \u{4e2d}='\u{1f511}'>\u{7f}\u{fffd}</\u{e9}t\u{e9}.-1>",
            "<\u{e9}t\u{e9}.-1 \u{4e2d}=\"\u{1f511}\">\u{7f}\u{fffd}</\u{e9}t\u{e9}.-1>",
        ),
        (
            "<p:a xmlns:p='urn:x'><p:b xmlns:p='urn:y'/><p:c/></p:a>",
            "<p:a xmlns:p=\"urn:x\"><p:b xmlns:p=\"urn:y\"></p:b><p:c></p:c></p:a>",
        ),
        (
            "<a xmlns='urn:x'><b xmlns=''><c xmlns='urn:x'/></b></a>",
            "<a xmlns=\"urn:x\"><b xmlns=\"\"><c xmlns=\"urn:x\"></c></b></a>",
        ),
        (
            "<a xmlns='urn:x'><b xmlns=''><c xmlns='urn:y'><d xmlns=''/></c></b></a>",
            "<a xmlns=\"urn:x\"><b xmlns=\"\"><c xmlns=\"urn:y\"><d xmlns=\"\"></d></c></b></a>",
        ),
        // Spaces of which the first is one, the last is one, or neither.
        (
            "<a  \nb=\"1\" \t c=\"2\"\n\td=\"3\" \r\rxmlns:p=\"urn:p\"><p:b/></a>",
            "<a b=\"1\" c=\"2\" d=\"3\"><p:b xmlns:p=\"urn:p\"></p:b></a>",
        ),
        // The same declaration again, and prefixes that differ behind their eighth byte.
        (
            "<p:a xmlns:p=\"urn:x\" ><p:b  xmlns:p=\"urn:x\"/></p:a >",
            "<p:a xmlns:p=\"urn:x\"><p:b></p:b></p:a>",
        ),
        (
            "<prefix-1:a xmlns:prefix-1='urn:x'><prefix-2:b xmlns:prefix-2=\"urn:y\" prefix-1:c='1'/></prefix-1:a>",
            "<prefix-1:a xmlns:prefix-1=\"urn:x\"><prefix-2:b xmlns:prefix-2=\"urn:y\" prefix-1:c=\"1\"></prefix-2:b></prefix-1:a>",
        ),
        (
            "<prefix7:a xmlns:prefix7=\"urn:x\"><prefix7:b xmlns:prefix7=\"urn:y\"/><prefix7:c/></prefix7:a>",
            "<prefix7:a xmlns:prefix7=\"urn:x\"><prefix7:b xmlns:prefix7=\"urn:y\"></prefix7:b><prefix7:c></prefix7:c></prefix7:a>",
        ),
        (
            "<a ba=\"3\" b=\"1\" a=\"2\" B=\"4\"><c b=\"2\" a=\"1\"/></a>",
            "<a B=\"4\" a=\"2\" b=\"1\" ba=\"3\"><c a=\"1\" b=\"2\"></c></a>",
        ),
        (
            "<a xmlns:q='urn:b' xmlns:p='urn:c' p:x='1' q:x='2' x='3'/>",
            "<a xmlns:p=\"urn:c\" xmlns:q=\"urn:b\" x=\"3\" q:x=\"2\" p:x=\"1\"></a>",
        ),
    ] {
        assert_eq!(canonical(text, None, CanonicalForm::default()), expected, "{text}");
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

/// A tag as nearly all are written is read on a path of its own: it says what the same tag says with spaces where
/// nobody puts them.
#[test]
fn a_tag_says_the_same_however_it_is_spaced() {
    let name = prop_oneof![
        40 => "(p:)?[a-z_é][a-zA-Z0-9_.é-]{0,70}|[a-d]|xmlns:[a-z]{1,9}|xml:[a-z]{2}",
        1 => "[!#-%(-=?-~]{0,3}|xmlns|p:",
    ];
    let value = prop_oneof![
        40 => "[a-zA-Z0-9 ./:#]{0,80}|urn:[a-z]{1,3}|&(amp|lt|gt|#9|#x41);|[a-c>é\t\n\r'\\]]{0,5}",
        1 => "[a-c<>&;#x\u{fffe}\u{1}]{0,5}|\\]\\]>",
    ];
    let attributes = prop::collection::vec((name, value.clone()), 0..6);
    let config = ProptestConfig::with_cases(4_000);
    let well_formed = Cell::new(0);
    proptest!(config, |(attributes in attributes, element in "(p:)?[a-zé]{1,70}", text in value)| {
        let spaced = |before: &str, equals: &str, behind: &str| {
            let all = attributes.iter().map(|(name, value)| format!("{before}{name}{equals}\"{value}\""));
            let all: String = all.collect();
            format!("<r xmlns:p=\"urn:p\"><{element}{all}{behind}>{text}</{element}{behind}></r>")
        };
        let read = |text: String| {
            let form = CanonicalForm::default();
            canonicalize(text.as_bytes(), None, &form, &XmlLimits::MESSAGE).map_err(|error| {
                // Without its place, which spaces move.
                error.to_string().split(" at byte ").next().map(str::to_owned)
            })
        };
        let plain = read(spaced(" ", "=", ""));
        well_formed.set(well_formed.get() + usize::from(plain.is_ok()));
        prop_assert_eq!(&plain, &read(spaced("  ", "=", "")));
        prop_assert_eq!(&plain, &read(spaced("\n", " = ", "\t")));
        prop_assert_eq!(&plain, &read(spaced(" \t\n", "=", "")));
        prop_assert_eq!(&plain, &read(spaced("\t ", "=", "\n")));
    });
    assert!((1_000..3_900).contains(&well_formed.get()), "{well_formed:?}");
}

/// A text with many marks is read on another path than one with few: it says the same.
#[test]
fn a_text_says_the_same_however_many_marks_it_has() {
    for count in 0..40 {
        for other in
            ["", "&amp;", "&#13;", "]]&gt;", ">", "]>", "]]", "]]>", "&x;", "&", "\u{1f511}"]
        {
            let text = |mark: &str| {
                let marks = mark.repeat(count / 2);
                format!("<a>{marks}{other}{marks}</a>")
            };
            let read = |text: String| {
                let form = CanonicalForm::default();
                let read = canonicalize(text.as_bytes(), None, &form, &XmlLimits::MESSAGE);
                let read = read.map(|octets| String::from_utf8(octets).unwrap());
                read.map_err(|error| error.to_string())
            };
            let without = read(text("z"));
            for mark in ["\"", "\t", "\n", "&lt;"] {
                let expected = without.clone().map(|text| text.replace('z', mark));
                assert_eq!(read(text(mark)), expected, "{}", text(mark));
            }
        }
    }
}
