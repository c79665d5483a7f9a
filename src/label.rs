//! Names: labels, aliases, stores, realms and callers, each with one documented character set.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    return Ok(Self(Arc::from(text)));
                }
                let shown: String = text.chars().take(64).collect();
                Err(Error::new(ErrorKind::Usage, format!(concat!("\"{}\" is no ", $what), shown.escape_debug()))
                    .with_help($rule))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl From<&$name> for Arc<str> {
            fn from(name: &$name) -> Self {
                Self::clone(&name.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(|error: Error| serde::de::Error::custom(error.message()))
            }
        }
    };
}

name_type!(
    /// A secret label: letters, digits and single inner dots, at most 255 bytes (Ping AM's rule).
    LabelName,
    "label",
    is_label,
    "a label is letters, digits and single dots between them, at most 255 characters"
);
name_type!(
    /// An alias in a store: 1 to 1024 characters, none of them a control character.
    Alias,
    "alias",
    |text| !text.is_empty() && text.len() <= 4096 && text.chars().count() <= 1024 && !text.chars().any(char::is_control),
    "an alias is 1 to 1024 characters, none of them a control character"
);
name_type!(
    /// The name of a store: letters, digits, `-` and `_`, at most 64 bytes.
    StoreName,
    "store name",
    |text| !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'),
    "a store name is letters, digits, \"-\" and \"_\", at most 64 characters"
);
name_type!(
    /// Who calls the service, as the configuration names it: letters, digits, `-`, `_`, `.` and `@`, at most 64 bytes.
    CallerName,
    "caller name",
    |text| !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte)),
    "a caller name is letters, digits, \"-\", \"_\", \".\" and \"@\", at most 64 characters"
);
name_type!(
    /// A realm: letters, digits, `-`, `_`, `.` and `/` between parts, at most 255 bytes.
    Realm,
    "realm",
    |text| !text.is_empty()
        && text.len() <= 255
        && text.split('/').all(|part| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        }),
    "a realm is letters, digits, \"-\", \"_\" and \".\", with \"/\" between parts"
);

fn is_label(text: &str) -> bool {
    // One pass: every request of the service names one. A dot stands after a letter or digit, and not at the end.
    let mut within = false;
    let fits = |byte: u8| {
        let after = std::mem::replace(&mut within, byte.is_ascii_alphanumeric());
        within || (byte == b'.' && after)
    };
    text.len() <= 255 && text.bytes().all(fits) && within
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_follow_the_grammar() {
        for good in ["a", "am.services.oauth2.oidc.decryption.RSA.OAEP.256", "a.1"] {
            assert!(good.parse::<LabelName>().is_ok(), "{good}");
        }
        for bad in ["", ".a", "a.", "a..b", "a/b", "a b", "..", "a\0", "ä", "a.v-1", "%2e%2e"] {
            assert!(bad.parse::<LabelName>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(256).parse::<LabelName>().is_err());
    }

    #[test]
    fn realms_never_climb() {
        assert!("alpha/beta".parse::<Realm>().is_ok());
        for bad in ["", "/", "a/", "a/../b", ".."] {
            assert!(bad.parse::<Realm>().is_err(), "{bad:?}");
        }
    }
}
