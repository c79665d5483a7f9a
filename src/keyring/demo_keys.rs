//! The demo keys that Ping AM and OpenAM ship: everybody has their private halves.

use crate::crypto::Key;

/// Thumbprint ([`Key::thumbprint`]) and alias. Taken from the default keystores that OpenAM publishes and, for
/// the EC key, from the JWK set in Ping's documentation.
const DEMO_KEYS: [(&str, &str); 6] = [
    ("yTQUXwr20y1nAfWy6wv9mTF7hDXFr565HAX9xKFooe0", "rsajwtsigningkey"),
    ("1EZt95sj4A_N9kHj0T9hV4qJyne69jEhZ0B_C95AuLc", "es256test"),
    ("znwJVMjuB37BpOVk9ETghq3Bp7Xe-g733dw8CGLWj0s", "rsajwtsigningkey"),
    ("f2L0JrpQFogo_jZXdZopuQJLdbklVkmoudir6HnCvFo", "selfserviceenctest"),
    ("zj4JZvFNv6g34n3dP5WI9w", "selfservicesigntest"),
    ("Nm2_NPHXgerYUrGvkzytprQzZWsswEtBHA4IRTCDAEM", "test"),
];

/// The product alias of a published demo key, if `key` is one.
pub(crate) fn demo_alias(key: &Key) -> Option<&'static str> {
    DEMO_KEYS.iter().find(|(known, _)| *known == key.thumbprint()).map(|(_, alias)| *alias)
}
