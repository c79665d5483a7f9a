//! What a label is once catalogue, `[labels]`, the mapping and the policy have had their say.

use crate::alg::{Algorithm, Status};
use crate::catalogue::{self, LabelMaterial, LabelUse, Publish};
use crate::config::{Config, KidMode, LabelSettings, Mapping, UnknownKid, ValidSet};
use crate::keyring::keyset::{KeySetPolicy, complete_algorithms};
use crate::label::LabelName;

/// A label as it is used here.
#[derive(Debug)]
pub(crate) struct LabelProfile {
    pub(crate) uses: Vec<LabelUse>,
    pub(crate) material: LabelMaterial,
    pub(crate) certificate_required: bool,
    /// What the catalogue or the configuration lists; empty: whatever fits.
    pub(crate) listed: Vec<&'static Algorithm>,
    /// Rows of the catalogue that nobody switched on.
    pub(crate) off: Vec<&'static Algorithm>,
    pub(crate) kid_mode: KidMode,
    pub(crate) valid: ValidSet,
    publish: Publish,
    unknown_kid: UnknownKid,
    max_tries: Option<usize>,
    zip: bool,
}

impl LabelProfile {
    pub(crate) fn of(config: &Config, label: &LabelName, mapping: Option<&Mapping>) -> Self {
        let default = LabelSettings::default();
        let settings = config.labels.get(label).map_or(&default, |placed| &placed.value);
        let found = catalogue::find(label);
        let spec = found.as_ref().map(|found| found.spec);
        let uses = settings
            .uses
            .as_ref()
            .map(|uses| uses.value.clone())
            .or_else(|| spec.map(|spec| spec.uses.clone()))
            .unwrap_or_else(|| vec![LabelUse::Secret]);
        // What the operator names is on; of the catalogue's rows those are on that the policy lets.
        let named =
            mapping.and_then(|one| one.algorithms.as_ref()).or(settings.algorithms.as_ref());
        let named = named.map(|rows| rows.iter().map(|row| row.value).collect());
        let of_catalogue = spec.map(catalogue::LabelSpec::rows).unwrap_or_default();
        let is_on = |row: &&'static Algorithm| {
            row.status == Status::On || config.policy.legacy.contains(row)
        };
        let (listed, off) = match named {
            Some(named) => (named, Vec::new()),
            None => of_catalogue.into_iter().partition(is_on),
        };
        Self {
            material: spec.map_or_else(|| material_of(&uses), |spec| spec.material),
            certificate_required: spec.is_some_and(|spec| spec.certificate_required)
                || uses.iter().any(|one| matches!(one, LabelUse::Mtls | LabelUse::Trust)),
            uses,
            listed,
            off,
            kid_mode: settings.kid.unwrap_or(config.keyring.kid),
            valid: settings.valid,
            publish: settings.publish.or_else(|| spec.map(|spec| spec.publish)).unwrap_or_default(),
            unknown_kid: settings.unknown_kid,
            max_tries: settings.max_tries,
            zip: settings.zip,
        }
    }

    /// `Some(true)`: encrypts or decrypts; `Some(false)`: signs or verifies; `None`: neither.
    pub(crate) fn encrypts(&self) -> Option<bool> {
        self.uses.iter().find_map(|one| match one {
            LabelUse::Decrypt | LabelUse::Encrypt => Some(true),
            LabelUse::Mac | LabelUse::Sign | LabelUse::Verify => Some(false),
            _ => None,
        })
    }

    /// Whether keys sign, verify, encrypt or decrypt: whatever is no password and no certificate.
    pub(crate) fn acts(&self) -> bool {
        self.encrypts().is_some()
    }

    /// The rows that tokens may use.
    pub(crate) fn rows(&self) -> Vec<&'static Algorithm> {
        // Rows that are off leave nothing in their place: the label then does nothing with them.
        if self.listed.is_empty() && !self.off.is_empty() {
            return Vec::new();
        }
        complete_algorithms(&self.listed, &self.uses)
    }

    pub(crate) fn policy(&self, config: &Config) -> KeySetPolicy {
        let mut limits = config.policy.limits.clone();
        if let Some(tries) = self.max_tries {
            limits.max_tries = tries;
        }
        KeySetPolicy {
            limits,
            unknown_kid: self.unknown_kid,
            zip: self.zip,
            short_hmac_keys: config.policy.allow_short_hmac_keys,
            publish: self.publish,
            without_kid: false,
        }
    }
}

/// What a label of one's own wants; its algorithms say the rest.
fn material_of(uses: &[LabelUse]) -> LabelMaterial {
    match uses {
        [LabelUse::Mtls] => LabelMaterial::KeyPair,
        [LabelUse::Secret] => LabelMaterial::Symmetric,
        [LabelUse::Trust] => LabelMaterial::Certificate,
        _ => LabelMaterial::Any,
    }
}
