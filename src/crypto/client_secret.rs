//! Keys made of a client secret (OpenID Connect Core 1.0 §10.1 and §10.2).

use zeroize::Zeroizing;

use crate::alg::Hash;
use crate::crypto::{Key, OctType, digest};
use crate::error::{Error, ErrorKind, Result};
use crate::secret::SecretBytes;

impl Key {
    /// This secret as an HMAC key: its octets as they are (§10.1).
    ///
    /// # Errors
    /// [`ErrorKind::KeyUnfit`] for a key pair.
    pub fn hmac_of_secret(&self) -> Result<Self> {
        // EXPOSE: into another owner that wipes itself.
        let bytes = SecretBytes::from_slice(self.client_secret()?.expose_secret());
        Self::from_secret(bytes, OctType::Hmac)
    }

    /// An AES key of `bits` bits of this secret: the leftmost ones of its SHA-2, which is SHA-256 up to 256
    /// bits, SHA-384 up to 384 and SHA-512 up to 512 (§10.2).
    ///
    /// # Errors
    /// [`ErrorKind::KeyUnfit`] for a key pair, and for lengths that no algorithm has.
    pub fn derive_from_secret(&self, bits: usize) -> Result<Self> {
        let hash = match bits {
            0..=256 => Hash::Sha256,
            257..=384 => Hash::Sha384,
            _ => Hash::Sha512,
        };
        // EXPOSE: into the digest.
        let derived = Zeroizing::new(digest(hash, self.client_secret()?.expose_secret()));
        let leftmost = derived.get(..bits / 8).unwrap_or_default();
        Self::from_secret(SecretBytes::from_slice(leftmost), OctType::Aes)
    }

    fn client_secret(&self) -> Result<&SecretBytes> {
        self.secret_bytes()
            .ok_or_else(|| Error::new(ErrorKind::KeyUnfit, "a key pair is no client secret"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_leftmost_bits_of_the_digest_that_their_length_asks_for() {
        let secret = Key::from_secret(SecretBytes::from_slice(b"abc"), OctType::Generic).unwrap();
        // FIPS 180-4 examples: the digests of "abc".
        for (bits, prefix) in [
            (128, "ba7816bf8f01cfea414140de5dae2223"),
            (192, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9c"),
            (256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (384, "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163"),
            (512, "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea2"),
        ] {
            let key = secret.derive_from_secret(bits).unwrap();
            assert_eq!(key.kind().bits(), bits);
            let hex = key.reveal(|bytes| hex::encode(bytes));
            let hex: String = hex.unwrap();
            assert!(hex.starts_with(prefix), "{bits}: {hex}");
        }
        assert!(secret.derive_from_secret(1024).is_err());
        assert_eq!(secret.hmac_of_secret().unwrap().kind().bits(), 24);
    }
}
