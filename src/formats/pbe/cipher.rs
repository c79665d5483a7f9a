//! The ciphers of password-based encryption, all in CBC mode but RC4: read only.

use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, InnerIvInit, KeyInit, KeyIvInit, StreamCipher};
use rc2::Rc2;

use super::wrong;
use crate::error::Result;
use crate::formats::asn1::{Node, OCTET_STRING, SEQUENCE, damaged};
use crate::secret::SecretBytes;

#[derive(Clone, Copy)]
pub(super) enum Cipher {
    Aes,
    Des,
    Des3,
    /// With this many effective bits.
    Rc2(usize),
    Rc4,
}

/// `RC2-CBC-Parameter ::= SEQUENCE { rc2ParameterVersion INTEGER, iv OCTET STRING }` (RFC 8018 §B.2.3)
pub(super) fn rc2_parameters(parameters: &Node<'_>) -> Result<(Cipher, usize, Vec<u8>)> {
    let [version, iv] = parameters.children(SEQUENCE)? else {
        return Err(damaged("RC2 parameters"));
    };
    let bits = match version.number()? {
        160 => 40,
        120 => 64,
        58 => 128,
        other => {
            usize::try_from(other).ok().filter(|bits| (256..=1024).contains(bits)).unwrap_or(0)
        }
    };
    if bits == 0 {
        return Err(damaged("an RC2 version"));
    }
    Ok((Cipher::Rc2(bits), bits / 8, iv.string(OCTET_STRING)?))
}

pub(super) fn decipher(cipher: Cipher, key: &[u8], iv: &[u8], text: &[u8]) -> Result<SecretBytes> {
    let plain = match (cipher, key.len()) {
        (Cipher::Aes, 16) => cbc_decrypt(Decryptor::<aes::Aes128>::new_from_slices(key, iv), text),
        (Cipher::Aes, 24) => cbc_decrypt(Decryptor::<aes::Aes192>::new_from_slices(key, iv), text),
        (Cipher::Aes, _) => cbc_decrypt(Decryptor::<aes::Aes256>::new_from_slices(key, iv), text),
        (Cipher::Des, _) => cbc_decrypt(Decryptor::<des::Des>::new_from_slices(key, iv), text),
        (Cipher::Des3, _) => {
            cbc_decrypt(Decryptor::<des::TdesEde3>::new_from_slices(key, iv), text)
        }
        (Cipher::Rc2(bits), _) => {
            let inner = Rc2::new_with_eff_key_len(key, bits);
            cbc_decrypt(Decryptor::<Rc2>::inner_iv_slice_init(inner, iv), text)
        }
        (Cipher::Rc4, _) => rc4::Rc4::new_from_slice(key).ok().map(|mut stream| {
            let mut out = text.to_vec();
            stream.apply_keystream(&mut out);
            out
        }),
    };
    plain.map(SecretBytes::from_vec).ok_or_else(wrong)
}

fn cbc_decrypt<M: BlockModeDecrypt, E>(
    mode: std::result::Result<M, E>,
    text: &[u8],
) -> Option<Vec<u8>> {
    mode.ok()?.decrypt_padded_vec::<Pkcs7>(text).ok()
}
