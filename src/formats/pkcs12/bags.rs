//! SafeBags: the keys, certificates and secrets of a PKCS#12 file (RFC 7292 §4.2).

use der::asn1::ObjectIdentifier;
use pkcs8::PrivateKeyInfoRef;

use crate::error::{Error, ErrorKind, Result};
use crate::formats::asn1::{self, Node, OCTET_STRING, SEQUENCE, SET, damaged};
use crate::formats::pbe::{self, Password, Work};
use crate::formats::{Material, SecretKeyType};
use crate::secret::SecretBytes;

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

const KEY_BAG: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.1");
const SHROUDED_KEY_BAG: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.2");
const CERT_BAG: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.3");
const CRL_BAG: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.4");
const SECRET_BAG: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.5");
const SAFE_CONTENTS_BAG: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.6");
const X509_CERTIFICATE: ObjectIdentifier = oid("1.2.840.113549.1.9.22.1");
const FRIENDLY_NAME: ObjectIdentifier = oid("1.2.840.113549.1.9.20");
const LOCAL_KEY_ID: ObjectIdentifier = oid("1.2.840.113549.1.9.21");
/// Java marks the certificates that are entries of their own with this.
const TRUSTED_KEY_USAGE: ObjectIdentifier = oid("2.16.840.1.113894.746875.1.1");

/// A bag that was opened.
pub(super) struct Bag {
    pub(super) content: BagContent,
    pub(super) friendly_name: Option<String>,
    pub(super) local_key_id: Option<Vec<u8>>,
    pub(super) trusted: bool,
}

pub(super) enum BagContent {
    Certificate(Vec<u8>),
    /// A private key, a secret key, or why it could not be opened.
    Secret(Material),
}

/// The passwords of the bags, and what came of them.
pub(super) struct BagPasswords {
    /// In the order in which they are tried: the readings of the entry password, then those of the store's.
    pub(super) all: Vec<Password>,
    /// How many of them are the entry password's.
    pub(super) of_entries: usize,
    /// Whether the entry password opened a bag.
    pub(super) entry_fits: bool,
    /// Whether the store password did, where the entry password did not.
    pub(super) store_fits: bool,
}

impl BagPasswords {
    fn open(&mut self, encrypted: &Node<'_>, work: &mut Work<'_>) -> Result<SecretBytes> {
        let (plain, index) = pbe::private_key_info(encrypted, &self.all, work)?;
        self.entry_fits |= index < self.of_entries;
        self.store_fits |= index >= self.of_entries;
        Ok(plain)
    }

    /// An entry password that every key does without is a mistake, or one that was left behind.
    pub(super) fn warning(&self) -> Option<String> {
        let idle = self.of_entries > 0 && self.store_fits && !self.entry_fits;
        idle.then(|| {
            "the entry password opens no entry, and the store password does: correct entry_password, \
             or take it out"
                .into()
        })
    }
}

/// How bags are opened.
pub(super) struct BagReader<'w, 'l> {
    pub(super) passwords: &'w mut BagPasswords,
    pub(super) work: &'w mut Work<'l>,
    pub(super) warnings: &'w mut Vec<String>,
    pub(super) bags: Vec<Bag>,
}

impl BagReader<'_, '_> {
    /// Reads `SafeContents ::= SEQUENCE OF SafeBag`.
    pub(super) fn safe_contents(&mut self, contents: &Node<'_>) -> Result<()> {
        for bag in contents.children(SEQUENCE)? {
            self.safe_bag(bag)?;
        }
        Ok(())
    }

    /// `SafeBag ::= SEQUENCE { bagId, bagValue [0] EXPLICIT, bagAttributes SET OPTIONAL }`
    fn safe_bag(&mut self, bag: &Node<'_>) -> Result<()> {
        if self.bags.len() >= self.work.limits.max_entries {
            let text = format!("more than {} entries", self.work.limits.max_entries);
            return Err(Error::new(ErrorKind::LimitExceeded, text));
        }
        let [named, value, rest @ ..] = bag.children(SEQUENCE)? else {
            return Err(damaged("a bag"));
        };
        let [value] = value.context(0)? else { return Err(damaged("the value of a bag")) };
        let named = named.oid()?;
        let content = if named == KEY_BAG {
            let key = SecretBytes::from_slice(&value.encode());
            BagContent::Secret(Material::PrivateKey(key))
        } else if named == SHROUDED_KEY_BAG {
            // GnuTLS marks keys that it does not encrypt as encrypted too.
            let opened = if value.children(SEQUENCE)?.first().is_some_and(Node::is_integer) {
                Ok(SecretBytes::from_slice(&value.encode()))
            } else {
                self.passwords.open(value, self.work)
            };
            BagContent::Secret(keep(opened.map(Material::PrivateKey))?)
        } else if named == SECRET_BAG {
            BagContent::Secret(keep(self.secret(value))?)
        } else if named == CERT_BAG {
            let Some(certificate) = certificate(value)? else {
                self.warnings.push("a certificate that is not X.509 was skipped".into());
                return Ok(());
            };
            BagContent::Certificate(certificate)
        } else if named == SAFE_CONTENTS_BAG {
            return self.safe_contents(value);
        } else {
            let what = if named == CRL_BAG {
                "a revocation list".into()
            } else {
                format!("a bag {named}")
            };
            self.warnings.push(format!("{what} was skipped"));
            return Ok(());
        };
        let mut read = Bag { content, friendly_name: None, local_key_id: None, trusted: false };
        if let Some(attributes) = rest.first() {
            for attribute in attributes.children(SET)? {
                read_attribute(attribute, &mut read)?;
            }
        }
        self.bags.push(read);
        Ok(())
    }

