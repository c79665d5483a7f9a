//! Metadata of peers: which of its roles, certificates and methods count, and what is said of those that do not.

use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use claviger::alg::Curve;
use claviger::crypto::generate::{KeySpec, generate};
use claviger::crypto::{Key, PublicParameters, certificate, sha256};
use claviger::error::{Error, ErrorKind, Result};
use claviger::profiles::saml::metadata::PeerMetadata;
use claviger::profiles::saml::{KnownPeer, SamlRole};
use claviger::xmlsec::{PeerKey, PeerPolicy, XmlLimits};

const SAML2: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
const DSIG11: &str = "http://www.w3.org/2009/xmldsig11#";
const SAML1: &str = "urn:oasis:names:tc:SAML:1.1:protocol";

/// A new certificate in base64.
fn certificate(spec: KeySpec) -> String {
    let key = Key::from_private(&generate(spec).unwrap(), Vec::new()).unwrap();
    let der = certificate::self_signed(&key, "CN=peer", [7; 16], 0, 4_000_000_000).unwrap();
    STANDARD.encode(der.unwrap())
}

fn rsa() -> String {
    certificate(KeySpec::Rsa { bits: 2048 })
}

fn descriptor(certificate: &str, attributes: &str, methods: &str) -> String {
    format!(
        "<KeyDescriptor{attributes}><d:KeyInfo><d:X509Data><d:X509Certificate>{certificate}</d:X509Certificate>\
         </d:X509Data></d:KeyInfo>{methods}</KeyDescriptor>"
    )
}

fn idp(protocols: &str, attributes: &str, inside: &str) -> String {
    format!(
        "<IDPSSODescriptor protocolSupportEnumeration=\"{protocols}\"{attributes}>{inside}</IDPSSODescriptor>"
    )
}

fn entity(inside: &str) -> String {
    format!(
        "<EntityDescriptor xmlns=\"urn:oasis:names:tc:SAML:2.0:metadata\" \
         xmlns:d=\"http://www.w3.org/2000/09/xmldsig#\" entityID=\"https://peer\">{inside}</EntityDescriptor>"
    )
}

/// The peer as it is known in 2027.
fn known(metadata: &str, role: Option<SamlRole>) -> Result<KnownPeer> {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    KnownPeer::from_metadata(metadata.as_bytes(), None, role, now)
}

/// The kind, text and help of an error.
fn told(error: &Error) -> (ErrorKind, &str, &str) {
    (error.kind(), error.message(), error.help().unwrap_or_default())
}

/// Metadata §2.4.1: a role has an end of its own, which may be before that of its entity.
#[test]
fn a_role_that_has_ended_is_not_believed() {
    let key = descriptor(&rsa(), " use=\"signing\"", "");
    for (until, counts) in [("2027-01-15T08:00:00Z", false), ("2027-01-15T08:00:01Z", true)] {
        let role = idp(SAML2, &format!(" validUntil=\"{until}\""), &key);
        let read = known(&entity(&role), None);
        assert_eq!(read.is_ok(), counts, "{until}");
        if let Err(error) = read {
            let text = "the IDPSSODescriptor in the metadata ended at 2027-01-15T08:00:00Z";
            assert_eq!((error.kind(), error.message()), (ErrorKind::ClaimsRejected, text));
        }
    }
    let unreadable = known(&entity(&idp(SAML2, " validUntil=\"soon\"", &key)), None).unwrap_err();
    assert_eq!(unreadable.kind(), ErrorKind::Malformed);
}

