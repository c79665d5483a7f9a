//! What stands behind one label in one realm: the ordered keys, the algorithms, and named-or-valid.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::alg::{ALGORITHMS, Algorithm, Family, Operation, Status};
use crate::catalogue::{LabelUse, Publish};
use crate::config::{TokenLimits, UnknownKid};
use crate::crypto::{Key, Role};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::JwkHints;
use crate::keyring::acts::Acts;
use crate::label::{Alias, LabelName, Realm, StoreName};
use crate::stores::Loaded;
#[cfg(feature = "saml")]
use crate::trace::Question;
use crate::trace::Witness;
use crate::usage::KeyUsage;

/// One key of a label, prepared at load.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "stores and tests build it")]
pub struct LabelKey {
    /// Its alias.
    pub alias: Alias,
    /// The store that it came from.
    pub store: StoreName,
    /// The realm of that store; `None`: global.
    pub realm: Option<Realm>,
    /// How tokens name it.
    pub kid: String,
    /// The key.
    pub key: Key,
    /// What a JWK says of its use; narrows what the key does.
    pub hints: JwkHints,
    /// What is done with it under this label; the default counts nothing.
    pub usage: KeyUsage,
}

impl LabelKey {
    /// Whether it is one that a keyring counts the uses of, and none that came with a message or a registration: what
    /// names such a one is somebody else's to choose.
    #[cfg(feature = "service")]
    pub(crate) const fn is_ours(&self) -> bool {
        self.usage.is_counted()
    }

    /// Whether `alg`, `use` and `key_ops` of its JWK let the key do this (RFC 7517 §4.2 to §4.4).
    fn admits(&self, algorithm: &Algorithm, role: Role) -> bool {
        let JwkHints { alg, usage, key_ops, .. } = &self.hints;
        let signs = matches!(role, Role::Sign | Role::Verify);
        // Some JWKs name the content algorithm of `dir`.
        let same = |alg: &String| {
            alg == algorithm.name
                // RFC 9864 §2.2 names the two algorithms of EdDSA one by one.
                || (algorithm.family == Family::EdDsa
                    && ["Ed25519", "Ed448", "EdDSA"].contains(&&**alg))
                || (algorithm.family == Family::Direct
                    && Algorithm::find(alg).is_some_and(|row| row.operation == Operation::Content))
        };
        let operations: &[&str] = match role {
            Role::Sign => &["sign"],
            Role::Verify => &["verify", "sign"],
            Role::Encrypt => &["encrypt", "wrapKey", "deriveKey", "deriveBits"],
            Role::Decrypt => &["decrypt", "unwrapKey", "deriveKey", "deriveBits"],
        };
        alg.as_ref().is_none_or(same)
            && usage.as_ref().is_none_or(|usage| usage == if signs { "sig" } else { "enc" })
            && (key_ops.is_empty() || key_ops.iter().any(|op| operations.contains(&op.as_str())))
    }
}

/// How a [`KeySet`] behaves; every field has the default of the configuration.
#[derive(Clone, Debug, Default)]
pub struct KeySetPolicy {
    /// Bounds on tokens; `limits.max_tries` bounds the tries without a kid.
    pub limits: TokenLimits,
    /// What happens to a kid that names no key here.
    pub unknown_kid: UnknownKid,
    /// Whether JWE may be compressed.
    pub zip: bool,
    /// Whether HMAC keys shorter than the digest are used (RFC 7518 §3.2).
    pub short_hmac_keys: bool,
    /// What a JWKS shows.
    pub publish: Publish,
    /// Whether tokens are made without a kid: for a peer that gave its key none.
    pub without_kid: bool,
}

/// The keys of one label as one realm sees them, active first. Never empty. What a token needs of it is
/// worked out at load: which key does which algorithm, and what the active key's headers say.
#[derive(Clone, Debug)]
pub struct KeySet {
    label: LabelName,
    uses: Vec<LabelUse>,
    keys: Vec<Arc<LabelKey>>,
    /// Where the keys of a kid stand: one key, or several of somebody else's.
    by_kid: HashMap<String, Range<usize>>,
    algorithms: Vec<&'static Algorithm>,
    policy: KeySetPolicy,
    /// What each key does, in the order of `keys`.
    abilities: Vec<Abilities>,
    acts: Acts,
    /// Who records what is checked with it.
    witness: Witness,
}

