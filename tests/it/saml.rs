//! SAML on labels: signed, encrypted and published, before, during and after a rotation.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use claviger::alg::{Algorithm, Curve};
use claviger::catalogue::LabelUse;
use claviger::crypto::generate::{KeySpec, generate};
use claviger::crypto::{Key, certificate};
use claviger::error::ErrorKind;
use claviger::formats::JwkHints;
use claviger::ops::{KeySet, KeySetPolicy, LabelKey};
use claviger::profiles::saml::metadata::{self, MetadataOptions, PeerMetadata};
use claviger::profiles::saml::redirect::{self, MessageKind, RedirectOptions};
use claviger::profiles::saml::{self, Encryptable, Expect, SamlRole, Signing, binding};
use claviger::secret::SecretBytes;
use claviger::xmlsec::dsig::{KeyInfo, SignOptions};
use claviger::xmlsec::enc::{Decrypted, EncryptOptions, Recipient};
use claviger::xmlsec::{PeerKeys, PeerPolicy, Trust, XmlLimits};
use openssl::hash::MessageDigest;

const RESPONSE: &str = "<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" \
    xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_r\"><saml:Issuer>https://idp</saml:Issuer>\
    <saml:Assertion ID=\"_a\"><saml:Issuer>https://idp</saml:Issuer><saml:Subject><saml:NameID>alice</saml:NameID>\
    </saml:Subject></saml:Assertion></samlp:Response>";
const LIMITS: XmlLimits = XmlLimits::MESSAGE;

/// A key pair with a self-signed certificate.
fn pair(spec: KeySpec) -> Key {
    let pkcs8 = generate(spec).unwrap();
    let bare = Key::from_private(&pkcs8, Vec::new()).unwrap();
    let der = certificate::self_signed(&bare, "CN=test", [7; 16], 0, 4_000_000_000).unwrap();
    Key::from_private(&pkcs8, vec![der.unwrap()]).unwrap()
}

fn label(uses: &[LabelUse], names: &[&str], keys: &[(&str, &Key)]) -> KeySet {
    label_under(KeySetPolicy::default(), uses, names, keys)
}

fn label_under(
    policy: KeySetPolicy,
    uses: &[LabelUse],
    names: &[&str],
    keys: &[(&str, &Key)],
) -> KeySet {
    let keys = keys.iter().map(|(alias, key)| LabelKey {
        alias: alias.parse().unwrap(),
        store: "test".parse().unwrap(),
        realm: None,
        kid: (*alias).to_owned(),
        key: (*key).clone(),
        hints: JwkHints::default(),
        usage: claviger::usage::KeyUsage::default(),
    });
    let rows = names.iter().map(|name| Algorithm::named(name).unwrap()).collect();
    let label = "app.saml".parse().unwrap();
    KeySet::new(label, uses.to_vec(), keys.collect(), rows, policy).unwrap()
}

/// The last of 20 keys still counts if the label lets so many be tried, and the 16th if nothing is said.
#[test]
fn a_label_says_how_many_keys_are_tried() {
    let keys: Vec<(String, Key)> =
        (0..20).map(|at| (format!("k{at}"), pair(KeySpec::Rsa { bits: 2048 }))).collect();
    let keys: Vec<(&str, &Key)> = keys.iter().map(|(alias, key)| (alias.as_str(), key)).collect();
    let uses = [SIGNS.as_slice(), &[LabelUse::Encrypt, LabelUse::Decrypt]].concat();
    let names = ["rsa-sha256", "rsa-oaep-mgf1p", "A256GCM"];
    let all = |max_tries: Option<usize>| {
        let mut policy = KeySetPolicy::default();
        policy.limits.max_tries = max_tries.unwrap_or(policy.limits.max_tries);
        label_under(policy, &uses, &names, &keys)
    };
    let options = SignOptions { key_info: KeyInfo::None, ..Default::default() };
    for (at, max_tries, counts) in
        [(15, None, true), (16, None, false), (19, Some(20), true), (19, Some(19), false)]
    {
        let (alone, all) = (label(&uses, &names, &keys[at..=at]), all(max_tries));
        let signed = saml::sign(&alone, RESPONSE.as_bytes(), Signing::Message, &options).unwrap();
        assert!(!signed.xml.contains("KeyInfo"), "{}", signed.xml);
        let (trust, policy) = (Trust::Label(&all), PeerPolicy::default());
        let found = saml::verify(signed.xml.as_bytes(), Expect::Message, trust, &policy, &LIMITS);
        let signer = found.ok().and_then(|found| found[0].signer.alias.clone());
        assert_eq!(signer, counts.then(|| format!("k{at}")), "{max_tries:?}");
        let to = Recipient::Label(&alone);
        let plain = RESPONSE.as_bytes();
        let seal = |key_info| {
            let options = EncryptOptions { key_info, ..Default::default() };
            saml::encrypt(to, plain, Encryptable::Assertion, &options).unwrap().0
        };
        let sealed = seal(KeyInfo::None);
        assert!(!sealed.contains("X509"), "{sealed}");
        let opened = saml::decrypt(&all, sealed.as_bytes(), Encryptable::Assertion, &policy);
        let alias = |opened: Result<Vec<Decrypted>, _>| opened.ok().map(|all| all[0].alias.clone());
        assert_eq!(alias(opened), counts.then(|| format!("k{at}")), "{max_tries:?}");
        // The key that a certificate names is the first.
        let leaf = STANDARD.encode(&keys[at].1.chain()[0]);
        for named in [KeyInfo::Chain, KeyInfo::Leaf].map(seal) {
            assert_eq!(named.matches(&leaf).count(), 1, "{named}");
            let opened = saml::decrypt(&all, named.as_bytes(), Encryptable::Assertion, &policy);
            assert_eq!(alias(opened), Some(format!("k{at}")), "{max_tries:?}");
        }
    }
}

