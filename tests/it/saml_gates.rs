//! What holds the steps of a SAML rotation back: peers that know a key from metadata, and what messages say of their
//! own end.

use claviger::error::ErrorKind;
use claviger::ops::KeySet;
use claviger::profiles::saml::redirect::RedirectOptions;
use claviger::profiles::saml::{SamlRole, SamlUse, Signing};
use claviger::rotation::EncryptTo;
use claviger::xmlsec::dsig::SignOptions;

use crate::saml_house::{House, LABELS, logout_request, role_of};
use crate::workshop::{promote, retire, stage};

const HOUR: u64 = 3_600;

/// An assertion that nobody takes after so many seconds from the house's time.
fn assertion(house: &House, seconds: u64) -> String {
    let end = house.instant(seconds);
    format!(
        "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_a\"><saml:Issuer>house</saml:Issuer>\
         <saml:Conditions NotOnOrAfter=\"{end}\"/></saml:Assertion>"
    )
}

/// A client certificate is believed by who has it from metadata: it acts once old metadata have ended.
#[test]
fn a_client_certificate_waits_for_old_metadata() {
    let house = House::new();
    let shown = |house: &House| role_of(&house.metadata(SamlRole::Sp), SamlRole::Sp).signing.len();
    assert_eq!(shown(&house), 2);
    house.step(stage("tls-2"), "sp.mtls").unwrap();
    assert_eq!(shown(&house), 3);
    assert_eq!(house.refuses(promote("tls-2"), "sp.mtls"), ErrorKind::NotAnnounced);
    house.wait(HOUR);
    // Those who fetched just before, and processes that notice late.
    assert_eq!(house.refuses(promote("tls-2"), "sp.mtls"), ErrorKind::NotAnnounced);
    house.wait(HOUR);
    house.step(promote("tls-2"), "sp.mtls").unwrap();
    // Nothing that a handshake left behind is checked later.
    house.step(retire("tls-1"), "sp.mtls").unwrap();
    assert_eq!(shown(&house), 2);
}

/// A key that signed assertions leaves when the last of them has ended, however long that is after the lifetime of the
/// label, which is for what the key made before the journal began.
#[test]
fn a_signing_key_leaves_when_its_last_assertion_has_ended() {
    let house = House::with(&[("idp.signing", "max_token_lifetime = \"1h\"")]);
    let idp = house.entity(SamlRole::Idp);
    let sign = |seconds: u64| {
        let xml = assertion(&house, seconds);
        let what = Signing::Assertion(None);
        assert_eq!(
            idp.sign(xml.as_bytes(), what, &SignOptions::default()).unwrap().alias,
            "sign-1"
        );
    };
    sign(300);
    house.step(stage("sign-2"), "idp.signing").unwrap();
    house.wait(2 * HOUR);
    sign(5 * HOUR);
    sign(60);
    house.step(promote("sign-2"), "idp.signing").unwrap();
    for _ in 0..5 {
        assert_eq!(house.refuses(retire("sign-1"), "idp.signing"), ErrorKind::StillInUse);
        house.wait(HOUR);
    }
    // The skew of clocks, and the minute that a running process reserves.
    house.wait(120);
    house.step(retire("sign-1"), "idp.signing").unwrap();
}

/// A message that says nothing of its end leaves it unknown, unless the label does.
#[test]
fn a_message_without_end_needs_the_lifetime_of_the_label() {
    let lifetime = [("sp.signing", "max_token_lifetime = \"3h\"")];
    for (lines, ends) in [(&[][..], false), (&lifetime, true)] {
        let house = House::with(lines);
        let request = logout_request(SamlRole::Sp, "https://idp.example/slo");
        house.step(stage("sign-2"), "sp.signing").unwrap();
        house.wait(2 * HOUR);
        let sp = house.entity(SamlRole::Sp);
        sp.sign_redirect(request.as_bytes(), &RedirectOptions::default()).unwrap();
        house.step(promote("sign-2"), "sp.signing").unwrap();
        for _ in 0..3 {
            assert_eq!(house.refuses(retire("sign-1"), "sp.signing"), ErrorKind::StillInUse);
            house.wait(HOUR);
        }
        house.wait(120);
        assert_eq!(house.step(retire("sign-1"), "sp.signing").is_ok(), ends);
    }
}

/// Peers encrypt to what metadata showed until their copies have ended; then what they sent lives for its time.
#[test]
fn a_key_that_metadata_showed_leaves_when_peers_have_forgotten_it() {
    let house = House::with(&[("sp.encryption", "max_token_lifetime = \"1h\"")]);
    house.step(stage("enc-2"), "sp.encryption").unwrap();
    house.wait(60);
    // Staged, it was shown to nobody: it may go at once.
    house.step(retire("enc-2"), "sp.encryption").unwrap();
    house.step(stage("enc-2"), "sp.encryption").unwrap();
    house.wait(2 * HOUR);
    house.step(promote("enc-2"), "sp.encryption").unwrap();
    for _ in 0..2 {
        assert_eq!(house.refuses(retire("enc-1"), "sp.encryption"), ErrorKind::StillInUse);
        house.wait(HOUR);
    }
    house.wait(120);
    house.step(retire("enc-1"), "sp.encryption").unwrap();
    // No lifetime, no proof.
    house.step(stage("enc-2"), "idp.encryption").unwrap();
    house.wait(2 * HOUR);
    house.step(promote("enc-2"), "idp.encryption").unwrap();
    house.wait(100 * HOUR);
    assert_eq!(house.refuses(retire("enc-1"), "idp.encryption"), ErrorKind::StillInUse);
}

/// `publish = "all"` shows every key that peers may encrypt to, and the gate knows of it.
#[test]
fn a_label_that_publishes_all_shows_every_encryption_key() {
    let lines = "max_token_lifetime = \"1h\"\npublish = \"all\"";
    let house = House::with(&[("sp.encryption", lines)]);
    house.step(stage("enc-2"), "sp.encryption").unwrap();
    let shown = role_of(&house.metadata(SamlRole::Sp), SamlRole::Sp);
    assert_eq!(shown.encryption.len(), 2);
    house.wait(2 * HOUR);
    house.step(promote("enc-2"), "sp.encryption").unwrap();
    house.wait(100 * HOUR);
    assert_eq!(house.refuses(retire("enc-1"), "sp.encryption"), ErrorKind::StillInUse);
    assert_eq!(house.entity(SamlRole::Sp).keys(SamlUse::Encryption).unwrap().keys().len(), 2);
}

/// Metadata end before a key goes that they tell peers to encrypt to, the active one or any.
#[test]
fn metadata_end_with_the_first_key_that_they_show_to_encrypt_to() {
    let schedule = format!(
        "max_token_lifetime = \"1h\"\n[rotation.\"{LABELS}.sp.encryption\"]\nperiod = \"90d\"\noverlap = \"7d\"\n\
         alias = \"enc-{{date}}\""
    );
    let house = House::with(&[("sp.encryption", &schedule)]);
    house.step(stage("enc-2"), "sp.encryption").unwrap();
    house.wait(2 * HOUR);
    house.step(promote("enc-2"), "sp.encryption").unwrap();
    let days = |to: fn(&KeySet) -> EncryptTo<'_>| house.holds(to).as_secs() / (24 * HOUR);
    let (all, active) = (days(|set| EncryptTo::All(set)), days(|set| EncryptTo::Active(set)));
    assert_eq!((all, active), (6, 96));
}
