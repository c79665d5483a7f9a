//! Which keys a token is from or for: those of a label, of a client's secret, or of a JWK set.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::Now;
use super::client::Client;
use super::registration::Encryption;
use crate::alg::{ALGORITHMS, Algorithm, Curve, Family, Operation, Status};
use crate::catalogue::LabelUse;
use crate::error::{Error, ErrorKind, Result};
use crate::keyring::Place;
use crate::label::{LabelName, Realm};
use crate::ops::{KeySet, PeerKeySet, PeerRules};

/// The keys of one side of a token.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) set: Arc<KeySet>,
    /// Whether both sides have them: those of a client's secret.
    pub(super) shared: bool,
}

impl Keys {
    pub(super) const fn of(set: Arc<KeySet>) -> Self {
        Self { set, shared: false }
    }

    const fn shared(set: Arc<KeySet>) -> Self {
        Self { set, shared: true }
    }
}

/// The families of signing labels, which have a label for each algorithm.
#[derive(Clone, Copy, Debug)]
pub(super) enum SigningLabels {
    /// ID tokens and what is signed like them.
    Oidc,
    /// Access and refresh tokens.
    Stateless,
}

/// A label that lives as long as the program, and remembers its place.
macro_rules! named {
    ($label:literal) => {{
        static LABEL: Named = Named::of($label);
        &LABEL
    }};
}

impl SigningLabels {
    /// The label that signs with this algorithm.
    pub(super) fn of(self, algorithm: &Algorithm) -> Result<&'static Named> {
        Ok(match (self, algorithm.family) {
            (Self::Oidc, Family::Ecdsa(Curve::P256, _)) => {
                named!("am.services.oauth2.oidc.signing.ES256")
            }
            (Self::Oidc, Family::Ecdsa(Curve::P384, _)) => {
                named!("am.services.oauth2.oidc.signing.ES384")
            }
            (Self::Oidc, Family::Ecdsa(Curve::P521, _)) => {
                named!("am.services.oauth2.oidc.signing.ES512")
            }
            (Self::Oidc, Family::EdDsa) => named!("am.services.oauth2.oidc.signing.EDDSA"),
            (Self::Oidc, Family::RsaPkcs1(_) | Family::RsaPss(_)) => {
                named!("am.services.oauth2.oidc.signing.RSA")
            }
            (Self::Stateless, Family::Ecdsa(Curve::P256, _)) => {
                named!("am.services.oauth2.stateless.signing.ES256")
            }
            (Self::Stateless, Family::Ecdsa(Curve::P384, _)) => {
                named!("am.services.oauth2.stateless.signing.ES384")
            }
            (Self::Stateless, Family::Ecdsa(Curve::P521, _)) => {
                named!("am.services.oauth2.stateless.signing.ES512")
            }
            (Self::Stateless, Family::Hmac(_)) => {
                named!("am.services.oauth2.stateless.signing.HMAC")
            }
            (Self::Stateless, Family::RsaPkcs1(_) | Family::RsaPss(_)) => {
                named!("am.services.oauth2.stateless.signing.RSA")
            }
            _ => {
                let text = format!("no label signs these tokens with {algorithm}");
                return Err(Error::new(ErrorKind::AlgorithmNotAllowed, text));
            }
        })
    }
}

/// A label that is asked for often.
#[derive(Debug)]
pub(super) struct Named {
    name: &'static str,
    /// In the global scope. Snapshots of several keyrings may take turns in it: each is known by its id.
    place: Place,
}

impl Named {
    const fn of(name: &'static str) -> Self {
        Self { name, place: Place::unknown() }
    }
}

/// The label that decrypts request objects of this algorithm.
fn decryption_label(algorithm: &Algorithm) -> Result<&'static str> {
    Ok(match algorithm.name {
        "RSA1_5" => "am.services.oauth2.oidc.decryption.RSA1.5",
        "RSA-OAEP" => "am.services.oauth2.oidc.decryption.RSA.OAEP",
        "RSA-OAEP-256" => "am.services.oauth2.oidc.decryption.RSA.OAEP.256",
        _ => {
            let text = format!("no label decrypts request objects with {algorithm}");
            return Err(Error::new(ErrorKind::AlgorithmNotAllowed, text));
        }
    })
}

/// Whether both sides need the same key: then the client's secret is it (OpenID Connect Core §10.2).
const fn is_symmetric(algorithm: &Algorithm) -> bool {
    matches!(algorithm.family, Family::AesGcmKw(_) | Family::AesKw(_) | Family::Direct)
}

/// Keys that were made of a client's registration, for as long as the snapshot lasts that they were made under.
#[derive(Debug, Default)]
pub(super) struct Memo(ArcSwapOption<(u64, Option<Realm>, Keys)>);