/// At most 128 in all; elements for one key find it by the first of them.
#[test]
fn a_document_costs_so_many_operations_of_private_keys() {
    let keys: Vec<(String, Key)> =
        (0..16).map(|at| (format!("k{at}"), pair(KeySpec::Rsa { bits: 2048 }))).collect();
    let keys: Vec<(&str, &Key)> = keys.iter().map(|(alias, key)| (alias.as_str(), key)).collect();
    let uses = [LabelUse::Encrypt, LabelUse::Decrypt];
    let names = ["rsa-oaep-mgf1p", "A256GCM"];
    let all = label(&uses, &names, &keys);
    let (start, end) = (RESPONSE.split_once("<saml:Assertion").unwrap().0, "</samlp:Response>");
    let sealed = |set: &KeySet, count: usize| {
        let to = Recipient::Label(set);
        let options = EncryptOptions { key_info: KeyInfo::None, ..Default::default() };
        let (one, _) =
            saml::encrypt(to, RESPONSE.as_bytes(), Encryptable::Assertion, &options).unwrap();
        let element = one.strip_prefix(start).unwrap().strip_suffix(end).unwrap();
        format!("{start}{}{end}", element.repeat(count))
    };
    let policy = PeerPolicy::default();
    let open = |xml: &str| saml::decrypt(&all, xml.as_bytes(), Encryptable::Assertion, &policy);
    // The last of 16 keys: 16 operations for the first element, one for each other.
    let last = label(&uses, &names, &keys[15..]);
    assert_eq!(open(&sealed(&last, 16)).unwrap().len(), 16);
    // In turns for the last two each costs 16 again.
    let other = label(&uses, &names, &keys[14..15]);
    let elements = |set| sealed(set, 1).split_once("</saml:Issuer>").unwrap().1.replace(end, "");
    let in_turns = (elements(&last) + &elements(&other)).repeat(8);
    for (count, opens) in [(8, true), (9, false)] {
        let some: Vec<&str> = in_turns.split_inclusive("</saml:EncryptedAssertion>").collect();
        let opened = open(&format!("{start}{}{end}", some[..count].concat()));
        assert_eq!(opened.is_ok(), opens, "{count}");
        if let Err(error) = opened {
            assert_eq!(error.kind(), ErrorKind::NotDecrypted);
        }
    }
}

const SIGNS: [LabelUse; 2] = [LabelUse::Sign, LabelUse::Verify];
const SIGNATURES: [&str; 9] = [
    "rsa-sha256",
    "rsa-sha384",
    "rsa-sha512",
    "sha256-rsa-MGF1",
    "sha384-rsa-MGF1",
    "sha512-rsa-MGF1",
    "ecdsa-sha256",
    "ecdsa-sha384",
    "ecdsa-sha512",
];
const ENCRYPTIONS: [&str; 5] =
    ["rsa-oaep-mgf1p", "rsa-oaep", "aes256-gcm", "aes192-gcm", "aes128-gcm"];

fn rsa() -> Key {
    pair(KeySpec::Rsa { bits: 2048 })
}

#[test]
fn every_signature_algorithm_signs_and_verifies_and_refuses_changes() {
    use claviger::alg::{Curve, Family};
    let rsa = rsa();
    for name in SIGNATURES {
        let key = match Algorithm::named(name).unwrap().family {
            Family::Ecdsa(curve, _) => pair(KeySpec::Curve(curve)),
            _ => rsa.clone(),
        };
        let set = label(&SIGNS, &SIGNATURES, &[("a", &key)]);
        let options = SignOptions { algorithm: Some(name), ..Default::default() };
        let inner =
            saml::sign(&set, RESPONSE.as_bytes(), Signing::Assertion(None), &options).unwrap();
        assert_eq!(inner.algorithm.xml_name(), Some(name));
        let both = saml::sign(&set, inner.xml.as_bytes(), Signing::Message, &options).unwrap();
        let verify = |xml: &str, expect| {
            let policy = PeerPolicy::default();
            saml::verify(xml.as_bytes(), expect, Trust::Label(&set), &policy, &LIMITS)
        };
        let found = verify(&both.xml, Expect::Any).unwrap();
        let ids: Vec<&str> = found.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, ["_r", "_a"], "{name}");
        assert_eq!(found[0].signer.alias.as_deref(), Some("a"));
        let changed = both.xml.replace("alice", "admin");
        assert_eq!(verify(&changed, Expect::Any).unwrap_err().kind(), ErrorKind::NotVerified);
        assert_eq!(verify(RESPONSE, Expect::Message).unwrap_err().kind(), ErrorKind::NotVerified);
        let certificate = key.chain()[0].clone();
        let peer = PeerKeys::from_file(&certificate).unwrap();
        let trust = Trust::Certificates(&peer);
        let policy = PeerPolicy::default();
        let found =
            saml::verify(both.xml.as_bytes(), Expect::Message, trust, &policy, &LIMITS).unwrap();
        assert_eq!(found[0].signer.certificate_sha256.as_deref(), Some(peer.keys()[0].sha256()));
    }
    let other = label(&SIGNS, &SIGNATURES, &[("b", &pair(KeySpec::Curve(Curve::P256)))]);
    let set = label(&SIGNS, &SIGNATURES, &[("a", &rsa)]);
    let signed = saml::sign(&set, RESPONSE.as_bytes(), Signing::Message, &SignOptions::default());
    let policy = PeerPolicy::default();
    let trust = Trust::Label(&other);
    let xml = signed.unwrap().xml;
    assert!(saml::verify(xml.as_bytes(), Expect::Any, trust, &policy, &LIMITS).is_err());
}

