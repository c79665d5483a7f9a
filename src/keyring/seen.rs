//! What a set tells its witness of a token that held.

use crate::alg::Algorithm;
use crate::keyring::keyset::{KeySet, LabelKey};
use crate::label::{LabelName, Realm};
use crate::trace::{AskedAs, Held, Outcome, Question, Witness};
use crate::usage::Life;

impl KeySet {
    /// A signature held.
    pub(crate) fn witness_verified(
        &self,
        kid: Option<&str>,
        key: &LabelKey,
        algorithm: &'static Algorithm,
        life: Life,
    ) {
        held(self.witness(), Outcome::Verified, kid, key, (algorithm.name, None), life);
    }

    /// A signature held over something that says nowhere how long it lives.
    #[cfg(feature = "saml")]
    pub(crate) fn witness_held(&self, key: &LabelKey, algorithm: &'static Algorithm) {
        self.witness_verified(None, key, algorithm, Life::Open);
    }

    /// A JWE was decrypted, whose content says nowhere how long it lives.
    #[cfg(feature = "saml")]
    pub(crate) fn witness_opened(
        &self,
        key: &LabelKey,
        (algorithm, content): (&'static Algorithm, &'static Algorithm),
    ) {
        let rows = (algorithm.name, Some(content.name));
        held(self.witness(), Outcome::Decrypted, None, key, rows, Life::Open);
    }
}

/// A set, and as what it is asked: the default of a set is the label that it stands behind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'s> {
    set: &'s KeySet,
    of: Option<(&'s LabelName, Option<&'s Realm>, AskedAs)>,
}

impl<'s> From<&'s KeySet> for Asked<'s> {
    fn from(set: &'s KeySet) -> Self {
        Self { set, of: None }
    }
}

impl<'s> Asked<'s> {
    /// A set that stands behind a label as a realm sees it, whatever is mapped.
    pub(crate) const fn label(
        set: &'s KeySet,
        label: &'s LabelName,
        realm: Option<&'s Realm>,
    ) -> Self {
        Self { set, of: Some((label, realm, AskedAs::Label)) }
    }

    /// The same, asked for a session.
    pub(crate) fn for_session(self) -> Self {
        let of = self.of.map(|(label, realm, _)| (label, realm, AskedAs::Session));
        Self { of, ..self }
    }

    /// The set.
    pub(crate) const fn set(&self) -> &'s KeySet {
        self.set
    }

    /// Whether anybody wants to know.
    pub(crate) const fn is_seen(&self) -> bool {
        self.set.witness().is_on()
    }

    /// A signature held; the claims say when it ends, which are looked at only if somebody wants to know.
    pub(crate) fn verified(
        &self,
        kid: Option<&str>,
        key: &LabelKey,
        algorithm: &'static Algorithm,
        claims: &[u8],
    ) {
        self.held(Outcome::Verified, kid, key, (algorithm.name, None), claims);
    }

    /// A JWE was decrypted; as [`Asked::verified`].
    pub(crate) fn decrypted(
        &self,
        kid: Option<&str>,
        key: &LabelKey,
        (algorithm, content): (&'static Algorithm, &'static Algorithm),
        claims: &[u8],
    ) {
        self.held(Outcome::Decrypted, kid, key, (algorithm.name, Some(content.name)), claims);
    }

    /// A token was refused.
    pub(crate) fn refused(&self) {
        if self.is_seen() {
            self.witness().refused();
        }
    }

    fn held(
        &self,
        outcome: Outcome,
        kid: Option<&str>,
        key: &LabelKey,
        names: (&'static str, Option<&'static str>),
        claims: &[u8],
    ) {
        if self.is_seen() {
            held(&self.witness(), outcome, kid, key, names, Life::of_payload(claims));
        }
    }

    fn witness(&self) -> Witness {
        let own = self.set.witness();
        let Some((label, realm, asked)) = self.of else { return own.clone() };
        own.asked(|| Question { asked, ..Question::of_label(label, realm) })
    }
}

fn held(
    witness: &Witness,
    outcome: Outcome,
    kid: Option<&str>,
    key: &LabelKey,
    (algorithm, content): (&'static str, Option<&'static str>),
    life: Life,
) {
    let end = match life {
        Life::Open => 0,
        Life::Until(end) => end.max(1),
    };
    let key = key.key.thumbprint();
    witness.held(&Held { outcome, kid, algorithm, content, key, end });
}
