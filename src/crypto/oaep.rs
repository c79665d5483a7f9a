//! RSAES-OAEP as XML-Enc names it: digest, MGF digest and label each on their own (XML-Enc 1.1 §5.5.2).

use crate::alg::Hash;
use crate::crypto::cipher::{unwrap_oaep, wrap_oaep};
use crate::crypto::{Key, KeyKind};
use crate::secret::SecretBytes;

/// The parameters of one OAEP encryption (RFC 8017 §7.1).
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the parameters of RFC 8017")]
pub struct OaepParameters {
    /// The digest of the label.
    pub digest: Hash,
    /// The digest inside MGF1.
    pub mgf: Hash,
    /// The label `L` (`OAEPparams`); empty where none is named.
    pub label: Vec<u8>,
}

/// Encrypts a content key to the public half; `None` if the key is no RSA key of 2048 bits or more, or the
/// pair of digests needs the feature `compat`.
#[must_use]
pub fn encrypt(key: &Key, parameters: &OaepParameters, plain: &[u8]) -> Option<Vec<u8>> {
    let label = Some(parameters.label.as_slice()).filter(|label| !label.is_empty());
    if parameters.digest == parameters.mgf {
        return wrap_oaep(key, parameters.digest, label, plain);
    }
    foreign::encrypt(key, parameters, plain)
}

/// Decrypts a content key; `None` whatever the reason. Keys below 2048 bits decrypt with `small` only.
#[must_use]
pub fn decrypt(
    key: &Key,
    parameters: &OaepParameters,
    wrapped: &[u8],
    small: bool,
) -> Option<SecretBytes> {
    let KeyKind::Rsa { bits } = key.kind() else { return None };
    let label = Some(parameters.label.as_slice()).filter(|label| !label.is_empty());
    let plain = if bits >= 2048 && parameters.digest == parameters.mgf {
        unwrap_oaep(key, parameters.digest, label, wrapped)
    } else if bits >= 2048 || (small && bits >= 1024) {
        foreign::decrypt(key, parameters, wrapped)
    } else {
        None
    };
    plain.map(SecretBytes::from_vec)
}

/// OpenSSL, which alone takes unequal digests.
#[cfg(feature = "compat")]
mod foreign {
    use openssl::md::{Md, MdRef};
    use openssl::pkey::PKey;
    use openssl::pkey_ctx::PkeyCtx;
    use openssl::rsa::Padding;

    use super::{Hash, Key, OaepParameters};

    pub(super) fn encrypt(key: &Key, named: &OaepParameters, plain: &[u8]) -> Option<Vec<u8>> {
        let public = PKey::public_key_from_der(key.spki()?).ok()?;
        let mut context = PkeyCtx::new(&public).ok()?;
        context.encrypt_init().ok()?;
        set(&mut context, named)?;
        let mut out = Vec::new();
        context.encrypt_to_vec(plain, &mut out).ok()?;
        Some(out)
    }

    pub(super) fn decrypt(key: &Key, named: &OaepParameters, wrapped: &[u8]) -> Option<Vec<u8>> {
        // EXPOSE: into OpenSSL's own key, freed and cleansed by it.
        let private = PKey::private_key_from_pkcs8(key.pkcs8()?.expose_secret()).ok()?;
        if wrapped.len() != private.size() {
            return None;
        }
        let mut context = PkeyCtx::new(&private).ok()?;
        context.decrypt_init().ok()?;
        set(&mut context, named)?;
        let mut out = Vec::new();
        context.decrypt_to_vec(wrapped, &mut out).ok()?;
        Some(out)
    }

    fn set<T>(context: &mut PkeyCtx<T>, named: &OaepParameters) -> Option<()> {
        context.set_rsa_padding(Padding::PKCS1_OAEP).ok()?;
        context.set_rsa_oaep_md(md(named.digest)).ok()?;
        context.set_rsa_mgf1_md(md(named.mgf)).ok()?;
        if !named.label.is_empty() {
            context.set_rsa_oaep_label(&named.label).ok()?;
        }
        Some(())
    }

    fn md(hash: Hash) -> &'static MdRef {
        match hash {
            Hash::Sha1 => Md::sha1(),
            Hash::Sha256 => Md::sha256(),
            Hash::Sha384 => Md::sha384(),
            Hash::Sha512 => Md::sha512(),
        }
    }
}

#[cfg(not(feature = "compat"))]
mod foreign {
    use super::{Key, OaepParameters};

    pub(super) fn encrypt(_: &Key, _: &OaepParameters, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    pub(super) fn decrypt(_: &Key, _: &OaepParameters, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}