/// A message signed by openssl with a key of one curve and a hash that JOSE binds to another.
fn signed_with(
    curve: Curve,
    pkcs8: &SecretBytes,
    key: &Key,
    hash: (&str, MessageDigest),
) -> String {
    let name = match curve {
        Curve::P256 => "ecdsa-sha256",
        Curve::P384 => "ecdsa-sha384",
        _ => "ecdsa-sha512",
    };
    let own = label(&SIGNS, &[name], &[("ec", key)]);
    let made = saml::sign(&own, RESPONSE.as_bytes(), Signing::Message, &SignOptions::default());
    let made = made
        .unwrap()
        .xml
        .replace(&format!("xmldsig-more#{name}\""), &format!("xmldsig-more#{}\"", hash.0));
    let (head, rest) = made.split_once("<ds:SignedInfo>").unwrap();
    let (info, rest) = rest.split_once("</ds:SignedInfo>").unwrap();
    let (_, rest) = rest.split_once("</ds:SignatureValue>").unwrap();
    let canonical = format!(
        "<ds:SignedInfo xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">{info}</ds:SignedInfo>"
    );
    let digest = openssl::hash::hash(hash.1, canonical.as_bytes()).unwrap();
    let private = openssl::pkey::PKey::private_key_from_pkcs8(pkcs8.expose_secret())
        .unwrap()
        .ec_key()
        .unwrap();
    let signature = openssl::ecdsa::EcdsaSig::sign(&digest, &private).unwrap();
    let width = i32::try_from(curve.coordinate_bytes()).unwrap();
    let parts = [signature.r(), signature.s()].map(|one| one.to_vec_padded(width).unwrap());
    let value = openssl::base64::encode_block(&parts.concat());
    format!(
        "{head}<ds:SignedInfo>{info}</ds:SignedInfo><ds:SignatureValue>{value}</ds:SignatureValue>{rest}"
    )
}

/// XML signatures name the hash alone; many peers sign with ecdsa-sha256 whatever their curve is.
#[test]
fn a_peer_signs_with_any_hash_on_any_curve() {
    let hashes = [
        ("ecdsa-sha256", MessageDigest::sha256()),
        ("ecdsa-sha384", MessageDigest::sha384()),
        ("ecdsa-sha512", MessageDigest::sha512()),
    ];
    for curve in [Curve::P256, Curve::P384, Curve::P521] {
        let pkcs8 = generate(KeySpec::Curve(curve)).unwrap();
        let bare = Key::from_private(&pkcs8, Vec::new()).unwrap();
        let der = certificate::self_signed(&bare, "CN=test", [7; 16], 0, 4_000_000_000).unwrap();
        let key = Key::from_private(&pkcs8, vec![der.clone().unwrap()]).unwrap();
        let peer = PeerKeys::from_file(&der.unwrap()).unwrap();
        let (trust, policy) = (Trust::Certificates(&peer), PeerPolicy::default());
        for hash in hashes {
            let signed = signed_with(curve, &pkcs8, &key, hash);
            let found = saml::verify(signed.as_bytes(), Expect::Message, trust, &policy, &LIMITS);
            let found = found.unwrap_or_else(|error| panic!("{curve:?} {}: {error}", hash.0));
            assert_eq!(found[0].algorithm.xml_name(), Some(hash.0));
            // Another hash, other content, another width, the halves in another order.
            let other = if hash.0 == "ecdsa-sha256" { "ecdsa-sha384" } else { "ecdsa-sha256" };
            let (before, behind) = signed.split_once("<ds:SignatureValue>").unwrap();
            let (value, behind) = behind.split_once('<').unwrap();
            let bytes = openssl::base64::decode_block(value).unwrap();
            let with = |bytes: &[u8]| {
                let value = openssl::base64::encode_block(bytes);
                format!("{before}<ds:SignatureValue>{value}<{behind}")
            };
            let (r, s) = bytes.split_at(bytes.len() / 2);
            let wide = |half: &[u8]| [&[0], half].concat();
            for forged in [
                signed.replace(hash.0, other),
                signed.replace("alice", "mallory"),
                with(&[wide(r), wide(s)].concat()),
                with(&[s, r].concat()),
                with(&vec![0; bytes.len()]),
            ] {
                let found =
                    saml::verify(forged.as_bytes(), Expect::Message, trust, &policy, &LIMITS);
                assert_eq!(
                    found.unwrap_err().kind(),
                    ErrorKind::NotVerified,
                    "{curve:?} {}",
                    hash.0
                );
            }
        }
    }
}

