//! What `check` says of all labels together: kids that two published keys share, sessions that lack a part.

use claviger::Keyring;
use claviger::clock::Clock;

use crate::workshop::jwk;

const SIGNING: &str = "am.services.oauth2.oidc.signing";
const SESSION: &str = "am.global.services.session.clientbased";

/// The codes of what `check` says of these stores, each with its mappings.
fn findings(more: &str, stores: &[(&str, &str, &str)]) -> Vec<(&'static str, String)> {
    let folder = tempfile::tempdir().unwrap();
    let keys =
        [jwk("e1", "ec"), jwk("e2", "ec"), jwk("r1", "rsa"), jwk("h1", "hmac"), jwk("a1", "aes")];
    let text = format!("{{\"keys\":[{}]}}", keys.join(","));
    std::fs::write(folder.path().join("keys.jwks"), text).unwrap();
    let mut text = format!("[keyring]\nkid = \"alias\"\n{more}\n");
    for (name, realm, mappings) in stores {
        text.push_str(&format!(
            "[stores.{name}]\nkind = 'keystore'\npath = 'keys.jwks'\nintegrity = 'none'\n{realm}\n\
             [stores.{name}.mappings]\n{mappings}\n"
        ));
    }
    let file = folder.path().join("claviger.toml");
    std::fs::write(&file, text).unwrap();
    let found = claviger::keyring::check(&file, &Clock::system()).unwrap();
    let ours = ["kid_shared", "session_part_unmapped"];
    // A warning stops nobody.
    if found.iter().all(|one| ours.contains(&one.code)) {
        Keyring::open_once(&file).unwrap();
    }
    let found = found.into_iter().filter(|one| {
        one.severity == claviger::problem::Severity::Error || ours.contains(&one.code)
    });
    found.map(|one| (one.code, one.message)).collect()
}

#[test]
fn two_published_keys_with_one_kid_are_told_and_one_key_behind_two_labels_is_not() {
    let shared = |mappings: &str| findings("", &[("one", "", mappings)]);
    let same_kid = "{ alias = 'e2', kid = 'e1' }";
    let found = shared(&format!("'{SIGNING}.ES256' = ['e1']\n'app.x' = [{same_kid}]"));
    assert_eq!(found.first().map(|one| one.0), Some("unknown_label"), "{found:?}");
    let two =
        format!("'{SIGNING}.ES256' = ['e1']\n'{SIGNING}.RSA' = [{{ alias = 'r1', kid = 'e1' }}]");
    let found = shared(&two);
    assert_eq!(found.len(), 1, "{found:?}");
    let (code, text) = &found[0];
    assert_eq!(*code, "kid_shared");
    for part in ["kid \"e1\"", "alias \"e1\"", "alias \"r1\"", &format!("{SIGNING}.RSA")] {
        assert!(text.contains(part), "{text}");
    }
    for fine in [
        // The same key twice, keys that are not published, keys of another party.
        format!(
            "'{SIGNING}.ES256' = ['e1']\n'am.services.oauth2.oidc.rp.jwt.authenticity.signing' = ['e1']"
        ),
        format!(
            "'{SIGNING}.ES256' = ['e1']\n'am.services.oauth2.oidc.rp.jwt.authenticity.signing' = [{same_kid}]"
        ),
        format!(
            "'{SIGNING}.ES256' = ['e1']\n'am.authn.authid.signing.HMAC' = [{{ alias = 'h1', kid = 'e1' }}]"
        ),
        format!("'{SIGNING}.ES256' = ['e1']\n'{SIGNING}.RSA' = ['r1']"),
    ] {
        assert_eq!(shared(&fine), [], "{fine}");
    }
    // Two realms do not meet; a realm and what is global do.
    let es256 = format!("'{SIGNING}.ES256' = ['e1']");
    let rsa = format!("'{SIGNING}.RSA' = [{{ alias = 'r1', kid = 'e1' }}]");
    let (alpha, beta) = ("realm = 'alpha'", "realm = 'beta'");
    assert_eq!(findings("", &[("one", alpha, &es256), ("two", beta, &rsa)]), []);
    assert_eq!(findings("", &[("one", "", &es256), ("two", beta, &rsa)]).len(), 1);
    assert_eq!(findings("", &[("one", alpha, &es256), ("two", alpha, &rsa)]).len(), 1);
}

#[test]
fn sessions_of_which_one_part_is_mapped_are_told_unless_the_other_is_not_wanted() {
    let with = |more: &str, mappings: &str| findings(more, &[("one", "", mappings)]);
    let (hmac, aes) = (
        format!("'{SESSION}.signing.HMAC' = ['h1']"),
        format!("'{SESSION}.encryption.AES' = ['a1']"),
    );
    let found = with("", &hmac);
    assert!(found.len() == 1 && found[0].1.contains("no label that encrypts"), "{found:?}");
    let found = with("", &aes);
    assert!(found.len() == 1 && found[0].1.contains("no label that signs"), "{found:?}");
    assert_eq!(with("", &format!("{hmac}\n{aes}")), []);
    assert_eq!(with("", ""), []);
    assert_eq!(with("[sessions]\nencryption = []", &hmac), []);
    assert_eq!(with("[sessions]\nsigning = []\nencryption = ['AES']", &aes), []);
    // A part that is mapped and not named does not count.
    let found = with("[sessions]\nsigning = ['RSA']", &format!("{hmac}\n{aes}"));
    assert!(found.len() == 1 && found[0].1.contains("no label that signs"), "{found:?}");
}
