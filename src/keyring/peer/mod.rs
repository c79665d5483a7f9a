//! Keys of somebody else, as a [`KeySet`]: JOSE verifies and encrypts with them as with those of a label.
//! Nothing is counted or traced, and nothing of ours is among them.

mod secret;

use std::fmt;
use std::sync::Arc;

use crate::alg::Algorithm;
use crate::catalogue::LabelUse;
use crate::config::Policy;
use crate::crypto::{Key, KeyKind, Role};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::jwk_public::{PublicJwk, read_public};
use crate::formats::{self, Entry, JwkHints, Limits, Material, Passwords};
use crate::keyring::keyset::{KeySet, KeySetPolicy, LabelKey, complete_algorithms, fits};
use crate::label::{Alias, LabelName};
use crate::usage::KeyUsage;

/// What the keys of somebody else may do here: the registration of a client, the metadata of a provider.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "callers fill in what they know of the peer")]
pub struct PeerRules {
    /// The name under which errors speak of the keys.
    pub name: LabelName,
    /// What the keys are for.
    pub uses: Vec<LabelUse>,
    /// The algorithms, the preferred one first. Tokens select among these, and a JWK's own `alg`, `use` and
    /// `key_ops` narrow them.
    pub algorithms: Vec<&'static Algorithm>,
    /// How the set behaves.
    pub policy: KeySetPolicy,
    /// The smallest modulus of an RSA key.
    pub min_rsa_bits: usize,
}

impl PeerRules {
    /// Rules with the defaults of the configuration. Where JWE lacks `alg` or `enc`, every one that is on is
    /// allowed.
    ///
    /// # Errors
    /// [`ErrorKind::AlgorithmNotAllowed`] for a name that is none, [`ErrorKind::Usage`] without any.
    pub fn new(uses: &[LabelUse], algorithms: &[&str]) -> Result<Self> {
        if algorithms.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "no algorithm is registered for the peer")
                .with_help("name those that it registered: a token never chooses"));
        }
        let rows: Vec<_> =
            algorithms.iter().map(|name| Algorithm::named(name)).collect::<Result<_>>()?;
        Ok(Self {
            name: "peer".parse()?,
            uses: uses.to_vec(),
            algorithms: complete_algorithms(&rows, uses),
            policy: KeySetPolicy::default(),
            min_rsa_bits: Policy::default().min_rsa_bits,
        })
    }

    /// Rules for keys that verify.
    ///
    /// # Errors
    /// As [`PeerRules::new`].
    pub fn verify(algorithms: &[&str]) -> Result<Self> {
        Self::new(&[LabelUse::Verify], algorithms)
    }

    /// Rules for keys to encrypt to: one `alg` and one `enc` as a rule.
    ///
    /// # Errors
    /// As [`PeerRules::new`].
    pub fn encrypt(algorithms: &[&str]) -> Result<Self> {
        Self::new(&[LabelUse::Encrypt], algorithms)
    }

    /// The same rules, the keys called `name` in errors.
    #[must_use]
    pub fn called(self, name: LabelName) -> Self {
        Self { name, ..self }
    }

    /// The same rules under the policy of a configuration: its bounds on tokens and keys.
    #[must_use]
    pub fn under(self, policy: &Policy) -> Self {
        let set = KeySetPolicy {
            limits: policy.limits.clone(),
            short_hmac_keys: policy.allow_short_hmac_keys,
            ..self.policy
        };
        Self { policy: set, min_rsa_bits: policy.min_rsa_bits, ..self }
    }

    fn admit(&self, key: &LabelKey) -> Result<()> {
        if let KeyKind::Rsa { bits } = key.key.kind()
            && bits < self.min_rsa_bits
        {
            let text = format!("RSA with {bits} bits, and the bound is {}", self.min_rsa_bits);
            return Err(Error::new(ErrorKind::KeyUnfit, text));
        }
        let does = |role| self.algorithms.iter().any(|row| fits(key, row, role, &self.policy));
        if self.uses.iter().flat_map(|one| roles(*one)).any(|role| does(*role)) {
            return Ok(());
        }
        let text = format!("{}: its type, alg, use or key_ops admit no algorithm", key.key.kind());
        Err(Error::new(ErrorKind::KeyUnfit, text).with_help("it is for something else"))
    }
}

