//! The key sets that a provider and a relying party publish.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use claviger::Keyring;
use claviger::alg::Curve;
use claviger::crypto::Key;
use claviger::crypto::certificate::self_signed;
use claviger::crypto::generate::{KeySpec, generate};
use claviger::formats::{Entry, Material, pkcs12};
use claviger::label::Realm;
use claviger::ops::{PeerKeySet, PeerRules};
use claviger::profiles::jwks::Party;
use claviger::secret::SecretString;
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private, Public};
use openssl::rsa::Rsa;
use openssl::x509::{X509, X509NameBuilder};
use serde_json::Value;

use crate::crypto::DEMO_KEYS;
use crate::support::vectors;
use crate::workshop::jwk;

/// A folder with keys of these names and types, and a configuration.
struct House(tempfile::TempDir);

impl House {
    fn new(keys: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys: Vec<String> = keys.iter().map(|(alias, kind)| jwk(alias, kind)).collect();
        let text = format!("{{\"keys\":[{}]}}", keys.join(","));
        std::fs::write(folder.path().join("keys.jwks"), text).unwrap();
        Self(folder)
    }

    fn store(name: &str, more: &str, mappings: &str) -> String {
        format!(
            "[stores.{name}]\nkind = 'keystore'\npath = 'keys.jwks'\nintegrity = 'none'\n{more}\n\
             [stores.{name}.mappings]\n{mappings}\n"
        )
    }

    fn configure(&self, text: &str) {
        std::fs::write(self.0.path().join("claviger.toml"), text).unwrap();
    }

    fn open(&self, text: &str) -> Keyring {
        self.configure(text);
        Keyring::open_once(&self.0.path().join("claviger.toml")).unwrap()
    }
}

fn keys(keyring: &Keyring, realm: Option<&str>, party: Party) -> Vec<Value> {
    let realm: Option<Realm> = realm.map(|realm| realm.parse().unwrap());
    let document = keyring.jwks(realm.as_ref(), party).document();
    let set: Value = serde_json::from_str(&document.json).unwrap();
    set["keys"].as_array().unwrap().clone()
}

/// kid, use and alg of each.
fn facts(keys: &[Value]) -> Vec<String> {
    let text = |key: &Value, name| key[name].as_str().unwrap_or("-").to_owned();
    let mut facts: Vec<String> = keys
        .iter()
        .map(|key| ["kid", "use", "alg"].map(|name| text(key, name)).join(" "))
        .collect();
    facts.sort();
    facts
}

const SIGNING: &str = "am.services.oauth2.oidc.signing";
const RP: &str = "am.services.oauth2.oidc.rp";

fn mappings() -> String {
    format!(
        "'{SIGNING}.ES256' = ['e1', 'e2']\n'{SIGNING}.RSA' = ['r1']\n\
         'am.global.services.oauth2.oidc.agent.idtoken.signing' = ['r1']\n\
         'am.services.oauth2.oidc.decryption.RSA.OAEP' = ['r2', 'r3']\n\
         'am.services.oauth2.oidc.decryption.RSA.OAEP.256' = ['r2']\n\
         'am.services.oauth2.stateless.signing.HMAC' = ['h']\n\
         '{RP}.jwt.authenticity.signing' = ['e1', 'r3']\n'{RP}.idtoken.encryption' = ['r2', 'r1']\n"
    )
}

const KEYS: [(&str, &str); 6] =
    [("e1", "ec"), ("e2", "ec"), ("r1", "rsa"), ("r2", "rsa"), ("r3", "rsa"), ("h", "hmac")];

