//! LEGACY: triple DES in CBC, to read what old SAML peers encrypted (XML-Enc 1.1 §5.2.1; feature `compat`).

/// Decrypts; of the padding only the last byte counts, 1 to 8. Never a way to encrypt.
#[cfg(feature = "compat")]
pub(in crate::crypto) fn decrypt(key: &[u8], iv: &[u8], ciphertext: &[u8]) -> Option<Vec<u8>> {
    use openssl::symm::{Cipher, Crypter, Mode};

    if key.len() != 24
        || iv.len() != 8
        || ciphertext.is_empty()
        || !ciphertext.len().is_multiple_of(8)
    {
        return None;
    }
    let mut context = Crypter::new(Cipher::des_ede3_cbc(), Mode::Decrypt, key, Some(iv)).ok()?;
    context.pad(false);
    let mut out = vec![0; ciphertext.len() + 8];
    let first = context.update(ciphertext, &mut out).ok()?;
    let last = context.finalize(out.get_mut(first..)?).ok()?;
    out.truncate(first + last);
    let padding = usize::from(*out.last()?);
    if !(1..=8).contains(&padding) {
        return None;
    }
    out.truncate(out.len() - padding);
    Some(out)
}

#[cfg(not(feature = "compat"))]
pub(in crate::crypto) fn decrypt(_: &[u8], _: &[u8], _: &[u8]) -> Option<Vec<u8>> {
    None
}