const fn roles(of: LabelUse) -> &'static [Role] {
    match of {
        LabelUse::Decrypt => &[Role::Decrypt],
        LabelUse::Encrypt => &[Role::Encrypt],
        LabelUse::Mac => &[Role::Sign, Role::Verify],
        LabelUse::Sign => &[Role::Sign],
        LabelUse::Verify => &[Role::Verify],
        LabelUse::Mtls | LabelUse::Secret | LabelUse::Trust => &[],
    }
}

/// A key that is not used, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SkippedKey {
    /// Its place among the keys, from 1.
    pub number: usize,
    /// Its `kid`, if it has one.
    pub kid: Option<String>,
    /// Why.
    pub reason: String,
}

impl fmt::Display for SkippedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}", self.number)?;
        if let Some(kid) = &self.kid {
            let shown: String = kid.chars().take(64).collect();
            write!(f, " (kid \"{}\")", shown.escape_debug())?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// The usable keys of somebody else, and those that were left out.
#[derive(Clone, Debug)]
pub struct PeerKeySet {
    name: LabelName,
    keys: Option<Arc<KeySet>>,
    skipped: Vec<SkippedKey>,
}

impl PeerKeySet {
    /// The public keys of a JWK set (RFC 7517 §5) or of one JWK. A key of an unknown type, a broken, private or
    /// symmetric one is left out and spoils nothing. A kid may name several keys that type, `alg` or `use` tell
    /// apart; where they do not, none of these is used.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] for what is no set, [`ErrorKind::LimitExceeded`] beyond 1 MiB or 1,000 keys.
    pub fn from_jwks(jwks: &[u8], rules: &PeerRules) -> Result<Self> {
        let read = read_public(jwks, &Limits::default())?;
        Self::choose(read.into_iter().map(Found::of_jwk).collect(), rules)
    }

    /// The public keys of PEM text, the key of a DER certificate or SubjectPublicKeyInfo, or one JWK. Dates and
    /// issuers of certificates do not matter: each is trusted by itself.
    ///
    /// # Errors
    /// As [`PeerKeySet::from_jwks`], and those of [`formats::open`].
    pub fn from_file(bytes: &[u8], rules: &PeerRules) -> Result<Self> {
        if bytes.trim_ascii_start().first() == Some(&b'{') {
            return Self::from_jwks(bytes, rules);
        }
        let opened = formats::open(bytes, None, &Passwords::default(), &Limits::default(), false)?;
        let entries = opened.entries.into_iter().enumerate();
        Self::choose(
            entries.map(|(index, entry)| Found::of_file(index + 1, entry)).collect(),
            rules,
        )
    }

    fn choose(found: Vec<Found>, rules: &PeerRules) -> Result<Self> {
        let mut skipped = Vec::new();
        let mut fit = Vec::new();
        for Found { number, kid, key } in found {
            let key = key.and_then(|key| rules.admit(&key).map(|()| key));
            match key {
                Ok(key) => fit.push(Fit { number, kid, key }),
                Err(error) => {
                    skipped.push(SkippedKey { number, kid, reason: error.message().to_owned() });
                }
            }
        }
        // RFC 7517 §4.5 wants kids that tell keys apart; the first or last of two would be a guess.
        let (ambiguous, mut clear): (Vec<Fit>, Vec<Fit>) =
            fit.iter().cloned().partition(|one| fit.iter().any(|other| one.clashes(other)));
        skipped.extend(ambiguous.into_iter().map(|Fit { number, kid, .. }| {
            let reason = "its kid, type, alg and use are also those of another key".to_owned();
            SkippedKey { number, kid, reason }
        }));
        skipped.sort_by_key(|one| one.number);
        let mut policy = rules.policy.clone();
        policy.without_kid |= clear.first().is_some_and(|first| first.kid.is_none());
        let mut keys: Vec<LabelKey> = Vec::new();
        while !clear.is_empty() {
            // Those of one kid side by side.
            let first = clear.remove(0);
            let (same_kid, rest) = clear.into_iter().partition(|one| one.key.kid == first.key.kid);
            let mut group: Vec<Fit> = vec![first];
            for one in same_kid {
                if !group.iter().any(|known| known.repeats(&one)) {
                    group.push(one);
                }
            }
            keys.extend(group.into_iter().map(|one| one.key));
            clear = rest;
        }
        Self::of_keys(keys, rules, policy, skipped)
    }

    fn of_keys(
        keys: Vec<LabelKey>,
        rules: &PeerRules,
        policy: KeySetPolicy,
        skipped: Vec<SkippedKey>,
    ) -> Result<Self> {
        let PeerRules { name, uses, algorithms, .. } = rules.clone();
        let keys = if keys.is_empty() {
            None
        } else {
            Some(Arc::new(KeySet::grouped(name.clone(), uses, keys, algorithms, policy)?))
        };
        Ok(Self { name, keys, skipped })
    }

    /// The keys, in the order of the set: the first one encrypts.
    ///
    /// # Errors
    /// [`ErrorKind::KeyUnfit`] if none can be used.
    pub fn keys(&self) -> Result<&Arc<KeySet>> {
        self.keys.as_ref().ok_or_else(|| {
            let text = format!("\"{}\" has no key that can be used", self.name);
            let error = Error::new(ErrorKind::KeyUnfit, text);
            match self.skipped.first() {
                None => error.with_help("its key set is empty"),
                Some(first) => error.with_help(first.to_string()),
            }
        })
    }

    /// The keys that were left out.
    #[must_use]
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }
}

