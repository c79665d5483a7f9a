//! The primitives alone, with the library that the algorithm table names and a key prepared once.

use aws_lc_rs::signature::{self as aws, KeyPair, ParsedPublicKey};
use claviger::alg::{Algorithm, Curve, Family, Hash};
use ring::{hmac, signature as ring_signature};

type Sign = Box<dyn Fn(&[u8])>;
type Verify = Box<dyn Fn(&[u8], &[u8]) -> bool>;

/// Signing and verifying with one key, by `backend` (`ring`, `aws-lc-rs`); `None` where it has not got it.
#[must_use]
pub fn signature(row: &Algorithm, key: &[u8], backend: &str) -> Option<(Sign, Verify)> {
    use std::hint::black_box;
    match (row.family, backend) {
        (Family::Hmac(hash), "ring") => {
            let algorithm = match hash {
                Hash::Sha384 => hmac::HMAC_SHA384,
                Hash::Sha512 => hmac::HMAC_SHA512,
                _ => hmac::HMAC_SHA256,
            };
            let one = hmac::Key::new(algorithm, key);
            let two = one.clone();
            Some((
                Box::new(move |message| {
                    black_box(hmac::sign(&one, message));
                }),
                Box::new(move |message, tag| hmac::verify(&two, message, tag).is_ok()),
            ))
        }
        (Family::Hmac(hash), "aws-lc-rs") => {
            use aws_lc_rs::hmac;
            let algorithm = match hash {
                Hash::Sha384 => hmac::HMAC_SHA384,
                Hash::Sha512 => hmac::HMAC_SHA512,
                _ => hmac::HMAC_SHA256,
            };
            let one = hmac::Key::new(algorithm, key);
            let two = one.clone();
            Some((
                Box::new(move |message| {
                    black_box(hmac::sign(&one, message));
                }),
                Box::new(move |message, tag| hmac::verify(&two, message, tag).is_ok()),
            ))
        }
        (Family::Ecdsa(Curve::P256, _), "ring") => {
            use ring::signature::KeyPair;
            let rng = ring::rand::SystemRandom::new();
            let algorithm = &ring_signature::ECDSA_P256_SHA256_FIXED_SIGNING;
            let pair = ring_signature::EcdsaKeyPair::from_pkcs8(algorithm, key, &rng).ok()?;
            let public = ring_signature::UnparsedPublicKey::new(
                &ring_signature::ECDSA_P256_SHA256_FIXED,
                pair.public_key().as_ref().to_vec(),
            );
            Some((
                Box::new(move |message| {
                    black_box(pair.sign(&rng, message).ok());
                }),
                Box::new(move |message, signature| public.verify(message, signature).is_ok()),
            ))
        }
        (Family::Ecdsa(curve, _), "aws-lc-rs") => {
            let (signing, verifying) = match curve {
                Curve::P384 => {
                    (&aws::ECDSA_P384_SHA384_FIXED_SIGNING, &aws::ECDSA_P384_SHA384_FIXED)
                }
                Curve::P521 => {
                    (&aws::ECDSA_P521_SHA512_FIXED_SIGNING, &aws::ECDSA_P521_SHA512_FIXED)
                }
                Curve::Secp256k1 => {
                    (&aws::ECDSA_P256K1_SHA256_FIXED_SIGNING, &aws::ECDSA_P256K1_SHA256_FIXED)
                }
                _ => (&aws::ECDSA_P256_SHA256_FIXED_SIGNING, &aws::ECDSA_P256_SHA256_FIXED),
            };
            let pair = aws::EcdsaKeyPair::from_pkcs8(signing, key).ok()?;
            let public = ParsedPublicKey::new(verifying, pair.public_key().as_ref()).ok()?;
            let rng = aws_lc_rs::rand::SystemRandom::new();
            Some((
                Box::new(move |message| {
                    black_box(pair.sign(&rng, message).ok());
                }),
                Box::new(move |message, signature| public.verify_sig(message, signature).is_ok()),
            ))
        }
        (Family::EdDsa, "aws-lc-rs") => {
            let pair = aws::Ed25519KeyPair::from_pkcs8_maybe_unchecked(key).ok()?;
            let public = ParsedPublicKey::new(&aws::ED25519, pair.public_key().as_ref()).ok()?;
            Some((
                Box::new(move |message| {
                    black_box(pair.sign(message));
                }),
                Box::new(move |message, signature| public.verify_sig(message, signature).is_ok()),
            ))
        }
        (Family::RsaPkcs1(hash) | Family::RsaPss(hash), "aws-lc-rs") => {
            let pss = matches!(row.family, Family::RsaPss(_));
            let (encoding, verifying): (&'static aws::RsaSignatureEncoding, &aws::RsaParameters) =
                match (pss, hash) {
                    (false, Hash::Sha384) => {
                        (&aws::RSA_PKCS1_SHA384, &aws::RSA_PKCS1_2048_8192_SHA384)
                    }
                    (false, Hash::Sha512) => {
                        (&aws::RSA_PKCS1_SHA512, &aws::RSA_PKCS1_2048_8192_SHA512)
                    }
                    (false, _) => (&aws::RSA_PKCS1_SHA256, &aws::RSA_PKCS1_2048_8192_SHA256),
                    (true, Hash::Sha384) => (&aws::RSA_PSS_SHA384, &aws::RSA_PSS_2048_8192_SHA384),
                    (true, Hash::Sha512) => (&aws::RSA_PSS_SHA512, &aws::RSA_PSS_2048_8192_SHA512),
                    (true, _) => (&aws::RSA_PSS_SHA256, &aws::RSA_PSS_2048_8192_SHA256),
                };
            let pair = aws::RsaKeyPair::from_pkcs8(key).ok()?;
            let public = ParsedPublicKey::new(verifying, pair.public_key().as_ref()).ok()?;
            let rng = aws_lc_rs::rand::SystemRandom::new();
            Some((
                Box::new(move |message| {
                    let mut out = [0; 256];
                    black_box(pair.sign(encoding, &rng, message, &mut out).ok());
                }),
                Box::new(move |message, signature| public.verify_sig(message, signature).is_ok()),
            ))
        }
        _ => None,
    }
}

type Wrap = Box<dyn Fn(&[u8]) -> Vec<u8>>;
type Unwrap = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// Wrapping and unwrapping a content key with one key; `None` for `dir`, which has nothing to wrap.
///
/// For ECDH-ES the wrapped form is the ephemeral public key, before the wrapped key if there is one.
#[must_use]
pub fn key_management(row: &Algorithm, key: &[u8]) -> Option<(Wrap, Unwrap)> {
    match row.family {
        Family::AesKw(bits) => {
            let (one, two) = (key.to_vec(), key.to_vec());
            Some((
                Box::new(move |cek| wrap(bits, &one, cek)),
                Box::new(move |wrapped| unwrap(bits, &two, wrapped)),
            ))
        }
        Family::AesGcmKw(bits) => {
            let (one, two) = (gcm(bits, key), gcm(bits, key));
            Some((
                Box::new(move |cek| {
                    let mut sealed = seal_gcm(&one, b"", cek);
                    sealed.1.extend_from_slice(&sealed.0);
                    sealed.1
                }),
                Box::new(move |wrapped| {
                    let (text, iv) = wrapped.split_at(wrapped.len() - 12);
                    open_gcm(&two, iv, b"", text)
                }),
            ))
        }
        Family::RsaOaep(hash) => {
            use aws_lc_rs::rsa::{
                OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384,
                OAEP_SHA512_MGF1SHA512, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
                PrivateDecryptingKey,
            };
            let oaep = match hash {
                Hash::Sha256 => &OAEP_SHA256_MGF1SHA256,
                Hash::Sha384 => &OAEP_SHA384_MGF1SHA384,
                Hash::Sha512 => &OAEP_SHA512_MGF1SHA512,
                Hash::Sha1 => &OAEP_SHA1_MGF1SHA1,
            };
            let private = PrivateDecryptingKey::from_pkcs8(key).ok()?;
            let public = OaepPublicEncryptingKey::new(private.public_key()).ok()?;
            let private = OaepPrivateDecryptingKey::new(private).ok()?;
            Some((
                Box::new(move |cek| {
                    let mut out = vec![0; public.ciphertext_size()];
                    public.encrypt(oaep, cek, &mut out, None).expect("wrapped");
                    out
                }),
                Box::new(move |wrapped| {
                    let mut out = vec![0; private.min_output_size()];
                    private.decrypt(oaep, wrapped, &mut out, None).expect("unwrapped").to_vec()
                }),
            ))
        }
        #[cfg(feature = "openssl")]
        Family::Rsa15 => {
            use openssl::rsa::Padding;
            let private = openssl::pkey::PKey::private_key_from_der(key).ok()?.rsa().ok()?;
            let public = openssl::rsa::Rsa::public_key_from_der(&private.public_key_to_der().ok()?);
            let public = public.ok()?;
            Some((
                Box::new(move |cek| {
                    let mut out = vec![0; 256];
                    public.public_encrypt(cek, &mut out, Padding::PKCS1).expect("wrapped");
                    out
                }),
                Box::new(move |wrapped| {
                    let mut out = vec![0; 256];
                    let len = private.private_decrypt(wrapped, &mut out, Padding::PKCS1);
                    out.truncate(len.expect("unwrapped"));
                    out
                }),
            ))
        }
        Family::EcdhEs(bits) => {
            use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
            use aws_lc_rs::encoding::AsBigEndian;
            let private = PrivateKey::from_private_key_der(&ECDH_P256, key).ok()?;
            let _: aws_lc_rs::encoding::EcPrivateKeyBin<'_> = private.as_be_bytes().ok()?;
            let public = private.compute_public_key().ok()?.as_ref().to_vec();
            let size = bits.map_or(32, |bits| bits / 8);
            Some((
                Box::new(move |cek| {
                    let ephemeral = PrivateKey::generate(&ECDH_P256).expect("generated");
                    let mut out =
                        ephemeral.compute_public_key().expect("a point").as_ref().to_vec();
                    let peer = UnparsedPublicKey::new(&ECDH_P256, &public);
                    let kek = agree(&ephemeral, peer, (), |shared| Ok(derive(shared, size)));
                    let kek = kek.expect("agreed");
                    if let Some(bits) = bits {
                        out.extend_from_slice(&wrap(bits, &kek, cek));
                    }
                    out
                }),
                Box::new(move |wrapped| {
                    let (point, wrapped) = wrapped.split_at(65);
                    let peer = UnparsedPublicKey::new(&ECDH_P256, point);
                    let kek = agree(&private, peer, (), |shared| Ok(derive(shared, size)));
                    let kek = kek.expect("agreed");
                    bits.map_or_else(|| kek.clone(), |bits| unwrap(bits, &kek, wrapped))
                }),
            ))
        }
        Family::Pbes2(hash, bits) => {
            let (one, two) = (key.to_vec(), key.to_vec());
            Some((
                Box::new(move |cek| wrap(bits, &pbkdf2(hash, bits, &one), cek)),
                Box::new(move |wrapped| unwrap(bits, &pbkdf2(hash, bits, &two), wrapped)),
            ))
        }
        _ => None,
    }
}

fn derive(shared: &[u8], size: usize) -> Vec<u8> {
    use aws_lc_rs::kdf::{SskdfDigestAlgorithmId, get_sskdf_digest_algorithm, sskdf_digest};
    let digest = get_sskdf_digest_algorithm(SskdfDigestAlgorithmId::Sha256).expect("built in");
    let mut out = vec![0; size];
    sskdf_digest(digest, shared, &[0; 23], &mut out).expect("derived");
    out
}

fn pbkdf2(hash: Hash, bits: usize, password: &[u8]) -> Vec<u8> {
    use ring::pbkdf2::{PBKDF2_HMAC_SHA256, PBKDF2_HMAC_SHA384, PBKDF2_HMAC_SHA512, derive};
    let prf = match hash {
        Hash::Sha384 => PBKDF2_HMAC_SHA384,
        Hash::Sha512 => PBKDF2_HMAC_SHA512,
        _ => PBKDF2_HMAC_SHA256,
    };
    let mut out = vec![0; bits / 8];
    derive(prf, 10_000.try_into().expect("not zero"), &[0; 35], password, &mut out);
    out
}

fn wrap(bits: usize, kek: &[u8], cek: &[u8]) -> Vec<u8> {
    use aes_kw::KeyInit;
    use aws_lc_rs::key_wrap::{AES_128, AES_256, AesKek, KeyWrap};
    let mut out = vec![0; cek.len() + 8];
    match bits {
        128 => drop(AesKek::new(&AES_128, kek).expect("a key").wrap(cek, &mut out)),
        256 => drop(AesKek::new(&AES_256, kek).expect("a key").wrap(cek, &mut out)),
        _ => {
            let kek = aes_kw::KwAes192::new_from_slice(kek).expect("a key");
            kek.wrap_key(cek, &mut out).expect("wrapped");
        }
    }
    out
}

fn unwrap(bits: usize, kek: &[u8], wrapped: &[u8]) -> Vec<u8> {
    use aes_kw::KeyInit;
    use aws_lc_rs::key_wrap::{AES_128, AES_256, AesKek, KeyWrap};
    let mut out = vec![0; wrapped.len() - 8];
    match bits {
        128 => drop(AesKek::new(&AES_128, kek).expect("a key").unwrap(wrapped, &mut out)),
        256 => drop(AesKek::new(&AES_256, kek).expect("a key").unwrap(wrapped, &mut out)),
        _ => {
            let kek = aes_kw::KwAes192::new_from_slice(kek).expect("a key");
            kek.unwrap_key(wrapped, &mut out).expect("unwrapped");
        }
    }
    out
}

fn gcm(bits: usize, key: &[u8]) -> aws_lc_rs::aead::LessSafeKey {
    use aws_lc_rs::aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, LessSafeKey, UnboundKey};
    let algorithm = match bits {
        128 => &AES_128_GCM,
        192 => &AES_192_GCM,
        _ => &AES_256_GCM,
    };
    LessSafeKey::new(UnboundKey::new(algorithm, key).expect("a key"))
}