#[test]
fn a_redirect_query_comes_back_and_keeps_its_bytes() {
    let key = rsa();
    let set = label(&SIGNS, &SIGNATURES, &[("a", &key)]);
    let request = RESPONSE.replace("Response", "LogoutRequest");
    let options = RedirectOptions { relay_state: Some("a b&c"), ..Default::default() };
    let signed = redirect::sign(&set, request.as_bytes(), &options).unwrap();
    let policy = PeerPolicy::default();
    let verify = |query: &str| redirect::verify(query, Trust::Label(&set), &policy, &LIMITS);
    let found = verify(&signed.query).unwrap();
    assert_eq!(found.message, request);
    assert_eq!(found.kind, MessageKind::Request);
    assert_eq!(found.relay_state.as_deref(), Some("a b&c"));
    for wrong in [
        signed.query.replace("SAMLRequest", "SAMLResponse"),
        signed.query.replace("a%20b", "a+b"),
        format!("{}&RelayState=x", signed.query),
        format!("{}&SAML%52equest=x", signed.query),
    ] {
        assert_eq!(verify(&wrong).unwrap_err().kind(), ErrorKind::NotVerified, "{wrong}");
    }
    // 60 MB of nothing: it stops at the limit.
    let bomb = miniz_oxide::deflate::compress_to_vec(&vec![b' '; 60 << 20], 6);
    let bomb = STANDARD.encode(bomb);
    let bomb = bomb.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let algorithm = "http%3A%2F%2Fwww.w3.org%2F2001%2F04%2Fxmldsig-more%23rsa-sha256";
    let query = format!("SAMLRequest={bomb}&SigAlg={algorithm}");
    let (value, _) = claviger::ops::sign_raw(&set, query.as_bytes(), Some("RS256")).unwrap();
    let value = STANDARD.encode(value);
    let value = value.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let query = format!("{query}&Signature={value}");
    assert_eq!(verify(&query).unwrap_err().kind(), ErrorKind::LimitExceeded);
}

/// Peers in Java hand out ECDSA in DER where no XML signature is around it (Ping AM, OpenSAML): a switch takes that, in its
/// one form, and an option writes it.
#[test]
fn ecdsa_of_a_query_is_taken_and_written_in_der_where_that_is_asked_for() {
    let escaped = |bytes: &[u8]| {
        STANDARD.encode(bytes).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
    };
    for (curve, name) in [(Curve::P256, "ES256"), (Curve::P384, "ES384"), (Curve::P521, "ES512")] {
        let key = pair(KeySpec::Curve(curve));
        let set = label(&SIGNS, &[name], &[("a", &key)]);
        let peer = PeerKeys::from_file(&key.chain()[0]).unwrap();
        let signed = |ecdsa_der| {
            let options = RedirectOptions { ecdsa_der, ..Default::default() };
            redirect::sign(&set, RESPONSE.as_bytes(), &options).unwrap().query
        };
        let verified = |query: &str, switches: &[&str]| {
            let policy = PeerPolicy::of(switches.iter().copied()).unwrap();
            for trust in [Trust::Certificates(&peer), Trust::Label(&set)] {
                if let Err(error) = redirect::verify(query, trust, &policy, &LIMITS) {
                    assert_eq!(error.kind(), ErrorKind::NotVerified);
                    return Err(std::error::Error::source(&error).unwrap().to_string());
                }
            }
            Ok(())
        };
        let (plain, der) = (signed(false), signed(true));
        verified(&plain, &[]).unwrap();
        verified(&plain, &["der-ecdsa"]).unwrap();
        verified(&der, &["der-ecdsa"]).unwrap();
        let reason = verified(&der, &[]).unwrap_err();
        assert_eq!(reason, "the ECDSA value is in DER, which the switch der-ecdsa takes");
        // As Java has it: openssl reads it.
        let (content, value) = der.split_once("&Signature=").unwrap();
        let value = value.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
        let value = STANDARD.decode(value).unwrap();
        let certificate = openssl::x509::X509::from_der(&key.chain()[0]).unwrap();
        let digest = match curve {
            Curve::P256 => MessageDigest::sha256(),
            Curve::P384 => MessageDigest::sha384(),
            _ => MessageDigest::sha512(),
        };
        let public = certificate.public_key().unwrap();
        let mut verifier = openssl::sign::Verifier::new(digest, &public).unwrap();
        assert!(verifier.verify_oneshot(&value, content.as_bytes()).unwrap());
        let head = if value[1] == 0x81 { 3 } else { 2 };
        let body = &value[head..];
        let number = usize::from(body[1]) + 2;
        let sequence = |parts: &[&[u8]]| {
            let body = parts.concat();
            let len = u8::try_from(body.len()).unwrap();
            let head: &[u8] = if len > 0x7f { &[0x30, 0x81, len] } else { &[0x30, len] };
            [head, &body].concat()
        };
        let wide = [&[2, body[1] + 1, 0], &body[2..number]].concat();
        for other in [
            [&value[..], &[0]].concat(),
            [&[0x30, 0x82, 0][..], &[u8::try_from(body.len()).unwrap()], body].concat(),
            sequence(&[&wide, &body[number..]]),
            sequence(&[&body[number..], &body[..number]]),
            sequence(&[&body[..number]]),
            sequence(&[&[2, 0], &[2, 0]]),
            sequence(&[&[2, 1, 0], &[2, 1, 0]]),
            vec![0x30, 0],
        ] {
            let query = format!("{content}&Signature={}", escaped(&other));
            assert!(verified(&query, &["der-ecdsa"]).is_err(), "{name}: {other:02x?}");
        }
    }
}

