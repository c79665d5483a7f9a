//! XML texts that cost a parser much; the tests and `benches/src/xml_attacks.rs` read the same ones.

/// Well-formed until here, so that everything before it is read.
const END: &str = "</a><b/>";

/// A name and a text of at most `bytes` bytes.
pub(crate) type Attack = (&'static str, String);

/// Every attack at this size. No text is well-formed XML within the limits: each must be refused.
pub(crate) fn all(bytes: usize) -> Vec<Attack> {
    let wide = |count: usize| {
        let attributes: String = (0..count).map(|index| format!(" a{index}=\"\"")).collect();
        format!("<b{attributes}/>")
    };
    let (widest, declares) = (wide(128), |index: usize| {
        let own = (0..32).map(|one| format!(" xmlns:n{one}=\"urn:{index}:{one}\""));
        format!("<b{}/>", own.collect::<String>())
    });
    let long = |index: usize| format!(" xmlns:n{index}=\"urn:{}{index:02}\"", "x".repeat(506));
    let declared = format!("<a{}>", (0..32).map(long).collect::<String>());
    let used = (0..128).map(|index| format!(" n{}:a{index}=\"\"", index * 7 % 32));
    let prefixed = format!("<b{}/>", used.collect::<String>());
    vec![
        ("attributes of one element", fill(bytes, "<a", |index| format!(" a{index}=\"\""), "/>")),
        (
            "namespaces of one element",
            fill(bytes, "<a", |index| format!(" xmlns:a{index}=\"urn:x\""), "/>"),
        ),
        (
            "nested elements that each declare a namespace",
            fill(bytes, "", |index| format!("<a xmlns:n{index}=\"urn:x\">"), ""),
        ),
        ("nested elements", fill(bytes, "", |_| "<a>".into(), "")),
        ("elements in a row", fill(bytes, "<a>", |_| "<b/>".into(), "</a>")),
        (
            "as many attributes as may be, again and again",
            fill(bytes, "<a>", |_| widest.clone(), END),
        ),
        ("as many namespaces as may be, again and again", fill(bytes, "<a>", declares, END)),
        (
            "as many attributes as may be, of long namespaces",
            fill(bytes, &declared, |_| prefixed.clone(), END),
        ),
        ("one long name", fill(bytes, "<a", |_| "a".into(), "")),
        ("one long value", fill(bytes, "<a b=\"", |_| "&#65;".into(), "\"/><b/>")),
        ("one long text of references", fill(bytes, "<a>", |_| "&lt;".into(), END)),
        ("texts and CDATA in turn", fill(bytes, "<a>", |_| "a<![CDATA[b]]>".into(), END)),
        ("comments", fill(bytes, "<a>", |_| "<!---->".into(), "")),
        ("a comment that does not end", fill(bytes, "<a><!--", |_| "- ".into(), "")),
        ("quotes that do not end", fill(bytes, "<a b=\"", |_| "x".into(), "")),
        (
            "entities of entities",
            fill(bytes, "<!DOCTYPE a [", |index| format!("<!ENTITY e{index} '&e;&e;'>"), "]><a/>"),
        ),
        ("carriage returns", fill(bytes, "<a>", |_| "\r".into(), END)),
    ]
}

/// Messages of this size that make a verifier search: none holds a signature that could hold.
pub(crate) fn on_signatures(bytes: usize) -> Vec<Attack> {
    let open = "<p:Response xmlns:p=\"urn:oasis:names:tc:SAML:2.0:protocol\" ID=\"_r\" \
         xmlns=\"urn:oasis:names:tc:SAML:2.0:assertion\" xmlns:d=\"http://www.w3.org/2000/09/xmldsig#\">";
    let close = "</p:Response>";
    let with = |inside: &str| format!("{open}{inside}");
    let signed = "<Assertion><d:Signature/></Assertion>";
    vec![
        ("assertions that are all signed", fill(bytes, open, |_| signed.into(), close)),
        (
            "assertions in a signed message",
            fill(bytes, &with("<d:Signature/>"), |_| "<Assertion/>".into(), close),
        ),
        (
            "signatures beside a signed assertion",
            fill(bytes, &with(signed), |_| "<c><d:Signature/></c>".into(), close),
        ),
        (
            "signatures of one assertion",
            fill(
                bytes,
                &with("<Assertion>"),
                |_| "<d:Signature/>".into(),
                "</Assertion></p:Response>",
            ),
        ),
        ("elements of one ID", fill(bytes, &with(signed), |_| "<c ID=\"_r\"/>".into(), close)),
    ]
}

/// `open`, as many of `one` as there is room for, `close`.
fn fill(bytes: usize, open: &str, one: impl Fn(usize) -> String, close: &str) -> String {
    let mut text = String::with_capacity(bytes);
    text.push_str(open);
    for index in 0.. {
        let next = one(index);
        if text.len() + next.len() + close.len() > bytes {
            break;
        }
        text.push_str(&next);
    }
    text.push_str(close);
    text
}