fn seal_gcm(key: &aws_lc_rs::aead::LessSafeKey, aad: &[u8], text: &[u8]) -> ([u8; 12], Vec<u8>) {
    use aws_lc_rs::aead::{Aad, Nonce};
    let iv: [u8; 12] = random();
    let mut out = text.to_vec();
    let nonce = Nonce::assume_unique_for_key(iv);
    key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut out).expect("sealed");
    (iv, out)
}

fn open_gcm(key: &aws_lc_rs::aead::LessSafeKey, iv: &[u8], aad: &[u8], text: &[u8]) -> Vec<u8> {
    use aws_lc_rs::aead::{Aad, Nonce};
    let mut out = text.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(iv).expect("12 bytes");
    key.open_in_place(nonce, Aad::from(aad), &mut out).expect("opened").to_vec()
}

/// Random bytes, as each token needs them.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    use ring::rand::SecureRandom;
    let mut out = [0; N];
    ring::rand::SystemRandom::new().fill(&mut out).expect("random");
    out
}

type Seal = Box<dyn Fn(&[u8], &[u8]) -> (Vec<u8>, Vec<u8>)>;
type Open = Box<dyn Fn(&[u8], &[u8], &[u8]) -> Vec<u8>>;

/// Sealing and opening (aad, text) and (iv, aad, text with tag) with a content key; expanded once where the
/// key is the label's own (`dir`), else for each token.
#[must_use]
pub fn content(enc: &Algorithm, cek: &[u8], once: bool) -> (Seal, Open) {
    let key = cek.to_vec();
    match enc.family {
        Family::AesGcm(bits) if once => {
            let (one, two) = (gcm(bits, cek), gcm(bits, cek));
            (
                Box::new(move |aad, text| {
                    let (iv, out) = seal_gcm(&one, aad, text);
                    (iv.to_vec(), out)
                }),
                Box::new(move |iv, aad, text| open_gcm(&two, iv, aad, text)),
            )
        }
        Family::AesGcm(bits) => {
            let two = key.clone();
            (
                Box::new(move |aad, text| {
                    let (iv, out) = seal_gcm(&gcm(bits, &key), aad, text);
                    (iv.to_vec(), out)
                }),
                Box::new(move |iv, aad, text| open_gcm(&gcm(bits, &two), iv, aad, text)),
            )
        }
        _ => {
            let (one, two) = (CbcHmac::new(&key), CbcHmac::new(&key));
            let again = key.clone();
            (
                Box::new(move |aad, text| {
                    if once { one.seal(aad, text) } else { CbcHmac::new(&key).seal(aad, text) }
                }),
                Box::new(move |iv, aad, text| {
                    if once {
                        two.open(iv, aad, text)
                    } else {
                        CbcHmac::new(&again).open(iv, aad, text)
                    }
                }),
            )
        }
    }
}