#[test]
fn what_is_encrypted_can_be_decrypted_whatever_its_length() {
    let key = rsa();
    let set = label(&[LabelUse::Decrypt], &ENCRYPTIONS, &[("a", &key)]);
    let to = Recipient::Label(&set);
    let (kind, options) = (Encryptable::Assertion, EncryptOptions::default());
    let made = |length: usize| {
        let long = RESPONSE.replace("alice", &"a".repeat(length));
        saml::encrypt(to, long.as_bytes(), kind, &options)
    };
    let (mut fits, mut beyond) = (150_000, 250_000);
    while fits + 1 < beyond {
        let length = usize::midpoint(fits, beyond);
        match made(length) {
            Ok((xml, _)) => {
                saml::decrypt(&set, xml.as_bytes(), kind, &PeerPolicy::default()).unwrap();
                fits = length;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
                beyond = length;
            }
        }
    }
    assert!(fits > 190_000, "{fits}");
}

#[test]
fn every_element_that_saml_encrypts_comes_back_in_every_algorithm() {
    let key = rsa();
    let set = label(&[LabelUse::Decrypt], &ENCRYPTIONS, &[("a", &key)]);
    let peer = PeerKeys::from_file(&key.chain()[0]).unwrap();
    let to = Recipient::Certificate(&peer.keys()[0]);
    for transport in ["rsa-oaep-mgf1p", "rsa-oaep", "rsa-1_5"] {
        for content in ["aes128-gcm", "aes192-gcm", "aes256-gcm", "aes128-cbc", "aes256-cbc"] {
            let policy = PeerPolicy {
                cbc: content.ends_with("cbc"),
                rsa1_5: transport == "rsa-1_5",
                ..Default::default()
            };
            let options = EncryptOptions {
                content: Some(content),
                key_transport: Some(transport),
                recipient: Some("https://sp?a&b"),
                policy,
                ..Default::default()
            };
            for kind in [Encryptable::Assertion, Encryptable::Id] {
                let (xml, _) = saml::encrypt(to, RESPONSE.as_bytes(), kind, &options).unwrap();
                assert!(!xml.contains("alice"), "{xml}");
                let found = saml::decrypt(&set, xml.as_bytes(), kind, &policy).unwrap();
                let text = std::str::from_utf8(found[0].xml.expose_secret()).unwrap();
                assert!(text.contains(">alice</saml:NameID>"), "{text}");
                assert_eq!(found[0].content.xml_name(), Some(content));
                let off = PeerPolicy::default();
                assert_eq!(saml::decrypt(&set, xml.as_bytes(), kind, &off).is_ok(), policy == off);
            }
        }
    }
    let options = EncryptOptions { content: Some("tripledes-cbc"), ..Default::default() };
    let made = saml::encrypt(to, RESPONSE.as_bytes(), Encryptable::Assertion, &options);
    assert_eq!(made.unwrap_err().kind(), ErrorKind::AlgorithmNotAllowed);
}

/// SAML core §6.2: what changes under a signature no longer verifies, so nothing is changed there.
#[test]
fn nothing_is_signed_or_encrypted_under_a_signature() {
    let key = rsa();
    let set = label(&SIGNS, &SIGNATURES, &[("a", &key)]);
    let peer = PeerKeys::from_file(&key.chain()[0]).unwrap();
    let sign = |xml: &str, what| saml::sign(&set, xml.as_bytes(), what, &SignOptions::default());
    let encrypt = |xml: &str, kind| {
        let to = Recipient::Certificate(&peer.keys()[0]);
        Ok(saml::encrypt(to, xml.as_bytes(), kind, &EncryptOptions::default())?.0)
    };
    let refused = |result: Result<String, claviger::Error>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.message().ends_with("an element around it is signed"), "{error}");
    };
    let message = sign(RESPONSE, Signing::Message).unwrap().xml;
    refused(sign(&message, Signing::Assertion(None)).map(|signed| signed.xml));
    refused(encrypt(&message, Encryptable::Assertion));
    refused(encrypt(&message, Encryptable::Id));
    let assertion = sign(RESPONSE, Signing::Assertion(None)).unwrap().xml;
    refused(encrypt(&assertion, Encryptable::Id));
    let named = sign(&encrypt(RESPONSE, Encryptable::Id).unwrap(), Signing::Assertion(None));
    let sealed = encrypt(&named.unwrap().xml, Encryptable::Assertion).unwrap();
    sign(&sealed, Signing::Message).unwrap();
}

