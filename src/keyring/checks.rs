//! What is checked of one alias behind one label: type, size, use, certificate, known demo keys.

use std::time::SystemTime;

use time::OffsetDateTime;

use crate::alg::{Algorithm, Curve, Family, Operation};
use crate::catalogue::{LabelMaterial, LabelUse};
use crate::config::{Config, DemoKeys};
use crate::crypto::{Key, KeyKind, OctType, Role, certificate};
use crate::keyring::demo_keys::demo_alias;
use crate::keyring::profile::LabelProfile;
use crate::label::{Alias, LabelName};
use crate::problem::{Problem, Severity};

/// What is being checked.
pub(crate) struct Checked<'a> {
    pub(crate) label: &'a LabelName,
    pub(crate) alias: &'a Alias,
    /// Whether it is the first of its list.
    pub(crate) active: bool,
}

/// Every finding about `key` as this alias of this label.
pub(crate) fn check(
    config: &Config,
    profile: &LabelProfile,
    checked: &Checked<'_>,
    key: &Key,
    now: SystemTime,
) -> Vec<Problem> {
    let mut found = Vec::new();
    let Checked { label, alias, active } = checked;
    let about = |text: String| format!("label \"{label}\", alias \"{alias}\": {text}");
    let kind = key.kind();
    if !takes(profile.material, key) {
        let wanted = words(profile.material);
        found.push(
            Problem::error(
                "key_type_mismatch",
                about(format!("it is {kind}, and the label wants {wanted}")),
            )
            .with_help("map another alias, or make one with `claviger generate`"),
        );
        return found;
    }
    if *active && needs_private(profile) && !key.has_private() {
        found.push(
            Problem::error(
                "private_key_missing",
                about("only its public half is here, and it is active".into()),
            )
            .with_help("put an alias with its private key first"),
        );
    }
    if let KeyKind::Rsa { bits } = kind
        && bits < config.policy.min_rsa_bits
    {
        let text = about(format!(
            "RSA of {bits} bits is below the minimum of {}",
            config.policy.min_rsa_bits
        ));
        found.push(
            Problem::error("rsa_too_small", text).with_help(
                "make a new key: claviger generate ALIAS --type rsa --bits 3072 --store …",
            ),
        );
    }
    if profile.certificate_required && key.chain().is_empty() {
        found.push(
            Problem::error("certificate_missing", about("the label needs a certificate".into()))
                .with_help("import the key again together with its certificate"),
        );
    }
    found.extend(check_algorithms(config, profile, checked, key, &about));
    found.extend(check_dates(config, key, now, &about));
    found.extend(check_demo(config, key, &about));
    found
}

fn needs_private(profile: &LabelProfile) -> bool {
    profile.uses.iter().any(|one| {
        matches!(one, LabelUse::Decrypt | LabelUse::Mac | LabelUse::Mtls | LabelUse::Sign)
    })
}

fn check_algorithms(
    config: &Config,
    profile: &LabelProfile,
    checked: &Checked<'_>,
    key: &Key,
    about: &dyn Fn(String) -> String,
) -> Vec<Problem> {
    if profile.encrypts().is_none() {
        return Vec::new();
    }
    let rows = profile.rows();
    if rows.is_empty() {
        let names: Vec<&str> = profile.off.iter().map(|row| row.name).collect();
        let names = names.join(", ");
        let text = format!("label \"{}\": {names} is off, so nothing works with it", checked.label);
        return vec![Problem::warning("algorithm_off", text).with_help(format!(
            "if peers still need it: [policy] legacy = [\"{names}\"]; else unmap the label"
        ))];
    }
    let contents = [Operation::Content, Operation::XmlContent];
    let acting: Vec<&&Algorithm> =
        rows.iter().filter(|row| !contents.contains(&row.operation)).collect();
    // `dir` needs a content algorithm of the key's own length.
    let content = rows
        .iter()
        .any(|row| row.operation == Operation::Content && key.fits(row, Role::Encrypt).is_ok());
    let fits = |row: &Algorithm| {
        key.fits(row, passive_role(row)).is_ok() && (row.family != Family::Direct || content)
    };
    let fitting: Vec<&&&Algorithm> = acting.iter().filter(|row| fits(row)).collect();
    if fitting.is_empty() {
        let names: Vec<&str> = acting.iter().map(|row| row.name).collect();
        let text = about(format!("{} does none of {}", key.kind(), names.join(", ")));
        let help = match key.kind() {
            KeyKind::Oct { oct_type: OctType::Generic, .. } => {
                "text is no key: keep the key in base64, with format = \"base64\" of its store, or \
                 in a keystore"
            }
            _ => {
                "map a key of the right type, curve and size, or name other algorithms for the label"
            }
        };
        return vec![Problem::error("no_algorithm_fits", text).with_help(help)];
    }
    let short = fitting.iter().all(|row| key.is_short_for(row));
    if !short {
        return Vec::new();
    }
    let bits = key.kind().bits();
    let text =
        about(format!("an HMAC key of {bits} bits is shorter than the digest (RFC 7518 §3.2)"));
    if config.policy.allow_short_hmac_keys {
        return vec![Problem::warning("hmac_too_short", text).with_help("replace it when you can")];
    }
    let help = "make a longer one: claviger generate ALIAS --type hmac --bits 256 --store …; \
                or accept it: [policy] allow_short_hmac_keys = true";
    vec![Problem::error("hmac_too_short", text).with_help(help)]
}