impl KeySet {
    /// A set of `keys`, the first of them active.
    ///
    /// # Errors
    /// [`ErrorKind::KeyUnfit`] if there is none, or two have one kid.
    pub fn new(
        label: LabelName,
        uses: Vec<LabelUse>,
        keys: Vec<LabelKey>,
        algorithms: Vec<&'static Algorithm>,
        policy: KeySetPolicy,
    ) -> Result<Self> {
        let set = Self::grouped(label, uses, keys, algorithms, policy)?;
        let Some((kid, _)) = set.by_kid.iter().find(|(_, keys)| keys.len() > 1) else {
            return Ok(set);
        };
        let text = format!("label \"{}\": two aliases have the kid \"{kid}\"", set.label);
        Err(Error::new(ErrorKind::KeyUnfit, text))
    }

    /// As [`KeySet::new`], of keys of which several may have one kid; those stand side by side. Type, `alg`
    /// and `use` tell them apart.
    pub(super) fn grouped(
        label: LabelName,
        uses: Vec<LabelUse>,
        keys: Vec<LabelKey>,
        mut algorithms: Vec<&'static Algorithm>,
        policy: KeySetPolicy,
    ) -> Result<Self> {
        let Some(active) = keys.first() else {
            let text = format!("label \"{label}\" has no secret");
            return Err(Error::new(ErrorKind::KeyUnfit, text));
        };
        let mut by_kid: HashMap<String, Range<usize>> = HashMap::with_capacity(keys.len());
        for (index, key) in keys.iter().enumerate() {
            by_kid.entry(key.kid.clone()).or_insert(index..index).end = index + 1;
        }
        let mut seen = Vec::new();
        algorithms.retain(|row| {
            let first = !seen.contains(&row.name);
            seen.push(row.name);
            first
        });
        let abilities = keys.iter().map(|key| Abilities::of(key, &algorithms, &policy)).collect();
        let kid = (!policy.without_kid).then_some(active.kid.as_str());
        let acts = Acts::of(kid, &algorithms, |row, role| fits(active, row, role, &policy));
        let keys = keys.into_iter().map(Arc::new).collect();
        let witness = Witness::default();
        Ok(Self { label, uses, keys, by_kid, algorithms, policy, abilities, acts, witness })
    }