/// A list is written into the signature: what would make that unreadable is refused, and what nobody would read.
#[test]
fn a_prefix_list_names_prefixes() {
    let key = rsa();
    let set = label(&SIGNS, &SIGNATURES, &[("a", &key)]);
    let sign = |prefix_list: &str| {
        let options = SignOptions { prefix_list, ..Default::default() };
        saml::sign(&set, RESPONSE.as_bytes(), Signing::Message, &options)
    };
    let many = |count: usize| (0..count).map(|one| format!(" p{one}")).collect::<String>();
    for list in ["", " ", "saml", " xs\t#default\nxsi ", "é", &many(64)] {
        let signed = sign(list).unwrap();
        let (trust, policy) = (Trust::Label(&set), PeerPolicy::default());
        let xml = signed.xml.as_bytes();
        assert!(saml::verify(xml, Expect::Message, trust, &policy, &LIMITS).is_ok(), "{list:?}");
    }
    for list in ["\u{1}", "a\u{ffff}", "1a", "a:b", "a\u{a0}b", "\"", "a>", "#all", &many(65)] {
        assert_eq!(sign(list).unwrap_err().kind(), ErrorKind::Usage, "{list:?}");
    }
}

/// An element is encrypted with the namespaces that it stands in: never with more than are read of one element.
#[test]
fn what_is_encrypted_can_be_read_again() {
    let key = rsa();
    let set = label(&[LabelUse::Decrypt], &ENCRYPTIONS, &[("a", &key)]);
    let peer = PeerKeys::from_file(&key.chain()[0]).unwrap();
    let declared = |from: usize, to: usize| {
        (from..to).map(|one| format!(" xmlns:n{one}=\"urn:n\"")).collect::<String>()
    };
    for (count, fits) in [(30, true), (31, false)] {
        let xml = RESPONSE
            .replacen(" ID=", &format!("{} ID=", declared(0, 20)), 1)
            .replace("<saml:Assertion", &format!("<saml:Assertion{}", declared(20, count)));
        let to = Recipient::Certificate(&peer.keys()[0]);
        let kind = Encryptable::Assertion;
        let made = saml::encrypt(to, xml.as_bytes(), kind, &EncryptOptions::default());
        match made {
            Ok((xml, _)) => {
                assert!(fits);
                saml::decrypt(&set, xml.as_bytes(), kind, &PeerPolicy::default()).unwrap();
            }
            Err(error) => assert_eq!((error.kind(), fits), (ErrorKind::LimitExceeded, false)),
        }
    }
}

/// XML-Enc §3.5: the keys of several readers may stand beside the data or elsewhere, each named by a RetrievalMethod.
#[test]
fn an_encrypted_key_stands_inside_or_beside_or_is_retrieved() {
    let (key, other) = (rsa(), rsa());
    let set = label(&[LabelUse::Decrypt], &ENCRYPTIONS, &[("a", &key)]);
    let encrypted = |key: &Key| {
        let peer = PeerKeys::from_file(&key.chain()[0]).unwrap();
        let to = Recipient::Certificate(&peer.keys()[0]);
        let kind = Encryptable::Assertion;
        saml::encrypt(to, RESPONSE.as_bytes(), kind, &EncryptOptions::default()).unwrap().0
    };
    let part = |xml: &str| {
        let end = "</xenc:EncryptedKey>";
        xml[xml.find("<xenc:EncryptedKey>").unwrap()..xml.find(end).unwrap() + end.len()].to_owned()
    };
    let ours = encrypted(&key);
    let (own, foreign) = (part(&ours), part(&encrypted(&other)));
    let named = |key: &str, id: &str| key.replacen('>', &format!(" Id=\"{id}\">"), 1);
    let retrieved = |ids: &[&str]| {
        let one = |id: &&str| format!("<ds:RetrievalMethod URI=\"#{id}\"/>");
        ids.iter().map(one).collect::<String>()
    };
    let beside = |inside: &str, keys: &[String]| {
        let end = "</saml:EncryptedAssertion>";
        let keys = keys.concat();
        let keys = keys.replace(
            "<xenc:EncryptedKey",
            "<xenc:EncryptedKey xmlns:xenc=\"http://www.w3.org/2001/04/xmlenc#\" \
             xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"",
        );
        ours.replace(&own, inside).replace(end, &format!("{keys}{end}"))
    };
    let both = [named(&foreign, "k1"), named(&own, "k2")];
    let elsewhere = |id: &str| {
        let xml = beside(&retrieved(&[id]), &both);
        let end = "</saml:EncryptedAssertion>";
        let (from, to) = (xml.find("</xenc:EncryptedData>").unwrap() + 21, xml.find(end).unwrap());
        let keys = xml[from..to].to_owned();
        [&xml[..from], end, &keys, &xml[to + end.len()..]].concat()
    };
    for (what, xml, opens) in [
        ("inside, behind another's", ours.replace(&own, &format!("{foreign}{own}")), true),
        ("beside", beside("", &both), true),
        ("retrieved", beside(&retrieved(&["k2"]), &both), true),
        ("both retrieved", beside(&retrieved(&["k1", "k2"]), &both), true),
        ("another's retrieved", beside(&retrieved(&["k1"]), &both), false),
        ("one that is not there", beside(&retrieved(&["k3"]), &both), false),
        ("one of them elsewhere", beside(&retrieved(&["k2"]).replace('#', "urn:"), &both), false),
        ("from elsewhere", elsewhere("k2"), true),
        ("another's from elsewhere", elsewhere("k1"), false),
        ("many", beside(&retrieved(&["k2"; 9]), &both), false),
    ] {
        let found =
            saml::decrypt(&set, xml.as_bytes(), Encryptable::Assertion, &PeerPolicy::default());
        assert_eq!(found.is_ok(), opens, "{what}: {found:?}");
    }
}