const fn passive_role(row: &Algorithm) -> Role {
    match row.operation {
        Operation::Sign | Operation::XmlSign => Role::Verify,
        _ => Role::Encrypt,
    }
}

fn check_dates(
    config: &Config,
    key: &Key,
    now: SystemTime,
    about: &dyn Fn(String) -> String,
) -> Option<Problem> {
    let facts = certificate::facts(key.chain().first()?).ok()?;
    let date = |seconds: i64| {
        let time = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
        Some((SystemTime::from(time), time.date()))
    };
    let ((begin, first), (end, last)) = (date(facts.not_before)?, date(facts.not_after)?);
    if now < begin {
        let text = about(format!("its certificate is not valid before {first}"));
        let help = "check the clock, or wait: peers refuse it until then";
        return Some(Problem::warning("certificate_not_yet_valid", text).with_help(help));
    }
    let Ok(left) = end.duration_since(now) else {
        let text = about(format!("its certificate expired on {last}"));
        return Some(Problem::warning("certificate_expired", text).with_help(
            "tokens still verify, but peers that check the certificate refuse it: renew it",
        ));
    };
    let days = left.as_secs() / 86_400;
    let warn = config
        .policy
        .expiry_warn_days
        .iter()
        .copied()
        .filter(|limit| days < u64::from(*limit))
        .min()?;
    let text = about(format!("its certificate expires in {days} days (less than {warn})"));
    Some(Problem::warning("certificate_expires", text).with_help("stage the next key soon"))
}

fn check_demo(config: &Config, key: &Key, about: &dyn Fn(String) -> String) -> Option<Problem> {
    let published = demo_alias(key)?;
    let severity = match config.policy.demo_keys {
        DemoKeys::Allow => return None,
        DemoKeys::Refuse => Severity::Error,
        DemoKeys::Warn => Severity::Warning,
    };
    let text =
        about(format!("this is Ping AM's published demo key \"{published}\": everybody has it"));
    let problem = Problem::warning("demo_key", text)
        .with_help("never serve users with it: claviger generate ALIAS --store …, then map that");
    Some(Problem { severity, ..problem })
}

fn takes(material: LabelMaterial, key: &Key) -> bool {
    let kind = key.kind();
    let rsa = matches!(kind, KeyKind::Rsa { .. });
    let ec = matches!(kind, KeyKind::Curve(curve) if !curve.is_okp());
    let oct = |allowed: &[OctType]| matches!(kind, KeyKind::Oct { oct_type, .. } if allowed.contains(&oct_type));
    match material {
        LabelMaterial::Any => true,
        LabelMaterial::Aes | LabelMaterial::DesOrAes => oct(&[OctType::Aes, OctType::Any]),
        LabelMaterial::Certificate => !key.chain().is_empty(),
        LabelMaterial::Ec => ec,
        LabelMaterial::Ed25519 => matches!(kind, KeyKind::Curve(Curve::Ed25519 | Curve::Ed448)),
        LabelMaterial::Generic => oct(&[OctType::Generic, OctType::Any, OctType::Hmac]),
        LabelMaterial::Hmac => oct(&[OctType::Hmac, OctType::Any]),
        LabelMaterial::KeyPair | LabelMaterial::PublicKey => key.spki().is_some(),
        LabelMaterial::Rsa => rsa,
        LabelMaterial::RsaOrAes => rsa || oct(&[OctType::Aes, OctType::Any]),
        LabelMaterial::RsaOrEc => rsa || ec || matches!(kind, KeyKind::Curve(_)),
        LabelMaterial::Symmetric => key.spki().is_none(),
    }
}

const fn words(material: LabelMaterial) -> &'static str {
    match material {
        LabelMaterial::Any => "any key",
        LabelMaterial::Aes | LabelMaterial::DesOrAes => "an AES key",
        LabelMaterial::Certificate => "a certificate",
        LabelMaterial::Ec => "an EC key pair",
        LabelMaterial::Ed25519 => "an Ed25519 or Ed448 key pair",
        LabelMaterial::Generic => "a password",
        LabelMaterial::Hmac => "an HMAC key",
        LabelMaterial::KeyPair => "a key pair",
        LabelMaterial::PublicKey => "a public key",
        LabelMaterial::Rsa => "an RSA key pair",
        LabelMaterial::RsaOrAes => "an RSA key pair or an AES key",
        LabelMaterial::RsaOrEc => "an RSA or EC key pair",
        LabelMaterial::Symmetric => "a password or a symmetric key",
    }
}
