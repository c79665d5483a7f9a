//! API keys: 256 random bits as text, and the hash that the configuration keeps of them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::crypto::{random, sha256};
use crate::error::Result;
use crate::secret::SecretString;

/// What keys begin with, so that scanners of repositories and logs know one when they see it.
const PREFIX: &str = "cvk_";

/// A new key.
#[derive(Debug)]
#[non_exhaustive]
pub struct ApiKey {
    /// What the caller sends as `Authorization: Bearer`.
    pub key: SecretString,
    /// What the configuration keeps: `api_key_sha256`, in hexadecimal digits.
    pub sha256: String,
}

impl ApiKey {
    /// A key that nobody had before.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::error::ErrorKind::Io) if the operating system gives no random bytes.
    pub fn generate() -> Result<Self> {
        let bytes = zeroize::Zeroizing::new(random::bytes::<32>()?);
        let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes.as_slice()));
        let sha256 = hex::encode(sha256(text.as_bytes()));
        Ok(Self { key: SecretString::from_string(text), sha256 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Access, Caller, Credential};

    #[test]
    fn a_key_is_known_by_its_hash() {
        let (one, other) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
        let hash = hex::decode(&one.sha256).unwrap().try_into().unwrap();
        let name: crate::label::CallerName = "batch".parse().unwrap();
        let caller = Caller { name: name.clone(), credential: Credential::ApiKey(hash) };
        let access = Access::new(vec![caller], Vec::new());
        // EXPOSE: a key of this test.
        assert_eq!(access.by_api_key(one.key.expose_secret()), Some(&name));
        assert_eq!(access.by_api_key(other.key.expose_secret()), None);
        assert_eq!(access.by_api_key(""), None);
    }
}
