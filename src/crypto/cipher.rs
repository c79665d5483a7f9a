//! Content encryption and key management for one key and one algorithm row.

use crate::alg::Algorithm;
use crate::crypto::{Key, PublicParameters};
use crate::error::{Error, ErrorKind, Result};
use crate::secret::SecretBytes;

/// Header members that a key management algorithm reads or adds (RFC 7518 §4.6.1, §4.7.1, §4.8.1), decoded.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KeyManagementHeader {
    /// `epk`.
    pub epk: Option<PublicParameters>,
    /// `apu`.
    pub apu: Option<Vec<u8>>,
    /// `apv`.
    pub apv: Option<Vec<u8>>,
    /// `iv` of AES-GCM key wrap.
    pub iv: Option<Vec<u8>>,
    /// `tag` of AES-GCM key wrap.
    pub tag: Option<Vec<u8>>,
    /// `p2s`.
    pub p2s: Option<Vec<u8>>,
    /// `p2c`, already bounded by the caller.
    pub p2c: Option<u32>,
}

/// A content key on its way to the receiver.
#[derive(Debug)]
pub struct EstablishedKey {
    /// The content encryption key.
    pub cek: SecretBytes,
    /// What travels as the JWE Encrypted Key; empty for `dir` and `ECDH-ES`.
    pub encrypted_key: Vec<u8>,
    /// What the header must carry.
    pub header: KeyManagementHeader,
}

/// Makes or agrees on a content key for `enc` (RFC 7516 §5.1 steps 1 to 8). `given` carries `apu`, `apv`
/// and `p2c` of the caller. With `cek`, wraps that one instead of a fresh one (several recipients);
/// refused for `dir` and `ECDH-ES`.
///
/// # Errors
/// [`ErrorKind::KeyUnfit`] if the key does not fit.
pub fn establish(
    _key: &Key,
    _algorithm: &Algorithm,
    _enc: &Algorithm,
    _given: &KeyManagementHeader,
    _cek: Option<&SecretBytes>,
) -> Result<EstablishedKey> {
    Err(Error::new(ErrorKind::Unsupported, "pending"))
}

/// Recovers the content key (RFC 7516 §5.2 steps 6 to 13). For `RSA1_5` a random key comes back
/// instead of an error (§11.5), so that the caller's next step fails alike.
///
/// # Errors
/// [`ErrorKind::NotDecrypted`], whatever the reason.
pub fn recover(
    _key: &Key,
    _algorithm: &Algorithm,
    _enc: &Algorithm,
    _encrypted_key: &[u8],
    _header: &KeyManagementHeader,
) -> Result<SecretBytes> {
    Err(Error::new(ErrorKind::Unsupported, "pending"))
}

/// A sealed content.
#[derive(Debug)]
pub struct Sealed {
    /// The initialization vector, fresh and random.
    pub iv: Vec<u8>,
    /// The ciphertext.
    pub ciphertext: Vec<u8>,
    /// The authentication tag.
    pub tag: Vec<u8>,
}

/// Encrypts and authenticates (RFC 7518 §5). The IV is random.
///
/// # Errors
/// [`ErrorKind::KeyUnfit`] if the length of `cek` does not fit `enc`.
pub fn seal(_enc: &Algorithm, _cek: &[u8], _aad: &[u8], _plaintext: &[u8]) -> Result<Sealed> {
    Err(Error::new(ErrorKind::Unsupported, "pending"))
}

/// Checks and decrypts. Lengths of key, IV and tag are checked first; the MAC before the padding.
///
/// # Errors
/// [`ErrorKind::NotDecrypted`], whatever the reason.
pub fn open(
    _enc: &Algorithm,
    _cek: &[u8],
    _iv: &[u8],
    _aad: &[u8],
    _ciphertext: &[u8],
    _tag: &[u8],
) -> Result<SecretBytes> {
    Err(Error::new(ErrorKind::Unsupported, "pending"))
}
