//! An identity provider signs an assertion and encrypts it for a service provider, which knows it by metadata of
//! yesterday; meanwhile the key of the identity provider rotates.
//!
//! `cargo run --example saml_login`

#![expect(clippy::print_stdout, reason = "an example")]

use std::path::Path;

use claviger::clock::Clock;
use claviger::key_tools::{self, GenerateOptions};
use claviger::profiles::saml::metadata::{Endpoint, MetadataOptions};
use claviger::profiles::saml::{
    self, Encryptable, Expect, KnownPeer, SamlRole, SamlScope, Signing,
};
use claviger::secret::SecretString;
use claviger::xmlsec::dsig::SignOptions;
use claviger::xmlsec::enc::{EncryptOptions, Recipient};
use claviger::xmlsec::{PeerPolicy, XmlLimits};
use claviger::{Config, Keyring};

const CONFIG: &str = r#"
[stores.saml]
kind = "keystore"
path = "saml.p12"
store_password = { file = "storepass.txt" }

[stores.saml.mappings]
"am.default.applications.federation.entity.providers.saml2.idp.signing" = ["idp-1", "idp-2"]
"am.default.applications.federation.entity.providers.saml2.sp.signing" = ["sp-1"]
"am.default.applications.federation.entity.providers.saml2.sp.encryption" = ["sp-1"]
"#;
const RESPONSE: &str = r#"<p:Response xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol" ID="_r">
  <a:Assertion xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion" ID="_a">
    <a:Issuer>https://idp.example</a:Issuer>
    <a:Subject><a:NameID>alice</a:NameID></a:Subject>
  </a:Assertion>
</p:Response>"#;
const IDP: &str = "https://idp.example";
const SP: &str = "https://sp.example";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let keyring = keyring(folder.path())?;
    let entity = |role| keyring.saml(SamlScope { realm: None, role, identifier: None });
    let (idp, sp) = (entity(SamlRole::Idp)?, entity(SamlRole::Sp)?);

    // What each publishes, and what the other reads of it.
    let (sso, acs) = (
        [Endpoint {
            service: "SingleSignOnService",
            binding: "HTTP-Redirect",
            location: "https://idp.example/sso",
        }],
        [Endpoint {
            service: "AssertionConsumerService",
            binding: "HTTP-POST",
            location: "https://sp.example/acs",
        }],
    );
    let of_idp = MetadataOptions { entity_id: IDP, endpoints: &sso, ..MetadataOptions::default() };
    let of_sp = MetadataOptions { entity_id: SP, endpoints: &acs, ..MetadataOptions::default() };
    let now = Clock::system().now();
    let known = |xml: String| KnownPeer::from_metadata(xml.as_bytes(), None, None, now);
    let idp_of_yesterday = known(idp.metadata(&of_idp)?)?;
    let sp_known = known(sp.metadata(&of_sp)?)?;

    // The next key acts.
    let file = folder.path().join("claviger.toml");
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, text.replace(r#"["idp-1", "idp-2"]"#, r#"["idp-2", "idp-1"]"#))?;
    keyring.reload()?;

    // The identity provider: signed first, then encrypted, as the metadata of the service provider ask for.
    let signed =
        idp.sign(RESPONSE.as_bytes(), Signing::Assertion(None), &SignOptions::default())?;
    println!("signed {} with {}", signed.id, signed.alias);
    let policy = PeerPolicy::default();
    let (key, preferred) = sp_known.recipient(policy)?;
    let options = EncryptOptions { recipient: sp_known.entity_id(), ..preferred };
    let recipient = Recipient::Certificate(&key);
    let (sent, _) =
        saml::encrypt(recipient, signed.xml.as_bytes(), Encryptable::Assertion, &options)?;
    assert!(!sent.contains("alice"));

    // The service provider: believes the octets that come back, and nothing else of the message.
    let opened = sp.decrypt(sent.as_bytes(), Encryptable::Assertion, &policy)?;
    let assertion = opened.first().ok_or("an assertion")?;
    let assertion = assertion.xml.expose_secret();
    let expect = Expect::Assertion(None);
    let found = idp_of_yesterday.verify(assertion, expect, &policy, &XmlLimits::MESSAGE)?;
    let believed = found.first().ok_or("one is signed")?;
    println!("{} of {} bytes is signed", believed.local_name, believed.octets.len());
    assert!(String::from_utf8_lossy(&believed.octets).contains(">alice<"));
    Ok(())
}

/// A keystore with three RSA keys, and the configuration that maps them.
fn keyring(folder: &Path) -> claviger::error::Result<Keyring> {
    let clock = Clock::system();
    let password = SecretString::from_string("of an example".to_owned());
    let mut store = None;
    for alias in ["idp-1", "idp-2", "sp-1"] {
        let options = GenerateOptions {
            alias,
            key_type: "rsa",
            bits: Some(2048),
            curve: None,
            subject: None,
            days: 825,
            now: clock.now(),
        };
        let made = key_tools::generate_into(store.as_ref(), &password, &options)?;
        store = Some(made.content);
    }
    if let Some(store) = &store {
        key_tools::create_file(&folder.join("saml.p12"), store)?;
    }
    let write =
        |name: &str, text: &str| claviger::atomic::create(&folder.join(name), text.as_bytes());
    write("storepass.txt", "of an example")?;
    write("claviger.toml", CONFIG)?;
    Keyring::from_config(Config::load(&folder.join("claviger.toml"))?, clock)
}