struct CbcHmac {
    mac: hmac::Key,
    encrypting: aws_lc_rs::cipher::PaddedBlockEncryptingKey,
    decrypting: aws_lc_rs::cipher::PaddedBlockDecryptingKey,
    tag: usize,
}

impl CbcHmac {
    fn new(key: &[u8]) -> Self {
        use aws_lc_rs::cipher::{
            AES_128, AES_192, AES_256, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
            UnboundCipherKey,
        };
        let (mac, key) = key.split_at(key.len() / 2);
        let (hash, cipher) = match key.len() {
            16 => (hmac::HMAC_SHA256, &AES_128),
            24 => (hmac::HMAC_SHA384, &AES_192),
            _ => (hmac::HMAC_SHA512, &AES_256),
        };
        let unbound = || UnboundCipherKey::new(cipher, key).expect("a key");
        Self {
            mac: hmac::Key::new(hash, mac),
            encrypting: PaddedBlockEncryptingKey::cbc_pkcs7(unbound()).expect("a key"),
            decrypting: PaddedBlockDecryptingKey::cbc_pkcs7(unbound()).expect("a key"),
            tag: key.len(),
        }
    }

    fn tag(&self, aad: &[u8], iv: &[u8], text: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.mac);
        for part in [aad, iv, text, &(aad.len() as u64 * 8).to_be_bytes()] {
            context.update(part);
        }
        context.sign()
    }

    fn seal(&self, aad: &[u8], text: &[u8]) -> (Vec<u8>, Vec<u8>) {
        use aws_lc_rs::cipher::EncryptionContext;
        let iv: [u8; 16] = random();
        let mut out = text.to_vec();
        let context = EncryptionContext::Iv128(iv.into());
        self.encrypting.less_safe_encrypt(&mut out, context).expect("encrypted");
        let tag = self.tag(aad, &iv, &out);
        out.extend_from_slice(&tag.as_ref()[..self.tag]);
        (iv.to_vec(), out)
    }

    fn open(&self, iv: &[u8], aad: &[u8], text: &[u8]) -> Vec<u8> {
        use aws_lc_rs::cipher::DecryptionContext;
        let (text, tag) = text.split_at(text.len() - self.tag);
        assert_eq!(&self.tag(aad, iv, text).as_ref()[..self.tag], tag);
        let mut out = text.to_vec();
        let iv: [u8; 16] = iv.try_into().expect("16 bytes");
        let context = DecryptionContext::Iv128(iv.into());
        self.decrypting.decrypt(&mut out, context).expect("decrypted").to_vec()
    }
}
