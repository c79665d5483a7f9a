//! The catalogue of labels: Ping AM's 99 secret labels, compiled in from `labels.toml`.

/// What a label is for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
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
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
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