/// The promise on SAML: a peer with yesterday's metadata accepts what is signed today, and what it encrypts is
/// still read, until the old alias is retired.
#[test]
fn a_peer_with_yesterdays_metadata_is_served_until_the_old_alias_is_retired() {
    let (old, new) = (rsa(), rsa());
    let sets = |keys: &[(&str, &Key)]| {
        (label(&SIGNS, &SIGNATURES, keys), label(&[LabelUse::Decrypt], &ENCRYPTIONS, keys))
    };
    let options = MetadataOptions { entity_id: "https://idp", ..Default::default() };
    let publish = |(signing, encryption): &(KeySet, KeySet)| {
        let xml =
            metadata::write(SamlRole::Idp, signing, Some(encryption), None, &options).unwrap();
        let signed =
            saml::sign(signing, xml.as_bytes(), Signing::Message, &SignOptions::default()).unwrap();
        let trust = Trust::Label(signing);
        let policy = PeerPolicy::default();
        let limits = XmlLimits::METADATA;
        let verified =
            saml::verify(signed.xml.as_bytes(), Expect::Message, trust, &policy, &limits).unwrap();
        PeerMetadata::read(&verified[0].octets, Some("https://idp"), &limits).unwrap()
    };
    let staged = sets(&[("old", &old), ("new", &new)]);
    let promoted = sets(&[("new", &new), ("old", &old)]);
    let retired = sets(&[("new", &new)]);
    let yesterday = publish(&staged);
    let role = yesterday.role(SamlRole::Idp).unwrap();
    assert_eq!((role.signing.len(), role.encryption.len()), (2, 1));
    let trusted = role.signing_keys().unwrap();
    let accepts = |set: &KeySet| {
        let what = Signing::Message;
        let signed = saml::sign(set, RESPONSE.as_bytes(), what, &SignOptions::default()).unwrap();
        let trust = Trust::Certificates(&trusted);
        let policy = PeerPolicy::default();
        saml::verify(signed.xml.as_bytes(), Expect::Any, trust, &policy, &LIMITS).is_ok()
    };
    let reads = |set: &KeySet| {
        let to = Recipient::Certificate(&role.encryption[0].key);
        let policy = PeerPolicy::default();
        let options = role.encryption[0].encrypt_options(policy);
        let kind = Encryptable::Assertion;
        let (xml, _) = saml::encrypt(to, RESPONSE.as_bytes(), kind, &options).unwrap();
        saml::decrypt(set, xml.as_bytes(), kind, &policy).is_ok()
    };
    for (set, opens) in [(&staged, true), (&promoted, true), (&retired, false)] {
        assert!(accepts(&set.0));
        assert_eq!(reads(&set.1), opens);
    }
    let today = publish(&promoted);
    let fingerprints: Vec<&str> =
        today.role(SamlRole::Idp).unwrap().signing.iter().map(|one| one.sha256()).collect();
    let before: Vec<&str> = role.signing.iter().map(|one| one.sha256()).collect();
    assert_eq!(fingerprints, [before[1], before[0]]);
}

#[test]
fn post_and_soap_carry_a_message_unchanged() {
    let value = binding::encode_post(RESPONSE);
    assert_eq!(binding::decode_post(&value, &LIMITS).unwrap(), RESPONSE);
    let envelope = binding::wrap_soap(RESPONSE).unwrap();
    let message = binding::unwrap_soap(envelope.as_bytes(), &LIMITS).unwrap();
    assert!(message.contains(">alice</saml:NameID>"));
    let form = binding::post_form("https://sp/acs", MessageKind::Response, RESPONSE, Some("\"<"));
    assert!(form.unwrap().contains("value=\"&quot;&lt;\""));
    let script = binding::post_form("javascript:x", MessageKind::Response, RESPONSE, None);
    assert_eq!(script.unwrap_err().kind(), ErrorKind::Usage);
}

