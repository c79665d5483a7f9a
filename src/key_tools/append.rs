//! A new key at the end of a PEM file or a JWK set; every byte that is there stays.

use zeroize::Zeroizing;

use super::make::refuse_taken;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::{
    self, Container, ContainerType, Entry, Limits, Material, Passwords, jwk, pem,
};
use crate::secret::{SecretBytes, SecretString};

/// The file with one more entry, and the alias that it has there: in a PEM file keys go by number.
///
/// # Errors
/// [`ErrorKind::Usage`] for a kid that is taken; [`ErrorKind::Unsupported`] for a file whose aliases would not
/// stay as they are, or whose keys are encrypted; the readers' own.
pub(super) fn append(
    existing: &SecretBytes,
    container_type: ContainerType,
    password: &SecretString,
    mut entry: Entry,
) -> Result<(SecretBytes, Entry)> {
    // EXPOSE: copied into the new content, an owner that wipes itself.
    let bytes = existing.expose_secret();
    let before = open(bytes, container_type, password)?;
    let content = if container_type == ContainerType::Pem {
        entry.alias = (before.entries.len() + 1).to_string();
        with_pem(bytes, &entry)?
    } else {
        refuse_taken(&before.entries, &entry.alias)?;
        entry.hints.kid = Some(entry.alias.clone());
        with_jwk(bytes, container_type, &entry)?
    };
    // EXPOSE: read once more, to compare.
    let after = open(content.expose_secret(), formats::sniff(content.expose_secret()), password)?;
    if !continues(&before, &after, &entry.alias) {
        let text = "the keys of this file would get other aliases";
        return Err(Error::new(ErrorKind::Unsupported, text).with_help(
            "in a PEM file certificates of nobody are counted after the keys: keep them in another file",
        ));
    }
    Ok((content, entry))
}

fn open(
    bytes: &[u8],
    container_type: impl Into<Option<ContainerType>>,
    password: &SecretString,
) -> Result<Container> {
    let passwords = Passwords { store: Some(password), entry: None };
    // Neither format has an integrity code.
    formats::open(bytes, container_type.into(), &passwords, &Limits::default(), false)
}

/// Whether everything has the alias that it had, and one more has the new one.
fn continues(before: &Container, after: &Container, alias: &str) -> bool {
    let is_key = |entry: &Entry| !matches!(entry.material, Material::Certificate);
    let names = |container: &Container| {
        let names = container.entries.iter().map(|entry| (entry.alias.clone(), is_key(entry)));
        names.collect::<Vec<_>>()
    };
    let mut wanted = names(before);
    wanted.push((alias.to_owned(), true));
    names(after) == wanted
}

fn with_pem(bytes: &[u8], entry: &Entry) -> Result<SecretBytes> {
    let encrypted = [&b"-----BEGIN ENCRYPTED"[..], b"4,ENCRYPTED"];
    if encrypted.iter().any(|mark| bytes.windows(mark.len()).any(|part| part == *mark)) {
        let text = "the keys of this PEM file are encrypted, and a new one would not be";
        return Err(Error::new(ErrorKind::Unsupported, text).with_help(
            "add it yourself: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes256 >> FILE; \
             then claviger stage LABEL NUMBER",
        ));
    }
    let text = pem::write(std::slice::from_ref(entry), false)?;
    let gap: &[u8] = if bytes.ends_with(b"\n") { b"" } else { b"\n" };
    // EXPOSE: into the new content.
    let new = text.expose_secret().as_bytes();
    let whole = Zeroizing::new([bytes, gap, new].concat());
    Ok(SecretBytes::from_slice(&whole))
}

fn with_jwk(bytes: &[u8], container_type: ContainerType, entry: &Entry) -> Result<SecretBytes> {
    let text = jwk::write(entry, false)?;
    // EXPOSE: into the new content.
    let new = text.expose_secret().as_bytes();
    let whole = if container_type == ContainerType::Jwk {
        Zeroizing::new(
            [&b"{\"keys\":[\n"[..], bytes.trim_ascii_end(), b",\n", new, b"\n]}\n"].concat(),
        )
    } else {
        let end = end_of_keys(bytes).ok_or_else(|| {
            Error::new(ErrorKind::Damaged, "the key set has no array of keys that can be extended")
        })?;
        let (head, tail) = bytes.split_at_checked(end).unwrap_or((bytes, b""));
        let last = head.trim_ascii_end();
        let (comma, space): (&[u8], &[u8]) = match (last.ends_with(b"["), last.len() < head.len()) {
            (true, _) => (b"", b""),
            (false, true) => (b",", b"\n"),
            (false, false) => (b",", b""),
        };
        Zeroizing::new([last, comma, space, new, space, tail].concat())
    };
    Ok(SecretBytes::from_slice(&whole))
}

/// Where the `]` of the top-level member `keys` stands in a text that is known to be JSON.
fn end_of_keys(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut start, mut within) = (0_usize, None, false);
    let mut escaped = false;
    // The last string of depth 1, and whether the array that is open now is its value.
    let (mut name, mut in_keys) = (None, false);
    for (at, byte) in bytes.iter().enumerate() {
        if within {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    within = false;
                    if depth == 1 {
                        name = start.and_then(|start| bytes.get(start..at));
                    }
                }
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => (within, start) = (true, Some(at + 1)),
            b'{' => depth += 1,
            b'[' => {
                in_keys |= depth == 1 && name == Some(&b"keys"[..]);
                depth += 1;
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                if in_keys && depth == 1 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_keys_is_found_among_other_members() {
        for (text, end) in [
            (r#"{"keys":[]}"#, 9),
            (r#"{"x":["keys",[1]],"keys" : [ {"a":["]"]} ] ,"y":[]}"#, 41),
            (r#"{"a":"keys","b":[],"keys":[{"k":"\"]"}]}"#, 38),
        ] {
            assert_eq!(end_of_keys(text.as_bytes()), Some(end), "{text}");
        }
        assert_eq!(end_of_keys(br#"{"a":{"keys":[]}}"#), None);
    }
}
