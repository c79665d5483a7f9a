//! A private authority for a new service: its certificate, one of the server and one of an administrator, in PEM.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::SystemTime;

use crate::alg::Curve;
use crate::clock::to_unix;
use crate::crypto::generate::{KeySpec, generate};
use crate::crypto::issue::{AlternativeName, Purpose, Request, issue};
use crate::crypto::{Key, random};
use crate::error::Result;
use crate::formats::{Entry, Material, pem};
use crate::secret::SecretBytes;

/// How long the authority is valid, in days.
const AUTHORITY_DAYS: i64 = 730;
/// How long the certificates are that it issues, in days.
const LEAF_DAYS: i64 = 180;
/// The subject of the authority.
const AUTHORITY: &str = "CN=claviger private CA";

/// A key and its certificate, each as PEM.
#[derive(Debug)]
#[non_exhaustive]
pub struct Issued {
    /// `ca`, `server` or `admin`.
    pub name: &'static str,
    /// The certificate.
    pub certificate: SecretBytes,
    /// The private key in PKCS#8.
    pub key: SecretBytes,
}

/// Makes the authority, a certificate for `localhost`, `127.0.0.1` and `::1`, and one of the client `CN=admin`; all
/// of them P-256.
///
/// # Errors
/// [`crate::error::ErrorKind::Io`] if the system gives no random bytes.
pub fn private_authority(now: SystemTime) -> Result<Vec<Issued>> {
    let start = to_unix(now);
    let start = i64::try_from(start).unwrap_or_default();
    let authority = Pair::new()?;
    let names = [
        AlternativeName::Dns("localhost"),
        AlternativeName::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        AlternativeName::Ip(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ];
    let issued = |name, pair: &Pair, subject, names: &[_], purpose, days: i64| {
        let (not_before, not_after) = (start, start.saturating_add(days * 86_400));
        let (key, serial) = (&pair.key, random::bytes()?);
        let request = Request { key, subject, names, purpose, serial, not_before, not_after };
        pair.issued(name, issue(&request, &authority.key, AUTHORITY)?)
    };
    let (server, admin) = (Pair::new()?, Pair::new()?);
    Ok(vec![
        issued("ca", &authority, AUTHORITY, &[], Purpose::Authority, AUTHORITY_DAYS)?,
        issued("server", &server, "CN=localhost", &names, Purpose::Server, LEAF_DAYS)?,
        issued("admin", &admin, "CN=admin", &[], Purpose::Client, LEAF_DAYS)?,
    ])
}

/// A new key pair.
struct Pair {
    pkcs8: SecretBytes,
    key: Key,
}

impl Pair {
    fn new() -> Result<Self> {
        let pkcs8 = generate(KeySpec::Curve(Curve::P256))?;
        let key = Key::from_private(&pkcs8, Vec::new())?;
        Ok(Self { pkcs8, key })
    }

    fn issued(&self, name: &'static str, certificate: Vec<u8>) -> Result<Issued> {
        let mut entry = Entry::new(name, Material::Certificate);
        entry.chain.push(certificate);
        // EXPOSE: into the text of the key file, a zeroizing owner.
        let key = SecretBytes::from_slice(self.pkcs8.expose_secret());
        let key = Entry::new(name, Material::PrivateKey(key));
        Ok(Issued { name, certificate: text(&entry, true)?, key: text(&key, false)? })
    }
}

fn text(entry: &Entry, public_only: bool) -> Result<SecretBytes> {
    let text = pem::write(std::slice::from_ref(entry), public_only)?;
    // EXPOSE: copied into another zeroizing owner.
    Ok(SecretBytes::from_slice(text.expose_secret().as_bytes()))
}