/// HTTP-Artifact: what is signed inside holds when it comes out, whatever declares its namespaces.
#[test]
fn an_artifact_response_hands_over_its_message() {
    let key = rsa();
    let set = label(&SIGNS, &SIGNATURES, &[("a", &key)]);
    let peer = PeerKeys::from_file(&key.chain()[0]).unwrap();
    let bare = RESPONSE.replace(" xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\"", "");
    assert_ne!(bare, RESPONSE);
    let around = |inside: &str| {
        format!(
            "<samlp:ArtifactResponse xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" ID=\"_ar\">\
             <a:Issuer xmlns:a=\"urn:oasis:names:tc:SAML:2.0:assertion\">https://idp</a:Issuer><samlp:Extensions/>\
             <samlp:Status/> <!-- -->{inside}</samlp:ArtifactResponse>"
        )
    };
    let policy = PeerPolicy::default();
    let verified = |xml: &str, expect| {
        saml::verify(xml.as_bytes(), expect, Trust::Certificates(&peer), &policy, &LIMITS)
    };
    let sign = |xml: &str, what| {
        saml::sign(&set, xml.as_bytes(), what, &SignOptions::default()).unwrap().xml
    };
    // The assertion is signed, its Response, or what hands it over.
    for what in [Signing::Assertion(None), Signing::Message] {
        let signed = sign(RESPONSE, what);
        let out = binding::unwrap_artifact(around(&signed).as_bytes(), &LIMITS).unwrap();
        assert!(out.starts_with("<samlp:Response") && !out.contains("ArtifactResponse"), "{out}");
        assert!(verified(&out, Expect::Any).is_ok(), "{out}");
    }
    let whole = sign(&around(&bare), Signing::Message);
    let octets = verified(&whole, Expect::Message).unwrap().remove(0).octets;
    for response in [whole.into_bytes(), octets] {
        let out = binding::unwrap_artifact(&response, &LIMITS).unwrap();
        assert!(out.contains(">alice</saml:NameID>") && !out.contains("SignatureValue"), "{out}");
    }
    for (response, why) in [
        (around(""), "the ArtifactResponse has no message"),
        (around(&RESPONSE.repeat(2)), "the ArtifactResponse has several messages"),
        (RESPONSE.to_owned(), "the document element is no ArtifactResponse"),
    ] {
        let error = binding::unwrap_artifact(response.as_bytes(), &LIMITS).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Malformed, why));
    }
    let fault = binding::wrap_soap(
        "<s:Fault xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><faultcode>s:Client</faultcode></s:Fault>",
    );
    let error = binding::unwrap_soap(fault.unwrap().as_bytes(), &LIMITS).unwrap_err();
    assert_eq!(error.message(), "the envelope carries a fault instead of a message");
}

/// However the declaration of the message is written, none stands inside the envelope.
#[test]
fn a_declaration_does_not_go_into_the_envelope() {
    let message = "<a xmlns=\"urn:a\"></a>";
    for declaration in [
        "<?xml version=\"1.0\"?>",
        "<?xml\nversion='1.0'\n?>\n",
        "<?xml\tversion=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\" ?>",
        "\u{feff}<?xml\r\nversion=\"1.0\"?>",
    ] {
        let envelope = binding::wrap_soap(&format!("{declaration}{message}")).unwrap();
        assert!(!envelope.contains("<?xml"), "{envelope}");
        let back = binding::unwrap_soap(envelope.as_bytes(), &LIMITS).unwrap();
        assert!(back.starts_with("<a xmlns=\"urn:a\""), "{back}");
    }
    // Another target that begins alike is no declaration.
    let sheet = "<?xml-stylesheet href=\"a\"?><a/>";
    assert!(binding::wrap_soap(sheet).unwrap().contains(sheet));
}

/// Changed and cut bytes in a signed, an encrypted and a published document and in a query: nothing panics, and
/// whatever still verifies or decrypts has the content that was signed or encrypted.
#[test]
fn no_mutation_of_a_message_panics_or_forges() {
    let key = rsa();
    let signing = label(&SIGNS, &SIGNATURES, &[("a", &key)]);
    let encryption = label(&[LabelUse::Decrypt], &ENCRYPTIONS, &[("a", &key)]);
    let options = SignOptions { key_info: KeyInfo::None, ..Default::default() };
    let assertion = Signing::Assertion(None);
    let signed = saml::sign(&signing, RESPONSE.as_bytes(), assertion, &options).unwrap().xml;
    let peer = PeerKeys::from_file(&key.chain()[0]).unwrap();
    let to = Recipient::Certificate(&peer.keys()[0]);
    let kind = Encryptable::Assertion;
    let made = saml::encrypt(to, RESPONSE.as_bytes(), kind, &EncryptOptions::default());
    let encrypted = made.unwrap().0;
    let published = MetadataOptions { entity_id: "https://idp", ..Default::default() };
    let metadata =
        metadata::write(SamlRole::Idp, &signing, Some(&encryption), None, &published).unwrap();
    let query = redirect::sign(&signing, RESPONSE.as_bytes(), &RedirectOptions::default());
    let query = query.unwrap().query;
    let policy = PeerPolicy::default();
    let trust = Trust::Label(&signing);
    let check = |name: &str, bytes: &[u8]| match name {
        "signed" => {
            for one in saml::verify(bytes, Expect::Any, trust, &policy, &LIMITS).unwrap_or_default()
            {
                assert!(String::from_utf8(one.octets).unwrap().contains(">alice<"));
            }
        }
        "encrypted" => {
            for one in saml::decrypt(&encryption, bytes, kind, &policy).unwrap_or_default() {
                let text = std::str::from_utf8(one.xml.expose_secret()).unwrap().to_owned();
                assert!(text.contains(">alice<"));
            }
        }
        "metadata" => drop(PeerMetadata::read(bytes, None, &LIMITS)),
        _ => {
            let text = String::from_utf8_lossy(bytes);
            if let Ok(found) = redirect::verify(&text, trust, &policy, &LIMITS) {
                assert_eq!(found.message, RESPONSE);
            }
        }
    };
    let seeds = [
        ("signed", &signed),
        ("encrypted", &encrypted),
        ("metadata", &metadata),
        ("query", &query),
    ];
    for (name, seed) in seeds {
        for round in 0..600_usize {
            let at = round * 7919 % seed.len();
            let mut bytes = seed.as_bytes().to_vec();
            bytes[at] = b"<>&'\"!?-/ =#x\0"[round % 14];
            check(name, &bytes);
            bytes.truncate(at);
            check(name, &bytes);
        }
    }
}
