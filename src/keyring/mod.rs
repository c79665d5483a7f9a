//! The keyring: configuration and stores resolved into snapshots that requests read without a lock.

pub mod keyset;
