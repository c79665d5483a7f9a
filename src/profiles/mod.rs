//! What a product means by a message: labels and rules over the keys of a keyring, and no cryptography.

#[cfg(feature = "saml")]
pub mod saml;
