//! PKCS#12 (RFC 7292): read as Java, OpenSSL, NSS, Windows and others write it; written with PBES2.
//!
//! ```text
//! PFX ::= SEQUENCE { version 3, authSafe ContentInfo, macData OPTIONAL }
//! AuthenticatedSafe ::= SEQUENCE OF ContentInfo      -- data, or encrypted data
//! SafeContents ::= SEQUENCE OF SafeBag               -- key, shrouded key, certificate, secret
//! ```

mod bags;
mod mac;
mod read;
mod write;

pub use read::read;
pub use write::write;
