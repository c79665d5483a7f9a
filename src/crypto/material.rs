//! Public and private key encodings: PKCS#8 and SubjectPublicKeyInfo in, typed parts out.

use der::asn1::{BitStringRef, ObjectIdentifier, OctetStringRef, UintRef};
use der::{Decode, Encode, Reader, Sequence};
use pkcs8::PrivateKeyInfoRef;
use pkcs8::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use zeroize::Zeroizing;

use crate::alg::{Curve, Family, Hash};
use crate::crypto::PublicParameters;
use crate::crypto::unserved::curve_name;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::SecretBytes;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
const DSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10040.4.1");
const DH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.3.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// RFC 4055 §2.1, with the bytes of each digest.
const DIGESTS: &[(ObjectIdentifier, Hash, u32)] = &[
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"), Hash::Sha256, 32),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"), Hash::Sha384, 48),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"), Hash::Sha512, 64),
];

/// RFC 5480 §2.1.1.1, RFC 8812 and RFC 8410 §3.
const CURVES: &[(ObjectIdentifier, Curve)] = &[
    (ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"), Curve::P256),
    (ObjectIdentifier::new_unwrap("1.3.132.0.34"), Curve::P384),
    (ObjectIdentifier::new_unwrap("1.3.132.0.35"), Curve::P521),
    (ObjectIdentifier::new_unwrap("1.3.132.0.10"), Curve::Secp256k1),
    (ObjectIdentifier::new_unwrap("1.3.101.110"), Curve::X25519),
    (ObjectIdentifier::new_unwrap("1.3.101.111"), Curve::X448),
    (ObjectIdentifier::new_unwrap("1.3.101.112"), Curve::Ed25519),
    (ObjectIdentifier::new_unwrap("1.3.101.113"), Curve::Ed448),
];

/// What an AlgorithmIdentifier says about a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the key types of the algorithm table")]
pub enum KeyType {
    /// EC or OKP.
    Curve(Curve),
    /// RSA.
    Rsa,
}

/// What an RSA key may do by its own AlgorithmIdentifier.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::crypto) enum RsaUse {
    /// `rsaEncryption`, and every other type of key: whatever the label allows.
    #[default]
    Any,
    /// `id-RSASSA-PSS` without parameters: PSS with any digest (RFC 4055 §1.2).
    Pss,
    /// `id-RSASSA-PSS` with parameters: PSS with this digest alone; `None`: one that is not built in.
    PssWith(Option<Hash>),
}

impl RsaUse {
    /// Both restrictions together: those of a private key and of its certificate.
    pub(in crate::crypto) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Any, one) | (one, Self::Any) | (Self::Pss, one) | (one, Self::Pss) => one,
            (Self::PssWith(one), Self::PssWith(two)) if one == two => self,
            _ => Self::PssWith(None),
        }
    }

    pub(in crate::crypto) fn allows(self, family: Family) -> bool {
        match (self, family) {
            (Self::Any, _) | (Self::Pss, Family::RsaPss(_)) => true,
            (Self::PssWith(only), Family::RsaPss(hash)) => only == Some(hash),
            _ => false,
        }
    }

    fn of(algorithm: &AlgorithmIdentifierRef<'_>) -> Self {
        match algorithm.parameters {
            _ if algorithm.oid != RSA_PSS => Self::Any,
            None => Self::Pss,
            Some(parameters) => Self::PssWith(pss_digest(parameters)),
        }
    }
}

/// `RSASSA-PSS-params` (RFC 4055 §3.1)
#[derive(Sequence)]
struct PssParameters<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    hash: Option<AlgorithmIdentifierRef<'a>>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    mask: Option<AlgorithmIdentifierRef<'a>>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", optional = "true")]
    salt_length: Option<u32>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    trailer: Option<u32>,
}