/// An entity may have one descriptor for SAML 1.1 and another for SAML 2.0 (metadata §2.4.1).
#[test]
fn a_descriptor_of_another_protocol_gives_no_keys() {
    let (old, new) = (rsa(), rsa());
    let role =
        |protocols: &str, key: &str| idp(protocols, "", &descriptor(key, " use=\"signing\"", ""));
    let sha256 = |certificate: &str| {
        let der = STANDARD.decode(certificate).unwrap();
        PeerKey::from_certificate(der).unwrap().sha256().to_owned()
    };
    let both = entity(&(role(SAML1, &old) + &role(SAML2, &new)));
    let mixed = entity(&role(&format!("{SAML1}  {SAML2}"), &new));
    for metadata in [both, mixed] {
        for asked in [None, Some(SamlRole::Idp)] {
            let keys = known(&metadata, asked).unwrap().signing_keys().unwrap();
            let found: Vec<&str> = keys.keys().iter().map(|key| key.sha256()).collect();
            assert_eq!(found, [sha256(&new)]);
        }
    }
    for asked in [None, Some(SamlRole::Idp)] {
        let refused = known(&entity(&role(SAML1, &old)), asked).unwrap_err();
        let (kind, text, help) = told(&refused);
        assert_eq!(kind, ErrorKind::Usage);
        assert!(text.ends_with("for SAML 2.0"), "{text}");
        assert_eq!(help, format!("it has IDPSSODescriptor ({SAML1})"));
    }
}

fn encryption_key(peer: &KnownPeer) -> PeerKey {
    peer.recipient(PeerPolicy::default()).unwrap().0
}

/// A key for any use may be one that signs alone: then the next one is encrypted to.
#[test]
fn the_first_key_that_takes_it_is_encrypted_to() {
    let (ec, fit) = (certificate(KeySpec::Curve(Curve::P256)), rsa());
    let both = descriptor(&ec, "", "") + &descriptor(&fit, " use=\"encryption\"", "");
    let peer = known(&entity(&idp(SAML2, "", &both)), None).unwrap();
    assert_eq!(STANDARD.encode(encryption_key(&peer).certificate().unwrap()), fit);
    let pem =
        |one: &str| format!("-----BEGIN CERTIFICATE-----\n{one}\n-----END CERTIFICATE-----\n");
    let peer = KnownPeer::from_certificates((pem(&ec) + &pem(&fit)).as_bytes()).unwrap();
    assert_eq!(STANDARD.encode(encryption_key(&peer).certificate().unwrap()), fit);
    // Alone it is what the error speaks of.
    let peer = known(&entity(&idp(SAML2, "", &descriptor(&ec, "", ""))), None).unwrap();
    assert_eq!(STANDARD.encode(encryption_key(&peer).certificate().unwrap()), ec);
}

/// What one key decrypts says nothing of the next.
#[test]
fn a_key_is_encrypted_to_by_the_methods_of_its_own_descriptor() {
    let method = |uri: &str| format!("<EncryptionMethod Algorithm=\"{uri}\"/>");
    let (old, oaep) = (
        method("http://www.w3.org/2001/04/xmlenc#rsa-1_5"),
        method("http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"),
    );
    let (cbc, gcm) = (
        method("http://www.w3.org/2001/04/xmlenc#aes128-cbc"),
        method("http://www.w3.org/2009/xmlenc11#aes256-gcm"),
    );
    let keys = [rsa(), rsa()];
    let chosen = |methods: [String; 2], policy: PeerPolicy| {
        let inside: String = keys
            .iter()
            .zip(methods)
            .map(|(key, methods)| descriptor(key, " use=\"encryption\"", &methods))
            .collect();
        let peer = known(&entity(&idp(SAML2, "", &inside)), None).unwrap();
        let (key, options) = peer.recipient(policy).unwrap();
        let key =
            keys.iter().position(|one| STANDARD.decode(one).unwrap() == key.certificate().unwrap());
        (key.unwrap(), options.key_transport, options.content)
    };
    let strict = PeerPolicy::default();
    let weak = PeerPolicy::of(["cbc", "rsa1_5"]).unwrap();
    let first_is_old = || [format!("{old}{cbc}"), format!("{oaep}{gcm}")];
    assert_eq!(chosen(first_is_old(), strict), (1, Some("rsa-oaep-mgf1p"), Some("A256GCM")));
    assert_eq!(chosen(first_is_old(), weak), (0, Some("RSA1_5"), Some("aes128-cbc")));
    // Neither is made here: the first, and the algorithms are ours.
    assert_eq!(chosen([old.clone(), old.clone()], strict), (0, None, None));
    // Who names content alone, or nothing, takes any transport.
    assert_eq!(chosen([gcm.clone(), oaep.clone()], strict), (0, None, Some("A256GCM")));
    assert_eq!(chosen([String::new(), oaep], strict), (0, None, None));
}

