//! In which tokens of profiles a label takes part, and as what.

use super::journey::PROFILES;
use super::{Parts, Typ, session};
use crate::catalogue::{self, Home};
use crate::label::LabelName;

/// A kind of token that a label has a part in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TokenForm {
    /// The profile.
    pub name: &'static str,
    /// `typ` of each layer.
    pub typ: Typ,
    /// How it is put together; `true` where the keys of the label stand.
    pub parts: Parts<bool>,
}

/// The kinds of token of sessions and of the table in which `label` takes part.
#[must_use]
pub fn forms(label: &LabelName) -> Vec<TokenForm> {
    let Some(found) = catalogue::find(label) else { return Vec::new() };
    let name = found.spec.name.as_str();
    match found.spec.home {
        Home::Session => {
            let signing = name.contains(".signing");
            let parts = Parts::SignedThenEncrypted { signing, encryption: !signing };
            vec![TokenForm { name: "session", typ: Typ::Explicit(session::TYP), parts }]
        }
        Home::Journey => PROFILES
            .iter()
            .filter_map(|row| {
                let parts = row.parts.map(|labels| {
                    labels.plain.iter().chain(labels.identified).any(|one| *one == name)
                });
                let takes_part = [parts.signing(), parts.encryption()].contains(&Some(&true));
                takes_part.then_some(TokenForm { name: row.name, typ: row.typ, parts })
            })
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_of_sessions_and_of_the_table_takes_part_in_something() {
        for spec in catalogue::all() {
            let label = spec.name.replace("{identifier}", "x").parse().unwrap();
            let expected = matches!(spec.home, Home::Journey | Home::Session);
            assert_eq!(!forms(&label).is_empty(), expected, "{}", spec.name);
        }
        let cookie = "am.authentication.nodes.persistentcookie.front.signing".parse().unwrap();
        let parts = Parts::EncryptedThenSigned { encryption: false, signing: true };
        assert_eq!(forms(&cookie)[0].parts, parts);
    }
}