/// The digest of parameters that a JOSE row can keep: MGF1 with the same digest, and a salt as long as it at
/// most (RFC 4055 §3.3: the length of a key is a minimum). The default digest, SHA-1, fits no row.
fn pss_digest(parameters: der::AnyRef<'_>) -> Option<Hash> {
    let parameters = parameters.decode_as::<PssParameters<'_>>().ok()?;
    let mask = parameters.mask.filter(|mask| mask.oid == MGF1)?;
    let of_mask = mask.parameters?.decode_as::<AlgorithmIdentifierRef<'_>>().ok()?;
    let hash = parameters.hash.filter(|hash| hash.oid == of_mask.oid)?;
    let (_, digest, bytes) = DIGESTS.iter().find(|(oid, ..)| *oid == hash.oid)?;
    let fits =
        parameters.salt_length.unwrap_or(20) <= *bytes && parameters.trailer.unwrap_or(1) == 1;
    fits.then_some(*digest)
}

/// What the AlgorithmIdentifier of a SubjectPublicKeyInfo lets the key do.
pub(in crate::crypto) fn rsa_use(spki: &[u8]) -> Result<RsaUse> {
    let info = SubjectPublicKeyInfoRef::from_der(spki).map_err(damaged("the public key"))?;
    Ok(RsaUse::of(&info.algorithm))
}

/// A private key, borrowed from its PKCS#8.
#[derive(Debug)]
pub(in crate::crypto) struct PrivateParts<'a> {
    pub(in crate::crypto) key_type: KeyType,
    pub(in crate::crypto) rsa_use: RsaUse,
    /// RSA: PKCS#1 RSAPrivateKey. EC: the scalar, padded by nobody. OKP: the raw private key.
    pub(in crate::crypto) secret: &'a [u8],
}

/// `ECPrivateKey ::= SEQUENCE { version, privateKey, [0] parameters, [1] publicKey }` (RFC 5915 §3)
#[derive(Sequence)]
struct EcPrivateKey<'a> {
    version: u8,
    private_key: &'a OctetStringRef,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    parameters: Option<ObjectIdentifier>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    public_key: Option<BitStringRef<'a>>,
}

/// `RSAPublicKey ::= SEQUENCE { modulus, publicExponent }` (RFC 8017 §A.1.1)
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    n: UintRef<'a>,
    e: UintRef<'a>,
}

fn damaged(what: &'static str) -> impl Fn(der::Error) -> Error {
    move |error| Error::new(ErrorKind::Damaged, format!("{what} is not valid DER: {error}"))
}

fn key_type(algorithm: &AlgorithmIdentifierRef<'_>) -> Result<KeyType> {
    let oid = algorithm.oid;
    if oid == RSA || oid == RSA_PSS {
        return Ok(KeyType::Rsa);
    }
    if oid == EC {
        let named = algorithm.parameters.and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
        let Some(named) = named else {
            let text = "the EC key carries explicit curve parameters";
            return Err(Error::new(ErrorKind::Unsupported, text)
                .with_help("re-encode it with a named curve: openssl ec -param_enc named_curve"));
        };
        return curve_of(named).ok_or_else(|| {
            let shown = curve_name(&named)
                .map_or_else(|| named.to_string(), |name| format!("{name} ({named})"));
            Error::new(
                ErrorKind::Unsupported,
                format!("the elliptic curve {shown} is not built in"),
            )
        });
    }
    if let Some(found) = curve_of(oid) {
        return Ok(found);
    }
    let name = match oid {
        DSA => "DSA keys".to_owned(),
        DH => "Diffie-Hellman keys".to_owned(),
        other => format!("keys of algorithm {other}"),
    };
    Err(Error::new(ErrorKind::Unsupported, format!("{name} are not built in"))
        .with_help("use RSA, EC P-256/P-384/P-521/secp256k1, Ed25519, Ed448, X25519 or X448"))
}

fn curve_of(oid: ObjectIdentifier) -> Option<KeyType> {
    CURVES.iter().find(|(known, _)| *known == oid).map(|(_, curve)| KeyType::Curve(*curve))
}

