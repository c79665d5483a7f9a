//! What is tolerated of one peer beyond the strict profile: each switch is off unless somebody names it.

use crate::error::{Error, ErrorKind, Result};

/// What one peer may do that the profile otherwise refuses.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "switches that callers set by name")]
pub struct PeerPolicy {
    /// Verify SHA-1 signatures and digests. Never made.
    pub sha1: bool,
    /// Verify and decrypt with RSA keys of 1024 to 2047 bits.
    pub rsa1024: bool,
    /// Take an empty Reference URI for the document element (against SAML core §5.4.2).
    pub empty_uri: bool,
    /// Take inclusive canonicalization, C14N 1.0 or 1.1 (against SAML core §5.4.3 and §5.4.4).
    pub inclusive_c14n: bool,
    /// AES-CBC, which authenticates nothing: only what is signed inside may be believed.
    pub cbc: bool,
    /// RSAES-PKCS1-v1_5, with implicit rejection.
    pub rsa1_5: bool,
    /// Decrypt triple DES, together with `cbc`. Never made.
    pub triple_des: bool,
    /// Take ECDSA values in DER in queries of the redirect binding, as peers in Java write them (against RFC 9231
    /// §2.3.6).
    pub der_ecdsa: bool,
}

impl PeerPolicy {
    /// The names of the switches, in the order of the fields.
    pub const NAMES: [&'static str; 8] =
        ["sha1", "rsa1024", "empty-uri", "incl-c14n", "cbc", "rsa1_5", "3des", "der-ecdsa"];

    /// The policy with these switches on.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a name that is no switch.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Self> {
        let mut policy = Self::default();
        for name in names {
            let switch = match name {
                "sha1" => &mut policy.sha1,
                "rsa1024" => &mut policy.rsa1024,
                "empty-uri" => &mut policy.empty_uri,
                "incl-c14n" => &mut policy.inclusive_c14n,
                "cbc" => &mut policy.cbc,
                "rsa1_5" => &mut policy.rsa1_5,
                "3des" => &mut policy.triple_des,
                "der-ecdsa" => &mut policy.der_ecdsa,
                _ => {
                    let text = format!("\"{}\" is no switch", name.escape_debug());
                    return Err(Error::new(ErrorKind::Usage, text)
                        .with_help(format!("the switches are {}", Self::NAMES.join(", "))));
                }
            };
            *switch = true;
        }
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_turns_on_one_switch() {
        let mut seen = vec![PeerPolicy::default()];
        for name in PeerPolicy::NAMES {
            let policy = PeerPolicy::of([name]).unwrap();
            assert!(!seen.contains(&policy), "{name}");
            seen.push(policy);
        }
        assert_eq!(PeerPolicy::of(["none"]).unwrap_err().kind(), ErrorKind::Usage);
    }
}
