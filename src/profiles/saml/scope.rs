//! Which labels stand behind a provider: its own identifier's, then those of its role.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::label::{LabelName, Realm};

/// What a provider is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the roles that have labels")]
pub enum SamlRole {
    /// Identity provider.
    Idp,
    /// Service provider.
    Sp,
}

impl SamlRole {
    /// As labels write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idp => "idp",
            Self::Sp => "sp",
        }
    }

    /// Its element in metadata.
    #[must_use]
    pub const fn descriptor(self) -> &'static str {
        match self {
            Self::Idp => "IDPSSODescriptor",
            Self::Sp => "SPSSODescriptor",
        }
    }
}

impl FromStr for SamlRole {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "idp" => Ok(Self::Idp),
            "sp" => Ok(Self::Sp),
            _ => Err(Error::new(ErrorKind::Usage, "a role is \"idp\" or \"sp\"")),
        }
    }
}

impl fmt::Display for SamlRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a provider needs a secret for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the labels of the catalogue")]
pub enum SamlUse {
    /// The password for back channels; it has no default label.
    BasicAuth,
    /// Decrypts what peers encrypt.
    Encryption,
    /// The client certificate for back channels; only service providers have a default label.
    Mtls,
    /// Signs.
    Signing,
}

/// A provider as one realm sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "what names a provider")]
pub struct SamlScope {
    /// The realm; `None` is the global scope.
    pub realm: Option<Realm>,
    /// Its role.
    pub role: SamlRole,
    /// The secret label identifier of the provider, if it has one of its own.
    pub identifier: Option<String>,
}

impl SamlScope {
    /// The labels to ask in order, each in the realm and then globally.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if the identifier cannot stand in a label.
    pub fn labels(&self, purpose: SamlUse) -> Result<Vec<LabelName>> {
        let word = match purpose {
            SamlUse::BasicAuth => "basicauth",
            SamlUse::Encryption => "encryption",
            SamlUse::Mtls => "mtls",
            SamlUse::Signing => "signing",
        };
        let mut labels = Vec::new();
        if let Some(identifier) = &self.identifier {
            let own =
                format!("am.applications.federation.entity.providers.saml2.{identifier}.{word}");
            labels.push(own.parse().map_err(|_| unfit(identifier))?);
        }
        let role = self.role;
        let has_default = match purpose {
            SamlUse::BasicAuth => false,
            SamlUse::Mtls => role == SamlRole::Sp,
            SamlUse::Encryption | SamlUse::Signing => true,
        };
        if has_default {
            let default =
                format!("am.default.applications.federation.entity.providers.saml2.{role}.{word}");
            labels.push(default.parse()?);
        }
        Ok(labels)
    }
}

fn unfit(identifier: &str) -> Error {
    let text = format!("\"{}\" is no secret label identifier", identifier.escape_debug());
    Error::new(ErrorKind::Usage, text)
        .with_help("letters and digits, with single dots between them, as shop.eu; its label has at most 255 characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_is_one_of_the_catalogue() {
        for role in [SamlRole::Idp, SamlRole::Sp] {
            let scope = SamlScope { realm: None, role, identifier: Some("shop.eu".into()) };
            for purpose in
                [SamlUse::BasicAuth, SamlUse::Encryption, SamlUse::Mtls, SamlUse::Signing]
            {
                for label in scope.labels(purpose).unwrap() {
                    let found = crate::catalogue::find(&label).unwrap();
                    assert_eq!(found.spec.section, "saml2", "{label}");
                }
            }
        }
        let scope = SamlScope { realm: None, role: SamlRole::Sp, identifier: Some("a/b".into()) };
        assert_eq!(scope.labels(SamlUse::Signing).unwrap_err().kind(), ErrorKind::Usage);
    }
}