/// A key as it was read.
struct Found {
    number: usize,
    kid: Option<String>,
    key: Result<LabelKey>,
}

impl Found {
    fn of_jwk(jwk: PublicJwk) -> Self {
        let PublicJwk { number, kid, entry } = jwk;
        Self { number, kid, key: entry.and_then(|entry| peer_key(number, entry)) }
    }

    fn of_file(number: usize, entry: Entry) -> Self {
        let public = matches!(entry.material, Material::PublicKey(_) | Material::Certificate);
        let key = match entry.material {
            Material::Unreadable(error) => Err(error),
            _ if public => peer_key(number, entry),
            _ => Err(Error::new(ErrorKind::KeyUnfit, "no public key but a private or secret one")),
        };
        Self { number, kid: None, key }
    }
}

/// A key that does something under the rules.
#[derive(Clone)]
struct Fit {
    number: usize,
    kid: Option<String>,
    key: LabelKey,
}

impl Fit {
    /// Whether nothing tells the two apart: kid, type, `alg` and `use` (attacks.md, CVE lessons).
    fn looks_like(&self, other: &Self) -> bool {
        let (key, others) = (&self.key, &other.key);
        self.kid == other.kid
            && is_same_type(key.key.kind(), others.key.kind())
            && key.hints.alg == others.hints.alg
            && key.hints.usage == others.hints.usage
    }

    fn clashes(&self, other: &Self) -> bool {
        self.kid.is_some() && self.looks_like(other) && !self.is_same_key(other)
    }

    fn repeats(&self, other: &Self) -> bool {
        self.looks_like(other) && self.is_same_key(other)
    }

    fn is_same_key(&self, other: &Self) -> bool {
        self.key.key.thumbprint() == other.key.key.thumbprint()
    }
}

/// RSA of any size, or one curve: algorithms tell no more.
fn is_same_type(one: KeyKind, other: KeyKind) -> bool {
    one == other || matches!((one, other), (KeyKind::Rsa { .. }, KeyKind::Rsa { .. }))
}

fn peer_key(number: usize, entry: Entry) -> Result<LabelKey> {
    let key = crate::stores::load_entry(&entry)?;
    label_key(number, key, entry.hints)
}

fn label_key(number: usize, key: Key, hints: JwkHints) -> Result<LabelKey> {
    let kid = hints.kid.clone().unwrap_or_else(|| key.thumbprint().to_owned());
    let alias: Alias = kid.parse().or_else(|_| number.to_string().parse())?;
    let usage = KeyUsage::default();
    Ok(LabelKey { alias, store: "peer".parse()?, realm: None, kid, key, hints, usage })
}
