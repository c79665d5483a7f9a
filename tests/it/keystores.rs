//! keystores.