#[test]
fn the_provider_publishes_all_its_keys_and_the_relying_party_the_active_one_to_encrypt_to() {
    let house = House::new(&KEYS);
    let keyring = house.open(&House::store("keys", "", &mappings()));
    assert_eq!(
        facts(&keys(&keyring, None, Party::Provider)),
        ["e1 sig ES256", "e2 sig ES256", "r1 sig -", "r2 enc -", "r3 enc RSA-OAEP"]
    );
    assert_eq!(
        facts(&keys(&keyring, None, Party::RelyingParty)),
        ["e1 sig ES256", "r2 enc -", "r3 sig -"]
    );
    let all = keys(&keyring, None, Party::All);
    assert_eq!(all.len(), 6);
    for key in &all {
        let members = key.as_object().unwrap();
        assert!(["d", "p", "q", "k"].iter().all(|name| !members.contains_key(*name)), "{key}");
    }
}

#[test]
fn alg_is_told_once_for_each_algorithm_or_never_where_that_is_configured() {
    let house = House::new(&KEYS);
    let each =
        house.open(&format!("[policy]\njwks_alg = 'each'\n{}", House::store("k", "", &mappings())));
    let shown = facts(&keys(&each, None, Party::Provider));
    for row in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        assert_eq!(shown.iter().filter(|one| **one == format!("r1 sig {row}")).count(), 1);
    }
    for row in ["e1 sig ES256", "r2 enc RSA-OAEP", "r2 enc RSA-OAEP-256", "r3 enc RSA-OAEP"] {
        assert!(shown.contains(&row.to_owned()), "{row}: {shown:?}");
    }
    assert_eq!(shown.len(), 6 + 2 + 3);
    // We read it as others do: one key under one kid, for each of its algorithms.
    let document = each.jwks(None, Party::Provider).document();
    let rules = PeerRules::verify(&["PS384", "ES256"]).unwrap();
    let read = PeerKeySet::from_jwks(document.json.as_bytes(), &rules).unwrap();
    assert_eq!(read.keys().unwrap().keys().len(), 3);
    let none =
        house.open(&format!("[policy]\njwks_alg = 'none'\n{}", House::store("k", "", &mappings())));
    assert!(keys(&none, None, Party::All).iter().all(|key| key["alg"].is_null()));
}

#[test]
fn a_realm_publishes_its_own_keys_and_the_global_ones() {
    let house = House::new(&[("g", "ec"), ("r", "ec"), ("o", "ec"), ("p", "ec")]);
    let label = |suffix: &str| format!("'{SIGNING}.{suffix}'");
    let text = [
        House::store("global", "", &format!("{} = ['g']\n'app.quiet' = ['p']", label("ES256"))),
        House::store("alpha", "realm = 'alpha'", &format!("{} = ['r']", label("ES256"))),
        House::store("beta", "realm = 'beta'", "'app.loud' = ['o']"),
        "[labels.'app.quiet']\nuse = 'sign'\nalgorithms = ['ES256']\n\
         [labels.'app.loud']\nuse = 'sign'\nalgorithms = ['ES256']\npublish = 'all'\n"
            .to_owned(),
    ]
    .concat();
    let keyring = house.open(&text);
    let kids = |realm| -> Vec<String> {
        let found = keys(&keyring, realm, Party::Provider);
        found.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kids(None), ["g"]);
    assert_eq!(kids(Some("alpha")), ["r", "g"]);
    assert_eq!(kids(Some("beta")), ["g", "o"]);
    assert!(keys(&keyring, Some("beta"), Party::RelyingParty).is_empty());
}

#[test]
fn a_document_is_rendered_once_a_snapshot() {
    let house = House::new(&KEYS);
    let label = format!("'{SIGNING}.ES256'");
    let keyring = house.open(&House::store("keys", "", &format!("{label} = ['e1']")));
    let handle = keyring.jwks(None, Party::Provider);
    let first = handle.document();
    assert!(Arc::ptr_eq(&first, &handle.document()));
    house.configure(&House::store("keys", "", &format!("{label} = ['e2', 'e1']")));
    keyring.reload().unwrap();
    let second = handle.document();
    assert!(!Arc::ptr_eq(&first, &second) && first.etag != second.etag);
    assert!(second.json.contains("\"e2\""));
    house.configure(&House::store("keys", "", &format!("{label} = ['e1']")));
    keyring.reload().unwrap();
    assert_eq!(handle.document().etag, first.etag);
}

