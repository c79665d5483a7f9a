//! SAML on labels.