    /// A set of the keys of a JSON Web Key set, private and symmetric ones too: for tests and rehearsals. Keys
    /// that cannot be used are left out. The public keys of somebody else: [`crate::ops::PeerKeySet`].
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] and the other kinds of the reader; [`ErrorKind::KeyUnfit`] if no key is left.
    pub fn from_jwks(
        label: LabelName,
        uses: Vec<LabelUse>,
        jwks: &[u8],
        algorithms: Vec<&'static Algorithm>,
        policy: KeySetPolicy,
    ) -> Result<Self> {
        let store: StoreName = "jwks".parse()?;
        let mut keys: Vec<LabelKey> = Vec::new();
        for (alias, loaded) in crate::stores::load_jwks(jwks)? {
            let Ok(Loaded { key, hints, .. }) = loaded else { continue };
            let kid = hints.kid.clone().unwrap_or_else(|| key.thumbprint().to_owned());
            let known = keys.iter().any(|one| one.kid == kid);
            let kid = if known { alias.to_string() } else { kid };
            let usage = KeyUsage::default();
            keys.push(LabelKey {
                alias,
                store: store.clone(),
                realm: None,
                kid,
                key,
                hints,
                usage,
            });
        }
        Self::new(label, uses, keys, algorithms, policy)
    }

    /// The same keys with those of the algorithms that are among `rows`; empty: all of them.
    ///
    /// # Errors
    /// As [`KeySet::new`].
    pub(crate) fn narrowed(&self, rows: &[&'static Algorithm]) -> Result<Self> {
        let narrows = |row: &Algorithm| rows.iter().any(|one| one.operation == row.operation);
        let mut algorithms = self.algorithms.clone();
        algorithms.retain(|row| !narrows(row) || rows.contains(row));
        let keys = self.keys.iter().map(|key| LabelKey::clone(key)).collect();
        Self::new(self.label.clone(), self.uses.clone(), keys, algorithms, self.policy.clone())
    }

    /// The label.
    #[must_use]
    pub const fn label(&self) -> &LabelName {
        &self.label
    }

    /// What the label is for.
    #[must_use]
    pub fn uses(&self) -> &[LabelUse] {
        &self.uses
    }

    /// The kid of one of its keys, to be shown. A word could be guessed from what is derived from it: passwords have none.
    #[must_use]
    pub fn shown_kid<'k>(&self, key: &'k LabelKey) -> Option<&'k str> {
        (!self.uses.contains(&LabelUse::Secret)).then_some(key.kid.as_str())
    }

    /// Every valid key, active first.
    #[must_use]
    pub fn keys(&self) -> &[Arc<LabelKey>] {
        &self.keys
    }

    /// The keys that the label publishes: all, the active one, or none.
    #[must_use]
    pub fn published(&self) -> &[Arc<LabelKey>] {
        match self.policy.publish {
            Publish::Active => std::slice::from_ref(self.active()),
            Publish::All => &self.keys,
            Publish::None => &[],
        }
    }

    /// How the set behaves.
    #[must_use]
    pub const fn policy(&self) -> &KeySetPolicy {
        &self.policy
    }

    /// The algorithms that tokens of this label may use, in order of preference.
    #[must_use]
    pub fn algorithms(&self) -> &[&'static Algorithm] {
        &self.algorithms
    }

    /// The active key: the one that signs and encrypts.
    #[must_use]
    #[expect(clippy::missing_panics_doc, clippy::expect_used, reason = "the invariant of new()")]
    pub fn active(&self) -> &Arc<LabelKey> {
        self.keys.first().expect("a KeySet is never empty")
    }

    /// Whether the active key signs or encrypts with any of the algorithms: of a label that stands in for
    /// another, within the other's algorithms, it may not.
    #[must_use]
    pub fn can_act(&self) -> bool {
        self.abilities.first().is_some_and(|active| active.sign | active.encrypt != 0)
    }

    /// The key with this kid, the first of several: one hash probe.
    #[must_use]
    pub fn named(&self, kid: &str) -> Option<&Arc<LabelKey>> {
        self.by_kid.get(kid).and_then(|keys| self.keys.get(keys.start))
    }

    /// The same set, recorded by this witness.
    pub(crate) fn seen_by(self, witness: Witness) -> Self {
        Self { witness, ..self }
    }

    /// The same set; where uses are recorded, one that is recorded as what was asked for: the first of these labels that
    /// is mapped.
    #[cfg(feature = "saml")]
    pub(crate) fn asked_as_first(
        self: &Arc<Self>,
        labels: &[LabelName],
        realm: Option<&Realm>,
    ) -> Arc<Self> {
        let ([label, rest @ ..], true) = (labels, self.witness.is_on()) else {
            return Arc::clone(self);
        };
        let instead = rest.first().cloned();
        let witness =
            self.witness.asked(|| Question { instead, ..Question::of_label(label, realm) });
        Arc::new(Self::clone(self).seen_by(witness))
    }

    /// Who records what is checked with it.
    pub(crate) const fn witness(&self) -> &Witness {
        &self.witness
    }

    /// What the active key's tokens have in common.
    pub(crate) const fn acts(&self) -> &Acts {
        &self.acts
    }

    /// Whether the label's use covers this role.
    ///
    /// # Errors
    /// [`ErrorKind::WrongUse`].
    pub fn require_use(&self, role: Role) -> Result<()> {
        let needed = match role {
            Role::Decrypt => LabelUse::Decrypt,
            Role::Encrypt => LabelUse::Encrypt,
            Role::Sign => LabelUse::Sign,
            Role::Verify => LabelUse::Verify,
        };
        let signs = matches!(role, Role::Sign | Role::Verify);
        if self.uses.contains(&needed) || (signs && self.uses.contains(&LabelUse::Mac)) {
            return Ok(());
        }
        let uses: Vec<&str> = self.uses.iter().map(|one| one.name()).collect();
        let uses = uses.join(" and ");
        let text = format!("label \"{}\" is for {uses}, not to {}", self.label, needed.name());
        Err(Error::new(ErrorKind::WrongUse, text))
    }

    /// The row of this name if tokens of the label may use it for `operation`.
    ///
    /// # Errors
    /// [`ErrorKind::AlgorithmNotAllowed`].
    pub fn allowed(&self, name: &str, operation: Operation) -> Result<&'static Algorithm> {
        self.find_allowed(name, operation).ok_or_else(|| self.not_allowed(name, operation))
    }

    /// As [`KeySet::allowed`], for tokens, which are told nothing.
    pub(crate) fn find_allowed(
        &self,
        name: &str,
        operation: Operation,
    ) -> Option<&'static Algorithm> {
        self.rows(operation).find(|row| row.name == name).or_else(|| {
            let named = Algorithm::find(name).filter(|row| row.family == Family::EdDsa)?;
            self.rows(operation).any(|row| row.covers(named)).then_some(named)
        })
    }

    /// The algorithm with which the active key acts: the first allowed row of `operation` that fits it.
    ///
    /// # Errors
    /// [`ErrorKind::AlgorithmNotAllowed`] if none fits.
    pub fn preferred(&self, operation: Operation, role: Role) -> Result<&'static Algorithm> {
        let active = self.active();
        self.preferred_of(operation, role, |_| true).ok_or_else(|| {
            let text = format!(
                "label \"{}\": no allowed algorithm fits its active alias \"{}\"",
                self.label, active.alias
            );
            Error::new(ErrorKind::AlgorithmNotAllowed, text)
        })
    }

    /// The same among some rows.
    pub(crate) fn preferred_of(
        &self,
        operation: Operation,
        role: Role,
        suits: impl Fn(&Algorithm) -> bool,
    ) -> Option<&'static Algorithm> {
        let active = self.active();
        self.rows(operation).find(|row| suits(row) && self.fits(active, row, role))
    }

    /// The keys to try for a token: the named one alone, or every valid one that fits, bounded. None for a kid
    /// that names no key where the label rejects those, and for one that is longer than its bound.
    #[must_use]
    pub fn candidates<'a>(
        &'a self,
        kid: Option<&str>,
        algorithm: &'static Algorithm,
        role: Role,
    ) -> Candidates<'a> {
        let named = kid.and_then(|kid| self.by_kid.get(kid));
        let range = match (named, kid) {
            (Some(keys), _) => keys.clone(),
            (None, Some(kid)) if !self.tries_without(kid) => 0..0,
            _ => 0..self.keys.len(),
        };
        let position = self.algorithms.iter().position(|row| row.covers(algorithm));
        let bit = position.map_or(0, Abilities::bit);
        let left = self.policy.limits.max_tries;
        Candidates { set: self, range, bit, role, left }
    }

    /// Whether keys are tried for a token whose kid names none of them.
    fn tries_without(&self, kid: &str) -> bool {
        self.policy.unknown_kid != UnknownKid::Reject
            && kid.len() <= self.policy.limits.max_kid_bytes
    }

    /// Whether `key` can do `algorithm` in this role under the policy of the set.
    #[must_use]
    pub fn fits(&self, key: &LabelKey, algorithm: &Algorithm, role: Role) -> bool {
        fits(key, algorithm, role, &self.policy)
    }

    fn rows(&self, operation: Operation) -> impl Iterator<Item = &'static Algorithm> + '_ {
        self.algorithms.iter().copied().filter(move |row| row.operation == operation)
    }

    fn not_allowed(&self, name: &str, operation: Operation) -> Error {
        let shown: String = name.chars().take(64).collect();
        let text = format!("label \"{}\" does not allow \"{}\"", self.label, shown.escape_debug());
        let allowed: Vec<&str> = self.rows(operation).map(|row| row.name).collect();
        let help = if allowed.is_empty() {
            "it allows none of this kind".to_owned()
        } else {
            format!("it allows {}", allowed.join(", "))
        };
        Error::new(ErrorKind::AlgorithmNotAllowed, text).with_help(help)
    }
}