/// A renewed certificate leaves the key as it is: peers see one key, with the certificate that ends last.
#[test]
fn a_key_under_two_certificates_is_published_once() {
    let pkcs8 = generate(KeySpec::Curve(Curve::P256)).unwrap();
    let key = Key::from_private(&pkcs8, Vec::new()).unwrap();
    let until = |end| self_signed(&key, "CN=op", [7; 16], 0, end).unwrap().unwrap();
    let (old, new) = (STANDARD.encode(until(4_000_000_000)), STANDARD.encode(until(4_100_000_000)));
    let entry = Entry::new("e1", Material::PrivateKey(pkcs8));
    let jwk = claviger::formats::jwk::write(&entry, false).unwrap();
    let mut jwk: Value = serde_json::from_str(jwk.expose_secret()).unwrap();
    jwk["kid"] = "e1".into();
    for certificates in [[&old, &new], [&new, &old]] {
        let house = House::new(&[]);
        let mut text = String::new();
        for (index, label) in ["oidc", "stateless"].iter().enumerate() {
            jwk["x5c"] = vec![certificates[index].as_str()].into();
            let file = house.0.path().join(format!("{label}.jwks"));
            std::fs::write(file, format!("{{\"keys\":[{jwk}]}}")).unwrap();
            let mapping = format!("'am.services.oauth2.{label}.signing.ES256' = ['e1']");
            text +=
                &House::store(label, "", &mapping).replace("keys.jwks", &format!("{label}.jwks"));
        }
        let published = keys(&house.open(&text), None, Party::Provider);
        assert_eq!(facts(&published), ["e1 sig ES256"]);
        assert_eq!(published[0]["x5c"][0], new.as_str());
    }
}

fn decoded(text: &str) -> BigNum {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap();
    BigNum::from_slice(&bytes).unwrap()
}

fn demo_key(curve: Option<Curve>, first: &str, second: &str) -> PKey<Public> {
    let (first, second) = (decoded(first), decoded(second));
    let Some(curve) = curve else {
        let rsa = Rsa::from_public_components(first, second).unwrap();
        return PKey::from_rsa(rsa).unwrap();
    };
    let nid = match curve {
        Curve::P256 => Nid::X9_62_PRIME256V1,
        Curve::P384 => Nid::SECP384R1,
        _ => Nid::SECP521R1,
    };
    let group = EcGroup::from_curve_name(nid).unwrap();
    let mut point = EcPoint::new(&group).unwrap();
    let mut context = BigNumContext::new().unwrap();
    point.set_affine_coordinates_gfp(&group, &first, &second, &mut context).unwrap();
    PKey::from_ec_key(EcKey::from_public_key(&group, &point).unwrap()).unwrap()
}

/// Around a public key; who signed it does not matter.
fn certificate(key: &PKey<Public>, signer: &PKey<Private>) -> Vec<u8> {
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "demo").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(400).unwrap()).unwrap();
    builder.sign(signer, MessageDigest::sha256()).unwrap();
    builder.build().to_der().unwrap()
}