/// A digest that is not known is no SHA-1: the peer could not decrypt.
#[test]
fn a_method_with_a_digest_that_is_not_known_is_passed_over() {
    let oaep = |inside: &str| {
        format!(
            "<EncryptionMethod Algorithm=\"http://www.w3.org/2009/xmlenc11#rsa-oaep\">{inside}</EncryptionMethod>"
        )
    };
    let digest = |uri: &str| format!("<d:DigestMethod Algorithm=\"{uri}\"/>");
    let mask = |uri: &str| {
        format!("<x:MGF xmlns:x=\"http://www.w3.org/2009/xmlenc11#\" Algorithm=\"{uri}\"/>")
    };
    let sha224 = oaep(&digest("http://www.w3.org/2001/04/xmldsig-more#sha224"));
    let mgf224 = oaep(&mask("http://www.w3.org/2009/xmlenc11#mgf1sha224"));
    let sha512 = oaep(&digest("http://www.w3.org/2001/04/xmlenc#sha512"));
    let key = rsa();
    let chosen = |methods: &str| {
        let inside = descriptor(&key, " use=\"encryption\"", methods);
        let peer = known(&entity(&idp(SAML2, "", &inside)), None).unwrap();
        let (_, options) = peer.recipient(PeerPolicy::default()).unwrap();
        (options.key_transport, options.digest.map(claviger::alg::Hash::name))
    };
    assert_eq!(chosen(&format!("{sha224}{mgf224}{sha512}")), (Some("rsa-oaep"), Some("SHA-512")));
    assert_eq!(chosen(&format!("{sha224}{mgf224}")), (None, None));
}

#[test]
fn metadata_without_a_usable_certificate_say_why() {
    let bare = "<KeyDescriptor use=\"signing\"><d:KeyInfo><d:KeyName>x</d:KeyName></d:KeyInfo></KeyDescriptor>";
    let odd = descriptor(&rsa(), " use=\"Signing\"", "");
    for (inside, reason) in [
        (bare.to_owned(), "a KeyDescriptor has no certificate and no key"),
        (descriptor("AAAA", " use=\"signing\"", ""), "a certificate is not valid DER"),
        (descriptor("!", "", ""), "a certificate is not base64"),
        (odd, "its use \"Signing\" is neither signing nor encryption"),
    ] {
        let peer = known(&entity(&idp(SAML2, "", &inside)), None).unwrap();
        let refused =
            [peer.signing_keys().unwrap_err(), peer.recipient(PeerPolicy::default()).unwrap_err()];
        for error in &refused {
            let (kind, text, help) = told(error);
            assert_eq!(kind, ErrorKind::Usage);
            assert!(text.starts_with("the peer's IDPSSODescriptor has no key "), "{text}");
            let next = "have its metadata with keys that can be used here, or name its certificates themselves";
            assert_eq!(help, format!("{next}; left out: {reason}"));
        }
    }
    let peer = known(&entity(&idp(SAML2, "", "")), None).unwrap();
    assert!(told(&peer.signing_keys().unwrap_err()).2.starts_with("have its metadata"));
}

