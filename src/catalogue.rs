//! The catalogue of labels: Ping AM's 99 secret labels, compiled in from `labels.toml`.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::alg::Algorithm;
use crate::label::LabelName;

/// What a label is for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LabelUse {
    /// All valid keys decrypt.
    Decrypt,
    /// The active key encrypts.
    Encrypt,
    /// The active key makes MACs and all valid ones check them (both directions, symmetric keys).
    Mac,
    /// A client certificate and its key.
    Mtls,
    /// Bytes that the application reads: a password, a salt.
    Secret,
    /// The active key signs.
    Sign,
    /// Every certificate is a trust anchor.
    Trust,
    /// All valid keys verify.
    Verify,
}

impl LabelUse {
    /// Every use.
    pub const ALL: &'static [Self] = &[
        Self::Decrypt,
        Self::Encrypt,
        Self::Mac,
        Self::Mtls,
        Self::Secret,
        Self::Sign,
        Self::Trust,
        Self::Verify,
    ];

    /// The word in configuration, help and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decrypt => "decrypt",
            Self::Encrypt => "encrypt",
            Self::Mac => "mac",
            Self::Mtls => "mtls",
            Self::Secret => "secret",
            Self::Sign => "sign",
            Self::Trust => "trust",
            Self::Verify => "verify",
        }
    }
}

/// What is published of a label in a JWKS.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Publish {
    /// The active key alone.
    Active,
    /// Every valid key.
    All,
    /// Nothing.
    #[default]
    None,
}

/// Which `alg` the keys of a JWKS carry (RFC 7517 §4.4: it is optional).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum JwkAlg {
    /// Each key once for each of its algorithms, under one kid: Ping AM's "include all kty and alg combinations".
    Each,
    /// None, as Ping AM without that setting.
    None,
    /// That of keys with one algorithm; a key of several is shown once and names none, since clients take a key
    /// with an `alg` for that one alone.
    #[default]
    Single,
}

/// Which part of the program uses a label.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Home {
    /// A row of `profiles::journey::PROFILES`.
    Journey,
    /// Nothing but plain calls on the label.
    Label,
    /// OpenID Connect and OAuth 2.0.
    Oidc,
    /// SAML 2.0.
    Saml,
    /// Client-side sessions.
    Session,
    /// Identities and trust anchors of TLS.
    Tls,
}

impl Home {
    /// The word in the catalogue and in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Journey => "journey",
            Self::Label => "label",
            Self::Oidc => "oidc",
            Self::Saml => "saml",
            Self::Session => "session",
            Self::Tls => "tls",
        }
    }
}

/// What kind of secret a label wants.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LabelMaterial {
    /// An AES key.
    Aes,
    /// Anything that its use and algorithms admit: labels of one's own.
    Any,
    /// Certificates.
    Certificate,
    /// A DES or AES key; DES is not built in.
    DesOrAes,
    /// An EC key pair.
    Ec,
    /// An Ed25519 key pair.
    Ed25519,
    /// A password or other bytes.
    Generic,
    /// An HMAC key.
    Hmac,
    /// A key pair of any type.
    KeyPair,
    /// A public key, bare or in a certificate.
    PublicKey,
    /// An RSA key pair.
    Rsa,
    /// An RSA key pair or an AES key.
    RsaOrAes,
    /// An RSA or EC key pair.
    RsaOrEc,
    /// A password or a symmetric key: secret labels of one's own.
    Symmetric,
}

/// Where a label may be mapped.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LabelScope {
    /// In global stores alone.
    #[serde(rename = "global-only")]
    GlobalOnly,
    /// Anywhere.
    #[serde(rename = "global+realm")]
    GlobalOrRealm,
    /// Meant for realm stores.
    #[serde(rename = "realm")]
    Realm,
}

/// What a change of order means.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Rotation {
    /// Only the active one counts.
    ActiveOnly,
    /// Must never change.
    None,
    /// The first alias acts, every alias still verifies and decrypts.
    Overlap,
    /// Every entry is trusted.
    TrustSet,
}

/// One row of the catalogue.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LabelSpec {
    /// The label; `{identifier}` stands for what the feature is configured with.
    pub name: String,
    /// The feature it belongs to.
    pub section: String,
    /// Which part of the program uses it.
    pub home: Home,
    /// One line on what it is for.
    pub help: String,
    /// What it is for.
    #[serde(rename = "use")]
    pub uses: Vec<LabelUse>,
    /// What kind of secret it wants.
    pub material: LabelMaterial,
    /// Whether the key needs a certificate.
    #[serde(default)]
    pub certificate_required: bool,
    /// JOSE algorithms; empty: whatever fits the material.
    #[serde(default)]
    pub algorithms: Vec<String>,
    /// XML signature and encryption algorithms.
    #[serde(default)]
    pub xml_algorithms: Vec<String>,
    /// The aliases of a fresh Ping AM.
    #[serde(default)]
    pub default_aliases: Vec<String>,
    /// Where it may be mapped.
    pub scope: LabelScope,
    /// What a change of order means.
    pub rotation: Rotation,
    /// Asked in order where this label is not mapped.
    #[serde(default)]
    pub fallback: Vec<String>,
    /// Superseded.
    #[serde(default)]
    pub deprecated: bool,
    /// What to map instead.
    #[serde(default)]
    pub replaced_by: Vec<String>,
    /// Consumers of this label read it once at start.
    #[serde(default)]
    pub restart_needed: bool,
    /// What a JWKS shows.
    #[serde(default)]
    pub publish: Publish,
    /// The JWKS `use`: `sig` or `enc`.
    #[serde(default)]
    pub publish_use: Option<String>,
}