#[test]
fn ping_ams_demo_keys_are_published_under_their_kids() {
    let house = House::new(&[]);
    let signer = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut entries: Vec<Entry> = Vec::new();
    let mut labels = String::new();
    let mut mappings = String::new();
    for (index, (alias, usage, _, curve, first, second)) in DEMO_KEYS.iter().enumerate() {
        if !entries.iter().any(|entry| entry.alias == *alias) {
            let mut entry = Entry::new(*alias, Material::Certificate);
            entry.chain = vec![certificate(&demo_key(*curve, first, second), &signer)];
            entries.push(entry);
        }
        // A label of the catalogue that needs no private half.
        let encrypts = "am.applications.oauth2.client.demo.id.token.enc.public.key".to_owned();
        let label = if *usage == "enc" { encrypts } else { format!("app.l{index}") };
        let algorithms = match (*usage, curve) {
            ("enc", _) => "",
            (_, Some(Curve::P256)) => "use = 'verify'\nalgorithms = ['ES256']\n",
            (_, Some(Curve::P384)) => "use = 'verify'\nalgorithms = ['ES384']\n",
            (_, Some(_)) => "use = 'verify'\nalgorithms = ['ES512']\n",
            _ => "use = 'verify'\nalgorithms = ['RS256', 'PS256']\n",
        };
        labels += &format!("[labels.'{label}']\npublish = 'all'\n{algorithms}");
        mappings += &format!("'{label}' = ['{alias}']\n");
    }
    let password = SecretString::from_string("changeit".into());
    let file = pkcs12::write(&entries, &password).unwrap();
    std::fs::write(house.0.path().join("demo.p12"), file).unwrap();
    std::fs::write(house.0.path().join("pw"), "changeit").unwrap();
    let keyring = house.open(&format!(
        "[keyring]\nkid = 'am'\n[policy]\ndemo_keys = 'allow'\n\
         [stores.demo]\nkind = 'keystore'\npath = 'demo.p12'\nstore_password = {{ file = 'pw' }}\n\
         [stores.demo.mappings]\n{mappings}{labels}"
    ));
    let published = keys(&keyring, None, Party::Provider);
    assert_eq!(published.len(), DEMO_KEYS.len());
    for (alias, usage, kid, _, first, _) in DEMO_KEYS {
        let found = published.iter().find(|key| key["kid"] == *kid);
        let found = found.unwrap_or_else(|| panic!("{alias} {usage}: {published:#?}"));
        assert_eq!(found["use"], *usage);
        assert!([&found["x"], &found["n"]].contains(&&Value::from(*first)), "{alias}");
        assert!(
            found["x5c"].is_array() && found["x5t"].is_string() && found["x5t#S256"].is_string()
        );
    }
}

#[test]
fn the_default_mappings_on_the_keystore_that_openam_ships_publish_two_kids_for_a_key_of_two_uses() {
    let Some(root) = vectors("keystores") else { return };
    let keystore = root.join("openam/server-default-keystore.jceks").canonicalize().unwrap();
    let house = House::new(&[]);
    std::fs::write(house.0.path().join("pw"), "changeit").unwrap();
    let keyring = house.open(&format!(
        "[keyring]\nkid = 'am'\n[stores.am]\nkind = 'keystore'\npath = '{}'\nstore_password = {{ file = 'pw' }}\n\
         [stores.am.mappings]\n'{SIGNING}.RSA' = ['rsajwtsigningkey']\n\
         'am.services.oauth2.stateless.signing.RSA' = ['rsajwtsigningkey', 'test']\n\
         'am.services.oauth2.oidc.decryption.RSA1.5' = ['test']\n\
         'am.services.oauth2.oidc.decryption.RSA.OAEP' = ['test']\n\
         'am.services.oauth2.oidc.decryption.RSA.OAEP.256' = ['test']\n",
        keystore.display()
    ));
    let published = keys(&keyring, None, Party::Provider);
    let of_test = keyring.label("am.services.oauth2.oidc.decryption.RSA.OAEP").unwrap();
    let of_test = of_test.keys().unwrap().active().key.clone();
    let mut expected = vec![
        format!("{} enc -", of_test.am_kid("test", "enc").unwrap()),
        format!("{} sig -", of_test.am_kid("test", "sig").unwrap()),
    ];
    let signing = keyring.label(&format!("{SIGNING}.RSA")).unwrap().keys().unwrap();
    let kid = signing.active().key.am_kid("rsajwtsigningkey", "sig").unwrap();
    expected.push(format!("{kid} sig -"));
    expected.sort();
    assert_eq!(facts(&published), expected);
}