/// XML-DSig 1.1 §4.5.2 and §4.5.10, under other prefixes and in lines as others write them.
#[test]
fn keys_stand_alone_in_each_form_that_xml_has() {
    let key = |spec| Key::from_private(&generate(spec).unwrap(), Vec::new()).unwrap();
    let lines = |bytes: &[u8]| {
        let text = STANDARD.encode(bytes);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(|one| str::from_utf8(one).unwrap()).collect();
        format!("\n{}\n", lines.join("&#13;\n"))
    };
    let der = |key: &Key| {
        let spki = lines(key.spki().unwrap());
        format!("<v:DEREncodedKeyValue xmlns:v=\"{DSIG11}\">{spki}</v:DEREncodedKeyValue>")
    };
    let value = |key: &Key| match key.public_parameters().unwrap() {
        PublicParameters::Rsa { n, e } => format!(
            "<d:KeyValue> <d:RSAKeyValue><d:Modulus>{}</d:Modulus><d:Exponent>{}</d:Exponent></d:RSAKeyValue></d:KeyValue>",
            lines(n),
            lines(e)
        ),
        PublicParameters::Ec { curve, x, y } => format!(
            "<d:KeyValue><v:ECKeyValue xmlns:v=\"{DSIG11}\"><v:NamedCurve URI=\"urn:oid:{}\"/><v:PublicKey>{}</v:PublicKey>\
             </v:ECKeyValue></d:KeyValue>",
            match curve {
                Curve::P256 => "1.2.840.10045.3.1.7",
                Curve::P384 => "1.3.132.0.34",
                _ => "1.3.132.0.35",
            },
            lines(&[&[4][..], x, y].concat())
        ),
        PublicParameters::Okp { .. } => unreachable!("none is asked for"),
    };
    let info = |inside: &str| {
        let inside = format!("<KeyDescriptor><d:KeyInfo>{inside}</d:KeyInfo></KeyDescriptor>");
        known(&entity(&idp(SAML2, "", &inside)), None).unwrap()
    };
    let specs = [Curve::P256, Curve::P384, Curve::P521].map(KeySpec::Curve);
    for spec in specs.into_iter().chain([KeySpec::Rsa { bits: 2048 }]) {
        let key = key(spec);
        for inside in [value(&key), der(&key)] {
            let keys = info(&inside).signing_keys().unwrap();
            let [found] = keys.keys() else { panic!("{inside}") };
            assert_eq!(found.key().spki(), key.spki(), "{inside}");
            assert!(found.certificate().is_none() && found.facts().unwrap().is_none());
            assert_eq!(found.sha256(), hex::encode(sha256(key.spki().unwrap())));
        }
    }
    // A certificate is the key's own; what stands beside it is not looked at.
    let (certificate, other) = (rsa(), value(&key(KeySpec::Rsa { bits: 2048 })));
    let both = format!(
        "{other}<d:X509Data><d:X509Certificate>{certificate}</d:X509Certificate></d:X509Data>"
    );
    let keys = info(&both).signing_keys().unwrap();
    assert_eq!(keys.keys().len(), 1);
    assert_eq!(keys.keys()[0].certificate(), Some(&*STANDARD.decode(&certificate).unwrap()));

    let ec = value(&key(KeySpec::Curve(Curve::P256)));
    for (inside, reason) in [
        (
            "<d:KeyValue><d:DSAKeyValue/></d:KeyValue>".to_owned(),
            "a KeyValue is neither an RSAKeyValue nor an ECKeyValue",
        ),
        (
            ec.replace(":7\"", ":8\"").replace("3.1.7", "3.1.1"),
            "the curve of an ECKeyValue is none of P-256, P-384 and P-521 by name",
        ),
        (
            ec.replace("1.2.840.10045.3.1.7", "1.3.132.0.34"),
            "the point of an ECKeyValue is not written in full",
        ),
        (value_of_rsa("!", "AQAB"), "a public key is not base64"),
        (value_of_rsa("", "AQAB"), "the RSA public key"),
        (format!("<v:DEREncodedKeyValue xmlns:v=\"{DSIG11}\">AAAA</v:DEREncodedKeyValue>"), "DER"),
        (
            "<d:KeyValue><d:RSAKeyValue/></d:KeyValue>".to_owned(),
            "a KeyValue has not each of its parts once",
        ),
    ] {
        let error = info(&inside).signing_keys().unwrap_err();
        let (kind, _, help) = told(&error);
        assert_eq!(kind, ErrorKind::Usage, "{inside}");
        assert!(help.contains("; left out: ") && help.contains(reason), "{inside}: {help}");
    }
}