impl LabelSpec {
    /// The rows of its JOSE and XML algorithms.
    #[must_use]
    pub fn rows(&self) -> Vec<&'static Algorithm> {
        let names = self.algorithms.iter().chain(&self.xml_algorithms);
        names.filter_map(|name| Algorithm::find_any(name)).collect()
    }
}

#[derive(Deserialize)]
struct File {
    label: Vec<LabelSpec>,
}

#[expect(clippy::expect_used, reason = "the file is part of the program; a test reads it")]
static CATALOGUE: LazyLock<Vec<LabelSpec>> = LazyLock::new(|| {
    toml::from_str::<File>(include_str!("labels.toml")).expect("labels.toml is valid").label
});

/// Every row, in the order of the file.
#[must_use]
pub fn all() -> &'static [LabelSpec] {
    &CATALOGUE
}

/// The rows as they are looked for: 10^5 labels ask while a configuration loads.
struct Index {
    exact: HashMap<&'static str, &'static LabelSpec>,
    /// What stands before and after `{identifier}`; those with the most literal text first.
    patterns: Vec<(&'static str, &'static str, &'static LabelSpec)>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut patterns: Vec<_> = all()
        .iter()
        .filter_map(|spec| {
            let (before, after) = spec.name.split_once("{identifier}")?;
            Some((before, after, spec))
        })
        .collect();
    patterns.sort_by_key(|(before, after, _)| Reverse(before.len() + after.len()));
    Index { exact: all().iter().map(|spec| (spec.name.as_str(), spec)).collect(), patterns }
});

/// A row, and what stands for its `{identifier}`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Found {
    /// The row.
    pub spec: &'static LabelSpec,
    /// The identifier; empty for rows without one.
    pub identifier: String,
}

/// The row of a label: an exact one before a pattern, of patterns the one with the most literal text.
#[must_use]
pub fn find(label: &LabelName) -> Option<Found> {
    let label = canonical(label);
    let label = label.as_str();
    if let Some(spec) = INDEX.exact.get(label) {
        return Some(Found { spec, identifier: String::new() });
    }
    INDEX.patterns.iter().find_map(|(before, after, spec)| {
        let identifier = label.strip_prefix(before)?.strip_suffix(after)?;
        (!identifier.is_empty()).then(|| Found { spec, identifier: identifier.to_owned() })
    })
}

/// One spelling for labels that documents spell two ways: the PEM password label is `secret` in AM 7
/// and `secrets` in the table of AM 8.
#[must_use]
#[expect(clippy::missing_panics_doc, clippy::expect_used, reason = "a constant of ours")]
pub fn canonical(label: &LabelName) -> LabelName {
    if label.as_str() == "am.global.services.secrets.pem.decryption" {
        return PEM_PASSWORD.parse().expect("a well-formed label");
    }
    label.clone()
}

/// The label of the password that opens encrypted PEM keys.
pub const PEM_PASSWORD: &str = "am.global.services.secret.pem.decryption";

/// The labels to ask, in order, where `label` is not mapped.
#[must_use]
pub fn fallbacks_of(label: &LabelName) -> Vec<LabelName> {
    find(label)
        .map(|found| found.spec.fallback.iter().filter_map(|name| name.parse().ok()).collect())
        .unwrap_or_default()
}

/// The catalogue label that looks most like `label`, for suggestions.
#[must_use]
pub fn nearest(label: &str) -> Option<&'static str> {
    let names = all().iter().map(|spec| spec.name.as_str());
    nearest_of(label, names.filter(|name| !name.contains('{')))
}

/// The one of these names nearest to `label`, if it is near enough to be what was meant.
#[must_use]
pub fn nearest_of<'n>(label: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let label = label.to_lowercase();
    names
        .filter(|name| name.len().abs_diff(label.len()) <= MAX_TYPOS)
        .map(|name| (strsim::damerau_levenshtein(&name.to_lowercase(), &label), name))
        .min_by_key(|(typos, _)| *typos)
        .filter(|(typos, name)| *typos <= MAX_TYPOS.min(name.len() / 4))
        .map(|(_, name)| name)
}

/// How many letters may differ in what is taken for a slip.
const MAX_TYPOS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_whole_and_names_only_known_things() {
        assert_eq!(all().len(), 99);
        for spec in all() {
            for name in spec.algorithms.iter().chain(&spec.xml_algorithms) {
                assert!(Algorithm::find_any(name).is_some(), "{}: {name}", spec.name);
            }
            let filled = spec.name.replace("{identifier}", "x.y");
            let label: LabelName = filled.parse().unwrap();
            let found = find(&label).unwrap();
            assert_eq!(found.spec.name, spec.name);
            for name in spec.fallback.iter().chain(&spec.replaced_by) {
                assert!(find(&name.parse().unwrap()).is_some(), "{}: {name}", spec.name);
            }
        }
        assert_eq!(all().iter().filter(|spec| !spec.default_aliases.is_empty()).count(), 40 + 2);
    }

    #[test]
    fn both_spellings_of_the_pem_label_are_one() {
        let plural = "am.global.services.secrets.pem.decryption".parse().unwrap();
        assert_eq!(find(&plural).unwrap().spec.name, PEM_PASSWORD);
    }

    #[test]
    fn a_slip_of_letters_or_case_finds_its_label() {
        let right = "am.services.oauth2.oidc.signing.ES256";
        assert_eq!(nearest("am.services.oauth2.oidc.signing.ES265"), Some(right));
        assert_eq!(nearest("AM.Services.OAuth2.OIDC.Signing.es256"), Some(right));
        assert_eq!(nearest("app.own"), None);
    }

    #[test]
    fn an_identifier_is_not_a_label_of_another_row() {
        let label = "am.default.authentication.nodes.persistentcookie.signing".parse().unwrap();
        assert_eq!(find(&label).unwrap().identifier, "");
    }
}
