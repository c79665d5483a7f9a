//! What key derivations cost, and passwords as containers encode them.

use std::collections::HashMap;

use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::formats::Limits;
use crate::formats::asn1::damaged;
use crate::secret::SecretString;

/// A key derivation that was paid for: salt, rounds, what for, how long.
type Derivation = (Vec<u8>, u64, u8, usize);

/// Accounts for key derivations before they are done; equal ones are done once.
pub(crate) struct Work<'l> {
    pub(crate) limits: &'l Limits,
    spent: u64,
    done: HashMap<Derivation, Zeroizing<Vec<u8>>>,
    /// Legacy algorithms that were met.
    pub(crate) legacy: Vec<&'static str>,
}

impl<'l> Work<'l> {
    pub(crate) fn new(limits: &'l Limits) -> Self {
        Self { limits, spent: 0, done: HashMap::new(), legacy: Vec::new() }
    }

    /// Checks `rounds` against the bounds (attacks.md K02), before any work.
    pub(crate) fn spend(&mut self, rounds: u64) -> Result<()> {
        let Limits { max_iterations, max_total_iterations, .. } = *self.limits;
        if rounds == 0 {
            return Err(damaged("an iteration count of zero"));
        }
        self.spent = self.spent.saturating_add(rounds);
        if rounds > max_iterations || self.spent > max_total_iterations {
            let (asked, bound) = if rounds > max_iterations {
                (rounds, max_iterations)
            } else {
                (self.spent, max_total_iterations)
            };
            let text =
                format!("{asked} key derivation iterations are more than the bound of {bound}");
            return Err(Error::new(ErrorKind::LimitExceeded, text)
                .with_help("write the keystore again with fewer iterations"));
        }
        Ok(())
    }

    /// Iterations so far.
    pub(crate) const fn spent(&self) -> u64 {
        self.spent
    }

    pub(crate) fn note(&mut self, legacy: &'static str) {
        if !self.legacy.contains(&legacy) {
            self.legacy.push(legacy);
        }
    }

    pub(super) fn once(
        &mut self,
        derivation: Derivation,
        derive: impl FnOnce() -> Vec<u8>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        if let Some(known) = self.done.get(&derivation) {
            return Ok(known.clone());
        }
        self.spend(derivation.1)?;
        let made = Zeroizing::new(derive());
        self.done.insert(derivation, made.clone());
        Ok(made)
    }
}

/// A password in the two encodings that containers use.
pub(crate) struct Password {
    /// UTF-8, for PBKDF2.
    pub(super) utf8: Zeroizing<Vec<u8>>,
    /// UTF-16BE with a terminator, for the PKCS#12 derivation (RFC 7292 §B.1); none at all for no password.
    pub(super) bmp: Zeroizing<Vec<u8>>,
    pub(super) tag: u8,
}

impl Password {
    pub(crate) fn new(password: &SecretString) -> Self {
        // EXPOSE: re-encoded into wiped buffers.
        let text = password.expose_secret();
        // Room for all of it: a buffer that grows leaves a copy behind.
        let mut bmp = Zeroizing::new(Vec::with_capacity(text.len() * 2 + 2));
        bmp.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
        bmp.extend_from_slice(&[0, 0]);
        Self { utf8: Zeroizing::new(text.as_bytes().to_vec()), bmp, tag: 0 }
    }

    /// The other reading of the empty password: no bytes instead of two zero bytes.
    pub(crate) fn none() -> Self {
        Self { utf8: Zeroizing::default(), bmp: Zeroizing::default(), tag: 1 }
    }

    /// Derivations of another password (an entry's own) are kept apart.
    pub(crate) const fn marked(mut self, tag: u8) -> Self {
        self.tag = self.tag | tag << 1;
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.utf8.is_empty()
    }
}
