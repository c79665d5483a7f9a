//! What a client secret does: HMAC as it is, AES with keys derived of it (OpenID Connect Core 1.0 §10).

use crate::alg::{Algorithm, Family, Operation};
use crate::crypto::{Key, KeyKind, OctType, Role};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::JwkHints;
use crate::keyring::keyset::{KeySet, LabelKey};
use crate::keyring::peer::{PeerKeySet, PeerRules, label_key, roles};
use crate::secret::SecretBytes;

impl PeerKeySet {
    /// The keys of a client secret: for HS256, HS384 and HS512 the secret itself, which must be as long as the
    /// digest (RFC 7518 §3.2); for `dir` and AES key wrapping those that OpenID Connect Core 1.0 §10.2 derives.
    /// Tokens made with them name no kid. The first `alg` and `enc` of the rules encrypt.
    ///
    /// # Errors
    /// [`ErrorKind::KeyUnfit`] for an empty or too short secret, and for rules without such algorithms;
    /// [`ErrorKind::Usage`] for rules of signatures and encryption at once.
    pub fn from_secret(secret: SecretBytes, rules: &PeerRules) -> Result<Self> {
        let secret = Key::from_secret(secret, OctType::Generic)?;
        Self::from_secrets([&label_key(1, secret, JwkHints::default())?], rules)
    }

    /// As [`PeerKeySet::from_secret`], of the secrets behind a label, the active one first. Make it anew for each
    /// [`KeySet`]: it does not follow reloads. Nothing is counted, as of every password.
    ///
    /// # Errors
    /// As [`PeerKeySet::from_secret`].
    pub fn from_secret_label(secrets: &KeySet, rules: &PeerRules) -> Result<Self> {
        let keys = secrets.keys().iter().map(|key| &**key);
        Self::from_secrets(keys, &rules.clone().called(secrets.label().clone()))
    }

    fn from_secrets<'k>(
        secrets: impl IntoIterator<Item = &'k LabelKey>,
        rules: &PeerRules,
    ) -> Result<Self> {
        let needs = needs(rules)?;
        let mut keys = Vec::new();
        for secret in secrets {
            for need in &needs {
                let key = match need {
                    Need::Aes(bits) => secret.key.derive_from_secret(*bits)?,
                    Need::Hmac => secret.key.hmac_of_secret()?,
                };
                let made = LabelKey { key, hints: JwkHints::default(), ..secret.clone() };
                check_length(&made.key, rules)?;
                keys.push(made);
            }
        }
        let mut policy = rules.policy.clone();
        policy.without_kid = true;
        Self::of_keys(keys, rules, policy, Vec::new())
    }
}

/// A key that the algorithms of the rules need.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Need {
    Aes(usize),
    Hmac,
}

/// The keys, in the order of the algorithms, each once.
fn needs(rules: &PeerRules) -> Result<Vec<Need>> {
    let roles: Vec<Role> = rules.uses.iter().flat_map(|one| roles(*one)).copied().collect();
    let signs = |role: &Role| matches!(role, Role::Sign | Role::Verify);
    let rows = rules.algorithms.iter();
    let content = || rules.algorithms.iter().filter(|row| row.operation == Operation::Content);
    let needs: Vec<Need> = match (roles.iter().all(signs), roles.iter().any(signs)) {
        (true, true) => {
            let mut rows = rows.filter(|row| matches!(row.family, Family::Hmac(_)));
            rows.next().map(|_| Need::Hmac).into_iter().collect()
        }
        (false, false) => rows
            .flat_map(|row| match row.family {
                Family::AesKw(bits) | Family::AesGcmKw(bits) => vec![Need::Aes(bits)],
                Family::Direct => content().filter_map(|row| content_bits(row)).collect(),
                _ => Vec::new(),
            })
            .collect(),
        _ => {
            let text = "a set of client-secret keys signs or encrypts, not both";
            return Err(Error::new(ErrorKind::Usage, text).with_help("make one set for each"));
        }
    };
    if needs.is_empty() {
        let text = "none of the algorithms works with a client secret";
        return Err(Error::new(ErrorKind::KeyUnfit, text)
            .with_help("HS256 HS384 HS512, or dir and A128KW to A256GCMKW with an enc"));
    }
    let mut once = Vec::new();
    for need in needs {
        if !once.contains(&need) {
            once.push(need);
        }
    }
    Ok(once)
}

fn content_bits(row: &Algorithm) -> Option<Need> {
    row.content_key_bytes().map(|bytes| Need::Aes(bytes * 8))
}

/// An HMAC key that is too short for every one of the algorithms is an error now, not at the first token.
fn check_length(key: &Key, rules: &PeerRules) -> Result<()> {
    let mut hmac = rules.algorithms.iter().filter(|row| matches!(row.family, Family::Hmac(_)));
    let is_hmac = matches!(key.kind(), KeyKind::Oct { oct_type: OctType::Hmac, .. });
    if rules.policy.short_hmac_keys || !is_hmac || hmac.any(|row| !key.is_short_for(row)) {
        return Ok(());
    }
    let text = "the client secret is shorter than the digest (RFC 7518 §3.2)";
    Err(Error::new(ErrorKind::KeyUnfit, text).with_help("HS256 needs 32 bytes, HS384 48, HS512 64"))
}
