//! The token profiles that need no code of their own: a row each.

use std::time::Duration;

use crate::catalogue;
use crate::error::Result;
use crate::ops::PeerRules;
use crate::profiles::{Parts, Typ};

/// What a kind of token is: its labels, how it is put together, how long it lives.
#[derive(Debug)]
#[non_exhaustive]
pub struct Profile {
    /// As callers and the command line name it.
    pub name: &'static str,
    /// One line on what it is for.
    pub help: &'static str,
    /// `typ` of each layer.
    pub typ: Typ,
    /// What is done to the claims, with which labels.
    pub parts: Parts<Labels>,
    /// How long a token lives unless the caller says less or more; `None`: it is kept, and never ends.
    pub life: Option<Duration>,
    /// How long nobody may use it.
    pub idle: Option<Duration>,
    /// Claims that the caller gives and an opened token has.
    pub required: &'static [&'static str],
    /// Who is on the other side.
    pub between: Between,
}

/// Which labels a part asks, in order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Labels {
    /// Without an identifier.
    pub plain: &'static [&'static str],
    /// With one; empty: the identifier changes nothing.
    pub identified: &'static [&'static str],
}

/// Who makes a token and who reads it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "us, or somebody else")]
pub enum Between {
    /// We make it and we open it: it says in which realm, and `iss` is the deployment.
    Ourselves,
    /// A peer makes it or opens it: `iss` and `aud` are claims of the caller, checked against what it expects.
    Peers,
}

impl Profile {
    /// The row of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        PROFILES.iter().find(|row| row.name == name)
    }

    /// Whether labels of this profile have an identifier in them.
    #[must_use]
    pub fn is_identified(&self) -> bool {
        self.labels().any(|label| label.contains("{identifier}"))
    }

    /// What the keys of a peer do that signs: the algorithms of the labels that stand for it.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] if nothing is signed.
    pub fn peer_signs(&self) -> Result<PeerRules> {
        PeerRules::verify(&algorithms(self.parts.signing()))
    }

    /// What the keys of a peer do that decrypts.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] if nothing is encrypted.
    pub fn peer_encrypts(&self) -> Result<PeerRules> {
        PeerRules::encrypt(&algorithms(self.parts.encryption()))
    }

    /// Every label of the catalogue that it names.
    pub fn labels(&self) -> impl Iterator<Item = &'static str> {
        let lists = [self.parts.signing(), self.parts.encryption()].into_iter().flatten();
        lists.flat_map(|labels| labels.plain.iter().chain(labels.identified).copied())
    }
}

fn algorithms(labels: Option<&Labels>) -> Vec<&'static str> {
    let names = labels.map_or(&[][..], |labels| labels.plain);
    let specs = catalogue::all().iter().filter(|spec| names.contains(&spec.name.as_str()));
    specs.flat_map(|spec| spec.algorithms.iter().map(String::as_str)).collect()
}

/// Labels without an identifier.
const fn plain(plain: &'static [&'static str]) -> Labels {
    Labels { plain, identified: &[] }
}

const fn minutes(count: u64) -> Option<Duration> {
    Some(Duration::from_secs(60 * count))
}

/// A row that we make and open.
const fn ours(
    name: &'static str,
    help: &'static str,
    typ: &'static str,
    parts: Parts<Labels>,
    life: Option<Duration>,
) -> Profile {
    Profile {
        name,
        help,
        typ: Typ::Explicit(typ),
        parts,
        life,
        idle: None,
        required: &[],
        between: Between::Ourselves,
    }
}

/// A row for what a service keeps of a device.
const fn device(
    name: &'static str,
    help: &'static str,
    typ: &'static str,
    label: &'static [&'static str],
) -> Profile {
    ours(name, help, typ, Parts::Encrypted(plain(label)), None)
}