    /// `SecretBag ::= SEQUENCE { secretTypeId, secretValue [0] EXPLICIT }`; Java puts an
    /// EncryptedPrivateKeyInfo into an OCTET STRING, whose key is the raw secret.
    fn secret(&mut self, value: &Node<'_>) -> Result<Material> {
        let [named, inner] = value.children(SEQUENCE)? else { return Err(damaged("a secret bag")) };
        let named = named.oid()?;
        if named != SHROUDED_KEY_BAG {
            return Err(pbe::unsupported("the secret type", named));
        }
        let [inner] = inner.context(0)? else { return Err(damaged("a secret bag")) };
        let encrypted = inner.string(OCTET_STRING)?;
        let encrypted = asn1::parse(&encrypted, self.work.limits)?;
        let plain = self.passwords.open(&encrypted, self.work)?;
        // EXPOSE: the raw key goes into a zeroizing owner.
        let info = PrivateKeyInfoRef::try_from(plain.expose_secret())
            .map_err(|_| damaged("the key of a secret bag"))?;
        let bytes = SecretBytes::from_slice(info.private_key.as_bytes());
        Ok(match secret_type(info.algorithm.oid) {
            Some(key_type) => Material::SecretKey { key_type, bytes },
            None => Material::Secret(bytes),
        })
    }
}

/// A key that its password does not open, whose cipher is not built in or that is damaged is one entry's
/// trouble; a file that asks for too much is refused whole.
fn keep(opened: Result<Material>) -> Result<Material> {
    opened.or_else(|error| match error.kind() {
        ErrorKind::Damaged | ErrorKind::Unsupported | ErrorKind::WrongPassword => {
            Ok(Material::Unreadable(error))
        }
        _ => Err(error),
    })
}

/// `None`: what Java stores for a password (a PBE key).
fn secret_type(named: ObjectIdentifier) -> Option<SecretKeyType> {
    let text = named.to_string();
    match text.as_str() {
        "2.16.840.1.101.3.4.1" => Some(SecretKeyType::Aes),
        "1.3.14.3.2.7" => Some(SecretKeyType::Other("DES".into())),
        // des-EDE3-CBC, and desEDE, which keytool writes.
        "1.2.840.113549.3.7" | "1.3.14.3.2.17" => Some(SecretKeyType::Other("DESede".into())),
        "1.2.840.113549.3.4" => Some(SecretKeyType::Other("RC4".into())),
        _ if text.starts_with("2.16.840.1.101.3.4.1.") => Some(SecretKeyType::Aes),
        // hmacWithSHA1 to hmacWithSHA512-256.
        _ if text.starts_with("1.2.840.113549.2.") => Some(SecretKeyType::Hmac),
        // PBE schemes of PKCS#5 and PKCS#12: Java's form of a password.
        _ if text.starts_with("1.2.840.113549.1.5.")
            || text.starts_with("1.2.840.113549.1.12.1.") =>
        {
            None
        }
        _ => Some(SecretKeyType::Other(text)),
    }
}

/// `CertBag ::= SEQUENCE { certId, certValue [0] EXPLICIT OCTET STRING }`
fn certificate(value: &Node<'_>) -> Result<Option<Vec<u8>>> {
    let [named, inner] = value.children(SEQUENCE)? else {
        return Err(damaged("a certificate bag"));
    };
    if named.oid()? != X509_CERTIFICATE {
        return Ok(None);
    }
    let [inner] = inner.context(0)? else { return Err(damaged("a certificate bag")) };
    let bytes = inner.string(OCTET_STRING)?;
    if crate::formats::der::is_certificate(&bytes) {
        return Ok(Some(bytes));
    }
    Err(damaged("a certificate that is none"))
}

/// `PKCS12Attribute ::= SEQUENCE { attrId, attrValues SET }`
fn read_attribute(attribute: &Node<'_>, bag: &mut Bag) -> Result<()> {
    let [named, values] = attribute.children(SEQUENCE)? else {
        return Err(damaged("an attribute"));
    };
    let named = named.oid()?;
    let first = values.children(SET)?.first();
    if named == FRIENDLY_NAME
        && let Some(first) = first
    {
        const BMP_STRING: u8 = 0x1e;
        let bytes = first.primitive(BMP_STRING)?;
        let units: Vec<u16> = bytes
            .chunks_exact(2)
            .map(|pair| pair.iter().fold(0, |unit, byte| unit << 8 | u16::from(*byte)))
            .collect();
        if bytes.len() % 2 != 0 {
            return Err(damaged("a friendly name of half a character"));
        }
        bag.friendly_name = Some(String::from_utf16_lossy(&units));
    } else if named == LOCAL_KEY_ID
        && let Some(first) = first
    {
        bag.local_key_id = Some(first.string(OCTET_STRING)?);
    } else if named == TRUSTED_KEY_USAGE {
        bag.trusted = true;
    }
    Ok(())
}
