//! What a product means by a message: labels and rules over the keys of a keyring, and no cryptography.

pub mod saml;