/// Every row. The tests of rotation, tampering and confusion go over it: a new one is covered by being here.
pub const PROFILES: &[Profile] = &[
    ours(
        "authid",
        "carries a journey from step to step",
        "authid+jwt",
        Parts::Signed(plain(&["am.authn.authid.signing.HMAC"])),
        minutes(5),
    ),
    ours(
        "tree-state",
        "secure state of a journey between its steps",
        "tree-state+jwt",
        Parts::Encrypted(plain(&["am.authn.trees.transientstate.encryption"])),
        minutes(5),
    ),
    Profile {
        idle: minutes(5 * 60),
        ..ours(
            "persistent-cookie",
            "lets a browser in again: the nodes",
            "persistent-cookie+jwt",
            // Everybody may encrypt to an RSA key: the signature is outside.
            Parts::EncryptedThenSigned {
                encryption: plain(&["am.authentication.nodes.persistentcookie.encryption"]),
                signing: Labels {
                    plain: &["am.default.authentication.nodes.persistentcookie.signing"],
                    // An identifier without a mapping does not fall to the default.
                    identified: &["am.authentication.nodes.persistentcookie.{identifier}.signing"],
                },
            },
            minutes(5 * 60),
        )
    },
    Profile {
        idle: minutes(5 * 60),
        ..ours(
            "persistent-cookie-module",
            "lets a browser in again: the old modules",
            "persistent-cookie-module+jwt",
            Parts::EncryptedThenSigned {
                encryption: Labels {
                    plain: &["am.default.authentication.modules.persistentcookie.encryption"],
                    identified: &[
                        "am.authentication.modules.persistentcookie.{identifier}.encryption",
                    ],
                },
                signing: Labels {
                    plain: &["am.default.authentication.modules.persistentcookie.signing"],
                    identified: &[
                        "am.authentication.modules.persistentcookie.{identifier}.signing",
                    ],
                },
            },
            minutes(5 * 60),
        )
    },
    device(
        "device-oath",
        "one-time password devices, as they are stored",
        "device-oath+jwt",
        &["am.services.authenticatoroath.encryption"],
    ),
    device(
        "device-push",
        "push devices, as they are stored",
        "device-push+jwt",
        &["am.services.authenticatorpush.encryption"],
    ),
    device(
        "device-webauthn",
        "WebAuthn devices, as they are stored",
        "device-webauthn+jwt",
        &["am.services.authenticatorwebauthn.encryption"],
    ),
    device(
        "device-binding",
        "bound devices, as they are stored",
        "device-binding+jwt",
        &["am.services.devicebinding.encryption"],
    ),
    device(
        "device-id",
        "ids of devices, as they are stored",
        "device-id+jwt",
        &["am.services.deviceid.encryption"],
    ),
    device(
        "device-profile",
        "profiles of devices, as they are stored",
        "device-profile+jwt",
        &["am.services.deviceprofiles.encryption"],
    ),
    ours(
        "iot",
        "what the IoT service issues to things",
        "iot+jwt",
        Parts::Signed(plain(&["am.services.iot.jwt.issuer.signing"])),
        minutes(60),
    ),
    ours(
        "self-service",
        "links of registration and forgotten passwords",
        "self-service+jwt",
        Parts::EncryptedThenSigned {
            encryption: plain(&["am.services.selfservice.token.encryption"]),
            signing: plain(&["am.services.selfservice.token.signing"]),
        },
        minutes(15),
    ),
    ours(
        "pct",
        "UMA persisted claims tokens",
        "pct+jwt",
        Parts::Encrypted(plain(&["am.services.uma.pct.encryption"])),
        minutes(30 * 24 * 60),
    ),
    Profile {
        name: "consent-request",
        help: "asks a remote consent service",
        typ: Typ::Jwt,
        parts: Parts::SignedThenEncrypted {
            signing: plain(&[
                "am.applications.agents.remote.consent.request.signing.ES256",
                "am.applications.agents.remote.consent.request.signing.ES384",
                "am.applications.agents.remote.consent.request.signing.ES512",
                "am.applications.agents.remote.consent.request.signing.RSA",
            ]),
            encryption: plain(&["am.services.oauth2.remote.consent.request.encryption"]),
        },
        life: minutes(3),
        idle: None,
        required: &["iss", "aud", "csrf", "consentApprovalRedirectUri"],
        between: Between::Peers,
    },
    Profile {
        name: "consent-response",
        help: "answers of a remote consent service",
        typ: Typ::Jwt,
        parts: Parts::SignedThenEncrypted {
            signing: plain(&["am.services.oauth2.remote.consent.response.signing.RSA"]),
            encryption: plain(&["am.services.oauth2.remote.consent.response.decryption"]),
        },
        life: minutes(2),
        idle: None,
        required: &["iss", "aud", "csrf", "decision"],
        between: Between::Peers,
    },
];