fn value_of_rsa(n: &str, e: &str) -> String {
    format!(
        "<d:KeyValue><d:RSAKeyValue><d:Modulus>{n}</d:Modulus><d:Exponent>{e}</d:Exponent></d:RSAKeyValue></d:KeyValue>"
    )
}

/// Metadata §2.3: who publishes metadata of many lets each of them write its own Extensions.
#[test]
fn an_entity_stands_where_metadata_has_entities() {
    let (own, forged) = (rsa(), rsa());
    let role = |certificate: &str| idp(SAML2, "", &descriptor(certificate, "", ""));
    let named = |id: &str, inside: &str| entity(inside).replace("https://peer", id);
    let many = |inside: &str| {
        format!(
            "<e:EntitiesDescriptor xmlns:e=\"urn:oasis:names:tc:SAML:2.0:metadata\">{inside}</e:EntitiesDescriptor>"
        )
    };
    let inside = format!("<Extensions>{}</Extensions>", named("https://bank", &role(&forged)));
    let smuggler = named("https://mall", &format!("{inside}{}", role(&own)));
    let bank = named("https://bank", &role(&own));
    let read = |metadata: &str, id: &str| {
        let found = PeerMetadata::read(metadata.as_bytes(), Some(id), &XmlLimits::METADATA)?;
        Ok::<_, Error>(STANDARD.encode(found.roles[0].signing[0].certificate().unwrap()))
    };
    assert_eq!(
        told(&read(&many(&smuggler), "https://bank").unwrap_err()),
        (
            ErrorKind::Usage,
            "the metadata has no entity \"https://bank\"",
            "name one of its entity IDs: \"https://mall\""
        )
    );
    // Nor does it keep the other from being read.
    let both = many(&format!("{smuggler}{}", many(&bank)));
    assert_eq!(read(&both, "https://bank").unwrap(), own);
    assert!(read(&format!("<a>{bank}</a>"), "https://bank").is_err());
    assert_eq!(
        told(&read(&many(&format!("{bank}{bank}")), "https://bank").unwrap_err()),
        (
            ErrorKind::Usage,
            "the metadata has \"https://bank\" twice",
            "which of the two counts nobody says: have metadata that name it once"
        )
    );
}

/// Who sends metadata chooses how many roles and algorithms they have: each is read once, and no more than anybody has.
#[test]
fn many_roles_and_algorithms_cost_no_more_than_their_text() {
    let read = |metadata: &str| {
        let start = Instant::now();
        let found = PeerMetadata::read(metadata.as_bytes(), None, &XmlLimits::METADATA);
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
        found
    };
    let of = |inside: &str, roles: usize| {
        entity(&format!("<Extensions>{inside}</Extensions>{}", idp(SAML2, "", "").repeat(roles)))
    };
    let refused = read(&of(&"<a/>".repeat(100_000), 5_000)).unwrap_err();
    assert_eq!(told(&refused).0, ErrorKind::LimitExceeded);
    let method = "<SigningMethod xmlns=\"urn:oasis:names:tc:SAML:metadata:algsupport\" Algorithm=\"urn:x\"/>";
    let found = read(&of(&method.repeat(20_000), 64)).unwrap();
    assert_eq!((found.roles.len(), found.roles[63].signing_methods.len()), (64, 64));
    let bad = entity(&idp(SAML2, "", &descriptor("AAAA", "", "").repeat(1_000)));
    let role = read(&bad).unwrap().roles.remove(0);
    let help = role.signing_keys().unwrap_err().help().unwrap().to_owned();
    assert!(help.len() < 300 && help.ends_with("; …"), "{help}");
}