/// Whether `key` can do `algorithm` in this role under a policy.
pub(super) fn fits(
    key: &LabelKey,
    algorithm: &Algorithm,
    role: Role,
    policy: &KeySetPolicy,
) -> bool {
    key.key.fits(algorithm, role).is_ok()
        && key.admits(algorithm, role)
        && (policy.short_hmac_keys || !key.key.is_short_for(algorithm))
}

/// The algorithms of a set that one key does: a bit for each, by its position in the set's list.
#[derive(Clone, Copy, Debug, Default)]
struct Abilities {
    decrypt: u64,
    encrypt: u64,
    sign: u64,
    verify: u64,
}

impl Abilities {
    fn of(key: &LabelKey, algorithms: &[&'static Algorithm], policy: &KeySetPolicy) -> Self {
        let bits = |role| {
            let rows = algorithms.iter().enumerate();
            rows.filter(|(_, row)| fits(key, row, role, policy))
                .fold(0, |bits, (position, _)| bits | Self::bit(position))
        };
        Self {
            decrypt: bits(Role::Decrypt),
            encrypt: bits(Role::Encrypt),
            sign: bits(Role::Sign),
            verify: bits(Role::Verify),
        }
    }

    /// The table of algorithms has fewer than 64 rows; one beyond would fit no key.
    fn bit(position: usize) -> u64 {
        u32::try_from(position).ok().and_then(|position| 1_u64.checked_shl(position)).unwrap_or(0)
    }

    const fn of_role(self, role: Role) -> u64 {
        match role {
            Role::Decrypt => self.decrypt,
            Role::Encrypt => self.encrypt,
            Role::Sign => self.sign,
            Role::Verify => self.verify,
        }
    }
}

/// The keys to try, in order.
pub struct Candidates<'a> {
    set: &'a KeySet,
    range: Range<usize>,
    bit: u64,
    role: Role,
    left: usize,
}