/// The type of a key from its SubjectPublicKeyInfo and its public half as JWK members.
///
/// # Errors
/// [`ErrorKind::Damaged`] or [`ErrorKind::Unsupported`].
pub fn parse_spki(spki: &[u8]) -> Result<PublicParameters> {
    let info = SubjectPublicKeyInfoRef::from_der(spki).map_err(damaged("the public key"))?;
    let key_type = key_type(&info.algorithm)?;
    let bits = info.subject_public_key.as_bytes().ok_or_else(|| {
        Error::new(
            ErrorKind::Damaged,
            "the public key has a number of bits that is no multiple of 8",
        )
    })?;
    match key_type {
        KeyType::Rsa => {
            let key = RsaPublicKey::from_der(bits).map_err(damaged("the RSA public key"))?;
            Ok(PublicParameters::Rsa { n: key.n.as_bytes().to_vec(), e: key.e.as_bytes().to_vec() })
        }
        KeyType::Curve(curve) if curve.is_okp() => {
            if bits.len() != curve.coordinate_bytes() {
                let text = format!("the {} public key has {} bytes", curve.name(), bits.len());
                return Err(Error::new(ErrorKind::KeyUnfit, text));
            }
            Ok(PublicParameters::Okp { curve, x: bits.to_vec() })
        }
        KeyType::Curve(curve) => point(curve, bits),
    }
}

/// Splits an uncompressed point (SEC 1 §2.3.3). Whether it is on the curve is checked where it is used.
fn point(curve: Curve, bytes: &[u8]) -> Result<PublicParameters> {
    let size = curve.coordinate_bytes();
    match bytes.split_first() {
        Some((4, xy)) if xy.len() == 2 * size => {
            let (x, y) = xy.split_at(size);
            Ok(PublicParameters::Ec { curve, x: x.to_vec(), y: y.to_vec() })
        }
        _ => Err(Error::new(
            ErrorKind::Unsupported,
            format!("the {} public key is no uncompressed point", curve.name()),
        )),
    }
}

/// An EC key whose point has unused bits, with none: old Bouncy Castle left the zeros at the end of a point
/// out, as in a string of named bits. `None` for every other key.
pub(in crate::crypto) fn with_whole_bytes(pkcs8: &[u8]) -> Option<SecretBytes> {
    let info = PrivateKeyInfoRef::from_der(pkcs8).ok()?;
    let key = EcPrivateKey::from_der(info.private_key.as_bytes()).ok()?;
    let point = key.public_key.filter(|point| point.unused_bits() > 0)?;
    let public_key = Some(BitStringRef::from_bytes(point.raw_bytes()).ok()?);
    let inner = Zeroizing::new(EcPrivateKey { public_key, ..key }.to_der().ok()?);
    let private_key = OctetStringRef::new(&inner).ok()?;
    let whole = PrivateKeyInfoRef::new(info.algorithm, private_key);
    whole.to_der().ok().map(SecretBytes::from_vec)
}

/// The parts of a PKCS#8 private key.
pub(in crate::crypto) fn parse_pkcs8(pkcs8: &[u8]) -> Result<PrivateParts<'_>> {
    let info = PrivateKeyInfoRef::from_der(pkcs8).map_err(damaged("the private key"))?;
    let key_type = key_type(&info.algorithm)?;
    let inner = info.private_key.as_bytes();
    let secret = match key_type {
        KeyType::Rsa => inner,
        // RFC 8410 §7: the private key is an OCTET STRING inside the OCTET STRING.
        KeyType::Curve(curve) if curve.is_okp() => {
            let secret = <&OctetStringRef>::from_der(inner).map_err(damaged("the private key"))?;
            if secret.as_bytes().len() != curve.coordinate_bytes() {
                let text = format!("the {} private key has a wrong length", curve.name());
                return Err(Error::new(ErrorKind::KeyUnfit, text));
            }
            secret.as_bytes()
        }
        KeyType::Curve(_) => {
            let key = EcPrivateKey::from_der(inner).map_err(damaged("the EC private key"))?;
            if key.version != 1 {
                return Err(Error::new(
                    ErrorKind::Damaged,
                    "the EC private key has a wrong version",
                ));
            }
            key.private_key.as_bytes()
        }
    };
    Ok(PrivateParts { key_type, rsa_use: RsaUse::of(&info.algorithm), secret })
}

