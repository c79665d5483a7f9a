//! stores.