impl<'a> Iterator for Candidates<'a> {
    type Item = &'a Arc<LabelKey>;

    fn next(&mut self) -> Option<&'a Arc<LabelKey>> {
        self.left = self.left.checked_sub(1)?;
        let abilities = &self.set.abilities;
        let fits = |index: &usize| {
            abilities.get(*index).is_some_and(|one| one.of_role(self.role) & self.bit != 0)
        };
        let index = self.range.by_ref().find(fits)?;
        self.set.keys.get(index)
    }
}

impl fmt::Debug for Candidates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidates").field("label", &self.set.label).finish_non_exhaustive()
    }
}

/// The algorithms of a label: what its row or configuration lists, completed so that an operation
/// which the list does not mention gets every row that is on. A list of content algorithms alone
/// means that the key itself encrypts the content (`dir`).
#[must_use]
pub fn complete_algorithms(
    listed: &[&'static Algorithm],
    uses: &[LabelUse],
) -> Vec<&'static Algorithm> {
    let signs = |one: &LabelUse| matches!(one, LabelUse::Sign | LabelUse::Verify | LabelUse::Mac);
    let encrypts = |one: &LabelUse| matches!(one, LabelUse::Encrypt | LabelUse::Decrypt);
    let direct = !listed.is_empty() && listed.iter().all(|row| row.operation == Operation::Content);
    let mut rows = listed.to_vec();
    for operation in [Operation::Sign, Operation::KeyManagement, Operation::Content] {
        let wanted = match operation {
            Operation::Sign => uses.iter().any(signs),
            _ => uses.iter().any(encrypts),
        };
        if !wanted || listed.iter().any(|row| row.operation == operation) {
            continue;
        }
        rows.extend(ALGORITHMS.iter().filter(|row| {
            row.operation == operation
                && row.status == Status::On
                && !(direct
                    && operation == Operation::KeyManagement
                    && row.family != Family::Direct)
        }));
    }
    rows
}