/// SubjectPublicKeyInfo in DER of a public half.
///
/// # Errors
/// [`ErrorKind::Bug`] if it cannot be encoded.
pub fn encode_spki(public: &PublicParameters) -> Result<Vec<u8>> {
    let bug =
        |error: der::Error| Error::new(ErrorKind::Bug, "public key encoding").with_source(error);
    let oid_of =
        |curve: Curve| CURVES.iter().find(|(_, known)| *known == curve).map_or(EC, |(oid, _)| *oid);
    let (oid, parameters, bytes) = match public {
        PublicParameters::Rsa { n, e } => {
            let key =
                RsaPublicKey { n: UintRef::new(n).map_err(bug)?, e: UintRef::new(e).map_err(bug)? };
            (RSA, Some(der::AnyRef::NULL), key.to_der().map_err(bug)?)
        }
        PublicParameters::Okp { curve, x } => (oid_of(*curve), None, x.clone()),
        PublicParameters::Ec { curve, x, y } => {
            let mut bytes = vec![4];
            bytes.extend_from_slice(x);
            bytes.extend_from_slice(y);
            let named = oid_of(*curve);
            let info = SubjectPublicKeyInfoRef {
                algorithm: AlgorithmIdentifierRef { oid: EC, parameters: Some((&named).into()) },
                subject_public_key: BitStringRef::from_bytes(&bytes).map_err(bug)?,
            };
            return info.to_der().map_err(bug);
        }
    };
    let info = SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef { oid, parameters },
        subject_public_key: BitStringRef::from_bytes(&bytes).map_err(bug)?,
    };
    info.to_der().map_err(bug)
}

/// Modulus and public exponent of a PKCS#1 RSAPrivateKey (RFC 8017 §A.1.2).
pub(in crate::crypto) fn rsa_private_numbers(pkcs1: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut version = 0;
    let mut read = || -> der::Result<(Vec<u8>, Vec<u8>)> {
        let mut outer = der::SliceReader::new(pkcs1)?;
        outer.sequence(|body: &mut der::SliceReader<'_>| {
            version = u8::decode(body)?;
            if version != 0 {
                return Err(der::Tag::Integer.value_error().into());
            }
            let n = UintRef::decode(body)?.as_bytes().to_vec();
            let e = UintRef::decode(body)?.as_bytes().to_vec();
            for _ in 0..6 {
                UintRef::decode(body)?;
            }
            Ok((n, e))
        })
    };
    let numbers = read();
    numbers.map_err(|error| match version {
        // `otherPrimeInfos` are there.
        1 => {
            Error::new(ErrorKind::Unsupported, "RSA keys of more than two primes are not built in")
                .with_help("make a key of two primes in its place")
        }
        _ => damaged("the RSA private key")(error),
    })
}

/// PKCS#8 of a raw OKP private key (RFC 8410 §7).
pub(in crate::crypto) fn encode_okp_pkcs8(curve: Curve, secret: &[u8]) -> Result<SecretBytes> {
    let bug =
        |error: der::Error| Error::new(ErrorKind::Bug, "private key encoding").with_source(error);
    let oid = CURVES.iter().find(|(_, known)| *known == curve).map_or(EC, |(oid, _)| *oid);
    let inner =
        Zeroizing::new(OctetStringRef::new(secret).and_then(|one| one.to_der()).map_err(bug)?);
    let algorithm = AlgorithmIdentifierRef { oid, parameters: None };
    let info = PrivateKeyInfoRef::new(algorithm, OctetStringRef::new(&inner).map_err(bug)?);
    info.to_der().map(SecretBytes::from_vec).map_err(bug)
}
