//! The rights that a grant gives, one a kind of operation.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// What a right is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a closed table")]
pub enum Scope {
    /// One label in one realm.
    Label,
    /// A realm as a whole: what a profile does with its labels.
    Realm,
    /// The service itself.
    Service,
}

macro_rules! rights {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $scope:ident;)*) => {
        /// A right. None contains another: who may sign may not rotate, who may open a session may not sign as the
        /// keys of sessions do.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum Right {
            $($(#[$doc])* $variant,)*
        }

        impl Right {
            /// Every right.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// How the configuration writes it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// What it is about.
            #[must_use]
            pub const fn scope(self) -> Scope {
                match self { $(Self::$variant => Scope::$scope),* }
            }
        }
    };
}

impl Right {
    /// Whether it lets a caller make, open or change something, or costs much, instead of only looking.
    #[must_use]
    pub const fn acts(self) -> bool {
        !matches!(self, Self::Keys | Self::Metrics | Self::Read | Self::Verify)
    }

    /// Whether it is to change what stands behind labels, or what serves.
    #[must_use]
    pub const fn changes(self) -> bool {
        matches!(
            self,
            Self::Generate
                | Self::Promote
                | Self::Reload
                | Self::Reorder
                | Self::Retire
                | Self::Revoke
                | Self::Stage
                | Self::Undo
        )
    }
}

rights! {
    /// Decrypt with a label.
    Decrypt = "decrypt", Label;
    /// Rehearse rotations and replay traces.
    Drill = "drill", Label;
    /// Encrypt with a label.
    Encrypt = "encrypt", Label;
    /// Make a key and stage it.
    Generate = "generate", Label;
    /// Read published keys.
    Keys = "keys", Realm;
    /// Read the figures of the service.
    Metrics = "metrics", Service;
    /// Make tokens of OAuth 2.0 and OpenID Connect.
    OidcIssue = "oidc-issue", Realm;
    /// Open and check them.
    OidcOpen = "oidc-open", Realm;
    /// Promote an alias.
    Promote = "promote", Label;
    /// Read labels, explanations, status and history.
    Read = "read", Label;
    /// Read the configuration and its stores again.
    Reload = "reload", Service;
    /// Reorder the aliases of a label.
    Reorder = "reorder", Label;
    /// Retire an alias.
    Retire = "retire", Label;
    /// Revoke a key.
    Revoke = "revoke", Label;
    /// Encrypt again under the active alias, without seeing the plaintext.
    Rewrap = "rewrap", Label;
    /// Open and check SAML messages.
    SamlOpen = "saml-open", Realm;
    /// Sign and encrypt SAML messages, and write our metadata.
    SamlSign = "saml-sign", Realm;
    /// Open client-side sessions.
    SessionOpen = "session-open", Realm;
    /// Make client-side sessions.
    SessionSeal = "session-seal", Realm;
    /// Sign with a label.
    Sign = "sign", Label;
    /// Stage an alias.
    Stage = "stage", Label;
    /// Make the tokens of journeys and services.
    TokenIssue = "token-issue", Realm;
    /// Open them.
    TokenOpen = "token-open", Realm;
    /// Take a step back.
    Undo = "undo", Label;
    /// Verify with a label.
    Verify = "verify", Label;
}

impl FromStr for Right {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.iter().copied().find(|right| right.name() == text).ok_or_else(|| {
            let shown: String = text.chars().take(64).collect();
            let names: Vec<&str> = Self::ALL.iter().map(|right| right.name()).collect();
            let text = format!("\"{}\" is no right", shown.escape_debug());
            Error::new(ErrorKind::Usage, text).with_help(format!("one of {}", names.join(", ")))
        })
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
