//! Keys and values found again by their content: what somebody still holds is not prepared twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::crypto::{Key, Tag, Tagger, WeakKey};
use crate::error::Result;
use crate::formats::{Entry, Material};
use crate::stores::convert;
use crate::stores::value::Value;

/// Prepared keys and values by the tag of their content. It keeps none of them: a key that no snapshot
/// and no store holds is wiped.
#[derive(Debug)]
pub struct Prepared {
    tagger: Tagger,
    keys: Mutex<HashMap<Tag, WeakKey>>,
    values: Mutex<HashMap<Tag, Weak<Value>>>,
}

impl Prepared {
    /// An empty cache.
    ///
    /// # Errors
    /// As [`Tagger::new`].
    pub fn new() -> Result<Self> {
        Ok(Self { tagger: Tagger::new()?, keys: Mutex::default(), values: Mutex::default() })
    }

    /// What tags are made with.
    pub(crate) const fn tagger(&self) -> &Tagger {
        &self.tagger
    }

    /// The key of an entry, prepared unless it is there already.
    pub(super) fn key_of(&self, entry: &Entry) -> Result<Key> {
        let Some(tag) = self.tag_of(entry) else { return convert::key_of(entry) };
        let known = lock(&self.keys).get(&tag).and_then(WeakKey::upgrade);
        if let Some(key) = known {
            return Ok(key);
        }
        let key = convert::key_of(entry)?;
        lock(&self.keys).insert(tag, key.downgrade());
        Ok(key)
    }

    /// The value of this tag, read unless it is there already.
    pub(super) fn value(
        &self,
        tag: Tag,
        read: impl FnOnce() -> Result<Value>,
    ) -> Result<Arc<Value>> {
        let known = lock(&self.values).get(&tag).and_then(Weak::upgrade);
        if let Some(value) = known {
            return Ok(value);
        }
        let value = Arc::new(read()?);
        lock(&self.values).insert(tag, Arc::downgrade(&value));
        Ok(value)
    }

    /// Forgets what nobody holds any more.
    pub(crate) fn sweep(&self) {
        lock(&self.keys).retain(|_, key| key.upgrade().is_some());
        lock(&self.values).retain(|_, value| value.strong_count() > 0);
    }

    /// Symmetric keys and certificates are prepared in a moment: no tag.
    fn tag_of(&self, entry: &Entry) -> Option<Tag> {
        // EXPOSE: into a tag under a key of this process.
        let (kind, bytes) = match &entry.material {
            Material::PrivateKey(pkcs8) => (&b"private"[..], pkcs8.expose_secret()),
            Material::PublicKey(spki) => (&b"public"[..], spki.as_slice()),
            _ => return None,
        };
        let parts: Vec<&[u8]> =
            [kind, bytes].into_iter().chain(entry.chain.iter().map(Vec::as_slice)).collect();
        Some(self.tagger.tag(&parts))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A map of weak references is whole whatever a panic interrupted.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