impl Memo {
    fn get(&self, now: &Now<'_>, make: impl FnOnce() -> Result<Keys>) -> Result<Keys> {
        let id = now.snapshot.id();
        if let Some((made_under, realm, keys)) = self.0.load().as_deref()
            && *made_under == id
            && realm.as_ref() == now.realm
        {
            return Ok(keys.clone());
        }
        let keys = make()?;
        self.0.store(Some(Arc::new((id, now.realm.cloned(), keys.clone()))));
        Ok(keys)
    }
}

/// The keys that are made of a client's registration.
#[derive(Debug, Default)]
pub(super) struct Memos {
    encryption: Memo,
    public: Memo,
    request_secret: Memo,
    secret: Memo,
    userinfo: Memo,
}

impl Memos {
    /// Those with which what a provider answers is encrypted, on either side.
    const fn of(&self, response: Response) -> &Memo {
        match response {
            Response::IdToken => &self.encryption,
            Response::Userinfo => &self.userinfo,
        }
    }
}

impl Now<'_> {
    /// What stands behind a label here. Where uses are recorded, and another label or the global scope stands in, they
    /// are recorded as what was asked for.
    pub(super) fn label(&self, name: &str) -> Result<Keys> {
        // Mostly it is mapped and nobody records: then no name is made of the text.
        if let Some(set) = self.snapshot.find_named(self.realm, name)
            && !set.witness().is_on()
        {
            return Ok(Keys::of(Arc::clone(set)));
        }
        let name: LabelName = name.parse()?;
        let set = self.snapshot.keys(self.realm, &name)?;
        Ok(Keys::of(match set.witness().asked_as(&name, self.realm) {
            Some(witness) => Arc::new(KeySet::clone(set).seen_by(witness)),
            None => Arc::clone(set),
        }))
    }

    /// As [`Now::label`], without a look-up in the global scope.
    pub(super) fn named(&self, label: &Named) -> Result<Keys> {
        let found = match self.realm {
            None => self.snapshot.find_at(&label.place, label.name),
            Some(_) => None,
        };
        match found.filter(|set| !set.witness().is_on()) {
            Some(set) => Ok(Keys::of(Arc::clone(set))),
            None => self.label(label.name),
        }
    }

    /// A label of the client itself, if it has an identifier and something is mapped.
    fn label_of_client(&self, client: &Client, what: &str) -> Result<Option<Keys>> {
        let Some(identifier) = client.identifier() else { return Ok(None) };
        match self.label(&format!("am.applications.oauth2.client.{identifier}.{what}")) {
            Ok(keys) => Ok(Some(keys)),
            Err(error) if error.kind() == ErrorKind::UnknownLabel => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The public keys with which what a client signs is checked: its label, else its JWK set.
    pub(super) fn public_keys_of(&self, client: &Client) -> Result<Keys> {
        if let Some(keys) = self.label_of_client(client, "jwt.public.key")? {
            return Ok(keys);
        }
        self.registered_keys_of(client)
    }

    /// Those of its JWK set.
    fn registered_keys_of(&self, client: &Client) -> Result<Keys> {
        client.memos().public.get(self, || {
            let signs = |row: &&Algorithm| {
                row.operation == Operation::Sign
                    && row.status == Status::On
                    && !matches!(row.family, Family::Hmac(_))
            };
            let names: Vec<&str> = ALGORITHMS.iter().filter(signs).map(|row| row.name).collect();
            self.keys_of_jwks(client, &PeerRules::verify(&names)?)
        })
    }

    /// The certificates that a client registered itself: its label, else those of its JWK set.
    #[cfg(feature = "tls")]
    pub(super) fn certificates_of(&self, client: &Client) -> Result<Keys> {
        match self.label_of_client(client, "mtls.trusted.cert")? {
            Some(keys) => Ok(keys),
            None => self.registered_keys_of(client),
        }
    }

    /// The client's secret as an HMAC key: its label, else its registration; every valid one verifies.
    pub(super) fn secret_for_signing(&self, client: &Client) -> Result<Keys> {
        let uses = [LabelUse::Sign, LabelUse::Verify];
        let names = ["HS256", "HS384", "HS512"];
        client
            .memos()
            .secret
            .get(self, || self.keys_of_secret(client, &PeerRules::new(&uses, &names)?))
    }

    /// The keys to which tokens for a client are encrypted: of the client's secret where both sides need the same,
    /// else its label, else its JWK set.
    pub(super) fn encryption_keys_of(
        &self,
        client: &Client,
        agreed: Encryption,
        response: Response,
    ) -> Result<Keys> {
        let memo = client.memos().of(response);
        if is_symmetric(agreed.alg) {
            return memo.get(self, || self.keys_of_secret(client, &both_ways(agreed)?));
        }
        if let Some(keys) = self.label_of_client(client, "id.token.enc.public.key")? {
            return Ok(keys);
        }
        self.refuse_off(agreed)?;
        memo.get(self, || {
            self.keys_of_jwks(client, &PeerRules::encrypt(&[agreed.alg.name, agreed.enc.name])?)
        })
    }

    /// A registration switches nothing on: RSA1_5 is for whom the policy says so.
    fn refuse_off(&self, agreed: Encryption) -> Result<()> {
        let on = agreed.alg.status == Status::On;
        if on || self.snapshot.config().policy.legacy.contains(&agreed.alg) {
            return Ok(());
        }
        let text = format!("{} is registered, and switched off", agreed.alg);
        let help = format!("[policy] legacy = [\"{}\"] switches it on", agreed.alg);
        Err(Error::new(ErrorKind::AlgorithmNotAllowed, text).with_help(help))
    }

    /// The keys that decrypt request objects of a client.
    pub(super) fn request_decryption(&self, client: &Client, agreed: Encryption) -> Result<Keys> {
        if is_symmetric(agreed.alg) {
            let memo = &client.memos().request_secret;
            return memo.get(self, || self.keys_of_secret(client, &both_ways(agreed)?));
        }
        self.label(decryption_label(agreed.alg)?)
    }

    /// As [`Now::request_decryption`], to encrypt: without a shared secret to `provider`.
    pub(super) fn request_encryption(
        &self,
        client: &Client,
        agreed: Encryption,
        provider: Option<&Arc<KeySet>>,
    ) -> Result<Keys> {
        if is_symmetric(agreed.alg) {
            return self.request_decryption(client, agreed);
        }
        self.refuse_off(agreed)?;
        required(provider)
    }

    /// The keys that decrypt what a provider makes for this client as a relying party: ID tokens, with `userinfo` those
    /// responses.
    pub(super) fn response_decryption(
        &self,
        client: &Client,
        agreed: Encryption,
        response: Response,
        label: &str,
    ) -> Result<Keys> {
        if !is_symmetric(agreed.alg) {
            return self.label(label);
        }
        let memo = client.memos().of(response);
        memo.get(self, || self.keys_of_secret(client, &both_ways(agreed)?))
    }

    fn keys_of_jwks(&self, client: &Client, rules: &PeerRules) -> Result<Keys> {
        let jwks = client.jwks().ok_or_else(|| {
            let text = format!("client \"{}\" has no public keys", client.id().escape_debug());
            let help = "register its jwks, or map the label of its secret_label_identifier";
            Error::new(ErrorKind::Usage, text).with_help(help)
        })?;
        let keys = PeerKeySet::from_jwks(jwks, &self.here(rules));
        let keys = keys.and_then(|keys| keys.keys().cloned());
        let of_client = || format!("the jwks of client \"{}\"", client.id().escape_debug());
        keys.map(Keys::of).map_err(|error| error.about(of_client()))
    }

    fn keys_of_secret(&self, client: &Client, rules: &PeerRules) -> Result<Keys> {
        let rules = self.here(rules);
        // Ping AM: a mapping wins, and the property of the client is ignored.
        let mapped = self.label_of_client(client, "secret")?;
        let secrets = mapped.as_ref().map(|keys| &*keys.set).or_else(|| client.secrets());
        let secrets = secrets.ok_or_else(|| {
            let text = format!("client \"{}\" has no secret", client.id().escape_debug());
            let help =
                "register its client_secret, or map the label of its secret_label_identifier";
            Error::new(ErrorKind::Usage, text).with_help(help)
        })?;
        let keys = PeerKeySet::from_secret_label(secrets, &rules)?;
        Ok(Keys::shared(Arc::clone(keys.keys()?)))
    }

    /// The rules under the policy of this keyring.
    fn here(&self, rules: &PeerRules) -> PeerRules {
        rules.clone().under(&self.snapshot.config().policy)
    }
}

/// What a provider answers that may be encrypted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Response {
    IdToken,
    Userinfo,
}

/// Keys of a shared secret, which either side may make again.
fn both_ways(agreed: Encryption) -> Result<PeerRules> {
    PeerRules::new(&[LabelUse::Encrypt, LabelUse::Decrypt], &[agreed.alg.name, agreed.enc.name])
}

/// The keys of the other side, which its JWK set holds.
pub(super) fn required(keys: Option<&Arc<KeySet>>) -> Result<Keys> {
    keys.map(|set| Keys::of(Arc::clone(set))).ok_or_else(|| {
        let text = "the keys of the provider are needed";
        Error::new(ErrorKind::Usage, text).with_help(
            "give its JWK set: `provider_jwks`, on the command line --provider-jwks FILE",
        )
    })
}
